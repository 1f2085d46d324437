import json

import pytest
from PIL import Image

from hf_mel.data import KnowledgeBase, open_knowledge_base
from tests.data.layouts.fixtures import mimic_entities, write_mimic


RECORDS = [
    {"id": "Q1", "name": "Ada", "attributes": "Occupation: poet.", "description": "a poet"},
    {"id": "Q2", "name": "Bee", "attributes": None, "description": "an insect"},
]


@pytest.fixture(scope="module")
def kb() -> KnowledgeBase:
    return KnowledgeBase.from_records(RECORDS)


def test_benchmarks_of_the_package():
    assert len(open_knowledge_base("miniature")) == 160
    assert open_knowledge_base("miniature", text_field="attributes").text_field == "attributes"
    assert len(open_knowledge_base("emojimel")) == 416


def test_files_and_folders(kb, tmp_path):
    kb.save(tmp_path / "one.parquet")
    kb.save(tmp_path / "shards")
    kb.save(tmp_path / "built" / "entities")
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    (tmp_path / "table.csv").write_text("id,label,attributes\nQ1,Ada,Occupation: poet.\nQ2,Bee,\n")
    (tmp_path / "table.tsv").write_text("id\tname\nQ1\tAda\nQ2\tBee\n")
    for name in ("one.parquet", "shards", "built", "lines.jsonl", "table.csv", "table.tsv"):
        for place in (tmp_path / name, str(tmp_path / name)):
            found = open_knowledge_base(place)
            assert (found.ids, found.names()) == (["Q1", "Q2"], ["Ada", "Bee"]), name
    assert open_knowledge_base(tmp_path / "shards").fingerprint == kb.fingerprint
    assert open_knowledge_base(tmp_path / "one.parquet", text_field="description").texts() == ["a poet", "an insect"]


def test_columns_of_ones_own(tmp_path):
    (tmp_path / "products.csv").write_text("sku;title\nA-1;Kettle\n")
    found = open_knowledge_base(tmp_path / "products.csv", {"id": "sku", "name": "title"}, delimiter=";")
    assert found.ids == ["A-1"] and found.names() == ["Kettle"]
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"sku": ["A-1"], "name": ["Kettle"]}), tmp_path / "products.parquet")
    assert open_knowledge_base(tmp_path / "products.parquet", {"id": "sku"}).ids == ["A-1"]


def test_a_folder_of_pictures(tmp_path):
    for name in ("kettle", "lamp"):
        Image.effect_noise((9, 9), 60).save(tmp_path / f"{name}.png")
    assert open_knowledge_base(tmp_path).names() == ["kettle", "lamp"]
    (tmp_path / "metadata.csv").write_text("file_name,id,name\nlamp.png,A,Lamp\n")
    found = open_knowledge_base(tmp_path)
    assert found.names() == ["Lamp"] and found.image_count == 1


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no knowledge base emojimell; did you mean 'emojimel'"):
        open_knowledge_base("emojimell")
    (tmp_path / "kb.txt").write_text("x")
    with pytest.raises(ValueError, match="unknown suffix '.txt'"):
        open_knowledge_base(tmp_path / "kb.txt")
    (tmp_path / "kb.parquet").write_text("x")
    with pytest.raises(ValueError, match="kb.parquet"):
        open_knowledge_base(tmp_path / "kb.parquet")


def test_released_files_of_a_benchmark(tmp_path):
    """The layout is told from the files."""
    assert len(open_knowledge_base(write_mimic(tmp_path / "raw"))) == len(mimic_entities())
