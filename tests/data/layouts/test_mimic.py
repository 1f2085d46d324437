import json
import re
from pathlib import Path

import pytest
from datasets import Image

from hf_mel.data import ENTITY_FEATURES, MENTION_FEATURES, load_layout
from hf_mel.data.layouts import read_layout
from hf_mel.data.layouts.names import unquoted

from .fixtures import (
    MIMIC_FOLDERS,
    MIMIC_NAMES,
    MIMIC_OTHER_NAMES,
    mimic_entities,
    mimic_mentions,
    write_json,
    write_mimic,
    write_pictures,
)


def rows(table):
    """The records of a table, pictures as the names of their files."""
    table = table.cast_column("image", Image(decode=False))
    return [{**row, "image": row["image"] and Path(row["image"]["path"]).name} for row in table]


BOTH = "Madonna on stage, Madonna in a window of Slenaken."
MENTIONS = {  # id, mention, text, start, end, image, image_status, entity_id, entity_name
    "train": [
        ("0", "Madonna", BOTH, 0, 7, "20168.jpg", "ok", "Q1744", "Madonna (entertainer)"),
        ("1", "Madonna", BOTH, 18, 25, "20168.jpg", "ok", "Q345", "Virgin Mary"),
        ("2", "Slenaken", BOTH, 41, 49, "20168.jpg", "ok", "Q99989", "Slenaken"),
        ("3", "Beyoncé", "Beyoncé sang here.", 0, 7, None, "none", "Q36153", "Beyoncé"),
        ("4", "this man", "Nobody knows this man.", 13, 21, "nil.jpg", "ok", None, None),
        ("5", "Beyoncé Knowles", "Beyoncé Giselle Knowles in 2003", None, None, "Beyonce_J.jpg", "ok", "Q36153", "Beyoncé"),
    ],
    "validation": [("6", "Madonna", BOTH, 0, 7, "20168.jpg", "ok", "Q1744", "Madonna (entertainer)")],
    "test": [
        ("7", "100% Wolf", "The poster of 100% Wolf", 14, 23, "Wolf.jpg", "ok", "Q58365", "100% Wolf"),
        ("8", "Slenaken", "Slenaken from above", 0, 8, None, "missing_file", "Q99989", "Slenaken"),
    ],
}  # fmt: skip
KEYS = ("id", "mention", "text", "start", "end", "image", "image_status", "entity_id", "entity_name")
ENTITIES = [  # id, name, description, attributes, types, image, image_status, source_row
    ("Q345", "Virgin Mary", "mother of Jesus", "Sex: female.", ["human"], "Q345_0.jpg", "ok", 0),
    ("Q1744", "Madonna (entertainer)", None, "Sex: female. Occupation: singer.", ["human"], None, "none", 1),
    ("Q36153", "Beyoncé", None, "Occupation: singer, actor.", ["human"], "Q36153_0.jpg", "ok", 2),
    ("Q99989", "Slenaken", "town in the Netherlands", None, ["village"], None, "missing_file", 3),
    ("Q58365", "100% Wolf", "2020 film", None, [], "Q58365_0.jpg", "ok", 4),
]
ENTITY_KEYS = ("id", "name", "description", "attributes", "types", "image", "image_status", "source_row")


@pytest.mark.parametrize("usual", [True, False])
@pytest.mark.parametrize("benchmark", MIMIC_NAMES)
def test_every_record(tmp_path, benchmark, usual, caplog):
    folder = write_mimic(tmp_path / "raw", benchmark, usual=usual)
    data = load_layout("mimic", folder, check_images=True)
    assert list(data.mentions) == ["train", "validation", "test"]
    for split, expected in MENTIONS.items():
        assert data.mentions[split].features == MENTION_FEATURES
        found = rows(data.mentions[split])
        assert [tuple(row[key] for key in KEYS) for row in found] == expected
        assert all(row["mention_type"] is None and row["topic"] is None for row in found)
    assert data.entities.dataset.features == ENTITY_FEATURES
    found = rows(data.entities.dataset)
    assert [tuple(row[key] for key in ENTITY_KEYS) for row in found] == ENTITIES
    assert all(row["aliases"] == [] for row in found)
    assert data.report["benchmark"] == benchmark
    assert "2 pictures cannot be used (2 missing_file): record '8'" in caplog.text
    assert "mention_image" in caplog.text and "is not there, record 'Q99989'" in caplog.text


