"""Texts and offsets of mentions: what holds for any text, and the messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_mel.data.mention_checks import find_mention, place_mention, stands_at, text_fault


LETTERS = st.text(alphabet="aAbB ßẞſsSıIiİéE😀.-", max_size=12)


@given(LETTERS, LETTERS, st.integers(1, 4))
def test_what_is_found_is_the_mention(mention, text, turn):
    if not mention.strip():
        return
    found = find_mention(mention, text, turn)
    if mention in text:
        assert found is not None and text[slice(*found)] == mention
    if found is not None:
        assert place_mention(mention, text, *found) == place_mention(mention, text, found[0]) == found


@given(LETTERS, LETTERS, st.integers(-3, 15), st.one_of(st.none(), st.integers(-3, 15)))
def test_offsets_hold_or_are_refused(mention, text, start, end):
    if not mention.strip():
        return
    try:
        found = place_mention(mention, text, start, end)
    except ValueError as error:
        assert f"`start` {start}" in str(error)
        assert not (
            start >= 0 and text[start : start + len(mention)] == mention and end in (None, start + len(mention))
        )
    else:
        assert found == (start, start + len(mention)) and stands_at(mention, text, *found)
        assert text[slice(*found)].casefold() == mention.casefold()


@pytest.mark.parametrize(
    ("mention", "text", "expected"),
    [
        ("Ann", "Anna, Ann", (6, 9)),
        ("Ann", "Anna", (0, 3)),
        ("jug", "JUG Juggler", (0, 3)),  # one whole word, whatever there is in other words
        ("jug", "Juggler JUGS", None),
        ("art", "The party liked Art.", (5, 8)),  # the exact spelling comes first
        ("straße", "STRASSE", None),  # another length
        ("İzmir", "in izmir", None),
        ("Éclair", "éclair!", (0, 6)),
        ("aa", "AAA", None),  # two places
    ],
)
def test_where_a_mention_is_found(mention, text, expected):
    assert find_mention(mention, text) == expected


def test_turns_count_exact_occurrences():
    assert [find_mention("a", "a b a", turn) for turn in (1, 2, 3)] == [(0, 1), (4, 5), (4, 5)]


def test_an_end_alone_is_refused():
    with pytest.raises(ValueError, match="last is given, but not first"):
        place_mention("a", "a", None, 1, called={"start": "first", "end": "last"}.get)


@given(st.text())
def test_every_real_text_is_accepted(text):
    assert (text_fault(text) is None) == ("\0" not in text)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ude00\ud83d"])
def test_half_pairs_are_refused(text):
    assert "half of a surrogate pair" in text_fault(text)
