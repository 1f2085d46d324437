"""Links read back from every format, and the order in which they are reviewed."""

import json

import pytest

from hf_mel import LinkedEntity, LinkedMention
from hf_mel.linking.batch import TableInput
from hf_mel.linking.batch.formats import WRITERS
from hf_mel.linking.review import read_input, read_links, review_order


def entity(name: str, **values) -> LinkedEntity:
    return LinkedEntity(name, name.title(), f"About {name}.", 0.5, **values)


LINKS = [
    LinkedMention("jug", "A jug, blue.", 2, 5, "m1", "e1", "E1", False, 0.75, 0.125, candidates=(entity("e1", types=("a",)),)),
    LinkedMention("cup", 'A "cup"\nof tea.', None, None, "m2", is_nil=True, probability=0.25, nil_probability=0.5,
                  candidates=(entity("e2"), entity("e1"))),
    LinkedMention("mug", "A mug.", 2, 5, "m3", "e2", "E2", False, 0.625, candidates=(entity("e2", probability=0.625),)),
]  # fmt: skip


@pytest.mark.parametrize("form", ["jsonl", "csv", "tsv", "parquet"])
def test_every_format_comes_back(form, tmp_path):
    path = tmp_path / f"links.{form}"
    WRITERS[form]([link.to_dict() for link in LINKS], path, None)
    assert list(read_links(path).values()) == LINKS


def test_what_is_no_file_of_links(tmp_path):
    with pytest.raises(ValueError, match=r"links.nt: links are read from .jsonl, .csv, .tsv or .parquet"):
        read_links(tmp_path / "links.nt")
    path = tmp_path / "links.jsonl"
    lines = [LINKS[0].to_json(), '{"id": "m2", "mention": "a"}', LINKS[0].to_json(), "[]"]
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError) as error:
        read_links(path)
    found = str(error.value).splitlines()
    assert found[0].endswith("3 problems")
    assert [line.split(":")[0].strip() for line in found[1:4]] == ["line 2", "line 3", "line 4"]
    assert "`text`, `candidates` is missing" in found[1] and "`id` 'm1' is missing or stands twice" in found[2]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "c.csv",
            "id,text\n" + "c,A jug\n" * 60,
            r"c.csv holds no links: there is no column 'mention', 'candidates' \(its",
        ),
        (
            "r.csv",
            "id,mention,text,corrected_entity_id\n1,a,b,\n",
            "is a table that people correct, not the links themselves",
        ),
        ("c.jsonl", "[1]\n" * 60, r"c.jsonl holds no links: there is no column 'id', .* \(its columns are none"),
        (
            "b.csv",
            "id,mention,text,start,candidates\n1,a,b,x,[]\n",
            "line 2: is not a result of `hf-mel link`: `start` is 'x'",
        ),
        (
            "b.csv",
            "id,mention,text,candidates\n1,a,b,[1]\n",
            r"`candidates` is \[1\], not the candidates of a mention",
        ),
        ("b.csv", "id,mention,text,candidates\n1,,b,[]\n", "`mention` is None, not a text"),
    ],
)
def test_another_file_is_named_once_and_without_words_of_python(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_links(tmp_path / name)
    assert "Error" not in str(error.value) and len(str(error.value).splitlines()) < 4


def test_the_least_certain_come_first():
    # Probability of the answer: 0.75, 0.5 (NIL), 0.625.
    assert [link.id for link in review_order(LINKS)] == ["m2", "m3", "m1"]
    undecided = LinkedMention("a", "a", id="m4", entity_id="e1", margin=0.01)
    bare = LinkedMention("a", "a", id="m5")
    assert [link.id for link in review_order([*LINKS, undecided, bare])] == ["m5", "m4", "m2", "m3", "m1"]


def test_a_sample_depends_on_ids_and_seed_alone():
    links = [LinkedMention("a", "a", id=str(number), probability=number / 100) for number in range(100)]
    drawn = [
        {link.id for link in review_order(order, 10, seed)}
        for order, seed in ((links, 0), (links[::-1], 0), (links, 1))
    ]
    assert len(drawn[0]) == 10 and drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] < {link.id for link in review_order(links, 20)}


def test_rows_of_the_input(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    table = tmp_path / "in.jsonl"
    rows = [
        {"no": 1, "word": "jug", "caption": "A jug.", "picture": "a.png", "shelf": [3]},
        {"no": 2, "caption": "No word."},
    ]
    table.write_text("\n".join(map(json.dumps, rows)))
    source = TableInput(table, columns={"id": "no", "mention": "word", "text": "caption"})
    found = read_input(source, ["1", "9"])
    assert list(found) == ["1"] and found["1"].values == rows[0]
    assert found["1"].image == str(tmp_path / "a.png")
    assert set(read_input(source, ["1#0", "1#1", "2#0"])) == {"1#0", "1#1", "2#0"}, "mentions that were found in a row"
    with pytest.raises(ValueError, match="has no row with the id of a link, such as 'x'"):
        read_input(source, ["x"])