def test_report(tmp_path):
    report = load_layout("auto", write_mimic(tmp_path / "raw", "wikidiverse")).report
    assert json.loads(json.dumps(report)) == report
    expected = {
        "layout": "mimic",
        "benchmark": "wikidiverse",
        "split_rule": "wiki_diverse_train.json, wiki_diverse_dev.json, wiki_diverse_test.json",
        "ids_repeated_within_splits": 0,
        "ids_repeated_between_splits": 0,
        "knowledge_base": "kb_entity.json",
        "entities_with_a_picture_name": 4,
        "further_entity_pictures": 1,
        "records_that_are_no_entity": 0,
        "repeated_entities": 0,
        "qid2id": {"entities_not_in_it": 0, "no_entity": 0, "other_row": 0},
        "entity_images": {"missing_file": 1, "none": 1, "ok": 3},
        "test_sentences_in_train": 0,
    }
    assert {key: report[key] for key in expected} == expected
    assert report["splits"]["train"] == {
        "mentions": 6, "nil": 1, "not_in_text": 1, "offset_mismatch": 0, "captions": 4,
        "pictures_sharing_a_file": 0, "left_out": 0, "images": {"none": 1, "ok": 5},
    }  # fmt: skip


def test_files_that_were_read(tmp_path):
    folder = write_mimic(tmp_path / "raw", "richpediamel")
    raw = read_layout("auto", folder)[1]
    assert {path.name for path in raw.files} == {
        "kb_entity.json", "qid2id.json", "RichpediaMEL_train.json", "RichpediaMEL_dev.json", "RichpediaMEL_test.json",
    }  # fmt: skip


# ---- Folders and files ----


def test_a_folder_of_several_benchmarks(tmp_path):
    for benchmark, name in MIMIC_FOLDERS.items():
        write_mimic(tmp_path / name, benchmark, pictures=False)
    with pytest.raises(ValueError, match="holds richpediamel, wikidiverse, wikimel: choose one by `benchmark=`"):
        load_layout("auto", tmp_path)
    with pytest.raises(ValueError, match="benchmark='emojimel': .* holds richpediamel, wikidiverse, wikimel"):
        load_layout("mimic", tmp_path, benchmark="emojimel")
    for benchmark in MIMIC_FOLDERS:
        assert load_layout("auto", tmp_path, benchmark=benchmark).report["benchmark"] == benchmark
    with pytest.raises(ValueError, match="benchmark='wikimel': .*WikiDiverse holds wikidiverse in the layout 'mimic'"):
        load_layout("mimic", tmp_path / "WikiDiverse", benchmark="wikimel")
    write_mimic(tmp_path / "copy", "wikimel", pictures=False)
    with pytest.raises(ValueError, match=r"wikimel lies in .*/WikiMEL, .*/copy: pass one of them as `raw_dir`"):
        load_layout("mimic", tmp_path, benchmark="wikimel")


@pytest.mark.parametrize("folder", ["mention_images", "kb_image"])
@pytest.mark.parametrize("empty", [True, False])
def test_a_missing_folder_of_pictures_is_said_aloud(tmp_path, folder, empty, caplog):
    write_mimic(tmp_path, "richpediamel")
    for picture in (tmp_path / folder).iterdir():
        picture.unlink()
    if not empty:
        (tmp_path / folder).rmdir()
    data = load_layout("mimic", tmp_path)
    whose, spellings, records = {
        "mention_images": ("mentions", "mention_image, mention_images", 8),
        "kb_image": ("entities", "kb_image, kb_images", 4),
    }[folder]
    # The name which the release has for the other two benchmarks stands for a folder that is not there.
    path = tmp_path / (folder if empty else spellings.split(", ")[0])
    [message] = [record.message for record in caplog.records if record.levelname == "ERROR"]
    place = f"the folder of pictures {path} is empty or not there"
    assert message.startswith(f"{place}, records without their picture: {records}")
    found = [entry for entry in data.report["pictures"] if entry["status"] == "missing_folder"]
    assert {entry["file"] for entry in found} == {str(path)} and sum(entry["records"] for entry in found) == records
    statuses = [split["images"] for split in data.report["splits"].values()]
    if whose == "mentions":
        assert statuses == [{"missing_file": 5, "none": 1}, {"missing_file": 1}, {"missing_file": 2}]
    else:
        assert data.report["entity_images"] == {"missing_file": 4, "none": 1}
    with pytest.raises(FileNotFoundError, match=re.escape(place)):
        load_layout("mimic", tmp_path, strict_images=True)


