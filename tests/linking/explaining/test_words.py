"""What single words contribute, found by leaving each of them out."""

import pytest

from hf_mel.linking import MentionQuery, explain
from hf_mel.linking.explaining.occlusion import without, words_around

from .common import TEXT, WeighedLinker, has, has_not, jordans, query


def test_what_words_contribute():
    linker = WeighedLinker(jordans())
    explanation = explain(linker, query())
    effects = {effect.word: effect for effect in explanation.words}
    assert list(effects) == ["singer", "river", "concert", "a"], (
        "the strongest first; 'gave', 'on' and 'the' are nothing"
    )
    assert effects["singer"].change == pytest.approx(-0.51) and effects["singer"].margin == pytest.approx(-0.49)
    assert effects["river"].change == pytest.approx(0.5) and effects["a"].change == pytest.approx(0.18)
    assert [effects[word].entity_id for word in ("singer", "river", "concert", "a")] == ["R", "S", "R", "S"]
    assert TEXT[effects["concert"].start :].startswith("concert")
    has(
        explanation,
        "Without the word 'singer' the answer would be Jordan (R).",
        "Without the word 'concert' the answer would be Jordan (R).",
    )
    has_not(explanation, "the word 'river'")
    assert explanation.words_tried == 8 and explanation.rival_id == "R"


def test_words_cost_two_batches():
    linker = WeighedLinker(jordans())
    explain(linker, query(colour="red"))
    assert [len(call) for call in linker.calls] == [1, 9, 4, 1]
    explain(linker, query(), max_words=2)
    assert [len(call) for call in linker.calls[4:]] == [1, 3, 1]
    words = linker.calls[5][1:]
    assert [each.text for each in words] == ["the Jordan gave a concert on the river", TEXT.replace("gave ", "")]
    none = explain(linker, query(), max_words=0)
    assert none.words == () and none.words_tried == 0 and len(linker.calls) == 8


def test_words_and_the_gold_entity():
    explanation = explain(WeighedLinker(jordans()), query(), gold="B")
    assert explanation.rival_id == "B"
    assert {effect.word: effect.change for effect in explanation.words}["singer"] == pytest.approx(-0.51)
    assert explain(WeighedLinker(jordans()), query(), gold="S").rival_id == "R"


def test_which_words_are_left_out():
    def words(text: str, mention: str, most: int = 99, **more) -> list[str]:
        each = MentionQuery(mention, text, **more)
        return [each.text[start:end] for start, end in words_around(each, most)]

    assert words("Ah, Jordan's (old) friend Jordan!", "Jordan") == ["Ah", "old", "friend", "Jordan"]
    assert words("Ah, Jordan's (old) friend Jordan!", "Jordan", start=26) == ["Ah", "Jordan's", "old", "friend"]
    assert words("a b c Jordan d e f", "Jordan", 3) == ["b", "c", "d"]
    assert words("\u6771\u4eac\u306b\u3044\u308b", "\u6771\u4eac") == ["\u306b\u3044\u308b"]
    assert (
        words("nothing here", "Jordan") == []
        and words("Jordan", "Jordan") == []
        and words("- Jordan .", "Jordan") == []
    )
    assert words("我昨天在北京大学，看见了他的妹妹。", "北京") == ["我昨天在", "大学", "看见了他", "的妹妹"]
    assert words("กินข้าวที่กรุงเทพ 2 วัน", "กรุงเทพ") == ["กินข้า", "วที่", "2", "วัน"], "pieces of four graphemes at most"
    assert words("在2008年Jordan来了", "Jordan") == ["在", "2008", "年", "来了"]
    assert words("한국어를 서울에서 배우다", "서울") == ["한국어를", "에서", "배우다"]
    assert words("cafe\u0301 Jordan \U0001f600", "Jordan") == ["cafe\u0301", "\U0001f600"]


def test_leaving_a_word_out_keeps_the_mention():
    each = MentionQuery("Jordan", "Ah, Jordan and  Jordan met Jordan", start=16, id="x")
    for start, end in words_around(each, 99):
        changed = without(each, start, end)
        assert changed.text[changed.start : changed.start + 6] == "Jordan" and changed.id == "x"
        assert len(changed.text) in (len(each.text) - (end - start), len(each.text) - (end - start) - 1)
        assert each.text[start:end] not in changed.text or each.text[start:end] == "Jordan"
    assert without(MentionQuery("Ada", "a b Ada"), 0, 1).text == "b Ada"
    assert without(MentionQuery("Ada", "a b Ada"), 2, 3) == MentionQuery("Ada", "a Ada", start=2)
    assert without(MentionQuery("Ada", "Ada (b) c"), 5, 6).text == "Ada () c"


def test_a_mention_that_is_not_in_its_text():
    explanation = explain(WeighedLinker(jordans()), query("the singer at a concert", "Jordan"))
    assert explanation.words == () and explanation.words_tried == 0
    assert "[Jordan]" in explanation.to_text()
