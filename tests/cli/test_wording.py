"""Messages in the words of the command line, and output into a pipe that is closed."""

import ast
import dataclasses
import importlib
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hf_mel
from hf_mel.cli import wording
from hf_mel.cli.main import BROKEN_PIPE, COMMANDS, main
from hf_mel.cli.wording import command_line_words
from tests.test_museum import MUSEUM


# ---- The translation ----


@pytest.mark.parametrize(
    ("message", "options", "expected"),
    [
        ("out is built already: pass `overwrite=True` to replace it", {"overwrite"}, "pass --overwrite to replace it"),
        ("num_workers=0: at least 1", {"num_workers"}, "--num_workers 0: at least 1"),
        ("name other columns by `columns=`. Then", {"columns"}, "by --columns. Then"),
        ("columns={'id': 'sku', 'types': None}", {"columns"}, "--columns id=sku types="),
        ("columns={'id': 'sku'}", set(), "`hf-mel index build --columns id=sku`"),
        ("missing (strict_images=False): then", {"strict"}, "missing (no --strict): then"),
        ("broken (`strict=False`): then", {"strict", "allow_missing_images"}, "broken (--allow_missing_images): then"),
        ("unless `name_features=False`", {"name_features"}, "unless --name_features false"),
        ("with encode_dtype='bfloat16', try 'float32'", {"encode_dtype"}, "--encode_dtype bfloat16, try 'float32'"),
        ("Give `pooling`: mean or cls", {"pooling"}, "Give --pooling: mean or cls"),
        ("top_k=9.", {"top_k"}, "--top_k 9."),
        # Columns, what is no option, and what the user typed stay as they are.
        ("`text` and `id` are needed", {"text", "id"}, "`text` and `id` are needed"),
        ("pass add_missing=True", {"overwrite"}, "pass add_missing=True"),
        ("--columns text=caption: no column", {"columns", "text"}, "--columns text=caption: no column"),
        ("read `some.start=5`", {"start"}, "read `some.start=5`"),
    ],
)
def test_arguments_become_options(message, options, expected):
    assert expected in command_line_words(message, options)


def options_of_commands() -> set[str]:
    """Names of the options of all commands."""
    found = set()
    for name in COMMANDS:
        module = importlib.import_module(f"hf_mel.cli.{name.replace(' ', '_')}")
        for each in vars(module).values():
            if dataclasses.is_dataclass(each) and each.__name__.endswith("Options"):
                found |= {field.name for field in dataclasses.fields(each)}
    return found


_ARGUMENT = re.compile(r"`([a-z][a-z_]*)=[^`]*`|(?<![\w`.-])([a-z][a-z_]*)=(?:True|False|None|\{|'|\0)")
_NOT_OF_COMMANDS = {
    "alpha", "benchmark", "dtype", "gold_added", "layout", "match", "nlist", "num_entities", "output_loading_info", "revision",
    "streaming", "trust_remote_code", "validation_share", "vocab_size",
}  # fmt: skip
"""Arguments that only Python has: no command lets a user give them, or comes to the message."""
_OF_RECIPES = ("training", "models", "hub", "service", "evaluation", "cli", "doctor")
"""Folders whose messages name keys of recipes, fields of configurations, or options already."""


def arguments_in_messages() -> dict[str, str]:
    """Arguments in the texts of the package, each with a place; doc texts do not count."""
    found = {}
    root = Path(hf_mel.__file__).parent
    for path in root.rglob("*.py"):
        place = path.relative_to(root)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = [node for node in ast.walk(tree) if isinstance(node, (ast.Constant, ast.JoinedStr))]
        parts = {id(part) for node in texts if isinstance(node, ast.JoinedStr) for part in node.values}
        doc = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in texts:
            if place.parts[0] in _OF_RECIPES or id(node) in parts | doc:
                continue
            values = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(str(each.value) if isinstance(each, ast.Constant) else "\0" for each in values)
            found |= {hit[1] or hit[2]: f"{place}:{node.lineno}" for hit in _ARGUMENT.finditer(text)}
    return found


def test_every_argument_in_a_message_has_its_option():
    known = options_of_commands() | _NOT_OF_COMMANDS | set(wording._OTHER_COMMANDS)
    known |= {name.split("=")[0] for name in wording._OPTIONS}
    found = arguments_in_messages()
    assert len(found) > 15 and {"overwrite", "strict_images", "fetch_urls"} <= set(found)
    assert {name: place for name, place in found.items() if name not in known} == {}


def test_options_that_are_called_otherwise_exist():
    wanted = {option.split("--")[1] for options in wording._OPTIONS.values() for option in options}
    assert wanted <= options_of_commands()


