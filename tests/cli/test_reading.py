"""Options for reading tables."""

import pytest

from hf_mel.cli.reading import ENTITY_FIELDS, MENTION_FIELDS, parse_columns, parse_delimiter
from hf_mel.data import ENTITY_FEATURES, MENTION_FEATURES


def test_the_fields_are_those_of_the_schema():
    assert set(ENTITY_FIELDS) == set(ENTITY_FEATURES) and set(MENTION_FIELDS) == set(MENTION_FEATURES)


def test_columns_and_delimiters():
    assert parse_columns("--columns", ["id=a=b", "types="], ENTITY_FIELDS) == {"id": "a=b", "types": None}
    assert [parse_delimiter(given) for given in (None, ";", "tab", "\\t", "\t")] == [None, ";", "\t", "\t", "\t"]
    with pytest.raises(ValueError, match=r"--columns title=a: field 'title' is unknown; there are id, name"):
        parse_columns("--columns", ["title=a"], ENTITY_FIELDS)
