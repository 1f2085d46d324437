import json
import re
from html.parser import HTMLParser

import pytest
from datasets import DatasetDict

from hf_mel.data import MELData
from hf_mel.doctor import Diagnosis, diagnose, unreadable
from hf_mel.doctor.kinds import KINDS, SEVERITIES
from hf_mel.doctor.views import number, percent

from .common import ENTITIES, benchmark, mention


HOSTILE = "<script>alert(1)</script>"
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Tags with their attributes; every tag must be closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def diagnosis(picture, tmp_path):
    tiny = picture("tiny.png", size=(8, 8))
    broken = tmp_path / f"{HOSTILE.replace('/', '')}.jpg"
    broken.write_bytes(b"no picture")
    rows = [
        mention(1, id=HOSTILE, entity_id=None, image=str(tiny), image_status="ok"),
        mention(2, mention=HOSTILE, entity_id=HOSTILE, start=None, end=None),
        mention(3, image=str(broken), image_status="ok"),
        mention(4, mention="\x1b[31mred\u202e", start=None, end=None),
    ]
    entities = [*ENTITIES, {"id": "Q4", "name": f"{HOSTILE}&amp;", "attributes": HOSTILE}]
    data = benchmark(entities, {"layout": HOSTILE}, train=rows, test=[mention(5, text="Ada at desk 1")])
    return diagnose(data, published={"train": 4, "entities": 7}, subject=f"my {HOSTILE}")


def test_page_is_whole_and_escapes_everything(diagnosis):
    html = diagnosis.to_html()
    page = Page(html)
    tags = {tag for tag, _ in page.tags}
    assert "script" not in tags and HOSTILE not in html
    assert HOSTILE in "".join(page.texts), "it is shown as text"
    for found in diagnosis.findings:
        assert any(attributes.get("id") == found.id for _, attributes in page.tags)
        assert found.meaning in "".join(page.texts)
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags
    assert "prefers-color-scheme: dark" in html


def test_page_loads_nothing(diagnosis):
    page = Page(diagnosis.to_html())
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    sources = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
    assert sources and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "url(" not in diagnosis.to_html() and "@import" not in diagnosis.to_html()


def test_a_picture_that_cannot_be_decoded_is_a_box_with_its_name(diagnosis):
    page = Page(diagnosis.to_html())
    assert any(attributes.get("class") == "box" for _, attributes in page.tags)
    assert sum(tag == "img" for tag, _ in page.tags) == 1


def test_text_cannot_steer_the_terminal(diagnosis):
    text = diagnosis.to_text()
    assert "\x1b" not in text and "\u202e" not in text
    assert r"\x1b[31mred" in text
    for found in diagnosis.findings:
        assert f"[{found.id}]" in text
    assert "unexplained" in text and "Lexical candidates" in text


def test_json_holds_all_but_thumbnails(diagnosis):
    content = json.loads(diagnosis.to_json())
    assert content["verdict"] == {severity: diagnosis.count(severity) for severity in SEVERITIES}
    assert content["verdict"]["error"] == 2, "an unknown gold id, an unreadable picture"
    by_id = {found["id"]: found for found in content["findings"]}
    assert by_id["unknown_gold"]["share"] == 0.2
    assert by_id["unknown_gold"]["examples"][0]["split"] == "train"
    assert set(content) >= {"statistics", "published", "leakage", "ambiguity", "candidates", "pictures", "passed"}
    assert "base64" not in diagnosis.to_json()


def test_errors_come_first(diagnosis):
    order = [SEVERITIES.index(found.severity) for found in diagnosis.findings]
    assert order == sorted(order) and len(set(order)) == 3
    assert diagnosis.is_wrong()


def test_data_that_cannot_be_read():
    diagnosis = unreadable("raw", f"captions.json: 2 problems\n  caption '1': {HOSTILE}\nFetch it again")
    assert diagnosis.is_wrong() and diagnosis.finding("unreadable_data").count == 3
    assert HOSTILE in diagnosis.to_text() and HOSTILE not in diagnosis.to_html()
    Page(diagnosis.to_html())
    assert json.loads(diagnosis.to_json())["statistics"] == {}


def test_an_empty_diagnosis_and_an_unknown_check():
    Page(Diagnosis("nothing").to_html())
    assert Diagnosis("nothing").to_text() == "nothing: nothing wrong\n"
    with pytest.raises(KeyError, match="unknown_god"):
        Diagnosis("nothing").finding("unknown_god")


def test_the_catalogue_is_complete():
    for kind, known in KINDS.items():
        assert known.severity in SEVERITIES and re.fullmatch(r"[a-z_]+", kind)
        assert known.meaning.endswith((".", ".`")) and known.advice.endswith(".")
        assert ". " not in known.meaning, f"{kind}: one sentence"


def test_numbers_for_people():
    assert [percent(share) for share in (None, 0.0, 0.00001, 0.1964, 0.9999, 1.0)] == [
        "–", "0.0 %", "< 0.1 %", "19.6 %", "> 99.9 %", "100.0 %"
    ]  # fmt: skip
    assert [number(value) for value in (None, 25846, [160935, 160933])] == ["–", "25,846", "160,935 or 160,933"]


def test_a_knowledge_base_without_mentions():
    data = benchmark([*ENTITIES, {"id": "Q9", "name": "Ada Lovelace", "attributes": "Occupation: actor."}])
    diagnosis = diagnose(MELData(DatasetDict(), data.entities))
    assert diagnosis.finding("duplicate_names").count == 2
    text = diagnosis.to_text()
    assert "Statistics\n  knowledge base: 4 entities\n" in text
    assert "Ambiguity" not in text and "Lexical candidates" not in text
    assert "Ada Lovelace" in diagnosis.to_html() and json.loads(diagnosis.to_json())["ambiguity"] is None
