import os

import pytest
from datasets import Dataset

from hf_mel.data import KnowledgeBase, content_fingerprint
from tests.processes import run_python


PROGRAM = """
import sys
from hf_mel.data import KnowledgeBase
print(KnowledgeBase.load(sys.argv[1], cache_dir=sys.argv[2]).fingerprint)
"""


def records(tmp_path, write_picture, name="a.png"):
    picture = write_picture(tmp_path / name)
    return [{"id": "Q1", "name": "one", "aliases": ["x"], "image": str(picture)}, {"id": "Q2", "name": "two"}]


def test_equal_between_processes_caches_and_formats(tmp_path, write_picture):
    kb = KnowledgeBase.from_records(records(tmp_path, write_picture))
    kb.save(tmp_path / "kb.parquet")
    places = (str(tmp_path / "kb.parquet"), str(tmp_path / "other_cache"))
    done = run_python(PROGRAM, *places, env=dict(os.environ), cwd=tmp_path)
    assert done.stdout.strip() == kb.fingerprint, done.stderr


def test_name_and_place_of_a_picture_do_not_count_but_its_bytes_do(tmp_path, write_picture):
    first = KnowledgeBase.from_records(records(tmp_path, write_picture)).fingerprint
    assert KnowledgeBase.from_records(records(tmp_path, write_picture, "elsewhere/b.png")).fingerprint == first
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[-1] ^= 1
    (tmp_path / "a.png").write_bytes(bytes(data))
    changed = [
        {"id": "Q1", "name": "one", "aliases": ["x"], "image": str(tmp_path / "a.png")},
        {"id": "Q2", "name": "two"},
    ]
    assert KnowledgeBase.from_records(changed).fingerprint != first


@pytest.mark.parametrize("size", [100, 16_384, 20_000, 32_768, 50_000])
def test_a_picture_counts_alike_as_file_and_as_bytes(tmp_path, size):
    data = bytes(i * i % 251 for i in range(size))
    (tmp_path / "a.bin").write_bytes(data)
    (tmp_path / "b.bin").write_bytes(data[:-1] + b"\xff")
    (tmp_path / "c.bin").write_bytes(b"\xff" + data[1:])
    embedded = KnowledgeBase.from_records([{"id": "Q1", "name": "x", "image": data}]).fingerprint
    filed = [
        KnowledgeBase.from_records([{"id": "Q1", "name": "x", "image": str(tmp_path / name)}]).fingerprint
        for name in ("a.bin", "b.bin", "c.bin")
    ]
    assert filed[0] == embedded
    assert len(set(filed)) == 3


@pytest.mark.parametrize(
    "change",
    [{"id": "Q9"}, {"name": "eins"}, {"aliases": []}, {"description": "d"}, {"attributes": "a"}, {"types": ["t"]},
     {"source_row": 5}, {"image_status": "blank"}],
)  # fmt: skip
def test_every_column_counts(change):
    record = {"id": "Q1", "name": "one", "aliases": ["x"]}
    first = KnowledgeBase.from_records([record], text_field="description")
    other = KnowledgeBase.from_records([record | change, ], text_field="auto" if "attributes" in change else "description")  # fmt: skip
    assert other.fingerprint != first.fingerprint


def test_order_and_text_field_count():
    rows = [{"id": "Q1", "name": "x", "attributes": "a", "description": "d", "source_row": 0}]
    assert KnowledgeBase.from_records(rows).fingerprint != (
        KnowledgeBase.from_records(rows, text_field="description").fingerprint
    )
    table = Dataset.from_dict({"id": ["a", "b"]})
    assert content_fingerprint(table) != content_fingerprint(table.select([1, 0]))
    # Borders between values count: ("ab", "c") is not ("a", "bc").
    assert content_fingerprint(Dataset.from_dict({"id": ["ab", "c"]})) != (
        content_fingerprint(Dataset.from_dict({"id": ["a", "bc"]}))
    )


def test_a_selection_is_hashed_as_what_it_shows():
    table = Dataset.from_dict({"id": [str(i) for i in range(2_500)]})
    assert content_fingerprint(table.select(range(10, 2_400))) == (
        content_fingerprint(Dataset.from_dict({"id": [str(i) for i in range(10, 2_400)]}))
    )
