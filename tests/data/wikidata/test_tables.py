"""Row groups of the Parquet files, and the table of labels."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Features, Value

from hf_mel.data.wikidata import tables
from hf_mel.data.wikidata.labels import LabelTable, read_labels
from hf_mel.data.wikidata.values import year


@pytest.mark.parametrize("piece", [1, 7, 20, 25])
def test_row_groups_do_not_depend_on_the_pieces(piece, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROW_GROUP", 10)
    rows = pa.table({"n": list(range(25))})
    files = []
    for name, size in (("whole", 25), ("pieces", piece)):
        writer = tables.TableWriter(Features({"n": Value("int64")}), tmp_path / name, 10**9)
        for start in range(0, 25, size):
            writer.write(rows.slice(start, size))
        assert writer.rows == 25
        files += writer.finish()
    whole, pieces = files
    monkeypatch.undo()
    assert [pq.read_metadata(pieces).row_group(group).num_rows for group in range(3)] == [10, 10, 5]
    assert pieces.read_bytes() == whole.read_bytes() and pieces.name == "train-00000-of-00001.parquet"


def test_the_first_label_stays(tmp_path):
    table = LabelTable(tmp_path / "labels")
    assert table.add([(84, 0, "Douglas"), (63, 1, "instance of")], offset=10) == set()
    assert table.add([(86, 0, "x"), (84, 1, "another"), (86, 2, "y"), (90, 3, "z")], offset=20) == {1, 2}
    assert table.missing([84, 88, 90]) == {88}
    table.close()
    assert read_labels(tmp_path / "labels", [*range(2_000)]) == {63: "instance of", 84: "Douglas", 86: "x", 90: "z"}


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        ("+1952-03-11T00:00:00Z", "1952"),
        ("+00000001994-01-01T00:00:00Z", "1994"),
        ("-0044-03-15T00:00:00Z", "44 BC"),
        ("+1952", "1952"),
        ("-13798000000-00-00T00:00:00Z", "13798000000 BC"),
        ("unknown", None),
    ],
)
def test_years(time, shown):
    assert year(time) == shown
