import logging

import pytest

from hf_mel.data.own.columns import ENTITIES, MENTIONS, map_columns
from hf_mel.data.problems import Problems


def mapped(kind, available, columns=None, **options):
    problems = Problems("table", "Mend it.")
    return map_columns(kind, available, columns, problems, **options), problems.found


def test_names_of_the_schema_are_found_in_any_case(caplog):
    found, problems = mapped(ENTITIES, ["NAME", "Id", "image status"])
    assert found == {"id": "Id", "name": "NAME", "image_status": "image status"}
    assert not problems and not caplog.text


def test_synonyms_are_guessed_and_logged(caplog):
    found, problems = mapped(ENTITIES, ["QID", "label", "Abstract"])
    assert found == {"id": "QID", "name": "label", "description": "Abstract"}
    assert not problems
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message == (
        "table: took `id` from 'QID', `name` from 'label', `description` from 'Abstract'; name others by `columns=`"
    )


@pytest.mark.parametrize("kind", [ENTITIES, MENTIONS], ids=lambda kind: kind.noun)
def test_a_synonym_stands_for_one_field_and_is_none_itself(kind):
    all_names = [name for names in kind.synonyms.values() for name in names]
    assert len(all_names) == len(set(all_names)) > 10
    assert not set(all_names) & set(kind.features)
    assert set(kind.synonyms) <= set(kind.features)


def test_what_is_told_goes_before_what_is_found():
    found, problems = mapped(ENTITIES, ["id", "name", "sku", "label"], {"id": "sku", "name": "label"})
    assert found == {"id": "sku", "name": "label"}
    assert not problems


def test_the_field_itself_goes_before_a_synonym_and_the_exact_case_before_another(caplog):
    assert mapped(ENTITIES, ["title", "name", "ID", "id"]) == ({"id": "id", "name": "name"}, [])
    assert "columns not used: title, ID" in caplog.text


def test_none_leaves_a_field_out():
    found, problems = mapped(MENTIONS, ["mention", "text", "answer"], {"entity_id": None})
    assert found == {"mention": "mention", "text": "text"}
    assert not problems


def test_two_columns_for_one_field_are_no_choice():
    _, problems = mapped(ENTITIES, ["id", "label", "title"])
    assert problems == ["columns 'label', 'title': could each be `name`: say which, by columns={'name': 'label'}"]
    _, problems = mapped(ENTITIES, ["ID", "Id", "name"])
    assert problems == ["columns 'ID', 'Id': could each be `id`: say which, by columns={'id': 'ID'}"]


def test_all_that_is_wrong_with_columns_is_told():
    _, problems = mapped(ENTITIES, ["idd", "sku", "foo"], {"nmae": "foo", "id": "skuu", "types": "absent"})
    assert problems == [
        "columns: field 'nmae': is unknown; did you mean 'name'?",
        "columns: column 'skuu': (for `id`) is not there; did you mean 'sku'?",
        "columns: column 'absent': (for `types`) is not there; there are idd, sku, foo",
        "column `name`: is missing; there are idd, sku, foo",
    ]


def test_a_missing_column_names_the_nearest_unused_one():
    _, problems = mapped(ENTITIES, ["id", "nam"])
    assert problems == ["column `name`: is missing; did you mean 'nam'?"]


def test_another_delimiter_is_suspected():
    _, problems = mapped(ENTITIES, ["id;name;types"])
    assert "the only column is 'id;name;types': is the delimiter another one?" in problems[0]


def test_mentions_need_no_ids_but_a_column_of_gold_ids():
    _, problems = mapped(MENTIONS, ["mention", "text"])
    assert len(problems) == 1
    assert "column `entity_id`: is missing" in problems[0] and "columns={'entity_id': None}" in problems[0]


def test_unused_columns_are_named_or_refused(caplog):
    available = ["id", "name", "price", "namee", ""]
    assert mapped(ENTITIES, available)[1] == []
    assert caplog.messages == ["table: columns not used: price, namee"]
    assert mapped(ENTITIES, available, strict_columns=True)[1] == [
        "column 'price': is not used",
        "column 'namee': is not used; did you mean 'name'?",
    ]