def test_two_folders_of_pictures(tmp_path):
    write_mimic(tmp_path)
    write_pictures(tmp_path / "Mention_Images", "not_released.jpg")
    with pytest.raises(ValueError, match="holds Mention_Images, mention_image: keep .* or name it by `images=`"):
        load_layout("mimic", tmp_path)
    data = load_layout("mimic", tmp_path, images=tmp_path / "Mention_Images")
    assert [row["image"] for row in rows(data.mentions["test"])] == [None, "not_released.jpg"]


def test_missing_and_doubled_files(tmp_path):
    write_mimic(tmp_path / "a", "wikidiverse")
    (tmp_path / "a" / "wiki_diverse_dev.json").unlink()
    (tmp_path / "a" / "wiki_diverse_test.json").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"wiki_diverse_dev\.json, .*wiki_diverse_test\.json.* wikidiverse of the"
    ):
        load_layout("mimic", tmp_path / "a")
    write_mimic(tmp_path / "b", "wikidiverse")
    write_mimic(tmp_path / "b", "wikidiverse", usual=False)
    with pytest.raises(ValueError, match="several files of one split, keep one of each: ") as raised:
        load_layout("mimic", tmp_path / "b", images=tmp_path / "b" / "mention_image")
    for split in ("train", "dev", "test"):
        assert f"WikiDiverse_{split}.json" in str(raised.value) and f"wiki_diverse_{split}.json" in str(raised.value)
    (tmp_path / "c").mkdir()
    with pytest.raises(FileNotFoundError, match=r"kb_entity\.json, and one of WIKIMEL_\{train,dev,test\}\.json, Rich"):
        load_layout("mimic", tmp_path / "c")
    write_mimic(tmp_path / "d")
    (tmp_path / "d" / "qid2id.json").unlink()
    (tmp_path / "d" / "._WIKIMEL_train.json").write_bytes(b"\x00\x05\x16\x07")  # what macOS puts into archives
    assert load_layout("mimic", tmp_path / "d").report["qid2id"] == "not there"


def test_a_dirty_folder_of_pictures(tmp_path):
    folder = write_mimic(tmp_path)
    pictures = folder / "mention_image"
    (pictures / "20168.jpg").write_bytes((pictures / "20168.jpg").read_bytes()[:300])
    (pictures / "nil.jpg").write_bytes(b"")
    (pictures / "Wolf.jpg").write_text("<!DOCTYPE html><p>404</p>")
    (folder / "kb_image" / "Q345_0.jpg").write_bytes(b"")
    data = load_layout("mimic", folder, check_images=True)
    assert data.report["splits"]["train"]["images"] == {"none": 1, "ok": 1, "unreadable": 4}
    assert data.report["entity_images"] == {"missing_file": 1, "none": 1, "ok": 2, "unreadable": 1}
    reasons = {Path(entry["file"]).name: entry["reason"] for entry in data.report["pictures"]}
    assert reasons["nil.jpg"].endswith("is empty") and reasons["Wolf.jpg"].endswith("is a web page, not a picture")
    assert data.mentions["train"][0]["image"] is None and data.mentions["train"][5]["image"] is not None


# ---- Mentions ----


def test_ids(tmp_path):
    def found(folder):
        data = load_layout("mimic", folder)
        counts = data.report["ids_repeated_within_splits"], data.report["ids_repeated_between_splits"]
        return [data.mentions[split]["id"][:] for split in data.mentions], counts

    # Numbers that begin anew in each split: validation's 0 and test's 0 and 1 are train's too.
    assert found(write_mimic(tmp_path / "a", ids="per_split", pictures=False)) == (
        [[f"train-{number}" for number in range(6)], ["validation-0"], ["test-0", "test-1"]], (0, 3)
    )  # fmt: skip
    # Ids of captions: the first three records of train are one.
    assert found(write_mimic(tmp_path / "b", ids="per_caption", pictures=False)) == (
        [["train-0-0", "train-0-1", "train-0-2", "train-1-0", "train-2-0", "train-3-0"], ["validation-0-0"],
         ["test-0-0", "test-1-0"]], (2, 3)
    )  # fmt: skip
    folder = write_mimic(tmp_path / "c", pictures=False)
    records = mimic_mentions()["train"]
    write_json(
        folder, WIKIMEL_train=[{**record, "id": "x" if record["id"] < 2 else record["id"]} for record in records]
    )
    assert found(folder) == ([["x-0", "x-1", "2-0", "3-0", "4-0", "5-0"], ["6-0"], ["7-0", "8-0"]], (1, 0))


