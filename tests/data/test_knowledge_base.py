import pickle

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from PIL import Image

from hf_mel.data import ENTITY_FEATURES, KnowledgeBase, UnknownEntityError


RECORDS = [
    {"id": "Q1", "name": "Ada Holt", "aliases": ["A. Holt"], "attributes": "Birth: 1900, Erie. Occupation: lawyer, poet."},
    {"id": "Q2", "name": "Bo Vance", "description": "sailor", "types": ["person"]},
    {"id": "Q3", "name": "ada  HOLT", "attributes": "birth: 1900, Erie. Occupation: lawyer, poet."},
    {"id": "Q4", "name": "Ada Holt", "attributes": "Occupation: lawyer."},
]  # fmt: skip


@pytest.fixture
def kb():
    return KnowledgeBase.from_records(RECORDS)


def test_lookup(kb):
    assert len(kb) == 4
    assert kb.ids == ["Q1", "Q2", "Q3", "Q4"]
    assert kb.row("Q3") == 2
    assert "Q3" in kb and "Q9" not in kb and None not in kb
    rows = kb.rows(["Q4", None, "Q1"])
    assert rows.dtype == np.int64
    assert rows.tolist() == [3, -1, 0]
    assert kb.dataset.features == ENTITY_FEATURES


def test_columns(kb):
    assert kb.names() == ["Ada Holt", "Bo Vance", "ada  HOLT", "Ada Holt"]
    assert kb.names(np.asarray([1, 0, 1])) == ["Bo Vance", "Ada Holt", "Bo Vance"]
    assert kb.text_field == "attributes"
    assert kb.texts([1, 3]) == ["", "Occupation: lawyer."]
    assert kb.aliases([0, 1]) == [["A. Holt"], []]
    assert kb[1] == {
        "id": "Q2",
        "name": "Bo Vance",
        "aliases": [],
        "description": "sailor",
        "attributes": None,
        "types": ["person"],
        "image": None,
        "image_status": "none",
        "source_row": 1,
    }


def test_rows_out_of_range_are_refused(kb):
    for rows in ([-1], [0, 4]):
        with pytest.raises(IndexError, match=r"NIL, -1, has no row"):
            kb.names(rows)
        with pytest.raises(IndexError):
            kb.images(rows)
    with pytest.raises(IndexError):
        kb[4]


def test_unknown_ids_are_listed(kb):
    with pytest.raises(KeyError, match="no entity 'Q7' among the 4"):
        kb.row("Q7")
    with pytest.raises(UnknownEntityError) as raised:
        kb.rows(["Q1", "Q8", None, "Q7", "Q8"])
    assert str(raised.value) == "2 ids not in this knowledge base: Q8, Q7"


def test_text_field(kb):
    assert KnowledgeBase.from_records(RECORDS, text_field="description").texts() == ["", "sailor", "", ""]
    assert KnowledgeBase.from_records(RECORDS[1:2]).text_field == "description"
    with pytest.raises(ValueError, match="no entity has attributes; all have only the description"):
        KnowledgeBase.from_records(RECORDS[1:2], text_field="attributes")
    with pytest.raises(ValueError, match="text_field='name'"):
        KnowledgeBase.from_records(RECORDS, text_field="name")


def test_attribute_sets():
    texts = [
        "Sex: male. Birth: 1900, Erie. Alma mater: St. John's College, Yale. Spouse: Jo Doe Jr.",
        "",
        None,
        "no keys here",
        "Languages: English, English.",
        "Tätigkeit: Maler. Член: a. P19: Q64.",
    ]
    kb = KnowledgeBase.from_records([{"id": str(i), "name": "x", "attributes": text} for i, text in enumerate(texts)])
    assert kb.attribute_sets() == [
        {"Sex: male", "Birth: 1900", "Birth: Erie", "Alma mater: St. John's College", "Alma mater: Yale", "Spouse: Jo Doe Jr"},
        frozenset(),
        frozenset(),
        frozenset(),
        {"Languages: English"},
        {"Tätigkeit: Maler", "Член: a", "P19: Q64"},
    ]  # fmt: skip
    assert kb.attribute_sets([4]) == [{"Languages: English"}]


def test_identity_joins_equal_name_and_text(kb):
    assert kb.identity.dtype == np.int64
    assert kb.identity.tolist() == [0, 1, 0, 3]


def test_identity_joins_alias_sets_across_groups():
    kb = KnowledgeBase.from_records(RECORDS, same_entity=[["Q4", "Q2"], ["Q3", "Q4"], []])
    assert kb.identity.tolist() == [0, 0, 0, 0]
    assert KnowledgeBase.from_records(RECORDS, same_entity=[["Q4", "Q2"]]).identity.tolist() == [0, 1, 0, 1]
    with pytest.raises(KeyError, match="Q77"):
        KnowledgeBase.from_records(RECORDS, same_entity=[["Q4", "Q77"]])


