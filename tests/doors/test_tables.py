"""Tables and data sets of several mentions, at every door."""

import json

import pandas as pd
import pytest
from datasets import Dataset

from hf_mel.linking.batch import TableInput, link_file
from tests.doors.table import JSON
from tests.training.common import make_trainer, tiny_data


TWO = [
    {"mention": "Ada", "text": "Ada slept.", "start": 0},
    {"mention": "Eva", "text": "Where is Eva?", "start": None},
]
TABLES = {
    "two rows": (TWO, [0, 9]),
    "sentence instead of text": ([{("sentence" if name == "text" else name): row[name] for name in row} for row in TWO], [0, 9]),
    "NaN as start": ([TWO[0] | {"start": 0.0}, TWO[1] | {"start": float("nan")}], [0, 9]),
    "no start": ([{"mention": row["mention"], "text": row["text"]} for row in TWO], [0, 9]),
    "one bad row": ([TWO[0] | {"start": 1}, TWO[1]], "at `start` 1 stands"),
    "no text": ([{"mention": "Ada"}] * 2, "`text`.* missing|lacks the column `text`"),
    "a text is null": ([TWO[0], TWO[1] | {"text": None}], "`text` is missing or empty"),
    "no rows": ([], "is empty|holds no mention"),
    "numbers as mentions": ([row | {"mention": 5} for row in TWO], "must be text|has the type"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("make", [list, Dataset.from_list, pd.DataFrame], ids=["list", "data set", "frame"])
def test_tables_at_every_door(name, make, parts, tmp_path):
    rows, expected = TABLES[name]
    doors = {
        "linker": lambda: [each.start for each in parts["linker"].link_queries(make(rows))],
        "pipeline": lambda: piped(parts["pipe"], make(rows)),
        "files": lambda: linked_file(parts["linker"], make(rows), tmp_path),
        "trainer": lambda: trained_on(parts, make(rows), tmp_path),
    }
    for door, starts in doors.items():
        if name == "no rows" and make is list and door in ("linker", "pipeline"):
            assert starts() == []
        elif isinstance(expected, list):
            assert starts() == expected, door
        else:
            with pytest.raises(ValueError, match=expected):
                starts()


@pytest.mark.parametrize(
    ("written", "start"), [("4", 4), ("4.0", 4), ("4.00", 4), ("NaN", 0), ("", 0), ("4.5", None), ("x", None)]
)
def test_one_rule_for_numbers_in_cells_and_in_python(written, start, parts, tmp_path):
    """`4.0` is 4, and NaN is missing, in a file of cells as in Python and in a request."""
    row = {"mention": "Ada", "text": "Ada Ada"}
    value = float(written or "nan") if written != "x" else written
    (tmp_path / "in.csv").write_text(f"mention,text,start\nAda,Ada Ada,{written}\n")
    doors = {
        "files": lambda: linked_cells(parts["linker"], tmp_path),
        "linker": lambda: parts["linker"].link_queries([row | {"start": value}])[0].start,
        "pipeline": lambda: parts["pipe"](row | {"start": value})["start"],
    }
    if start != 0:  # JSON has no NaN
        doors["service"] = lambda: served(parts["service"], row | {"start": value})
    for door, ask in doors.items():
        if start is not None:
            assert ask() == start, door
            continue
        with pytest.raises(ValueError, match="`start` must be a whole number|valid integer"):
            ask()


def linked_cells(linker, folder) -> int:
    report = link_file(lambda: linker, TableInput(folder / "in.csv"), folder / "out.jsonl", overwrite=True)
    if report.rejected:
        raise ValueError("\n".join(report.reasons))
    return json.loads((folder / "out.jsonl").read_text())["start"]


def served(service, body) -> int:
    answer = service.post("/link", json=body)
    if answer.status_code != 200:
        raise ValueError(answer.text)
    return answer.json()["start"]


def piped(pipe, table) -> list:
    answers = list(pipe(table))
    if any("error" in each for each in answers):
        raise ValueError("\n".join(each["error"] for each in answers if "error" in each))
    return [each["start"] for each in answers]


def linked_file(linker, table, folder) -> list:
    """Through a Parquet file, or the table itself where it is a data set."""
    if not isinstance(table, Dataset):
        pd.DataFrame(table).to_parquet(folder / "in.parquet")
        table = folder / "in.parquet"
    report = link_file(lambda: linker, TableInput(table), folder / "out.jsonl", overwrite=True)
    if report.rejected:
        raise ValueError("\n".join(report.reasons))
    return [json.loads(line)["start"] for line in (folder / "out.jsonl").read_text().splitlines()]


def trained_on(parts, table, folder) -> list:
    gold = tiny_data().entities.ids[0]
    if isinstance(table, Dataset):
        table = table.add_column("entity_id", [gold] * len(table))
    elif isinstance(table, list):
        table = [row | {"entity_id": gold} for row in table]
    else:
        table = table.assign(entity_id=gold)
    linker = parts["linker"]
    return make_trainer(folder, linker.model, train=table, processor=linker.processor).train_mentions.dataset["start"][
        :
    ]


def test_several_mentions_of_one_request(parts):
    for name, (rows, expected) in TABLES.items():
        answer = parts["service"].post("/link", content=json.dumps({"mentions": rows}), headers=JSON)
        if isinstance(expected, list) and name != "NaN as start":  # JSON has no NaN
            assert [each["start"] for each in answer.json()] == expected
        elif name == "no rows":
            assert answer.status_code == 422 and answer.json()["problems"], answer.text
        else:
            bad = ["error" in each for each in answer.json()] if answer.status_code == 200 else [True]
            assert any(bad), answer.text
            assert not all(bad) or name not in ("one bad row", "a text is null"), answer.text