def test_offsets_go_by_caption(tmp_path):
    """Two captions of one text each count their mentions from the start; the records need not be adjacent."""
    folder = write_mimic(tmp_path, pictures=False)
    first, second, *_ = mimic_mentions()["train"]
    other = [{**first, "id": 10, "imgPath": "other.jpg"}, {**second, "id": 11, "imgPath": "other.jpg"}]
    write_json(folder, WIKIMEL_train=[first, other[0], second, other[1], {**first, "id": 12}])
    data = load_layout("mimic", folder)
    # The fifth record is the third Madonna of the first caption, which has only two.
    assert data.mentions["train"]["start"][:] == [0, 0, 18, 18, 18]
    assert data.report["splits"]["train"]["captions"] == 2


def test_two_pictures_that_the_release_gives_one_name(tmp_path):
    folder = write_mimic(tmp_path)
    first, second, third, *_ = mimic_mentions()["train"]
    records = [{**first, "imgPath": "20168.a.jpg"}, {**second, "imgPath": "x/20168.b.jpg"}, {**third, "imgPath": None}]
    write_json(folder, WIKIMEL_train=records)
    data = load_layout("mimic", folder)
    assert [row["image"] for row in rows(data.mentions["train"])] == ["20168.jpg", "20168.jpg", None]
    assert data.report["splits"]["train"]["pictures_sharing_a_file"] == 2


def test_nil_is_an_answer_not_a_name(tmp_path):
    folder = write_mimic(tmp_path, pictures=False)
    film = {**mimic_entities()[0], "qid": "Q77", "id": 5, "entity_name": "Nil"}
    write_json(folder, kb_entity=[*mimic_entities(), film])
    record = mimic_mentions()["train"][0]
    records = [{**record, "id": 20, "entities": "Nil", "answer": "Q77"}, {**record, "id": 21, "answer": None},
               {**record, "id": 22, "answer": ""}, {**record, "id": 23, "entities": ""}]  # fmt: skip
    write_json(folder, WIKIMEL_train=records)
    table = load_layout("mimic", folder).mentions["train"]
    assert table["entity_id"][:] == ["Q77", None, None, "Q1744"]
    assert table["entity_name"][:] == ["Nil", None, None, None]


def test_unquoted():
    assert unquoted("100%25%20Wolf") == "100% Wolf"
    assert unquoted("50% of Beyonc%C3%A9+") == "50% of Beyoncé+"
    assert unquoted("Beyonc%E9") == "Beyonc%E9"  # Latin-1: what it meant is not known


def test_malformed_mentions_are_all_listed(tmp_path):
    folder = write_mimic(tmp_path, pictures=False)
    record = mimic_mentions()["train"][0]
    without = {key: value for key, value in record.items() if key not in ("imgPath", "answer")}
    bad = [{**record, "mentions": ["Madonna"]}, {**record, "sentence": " "}, {**record, "id": None}, record,
           {**record, "imgPath": 20168}, {**record, "answer": 345}]  # fmt: skip
    write_json(folder, WIKIMEL_train=bad, WIKIMEL_test=[without])
    with pytest.raises(ValueError) as raised:
        load_layout("mimic", folder)
    message = str(raised.value)
    assert message.startswith(f"{folder}: 5 problems")
    for line in (
        "WIKIMEL_train.json, record 3: `id` is None, neither a number nor a string",
        "WIKIMEL_train.json, record 5: `imgPath` is 20168, not a string",
        "WIKIMEL_train.json, record 6: `answer` is 345, not a string",
        "WIKIMEL_test.json, record 1: `imgPath` is missing",
        "WIKIMEL_test.json, record 1: `answer` is missing",
    ):
        assert line in message
    (folder / "WIKIMEL_dev.json").write_text('[{"id": 1}, {"id"')
    with pytest.raises(ValueError, match=r"WIKIMEL_dev\.json is not whole JSON after record 1"):
        load_layout("mimic", folder)
    (folder / "WIKIMEL_dev.json").write_text('["x"]')
    with pytest.raises(ValueError, match=r"WIKIMEL_dev\.json: record 1 is 'x', not an object with fields"):
        load_layout("mimic", folder)


# ---- Entities ----


