import pytest

from hf_mel.doctor import diagnose
from hf_mel.doctor.quoting import quoting

from .common import ENTITIES, benchmark, mention


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("Virgin%20Mary", "quoting_percent", "(%20 for ' ')"),
        ("Caf%C3%A9 de Flore", "quoting_percent", "(%C3%A9 for 'é')"),
        ("Smith &amp; Sons", "quoting_html", "(&amp; for '&')"),
        ("Smith &#39;s", "quoting_html", '(&#39; for "\'")'),
        (r"Caf\u00e9", "quoting_escapes", r"Caf\u00e9"),
        (r"St.\xa0Louis", "quoting_escapes", r"\xa0"),
        (r"say \"hi\"", "quoting_escapes", ""),
        ("Robin_Hood", "quoting_underscores", "(n_H for 'n H')"),
        ("Paris_(Texas)", "quoting_underscores", ""),
        ("CafÃ©", "quoting_mojibake", "(Ã© for 'é')"),
        ("Itâ€™s", "quoting_mojibake", "for '’'"),
        ("25Â°", "quoting_mojibake", "for '°'"),
        ("ÐœÐ¾ÑÐºÐ²Ð°", "quoting_mojibake", ""),
        ("a\x07bell", "odd_characters", "(U+0007)"),
        ("lost \ufffd letter", "odd_characters", "(U+FFFD)"),
        (" Ada", "padded_names", "' Ada'"),
    ],
)
def test_traces(text, kind, told):
    found = quoting(text, "name")
    assert list(found) == [kind]
    assert told in found[kind]


@pytest.mark.parametrize(
    "text",
    [
        "100% of 20", "50%de", "%", "AT&T; and others", "R&Ddept; here", "fish & chips", r"C:\users", "São Paulo", "CAFÉ “Ä“", "Ça va, Âme",
        "Москва", "Łódź", "東京", "Ærø", "snake _ case", "Ã", "line\nbreak", "‘Ñandú’", "5 % 20",
    ],
)  # fmt: skip
def test_ordinary_text(text):
    assert quoting(text, "name") == {}


def test_underscores_and_padding_count_in_names_only():
    assert quoting(" file_name ", "text") == {}
    assert set(quoting(" file_name ", "mention")) == {"quoting_underscores", "padded_names"}


def test_a_record_counts_once_and_its_fields_are_told():
    entities = [
        *ENTITIES,
        {"id": "Q4", "name": "A&amp;B", "aliases": ["A&lt;B"], "description": "&gt;", "attributes": "x"},
    ]
    rows = [mention(1, text="Ada &amp; Eva &quot;"), mention(2)]
    finding = diagnose(benchmark(entities, train=rows)).finding("quoting_html")
    assert (finding.severity, finding.count, finding.total, finding.unit) == ("warning", 2, 6, "records")
    assert finding.details == {
        "mentions.text": 1, "entities.name": 1, "entities.aliases": 1, "entities.description": 1
    }  # fmt: skip
    assert [example.place for example in finding.examples] == ["train, mention 'm1'", "entity 'Q4'"]
