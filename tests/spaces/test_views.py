"""What stands in the HTML, and that nothing in it is run."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

import views
from hf_mel import LinkedEntity, LinkedMention
from hf_mel.linking import Explanation
from hf_mel.linking.explaining import ExplainedCandidate
from linking import Variant


ATTACK = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>${alert(1)}{{value}}"


class Reader(HTMLParser):
    """Tags with their attributes, and texts."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data):
        self.texts.append(data)

    def named(self, name: str) -> list[dict]:
        return [attrs for tag, attrs in self.tags if tag == name]

    @property
    def text(self) -> str:
        assert not self.open, f"{self.open} are not closed"
        return " ".join(" ".join(self.texts).split())


def linked(is_nil=False, **changes) -> LinkedMention:
    entities = (
        LinkedEntity("Q1", "Ada Vale", "Painter.", 0.8, 0.7, 0.5, 0.9, 0.3, matched_alias="Vale", types=("person",)),
        LinkedEntity("Q2", "Vale", "A valley.", 0.2, 0.1, 0.25, None),
        LinkedEntity("Q3", "Dale", "Another.", -0.2, 0.05, -0.2, None),
    )
    chosen = {} if is_nil else {"entity_id": "Q1", "name": "Ada Vale"}
    answer = LinkedMention("Vale", "Here Vale came.", 5, 9, is_nil=is_nil, probability=0.7, **chosen)
    return replace(answer, has_image=True, image_weight=0.25, candidates=entities, **changes)


def explanation(answer: LinkedMention, thumbnail: bytes | None = b"jpeg") -> Explanation:
    shown = tuple(ExplainedCandidate(rank, each, thumbnail) for rank, each in enumerate(answer.candidates, start=1))
    return Explanation(
        answer,
        shown,
        num_candidates=64,
        reasons=(
            "Because.",
            "And since <i>.",
        ),
    )


def test_the_answer():
    page = Reader(views.answer(explanation(linked())))
    assert "Ada Vale" in page.text and "Q1 · person" in page.text and "Because." in page.text
    assert "The gate: 25% picture , 75% text" in page.text and "And since <i>." in page.text
    assert page.named("mark") == [{}] and page.named("img")[0]["alt"] == "Picture of Ada Vale"
    assert page.named("img")[0]["src"].startswith("data:image/jpeg;base64,")


def test_nil_names_the_reason_and_no_entity():
    page = Reader(views.answer(explanation(linked(is_nil=True))))
    assert "NIL: nothing fits" in page.text and "Because." in page.text
    assert page.named("img") == []


def test_undecided_is_said():
    answer = replace(linked(), is_nil=None, probability=None)
    assert "NIL not decided" in Reader(views.answer(explanation(answer))).text


def test_the_gate_is_shown_for_a_picture_alone():
    for answer in (linked(), replace(linked(), has_image=False), replace(linked(), image_weight=None)):
        shown = "The gate" in views.answer(explanation(answer))
        assert shown == (answer.has_image and answer.image_weight is not None)


def test_candidates_and_bars():
    """Bars begin at 0 and have one scale, from the lowest score to the highest."""
    html = views.candidates(explanation(linked()))
    page = Reader(html)
    assert "3 best of 64 candidates" in page.text and html.count("mel-chosen") == 1
    assert "also called Vale · Q1" in page.text and "70% probable" in page.text.replace("  ", " ")
    bars = [each["style"] for each in page.named("span") if "style" in each]
    span = 0.9 + 0.2
    assert bars[0] == f"left:{0.2 / span:.1%};width:{0.8 / span:.1%}"
    assert bars[-1] == f"left:0.0%;width:{0.2 / span:.1%}", "below 0"
    assert page.text.count("none") == 2, "no picture to compare"
    assert Reader(views.candidates(explanation(replace(linked(), candidates=())))).tags == []
    assert html.count("mel-chosen") - views.candidates(explanation(linked(is_nil=True))).count("mel-chosen") == 1


def test_variants_and_verdict(demo):
    picture = demo.pictures[0][0]
    same = [Variant(name, picture, linked(), None) for name in ("As it is", "Blurred by 9 %")]
    nil = Variant("Dropped", None, linked(is_nil=True), None)
    assert views.verdict(same) == "With the picture the answer is Ada Vale. Blurred or dropped, it stays."
    found = [*same, nil]
    assert views.verdict(found).endswith("Blurred by 9 %: Ada Vale. Dropped: NIL.")
    page = Reader(views.variants(found))
    assert page.text.count("another answer") == 1 and len(page.named("img")) == 2 and "no picture" in page.text


@pytest.mark.parametrize("part", ["answer", "candidates", "nil", "variants", "alert", "hint"])
def test_nothing_from_data_is_markup(part):
    entity = LinkedEntity(ATTACK, ATTACK, ATTACK, 0.5, 0.5, 0.5, 0.5, matched_alias=ATTACK + "x", types=(ATTACK,))
    answer = LinkedMention(
        ATTACK, f"a {ATTACK} b", 2, 2 + len(ATTACK), entity_id=ATTACK, name=ATTACK, is_nil=part == "nil"
    )
    answer = replace(answer, candidates=(entity,))
    explained = replace(explanation(answer), reasons=(ATTACK, ATTACK))
    html = {
        "answer": lambda: views.answer(explained),
        "nil": lambda: views.answer(explained),
        "candidates": lambda: views.candidates(explained),
        "variants": lambda: views.variants([Variant(ATTACK, None, answer, None)] * 2),
        "alert": lambda: views.alert(ATTACK),
        "hint": lambda: views.hint(ATTACK),
    }[part]()
    page = Reader(html)
    assert "<script>alert(1)</script>" in page.text, "it is there, as text"
    assert not page.named("script")
    assert all("onerror" not in attrs and attrs.get("src", "data:").startswith("data:") for _, attrs in page.tags)
    assert "$" not in html and "{" not in html, "nor for the templates of gradio"