def test_images_are_decoded_only_when_asked_for(tmp_path, write_picture):
    write_picture(tmp_path / "a.png")
    (tmp_path / "broken.png").write_bytes(b"broken")
    records = [
        {"id": "Q1", "name": "one", "image": str(tmp_path / "a.png")},
        {"id": "Q2", "name": "two", "image": str(tmp_path / "broken.png")},
        {"id": "Q3", "name": "three"},
        {"id": "Q4", "name": "four", "image": Image.linear_gradient("L")},
    ]
    kb = KnowledgeBase.from_records(records)  # the broken picture is not looked into
    assert kb.has_images
    assert repr(kb) == "KnowledgeBase(4 entities, text_field='description', 3 with a picture)"
    assert kb[1]["image"] == {"bytes": None, "path": str(tmp_path / "broken.png")}
    assert [image and image.size for image in kb.images([3, 2, 0])] == [(256, 256), None, (6, 4)]
    assert [image is None for image in kb.images()] == [False, True, True, False]
    with pytest.raises(ValueError, match=r"record 'Q2'.*broken\.png"):
        kb.images([1], strict=True)
    assert not KnowledgeBase.from_records(RECORDS).has_images


def test_a_missing_picture_is_counted_not_silent(tmp_path, caplog):
    record = {"id": "Q1", "name": "one", "image": str(tmp_path / "absent.png")}
    kb = KnowledgeBase.from_records([record])
    assert kb[0]["image"] is None and kb[0]["image_status"] == "missing_file"
    assert not kb.has_images
    assert "1 picture not there: Q1" in caplog.text


def test_all_problems_of_records_are_listed():
    records = [
        {"id": "Q1", "name": "one"},
        {"id": "Q1", "name": "again"},
        {"id": "Q3", "name": " "},
        {"name": "no id"},
        {"id": "Q5", "name": "five", "atributes": "x"},
        {"id": "Q6", "name": "six", "aliases": "not a list"},
        {"id": "Q7", "name": 7},
        {"id": "Q8", "name": "eight", "image_status": "ok"},
        {"id": "Q9", "name": "nine", "image_status": "fine"},
        {"id": "Q10", "name": "ten", "source_row": "3"},
        {"id": "Q11", "name": "eleven", "image": 4},
        "no record",
    ]
    with pytest.raises(ValueError) as raised:
        KnowledgeBase.from_records(records)
    message = str(raised.value)
    assert "entity records: 11 problems" in message
    for line in (
        "record 2: `id` 'Q1' is already that of record 1",
        "record 3: `name` is missing or empty (id 'Q3')",
        "record 4: `id` is missing or empty (name 'no id')",
        "record 5: field 'atributes' is unknown; did you mean 'attributes'?",
        "record 6: `aliases` must be a list of texts, not 'not a list'",
        "record 7: `name` must be text, not 7",
        "record 8: `image_status` is 'ok', but there is no `image`",
        "record 9: `image_status` 'fine' is unknown",
        "record 10: `source_row` must be a whole number, not '3'",
        "record 11: `image` must be a path or a picture, not int",
        "record 12: is str, not an object",
        "`id` and `name` are needed",
    ):
        assert line in message


def test_long_lists_of_problems_are_cut_and_counted():
    with pytest.raises(ValueError) as raised:
        KnowledgeBase.from_records([{"id": "Q1", "name": "x"}] * 31)
    lines = str(raised.value).splitlines()
    assert lines[0] == "entity records: 30 problems"
    assert lines[20].startswith("  record 21:")
    assert lines[21] == "  ... and 10 more"


def test_a_dataset_is_checked_too():
    with pytest.raises(ValueError) as raised:
        KnowledgeBase(Dataset.from_dict({"id": ["Q1", "Q1", ""], "name": ["one", None, "three"]}))
    message = str(raised.value)
    assert "knowledge base of 3 entities: 3 problems" in message
    assert "record 2: `id` 'Q1' is already that of record 1" in message
    assert "record 2: `name` of entity 'Q1' is empty" in message
    assert "record 3: `id` is empty" in message
    with pytest.raises(
        ValueError, match=r"column 'name': is missing(.|\n)*column 'nam': is unknown; did you mean 'name'"
    ):
        KnowledgeBase(Dataset.from_dict({"id": ["Q1"], "nam": ["one"]}))
    with pytest.raises(TypeError, match="splits train: pass one"):
        KnowledgeBase(DatasetDict(train=Dataset.from_dict({"id": ["Q1"], "name": ["one"]})))


def test_a_dataset_with_few_columns_or_a_selection_works():
    table = Dataset.from_dict({"name": ["one", "two", "three"], "id": ["Q1", "Q2", "Q3"]}).select([2, 0])
    kb = KnowledgeBase(table)
    assert kb.ids == ["Q3", "Q1"]
    assert kb.names([0]) == ["three"]
    assert kb[1]["image_status"] == "none" and kb[1]["source_row"] == 1
    assert kb.rows(["Q1"]).tolist() == [1]


def test_it_travels_to_a_worker_process(kb):
    copy = pickle.loads(pickle.dumps(kb))
    assert copy.names([1]) == ["Bo Vance"]
    assert copy.fingerprint == kb.fingerprint
