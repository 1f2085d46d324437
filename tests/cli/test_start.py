"""The command line answers without importing what takes seconds, as long as it only reads options."""

import dataclasses
import importlib
import json
import subprocess
import sys

import pytest

from hf_mel.cli.main import COMMANDS
from hf_mel.cli.options import OptionParser


PROBE = """
import contextlib, io, json, sys
before = set(sys.modules)
from hf_mel.cli.main import COMMANDS, main

def shown(*argv):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            code = main(list(argv))
        except SystemExit as done:
            code = done.code
    foreign = {name.split(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names) - {"hf_mel"}
    return code, text.getvalue(), sorted(foreign)

answers = {"--help": shown("--help"), "--version": shown("--version"), "nothing": shown(), "trian": shown("trian")}
answers |= {"index bild": shown("index", "bild"), "index": shown("index"), "--hlep": shown("--hlep")}
for command in COMMANDS:
    answers[f"{command} --help"] = shown(*command.split(), "--help")
    answers[f"{command} --no_such_flag"] = shown(*command.split(), "a", "b", "c", "--no_such_flag=1")
answers["link --top_k=many"] = shown("link", "model", "--top_k=many")
answers["link"] = shown("link", "model", "--text", "a", "--mention", "a")
answers["explain"] = shown("explain", "model", "--text", "a", "--mention", "a")
answers["index remove"] = shown("index", "remove", "folder")
answers["data import"] = shown(
    "data", "import", "--entities", "e.csv", "--mentions", "m.csv", "--out", "o", "--split", "0.9/0.2/0"
)
answers["link columns"] = shown("link", "m", "--index", "i", "--input", "a", "--output", "b", "--columns", "txt=a")
answers["index build"] = shown("index", "build", "m", "--kb", "a", "--out", "b", "--columns", "id")
answers["serve"] = shown("serve", "model", "--index", "i", "--timeout", "-1")
answers["data build"] = shown("data", "build", "wikimel", "--raw", "a", "--out", "b", "--max_shard_size", "big")
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_heavy_is_imported(answers):
    assert len(answers) > 2 * len(COMMANDS)
    light = {"yaml", "_yaml", "cython_runtime"}  # of recipes; the version of Cython is in the name of another one
    heavy = {
        argv: {name for name in foreign if not name.startswith("_cython_")}
        for argv, (_, _, foreign) in answers.items()
    }
    assert {argv: names for argv, names in heavy.items() if names - light} == {}


def test_exit_status(answers):
    right = {argv for argv, (code, _, _) in answers.items() if code == 0}
    assert right == {"--help", "--version", "nothing", "index", *(f"{command} --help" for command in COMMANDS)}
    assert {code for argv, (code, _, _) in answers.items() if argv not in right} == {2}


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ("trian", "unknown command 'trian'; did you mean 'train'?"),
        ("index bild", "unknown command 'index bild'; did you mean 'index build'?"),
        ("--hlep", "unknown command '--hlep'; did you mean '--help'?"),
        ("--version", "hf-mel 0."),
        ("link --top_k=many", "argument --top_k/--top-k: invalid int value: 'many'"),
        ("link", "either by --index or by --kb"),
        ("explain", "--index"),
        ("index remove", "--ids"),
        ("serve", "timeout: -1.0 must be more than 0"),
        ("data build", "--max_shard_size 'big'"),
        *((f"{command} --no_such_flag", "") for command in COMMANDS),
    ],
)
def test_messages(argv, text, answers):
    shown = answers[argv][1]
    assert text in shown and "Traceback" not in shown
    if argv.endswith("no_such_flag"):
        assert f"hf-mel {argv.removesuffix(' --no_such_flag')}: error: " in shown


# ---- Options ----


def options_of(command: str) -> list[type]:
    """The dataclass of a command's options, if it has one."""
    module = importlib.import_module(f"hf_mel.cli.{command.replace(' ', '_')}")
    return [
        each
        for each in vars(module).values()
        if dataclasses.is_dataclass(each) and each.__module__ == module.__name__ and each.__name__.endswith("Options")
    ]


OPTIONS = [options for command in COMMANDS for options in options_of(command)]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options.__name__)
def test_defaults_are_those_of_the_dataclass(options):
    assert len(OPTIONS) > 10
    required = {field.name for field in dataclasses.fields(options) if field.default is field.default_factory}
    argv = [word for name in sorted(required) for word in (f"--{name}", "x")]
    values = vars(OptionParser(options).parse_args(argv))
    assert options(**values) == options(**dict.fromkeys(required, "x"))


@dataclasses.dataclass
class Every:
    """One option of each type."""

    text: str
    number: int = 3
    share: float | None = None
    words: list[str] = dataclasses.field(default_factory=list, metadata={"help": "Several."})
    sizes: list[int] = dataclasses.field(default_factory=lambda: [1])
    a_switch: bool = dataclasses.field(default=False, metadata={"help": "On."})
    not_off: bool = True


def test_options_of_each_type(capsys):
    parser = OptionParser(Every, prog="p")
    assert Every(**vars(parser.parse_args(["--text", "a"]))) == Every("a")
    argv = "--text a --number 4 --share 0.5 --words b c --sizes 2 3 --a-switch --not_off false".split()
    assert Every(**vars(parser.parse_args(argv))) == Every("a", 4, 0.5, ["b", "c"], [2, 3], True, False)
    for wrong, message in (
        (["--text", "a", "--number", "x"], "invalid int value: 'x'"),
        (["--text", "a", "--not_off", "no"], "--not_off/--not-off: must be true or false, got 'no'"),
        ([], "required: --text"),
        (["--text", "a", "--numbr", "4"], "did you mean --number?"),
        (["--text", "a", "--numb", "4"], "did you mean --number?"),  # no abbreviation is taken for an option
    ):
        with pytest.raises(SystemExit):
            parser.parse_args(wrong)
        assert message in capsys.readouterr().err


def test_choices_in_help_texts_are_those_of_the_library():
    from hf_mel.data import SPLITS
    from hf_mel.evaluation import CRITERIA
    from hf_mel.hub.cards import LICENSE
    from hf_mel.hub.upload_checks import KINDS
    from hf_mel.linking.index.backends import BACKENDS

    def help_of(module: str, options: str, name: str) -> str:
        (field,) = [
            field
            for field in dataclasses.fields(getattr(importlib.import_module(f"hf_mel.cli.{module}"), options))
            if field.name == name
        ]
        return field.metadata["help"]

    def in_words(names, joined: str) -> str:
        *first, last = names
        return f"{', '.join(first)} {joined} {last}"

    assert in_words(CRITERIA, "or") in help_of("calibrate", "CalibrateOptions", "criterion")
    for module, options in (("linkers", "LinkerOptions"), ("index_search", "SearchOptions")):
        assert in_words(BACKENDS, "or") in help_of(module, options, "backend")
    card = importlib.import_module("hf_mel.cli.card").CardOptions()
    assert card.license == LICENSE
    fields = [field.name for field in dataclasses.fields(options_of("data import")[0])]
    assert [name for name in fields if name in SPLITS] == list(SPLITS)
    with pytest.raises(SystemExit):
        importlib.import_module("hf_mel.cli.push").run(["--help"])
    assert list(KINDS) == ["model", "dataset", "index", "space"]