# ---- The commands ----


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("objects.csv").write_text((MUSEUM / "objects.csv").read_text(encoding="utf-8"), encoding="utf-8")
    Path("semi.csv").write_text("id;name\n1;Kettle\n", encoding="utf-8")
    Path("named.csv").write_text("label,sku\nKettle,A-1\n", encoding="utf-8")
    Path("twice.csv").write_text("Name,NAME,id\nKettle,Pot,A-1\n", encoding="utf-8")
    Path("captions.csv").write_text("mention,text\njug,A jug.\n", encoding="utf-8")
    Path("pictures.csv").write_text("id,name,image\n1,Kettle,absent.png\n", encoding="utf-8")
    Path("urls.csv").write_text("id,name,image\n1,Kettle,https://example.org/a.png\n", encoding="utf-8")
    Path("broken.png").write_bytes(b"no picture")
    return tmp_path


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("data import --entities named.csv --out a", "name other columns by --columns."),
        ("data import --entities twice.csv --out a", "say which, by --columns name=Name"),
        ("data import --entities objects.csv --test captions.csv --out a", "by --mention_columns entity_id=: every"),
        ("data import --entities objects.csv --test captions.csv --out a", "name other columns by --mention_columns."),
        ("data import --entities objects.csv --test objects.csv --out a --mention_columns mention=name text=description entity_id=id --nil 1904.12", "set --nil"),
        ("data import --entities semi.csv --out a", "is the delimiter another one? --delimiter ; says so"),
        ("data import --entities objects.csv --out a --columns text=caption", "field 'text' is one of mentions: write --mention_columns text=caption"),
        ("data import --entities objects.csv --out a --mention_columns name=title", "'name' is one of entities: write --columns name=title"),
        ("link m --index a --input c.csv --output o.csv --columns name=title", "field 'name' is one of entities: this option takes id, mention"),
        ("data import --entities pictures.csv --out a --strict", "or build with no --strict: their"),
        ("data import --entities urls.csv --out a --strict", "only fetched with --fetch_urls"),
        ("index build no_model --kb named.csv --out a", "name other columns by --columns."),
        ("link no_model --kb named.csv --text Jug. --mention jug", "by `hf-mel index build --columns`."),
        ("link no_model --index a --text Jug. --mention jug --image broken.png", "give another file, or leave --image out"),
        ("link no_model --index a --text Jug. --mention jug --image absent.png", "--image absent.png is not there"),
        ("index build no_model --kb objects.csv --out a --text_field names", "--text_field names: use"),
        ("init static-word --out a", "there is no folder 'static-word'; did you mean 'static-words'? As the name"),
        ("data wikidata objects.csv --out a --min_sitelinks -1", "--min_sitelinks -1: it must not be negative"),
    ],
)  # fmt: skip
def test_errors_name_options(argv, message, folder, capsys):
    assert main(argv.split()) == 2
    shown = capsys.readouterr().err
    assert message in shown and not _ARGUMENT.search(shown)


def test_an_import_is_not_replaced_and_a_table_is_no_data(folder, capsys):
    assert main("data import --entities objects.csv --out a".split()) == 0
    assert main("data import --entities objects.csv --out a".split()) == 2
    assert "a is built already: pass --overwrite to replace it" in capsys.readouterr().err
    assert main("init static-words --out model".split()) == 0
    shown = capsys.readouterr().err
    assert "Loading weights" not in shown and "Writing model shards" not in shown
    assert main("evaluate model --data objects.csv".split()) == 2
    assert "objects.csv is one table: `hf-mel data import` turns" in capsys.readouterr().err


def test_warnings_about_the_entities_do_not_name_the_columns_of_the_mentions(folder, capsys):
    """`link` and `calibrate` have `--columns` for the mentions: those of `--kb` are named where the index is built."""
    Path("odd.csv").write_text(
        "qid,label,aliases\nA-1,Kettle,Pot;Can\nA-2,Jug,\nA-3,Cup,\nA-4,Pan,\n", encoding="utf-8"
    )
    Path("known.csv").write_text("mention,text,sku\nKettle,A kettle.,A-1\n", encoding="utf-8")
    assert main("init static-words --out model".split()) == 0
    for command in (
        "link model --kb odd.csv --input captions.csv --output out.csv",
        "calibrate model --kb odd.csv --mentions known.csv --columns entity_id=sku",
    ):
        capsys.readouterr()
        main(command.split())
        shown = capsys.readouterr().err
        assert "name others by `hf-mel index build --columns`" in shown and "others by --columns" not in shown
        assert "if these are several, set `hf-mel index build --list_separator`" in shown


def test_folders_that_are_no_model_are_named(folder, capsys):
    tables = "--entities objects.csv --mentions captions.csv --mention_columns entity_id= --out data"
    for command in (
        f"data import {tables}",
        "init static-words --out model",
        "index build model --kb objects.csv --out index",
    ):
        assert main(command.split()) == 0
    for command, message in (
        ("link index --index model --text Jug --mention Jug", "index is an index of entities, not a model"),
        ("link objects.csv --index index --text Jug --mention Jug", "objects.csv is a file, and a model is a folder"),
        (
            "train own-data --data.path data --model.checkpoint index --output_dir a",
            "index is an index of entities, not a model",
        ),
        (
            "train own-data --data.path data --model.checkpoint data --output_dir a",
            "data is no model: there is no config.json",
        ),
        (
            "train own-data --data.path data --model.checkpoint modl --output_dir a",
            "there is no folder 'modl', and as the name",
        ),
    ):
        capsys.readouterr()
        assert main(command.split()) == 2
        assert message in capsys.readouterr().err


def test_a_tower_of_a_recipe_gets_the_hint_of_init(folder, capsys):
    assert (
        main(
            "data import --entities objects.csv --mentions captions.csv --mention_columns entity_id= --out data".split()
        )
        == 0
    )
    command = "train own-data --data.path data --model.text static-word --output_dir a"
    assert main(command.split()) == 2
    assert "the text tower: there is no folder 'static-word'; did you mean 'static-words'?" in capsys.readouterr().err


def test_warnings_name_options(folder, capsys):
    assert main("data import --entities named.csv --out a --columns id=sku".split()) == 0
    assert "named.csv: took `name` from 'label'; name others by --columns\n" in capsys.readouterr().err
    assert logging.getLogger("hf_mel").handlers == []


@pytest.mark.parametrize("argv", [["recipes"], ["recipes", "show", "emojimel"], ["--help"], ["train", "--help"]])
def test_output_that_nobody_reads(argv):
    with subprocess.Popen(
        [sys.executable, "-m", "hf_mel.cli.main", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == BROKEN_PIPE
