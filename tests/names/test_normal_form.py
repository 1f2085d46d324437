"""The normal form of a name, and its tokens."""

import random
import sys

import pytest

from hf_mel.names import fold, name_tokens, normal_name, text_words, token_starts
from hf_mel.names.normal_form import acronym_of, initials_of


SAME = [
    ("Jean-Luc  GODARD", "jean luc godard"),
    ("Kurt Gödel", "kurt godel"),
    ("Kurt Go\u0308del", "kurt godel"),  # decomposed
    ("ＮＡＴＯ", "nato"),  # full width
    ("Straße", "strasse"),
    ("İstanbul", "istanbul"),
    ("Фёдор", "федор"),
    ("Ὅμηρος", "ομηροσ"),  # the final sigma is the same letter
    ("مُحَمَّد", "محمد"),
    ("תֵּל אָבִיב", "תל אביב"),
    ("हिन्दी", "हिन्दी"),  # vowels are letters there, not accents
    ("ガリレオ", "ガリレオ"),  # and so is the voicing of kana
    ("ｶﾞﾘﾚｵ", "ガリレオ"),
    ("한국", "한국"),
    ("Iğdır", "igdir"),
    ("IĞDIR", "igdir"),  # what `upper` makes of it in Turkish
    ("ΌΜΗΡΟΣ", "ομηροσ"),
    ("إسكندرية", "اسكندريه"),
    ("كشرى", "كشري"),
    ("کتاب", "كتاب"),  # Persian kaf
    ("القاهـــرة", "القاهره"),
    ("صورة ٢٠٢٤", "صوره 2024"),
    ("พ.ศ. ๒๔๖๐", "พ ศ 2460"),
    ("क़िला", "क़िला"),  # one sign and two
    ("‏ירושלים‎", "ירושלים"),  # marks of direction
    ("תל־אביב", "תל אביב"),
    ("👍🏽", "👍"),
    ("👩🏽‍🚀", "👩🚀"),
    ("Łódź", "łodz"),  # a stroke is no accent
    ("Nike™", "nike"),
    ("soft\u00adhyphen\u200b", "softhyphen"),
    ("C++", "c++"),
    ("AT&T", "at t"),
    ("!!!", "!!!"),
    ("⚓", "⚓"),
    ("❤\ufe0f", "❤"),
]
NOTES = [
    ("Bat (animal)", "bat"),
    ("Bat (animal) ", "bat"),
    ("苹果（公司）", "苹果"),
    ("苹果 (公司)", "苹果"),
    ("(animal)", "animal"),
    ("f(x)", "f x"),
    ("A (b) (c)", "a b"),
    ("A (b) c", "a b c"),
    ("!!! (band)", "!!!"),
]


@pytest.mark.parametrize(("name", "expected"), SAME)
def test_fold(name, expected):
    assert fold(name) == expected == normal_name(name)


@pytest.mark.parametrize(("name", "expected"), NOTES)
def test_note_at_the_end_is_left_out(name, expected):
    assert normal_name(name) == expected


def test_folding_again_changes_nothing():
    draw = random.Random(0)
    letters = [*map(chr, range(0x20, 0x3000)), *map(chr, range(0x3000, 0xD7FF, 7)), "(", ")", " ", "(", ")", " "]
    letters += [chr(draw.randrange(0x10000, sys.maxunicode)) for _ in range(500)]
    for _ in range(3000):
        name = "".join(draw.choices(letters, k=draw.randrange(1, 8)))
        assert fold(fold(name)) == fold(name), repr(name)
        assert normal_name(normal_name(name)) == normal_name(name), repr(name)
        assert (fold(name) == "") == (not name.strip()) or not name.isascii(), repr(name)


def test_tokens():
    assert name_tokens("robin williams") == ["robin", "williams"]
    assert name_tokens(normal_name("毛泽东")) == ["毛", "泽", "东"]
    assert name_tokens(normal_name("東京タワー")) == ["東", "京", "タワ", "ワー"]
    assert name_tokens(normal_name("ジョン・レノン")) == ["ジョ", "ョン", "レノ", "ノン"]
    assert name_tokens(normal_name("กรุงเทพฯ")) == ["กรุ", "รุง", "งเ", "เท", "ทพ", "พฯ"], "every two graphemes"
    assert name_tokens("ア") == ["ア"] and name_tokens("ひ 北 ア x") == ["ひ", "北", "ア", "x"]
    assert name_tokens(normal_name("हिन्दी भाषा")) == ["हिन्दी", "भाषा"]
    assert name_tokens("") == []


def test_words_of_a_text():
    assert text_words("O'Neil's snake_case, 2nd!") == ["O", "Neil", "s", "snake_case", "2nd"]
    assert text_words("हिन्दी! éa") == ["हिन्दी", "éa"], "marks do not part a word"
    assert text_words("北大、カフェ!") == ["北", "大", "カフ", "フェ"]
    assert text_words("★ +") == []


def test_where_tokens_begin():
    for normal in ("robin williams", "東京タワー x", "กรุงเทพ", "ア", ""):
        starts = token_starts(normal)
        assert starts == sorted(set(starts))
        assert [normal[at:].startswith(token) for at, token in zip(starts, name_tokens(normal), strict=True)] == [
            True
        ] * len(starts)


def test_acronyms():
    assert [acronym_of(name) for name in ("NATO", "U.S.", "U. S. (country)", "ÉNA")] == ["nato", "us", "us", "ena"]
    assert [acronym_of(name) for name in ("us", "Us", "U", "WALL-E", "U2", "INTERNATIONALE", "日本")] == [None] * 7
    assert initials_of("Federal Bureau of Investigation") == {"fboi", "fbi"}
    assert initials_of("École nationale d'administration (school)") == {"enda"}  # one capital alone is no acronym
    assert initials_of("Paris") == set()
