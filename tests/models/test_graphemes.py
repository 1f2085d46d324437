"""Graphemes, places where a text may be cut, and where words end."""

import unicodedata

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mel.models.graphemes import (
    columns_of,
    cut_places,
    graphemes,
    in_one_word,
    is_boundary,
    is_open_ended,
    is_unspaced,
    shortened,
)
from hf_mel.models.text_utils import window_around


FAMILY, FLAGS, THUMB = "\U0001f469\u200d\U0001f469\u200d\U0001f467", "🇩🇪🇫🇷", "\U0001f44d\U0001f3fd"
# A mark after anything, letters with marks, joined emoji, flags, Hangul in parts, Devanagari with a conjunct, Thai with a tone, and plain ones.
PIECES = [
    "\u0301",
    "a",
    "b ",
    " ",
    "e\u0301",
    FAMILY,
    FLAGS,
    THUMB,
    "\u1112\u1161\u11ab",
    "क्षि",
    "ก็",
    "น้ำ",
    "北",
    "京",
    "タ",
    "ー",
    "。",
    "שּׁ",
]
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


def test_graphemes_by_hand():
    assert graphemes(f"e\u0301{FAMILY}{FLAGS}{THUMB}") == ["e\u0301", FAMILY, "🇩🇪", "🇫🇷", THUMB]
    assert graphemes("\u1112\u1161\u11ab") == ["\u1112\u1161\u11ab"], "a syllable of Hangul in its parts"
    assert graphemes("รุ่ง") == ["รุ่", "ง"] and graphemes("") == []


@settings(max_examples=200, deadline=None)
@given(text=texts)
def test_a_boundary_is_where_a_grapheme_ends(text):
    ends = {0, len(text)} | {match.end() for match in regex.finditer(r"\X", text)}
    assert {place for place in range(len(text) + 1) if is_boundary(text, place)} == ends
    assert set(cut_places(text)) <= ends
    assert cut_places(text) == sorted(set(cut_places(text)))


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("one two", [0, 3, 4, 7]),
        ("jean-luc's", [0, 10]),
        ("서울에서 온", [0, 4, 5, 6]),
        ("กินข้าว", [0, 2, 3, 5, 6, 7]),
        ("in 北京, too", [0, 2, 3, 4, 5, 6, 7, 10]),
        ("", []),
    ],
)
def test_cut_places_by_hand(text, places):
    assert cut_places(text) == places


def test_a_run_too_long_for_a_word_is_cut_anywhere():
    assert cut_places("a" * 50) == [0, 50]
    assert cut_places("a" * 51) == list(range(52))
    assert cut_places("e\u0301" * 30) == list(range(0, 61, 2))


def test_where_words_end():
    inside = [
        ("Anna", 2),
        ("हिन्दी", 1),
        ("e\u0301", 1),
        (FLAGS, 1),
        (FAMILY, 2),
        ("می\u200cخواهم", 2),
        ("\u1112\u1161", 1),
    ]
    assert all(in_one_word(text, place) for text, place in inside)
    between = [("a b", 1), ("l'an", 1), ("北京", 1), ("서울에서", 2), (FLAGS, 2), ("IBM社", 3), ("a", 0), ("a", 1)]
    assert not any(in_one_word(text, place) for text, place in between)


def test_scripts():
    assert all(map(is_unspaced, ["北", "ひ", "カ", "ー", "ไทย", "ລາວ", "ខ្មែរ", "မြန်မာ"]))
    assert not any(map(is_unspaced, ["a", "я", "한국", "हिन्दी", "العربية", "עברית", "!", "👍"]))
    assert is_open_ended("한국") and is_open_ended("北") and not is_open_ended("हिन्दी")


def test_shortened():
    assert shortened("a capital city", 13) == "a capital..." and shortened("a capital city", 14) == "a capital city"
    assert shortened("中华人民共和国首都", 4, "…") == "中华人民…"
    assert shortened("北京 " + "中" * 300, 100) == "北京 " + "中" * 97 + "...", (
        "a space near the beginning is no reason to stop there"
    )
    assert shortened(FLAGS, 1) == "..." and shortened(FLAGS, 3) == "🇩🇪..." and shortened("abcdef", 3) == "abc..."
    assert shortened("https://" + "a" * 300, 100) == "https://" + "a" * 92 + "..."


def test_columns_of_a_terminal():
    assert [columns_of(text) for text in ("abc", "北京", "e\u0301", "กิน", "👍🏽", "タワー")] == [3, 4, 1, 2, 2, 6]


# ---- Windows ----


@pytest.mark.parametrize("letter", ["中", "か", "ก", "ခ", "ខ"])
def test_a_window_without_spaces_is_as_wide_as_it_may_be(letter):
    text = letter * 100 + "X" + letter * 100
    assert window_around(text, 100, 101, lambda part: len(part) <= 21) == letter * 10 + "X" + letter * 10
    assert window_around(text[100:], 0, 1, lambda part: len(part) <= 21) == "X" + letter * 20
    assert window_around(text[:101], 100, 101, lambda part: len(part) <= 21) == letter * 20 + "X"


def test_a_url_beside_the_mention_does_not_cost_a_side():
    text = "see https://example.org/" + "x" * 200 + " Ada at home with her three cats"
    start = text.index("Ada")
    window = window_around(text, start, start + 3, lambda part: len(part) <= 41)
    assert window.startswith("xxxxx") and window.endswith("x Ada at home with her")


@settings(max_examples=200, deadline=None)
@given(before=texts, after=texts, room=st.integers(1, 60))
def test_a_window_cuts_no_grapheme(before, after, room):
    text = f"{before}|Ada|{after}"
    start = len(before) + 1
    window = window_around(text, start, start + 3, lambda part: len(part) <= room)
    assert "Ada" in window and (len(window) <= room or window == "Ada")
    place = text.index(window, max(start - room, 0))
    assert is_boundary(text, place) or unicodedata.category(text[place - 1])[0] == "Z"
    assert is_boundary(text, place + len(window)) or unicodedata.category(text[place + len(window) - 1])[0] == "Z"
