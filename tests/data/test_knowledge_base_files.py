import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from hf_mel.data import ENTITY_FEATURES, KnowledgeBase


@pytest.fixture
def kb(tmp_path, write_picture):
    records = [
        {"id": f"Q{number}", "name": f"name {number}", "aliases": ["x"] * (number % 3), "attributes": f"Birth: {number}."}
        for number in range(250)
    ]  # fmt: skip
    records[7]["image"] = str(write_picture(tmp_path / "pictures" / "seven.png"))
    records[9]["image"] = str(tmp_path / "pictures" / "absent.png")
    return KnowledgeBase.from_records(records)


def assert_same(first: KnowledgeBase, second: KnowledgeBase):
    assert second.dataset.features == ENTITY_FEATURES
    assert second.fingerprint == first.fingerprint
    for name in set(ENTITY_FEATURES) - {"image"}:
        assert second.dataset[name][:] == first.dataset[name][:]
    for image, other in zip(first.images([7, 9]), second.images([7, 9]), strict=True):
        assert (image and image.tobytes()) == (other and other.tobytes())


@pytest.mark.parametrize("target", ["kb.parquet", "folder"])
def test_round_trip_carries_the_pictures(kb, tmp_path, target):
    files = kb.save(tmp_path / "out" / target)
    original = kb.images([7])[0].tobytes()
    (tmp_path / "pictures" / "seven.png").unlink()
    loaded = KnowledgeBase.load(tmp_path / "out" / target)
    assert len(files) == 1
    assert loaded.images([7])[0].tobytes() == original
    assert loaded[7]["image"]["path"] == "seven.png"
    assert loaded[9]["image_status"] == "missing_file"
    assert loaded.image_count == 1


def test_round_trip_keeps_every_column_and_the_fingerprint(kb, tmp_path):
    kb.save(tmp_path / "out")
    assert_same(kb, KnowledgeBase.load(tmp_path / "out"))


def test_a_folder_is_written_in_shards_without_leftovers(kb, tmp_path):
    files = kb.save(tmp_path / "out", max_shard_bytes=1)
    assert [file.rsplit("/", 1)[1] for file in files] == [f"entities-0000{i}-of-00003.parquet" for i in range(3)]
    assert_same(kb, KnowledgeBase.load(tmp_path / "out"))
    kb.save(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["entities-00000-of-00001.parquet"]
    assert_same(kb, KnowledgeBase.load(tmp_path / "out"))


def test_a_failed_save_leaves_the_earlier_one_alone(kb, tmp_path):
    kb.save(tmp_path / "out")
    before = (tmp_path / "out" / "entities-00000-of-00001.parquet").read_bytes()
    (tmp_path / "pictures" / "seven.png").unlink()
    with pytest.raises(FileNotFoundError):
        kb.save(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["entities-00000-of-00001.parquet"]
    assert (tmp_path / "out" / "entities-00000-of-00001.parquet").read_bytes() == before


def test_saved_files_open_with_plain_datasets(kb, tmp_path):
    kb.save(tmp_path / "out" / "entities")
    table = load_dataset("parquet", data_files=str(tmp_path / "out" / "entities" / "*.parquet"), split="train")
    assert table.features == ENTITY_FEATURES
    assert table[7]["image"].size == (6, 4)
    assert_same(kb, KnowledgeBase.load(tmp_path / "out"))  # the folder above, as a dataset repository has it


def test_an_empty_file_is_refused(tmp_path):
    KnowledgeBase.from_records([]).save(tmp_path / "empty.parquet")
    (tmp_path / "empty.jsonl").write_text("\n")
    for name in ("empty.parquet", "empty.jsonl"):
        with pytest.raises(ValueError, match=rf"{name} holds no entity"):
            KnowledgeBase.load(tmp_path / name)


def test_saving_again_is_seen_by_the_next_load(kb, tmp_path):
    path = tmp_path / "kb.parquet"
    kb.save(path)
    assert len(KnowledgeBase.load(path)) == 250
    KnowledgeBase.from_records([{"id": "Q1", "name": "one"}]).save(path)
    assert KnowledgeBase.load(path).names() == ["one"]


def test_json_lines(tmp_path, write_picture, caplog):
    write_picture(tmp_path / "images" / "a.png")
    path = tmp_path / "entities.jsonl"
    lines = [
        {"id": "Q1", "name": "Zoë", "image": "images/a.png", "aliases": ["Z"]},
        {"id": "Q2", "name": "two", "image": "images/absent.png", "description": "second"},
    ]
    path.write_text("\n\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    kb = KnowledgeBase.load(path)
    assert kb.names() == ["Zoë", "two"]
    assert [image and image.size for image in kb.images()] == [(6, 4), None]
    assert kb.dataset["image_status"][:] == ["ok", "missing_file"]
    assert "1 picture not there: Q2" in caplog.text
    with pytest.raises(FileNotFoundError, match=r"record 'Q2'.*absent\.png is not there"):
        KnowledgeBase.load(path, strict_images=True)


def test_json_lines_errors_name_file_line_and_field(tmp_path):
    path = tmp_path / "entities.jsonl"
    path.write_text('{"id": "Q1", "name": "one"}\n\n{"id": "Q2"}\n{"id": "Q1", "name": "again"}\n{oops\n')
    with pytest.raises(ValueError) as raised:
        KnowledgeBase.load(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: 3 problems")
    assert "line 3: `name` is missing or empty (id 'Q2')" in message
    assert "line 4: `id` 'Q1' is already that of line 1" in message
    assert "line 5: is not JSON" in message


def test_paths_that_are_no_knowledge_base(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no knowledge base at .*absent.*pass a folder"):
        KnowledgeBase.load(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"holds no \.parquet file"):
        KnowledgeBase.load(tmp_path)
    (tmp_path / "kb.csv").write_text("id,name\n")
    with pytest.raises(ValueError, match=r"kb\.csv: unknown suffix '\.csv'"):
        KnowledgeBase.load(tmp_path / "kb.csv")
    (tmp_path / "bad.parquet").write_text("no parquet")
    with pytest.raises(ValueError, match=r"bad\.parquet is not a Parquet file"):
        KnowledgeBase.load(tmp_path / "bad.parquet")
    pq.write_table(pa.table({"id": ["Q1"], "label": ["one"]}), tmp_path / "columns.parquet")
    with pytest.raises(ValueError, match=r"columns\.parquet: 2 problems\n  column 'name': is missing"):
        KnowledgeBase.load(tmp_path / "columns.parquet")


def test_parquet_of_another_tool_with_two_columns(tmp_path):
    pq.write_table(
        pa.table({"name": pa.array(["one", "two"], pa.large_string()), "id": ["Q1", "Q2"]}), tmp_path / "k.parquet"
    )
    kb = KnowledgeBase.load(tmp_path / "k.parquet")
    assert kb.ids == ["Q1", "Q2"]
    assert kb.names() == ["one", "two"]
    assert kb.dataset.features == ENTITY_FEATURES
