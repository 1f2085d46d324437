"""`hf-mel data build`, `check` and `import` as commands of two words."""

import json

import datasets
import pytest

from hf_mel.cli.main import main


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Own tables in the working directory; one of two mentions has an entity that is known."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "entities.csv").write_text("id,name\nA-1,Kettle\nA-2,Lamp\n")
    (tmp_path / "mentions.csv").write_text("mention,sentence,entity_id\nKettle,A Kettle.,A-1\nLamp,A Lamp.,\n")
    return tmp_path


IMPORT = "data import --entities entities.csv --mentions mentions.csv --out own".split()


@pytest.mark.parametrize("argv", [["data"], ["data", "--help"], ["data", "-h"]])
def test_all_are_listed(argv, capsys):
    assert main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("usage: hf-mel data COMMAND")
    assert [line.split()[:2] for line in lines[2:]] == [
        ["data", name] for name in ("build", "check", "import", "wikidata")
    ]
    assert all(len(line.split()) > 5 for line in lines[2:])


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["data", "chek", "x"], "data check"),
        (["data", "built"], "data build"),
        (["daat"], "data"),
        (["check"], "data check"),
    ],
)
def test_an_unknown_one_names_the_nearest(argv, hint, capsys):
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert f"; did you mean {hint!r}?" in error and "data import" in error


def test_import_then_check(tables, capsys):
    assert main(IMPORT) == 0
    assert "own: 2 Parquet files" in capsys.readouterr().out
    assert main(["data", "check", "own"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("own: 1 kind of warning") and "[entities_without_text]" in shown


def test_the_exit_status_of_check_is_passed_on(tables, capsys):
    assert main(IMPORT) == 0
    (shard,) = (tables / "own" / "mentions").glob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:100])
    assert main(["data", "check", "own", "--json", "found.json"]) == 1
    assert json.loads((tables / "found.json").read_text())["verdict"]["error"] == 1


@pytest.mark.parametrize(
    "command", ["build wikimel --raw absent --out x", "check absent", "import --entities absent.csv --out x"]
)
def test_bad_input_is_one_line(command, tables, capsys):
    assert main(["data", *command.split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"hf-mel data {command.split()[0]}: ") and "absent" in error and "Traceback" not in error
