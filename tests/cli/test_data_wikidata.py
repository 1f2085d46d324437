"""`hf-mel data wikidata`: from a dump to a mention that is linked by a German and by an English name."""

import json
import re
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from datasets import load_dataset

from hf_mel import KnowledgeBase
from hf_mel.cli.main import main
from tests.data.wikidata.fixture import write_dump


@pytest.fixture
def dump(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    return write_dump(tmp_path / "dump.json")


def test_what_is_printed(dump, capsys):
    argv = "data wikidata dump.json --out kb --languages de,en --properties P106,P19 --types Q5 --min-sitelinks 2"
    assert main([*argv.split(), "--num_workers", "2"]) == 0
    *lines, files, report = capsys.readouterr().out.splitlines()
    assert lines == [
        "read      202 entities in 206 lines",
        # Of 120 persons with at least 2 sitelinks (of 6 in a row: 2, 3, 4, 5) 60 are German, 30 described; and Leonardo.
        "kept      121   names: 61 de, 60 en   with 61 aliases, 121 attributes, 31 description, 31 picture, 121 types",
        "left out  81   1 language, 1 lexeme, 1 malformed, 1 missing, 1 no_label, 1 not_an_entity, 1 other_kind, "
        "4 property, 1 redirect, 61 sitelinks, 8 type",
        "bad lines 2   first: line 102: is not JSON: Expecting ':' delimiter (character 42)",
    ]
    assert files == "kb: 2 Parquet files, 0.0 MB" and report.startswith("kb/wikidata_report.json: all counts")
    assert main(argv.split()) == 2 and "--overwrite" in capsys.readouterr().err
    assert main([*argv.split(), "--overwrite"]) == 0


def test_the_example_of_the_documentation(dump, capsys):
    root = Path(__file__).parents[2]
    page = (root / "docs" / "data.md").read_text(encoding="utf-8")
    section = page.partition("## A knowledge base from Wikidata")[2]
    command = re.search(r"^hf-mel (data wikidata examples/.*)$", section, re.MULTILINE)[1]
    printed = re.search(r"printed by the command above -->\n```\n(.*?)```", section, re.DOTALL)[1]
    assert main(command.replace("examples/", f"{root}/examples/").split()) == 0
    assert capsys.readouterr().out == printed
    kb = KnowledgeBase.load("wikidata")
    for call, value in (("names()", kb.names()), ("aliases()", kb.aliases()), ("texts([2])", kb.texts([2]))):
        assert f"kb.{call}  # {value}\n" in section
    fetching = re.search(r"```py\n(entities = load_dataset.*?)```", section, re.DOTALL)[1]
    names = {"KnowledgeBase": KnowledgeBase, "load_dataset": load_dataset}
    exec(fetching.replace("fetch_urls=True", "fetch_urls=False"), names)
    assert KnowledgeBase.load("wikidata-with-pictures").dataset["image_status"][1] == "missing_file"
    assert names["entities"]["image"][1].endswith("/Leonardo_self.jpg?width=384")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--languages EN", "--languages EN is not of the form"),
        ("--types human", "--types human is not of the form Q5"),
        ("--properties ,", None),
        ("--min_sitelinks -1", "--min_sitelinks -1: it must not be negative"),
        ("--endpoint wikidata", "--endpoint 'wikidata' is no URL"),
    ],
)
def test_options_are_checked_before_anything_is_imported(dump, argv, message):
    code = (
        "import sys; from hf_mel.cli.main import main; code = main(sys.argv[1:]);"
        "print(code, 'datasets' in sys.modules, 'pyarrow' in sys.modules)"
    )
    words = ["data", "wikidata", "dump.json", "--out", "kb", *argv.split()]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)
    if message is None:
        assert done.stdout.splitlines()[-1] == "0 True True"
    else:
        assert done.stdout == "2 False False\n" and message in done.stderr


def test_links_by_a_german_and_by_an_english_name(dump, capsys):
    """With the text tower of the package, which needs no download."""
    for argv in (
        "data wikidata dump.json --out kb --languages de,en --properties P106,P19",
        "init static-words --out model",
        "index build model --kb kb --out index",
    ):
        assert main(argv.split()) == 0
    capsys.readouterr()
    found = {}
    for mention, text in (("Wien", "Er wurde in Wien geboren."), ("Vienna", "She was born in Vienna.")):
        argv = ["link", "model", "--index", "index", "--text", text, "--mention", mention, "--json"]
        assert main(argv) == 0
        found[mention] = json.loads(capsys.readouterr().out)
    assert {name: answer["candidates"][0]["entity_id"] for name, answer in found.items()} == {
        "Wien": "Q1741",
        "Vienna": "Q1741",
    }
    assert Path("kb/README.md").is_file()