def test_entities_are_streamed(tmp_path):
    folder = write_mimic(tmp_path, pictures=False, extra=2_000)
    raw = read_layout("mimic", folder)[1]
    assert [row["id"] for row in raw.entities()][-1] == "Q901999"
    with open(folder / "kb_entity.json", "rb+") as file:
        file.truncate(file.seek(0, 2) // 2)
    # The rows before the damage come; nothing had read on to it.
    entities = raw.entities()
    assert [next(entities)["id"] for _ in range(5)] == [row[0] for row in ENTITIES]
    with pytest.raises(ValueError, match="kb_entity.json is not whole JSON after record"):
        list(entities)


def test_repeated_entities(tmp_path, caplog):
    folder = write_mimic(tmp_path, pictures=False)
    maria, madonna, *others = mimic_entities()
    twice = [
        maria,
        madonna,
        *others,
        {**maria, "id": 5, "desc": "the right one"},
        {**madonna, "id": 6, "desc": "another"},
    ]
    write_json(
        folder, kb_entity=twice, qid2id={**{row["qid"]: row["id"] for row in mimic_entities()}, "Q345": 5, "nil": 9}
    )
    data = load_layout("mimic", folder)
    # qid2id names row 5 for Q345, and row 1, the first, for Q1744.
    assert [(row["id"], row["source_row"]) for row in data.entities.dataset] == [
        ("Q1744", 1), ("Q36153", 2), ("Q99989", 3), ("Q58365", 4), ("Q345", 5)
    ]  # fmt: skip
    assert data.report["repeated_entities"] == 2
    assert "kb_entity.json: duplicate ids Q1744, Q345; one record of each is used" in caplog.text


def test_qid2id_that_differs(tmp_path, caplog):
    folder = write_mimic(tmp_path, pictures=False)
    write_json(folder, qid2id={"Q345": 0, "Q1744": 7, "Q36153": 2, "Q99989": 3, "Q1": 5, "Q2": 6, "nil": 8})
    assert load_layout("mimic", folder).report["qid2id"] == {"entities_not_in_it": 1, "no_entity": 2, "other_row": 1}
    assert "kb_entity.json and qid2id.json differ, no entity: 2 of 5: Q1, Q2" in caplog.text
    assert "other row: 1 of 5: Q1744" in caplog.text and "entities not in it: 1 of 5: Q58365" in caplog.text


def test_records_that_are_no_entity_are_kept_and_counted(tmp_path):
    folder = write_mimic(tmp_path, pictures=False)
    first, *others = mimic_entities()
    write_json(folder, kb_entity=[{**first, "type": "mention", "instance": ["human", "saint"]}, *others])
    data = load_layout("mimic", folder)
    assert data.report["records_that_are_no_entity"] == 1 and len(data.entities) == 5
    assert data.entities.dataset[0]["types"] == ["human", "saint"]


def test_malformed_entities_are_all_listed(tmp_path):
    folder = write_mimic(tmp_path, pictures=False)
    good = mimic_entities()[0]
    bad = [good, {**good, "qid": ""}, {**good, "entity_name": None}, {**good, "id": "3"}, {**good, "attr": ["x"]},
           {**good, "image_list": "Q345_0.jpg"}, {**good, "image_list": ["../../secret.jpg"]}, {**good, "instance": 4}]  # fmt: skip
    write_json(folder, kb_entity=bad)
    with pytest.raises(ValueError) as raised:
        load_layout("mimic", folder)
    message = str(raised.value)
    assert message.startswith(f"{folder / 'kb_entity.json'}: 7 problems")
    for line in (
        "record 2: `qid` is '', which is no text",
        "record 3: `entity_name` is None, which is no text",
        "record 4 ('Q345'): `id` is '3', not the number of a row",
        "record 5 ('Q345'): `attr` is ['x'], not a string",
        "record 6 ('Q345'): `image_list` is 'Q345_0.jpg', not a list of strings",
        "record 7 ('Q345'): `image_list` is ['../../secret.jpg'], which leads out of the folder of pictures",
        "record 8 ('Q345'): `instance` is 4, not a list of strings",
    ):
        assert line in message


def test_the_other_names_differ():
    """Else the test of the two spellings would test one of them twice."""
    for benchmark in MIMIC_NAMES:
        assert all(a != b for a, b in zip(MIMIC_NAMES[benchmark], MIMIC_OTHER_NAMES[benchmark], strict=True))
