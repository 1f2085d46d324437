"""Queries and answers as plain values."""

import json

import pytest

from hf_mel import LinkedEntity, LinkedMention, MentionQuery


def test_places_are_characters():
    text = "👩‍🔬 Ada met Ada."
    assert (MentionQuery("Ada", text).place, MentionQuery("Ada", text).end) == (4, 7)
    second = MentionQuery("Ada", text, start=text.rindex("Ada"))
    assert text[second.place : second.end] == "Ada" and second.place == 12
    assert (MentionQuery("Bob", text).place, MentionQuery("Bob", text).end) == (None, None)


def test_there_and_back():
    entity = LinkedEntity("Q1", "Ada", "poet", 0.5, probability=0.9, matched_alias="Ada", types=("person",))
    linked = LinkedMention(
        "Ada", "Ada wrote.", 0, 3, entity_id="Q1", name="Ada", is_nil=False, probability=0.9, candidates=(entity,)
    )
    values = json.loads(linked.to_json())
    assert values == linked.to_dict()
    assert values["candidates"][0]["types"] == ["person"] and values["candidates"][0]["text_score"] is None
    assert LinkedMention.from_dict(values) == linked
    assert linked.best is entity and LinkedMention("x", "x").best is None


def test_they_cannot_be_changed():
    with pytest.raises(AttributeError):
        MentionQuery("a", "a").mention = "b"
