"""An explanation as JSON, text and HTML."""

import base64
import json
import re
from html.parser import HTMLParser

import pytest

from hf_mel.linking import LinkedMention, MentionQuery, explain
from hf_mel.linking.explaining.explanation import _table

from .common import Entity, WeighedLinker, coloured, jpeg


NASTY = '<script>alert("1")</script> & {{ 7 * 7 }}'


@pytest.fixture
def explanation():
    entities = [
        Entity(
            "<i>1", NASTY, {"the": 0.5, NASTY: 1.0}, {"red": 0.2}, types=["<b>"], text=NASTY, thumbnail=jpeg("green")
        ),
        Entity("2", "Eva", {"the": 0.4, "river": 0.05}, {"red": 0.1}, thumbnail=None),
        Entity("3", "Olga \u202eabc", {"the": 0.1}),
    ]
    query = MentionQuery("Ada", f"the Ada {NASTY} river", image=coloured("red"), id="'\"><img src=x>")
    return explain(WeighedLinker(entities), query, top_k=2, gold="3")


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    VOID = ("meta", "img", "br")

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words += data


def test_html_is_one_page(explanation):
    text = explanation.to_html()
    page = Page(text)
    assert not page.open, "every tag is closed"
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "iframe", "link", "i", "b", "object", "form"}
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [each["src"].split(",")[0] for each in pictures] == ["data:image/jpeg;base64"] * 2
    assert base64.b64decode(pictures[0]["src"].split(",")[1]) == explanation.picture
    assert base64.b64decode(pictures[1]["src"].split(",")[1]) == jpeg("green")
    assert all(each["alt"] for each in pictures)
    assert not re.search(r"(?:src|href)=\"(?!data:)", text) and "http" not in text.replace("http-equiv", "")
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_html_says_everything(explanation):
    words = " ".join(Page(explanation.to_html()).words.split())
    for reason in explanation.reasons:
        assert " ".join(reason.split()) in words
    assert f"the Ada {NASTY} river" in words and NASTY in words and "49" not in words
    assert "2 of 3 that were compared" in words and "no picture" in words and "should win" in words
    for effect in explanation.words:
        assert f"{effect.change:+.4f}" in words


def test_json(explanation):
    values = json.loads(explanation.to_json())
    assert values == json.loads(explanation.to_json(indent=2)) == explanation.to_dict()
    assert values["picture"].startswith("data:image/jpeg;base64,")
    assert [each["rank"] for each in values["candidates"]] == [1, 2]
    assert (
        values["candidates"][0]["thumbnail"].startswith("data:image/jpeg")
        and values["candidates"][1]["thumbnail"] is None
    )
    assert values["gold"]["considered"] is True and values["gold"]["candidate"]["rank"] == 3
    assert values["without_picture"]["best"]["entity_id"] == "<i>1"
    assert values["reasons"] == list(explanation.reasons) and values["num_candidates"] == 3
    assert {"word", "start", "margin", "change", "entity_id", "name"} == set(values["words"][0])
    assert values["rival_id"] == "3"
    assert set(explanation.linked.to_dict()) <= set(values)
    linked = {name: value for name, value in values.items() if name in LinkedMention.__dataclass_fields__}
    for each in linked["candidates"]:
        del each["rank"], each["thumbnail"]
    assert LinkedMention.from_dict(linked) == explanation.linked


def test_text(explanation):
    lines = explanation.to_text().splitlines()
    assert lines[0].startswith("the [Ada] <script>")
    assert [line[2:] for line in lines if line.startswith("- ")] == list(explanation.reasons)
    (heading,) = [line for line in lines if line.startswith("rank")]
    for name in ("entity", "score", "texts alone", "pictures alone", "picture's share", "types"):
        assert name in heading
    assert "probability" not in heading and "model's score" not in heading, "no column without a value"
    assert [line.split()[0] for line in lines[lines.index(heading) + 1 :][:3]] == ["1", "2", "3"]
    assert any(line.endswith("  the") and line.split()[0].startswith("-") for line in lines)


def test_texts_keep_their_own_direction():
    entities = [Entity("1", "ירושלים", {"עיר": 0.5}), Entity("2", "北京", {"עיר": 0.4})]
    explanation = explain(WeighedLinker(entities), MentionQuery("ירושלים", "עיר ירושלים גדולה"))
    page = explanation.to_html()
    assert re.search(r'<p dir="auto">[^<]*<mark>ירושלים</mark>', page)
    assert page.count("<bdi>ירושלים</bdi>") >= 3, "the mention, the answer and the candidate, between English words"


def test_columns_line_up_in_a_terminal():
    assert _table([["北京 (1)", "Bonn (22)", "e\u0301 (3)"], ["a", "b", "c"]]) == [
        "北京 (1)   a",
        "Bonn (22)  b",
        "e\u0301 (3)      c",
    ]
