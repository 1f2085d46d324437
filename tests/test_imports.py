"""What `import hf_mel` does and does not do, and the rules of the rooms."""

import ast
import importlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModel, AutoProcessor

import hf_mel


PACKAGE = Path(hf_mel.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# Rooms may import those further up, never those further down. `evaluation.models` is the part that needs models and data.
ROOMS = [
    *(
        "version",
        "lazy",
        "compat",
        "models",
        "names",
        "checkpoint",
        "zero_shot",
        "data",
        "evaluation",
        "losses",
        "policy",
        "negatives",
        "encoding",
    ),
    *(
        "doctor",
        "linking",
        "evaluation.models",
        "mteb",
        "hub",
        "training",
        "service",
        "recipe_files",
        "recipes",
        "runs",
    ),
    *("reporting", "cli"),
]


def room_of(path: Path) -> str:
    first, *rest = path.relative_to(PACKAGE).with_suffix("").parts
    return f"{first}.{rest[0]}" if rest and f"{first}.{rest[0]}" in ROOMS else first


def imports(path: Path) -> list[tuple[int, str, list[str]]]:
    """Level (0: absolute), module and names of every import, also of those within functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or "", [name.name for name in node.names]))
        elif isinstance(node, ast.Import):
            found += [(0, name.name, []) for name in node.names]
    return found


def files_imported(path: Path) -> set[Path]:
    """
    Files of the package that a file imports, also within functions and for type checkers. A package is its `__init__.py`;
    the module that a name is taken from counts, not the packages around it.
    """
    found = set()
    for level, module, names in imports(path):
        parts = module.split(".") if module else []
        if level == 0 and parts[0] != PACKAGE.name:
            continue
        folder = path.parents[level - 1] if level else PACKAGE.parent
        assert folder.is_relative_to(PACKAGE.parent if level == 0 else PACKAGE), (
            f"{path}: an import leaves the package"
        )
        place = folder.joinpath(*parts)
        if place.with_suffix(".py").is_file():
            found.add(place.with_suffix(".py"))
            continue
        for name in names or [""]:
            files = [(place / name).with_suffix(".py"), place / name / "__init__.py"] if name else []
            found.add(next((file for file in files if file.is_file()), place / "__init__.py"))
    return found - {path}


def rooms_imported(path: Path) -> set[str]:
    """Rooms of the package which a file imports."""
    return {room_of(file) for file in files_imported(path)} - {"__init__"}


def circles(graph: dict[Path, set[Path]]) -> list[set[Path]]:
    """Groups of more than one file that import each other, directly or through others."""

    def reached_from(start: Path) -> set[Path]:
        seen, waiting = set(), [start]
        while waiting:
            new = graph.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        return seen

    reached = {path: reached_from(path) for path in graph}
    groups = {frozenset(other for other in reached[path] if path in reached[other]) for path in graph}
    return [set(group) for group in groups if len(group) > 1]


# ---- Names ----


@pytest.mark.parametrize("name", hf_mel.__all__)
def test_public_names_resolve(name):
    value = getattr(hf_mel, name)
    assert value is getattr(hf_mel, name)
    assert name in dir(hf_mel)
    if getattr(value, "__module__", "").startswith("hf_mel"):
        assert value.__name__ == name
        assert pickle.loads(pickle.dumps(value)) is value


LAZY = [path for path in FILES if path.name == "__init__.py" and "lazy_exports" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", LAZY, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_lazy_names_are_those_for_type_checkers(path):
    package = importlib.import_module(".".join(path.parent.relative_to(PACKAGE.parent).parts))
    (block,) = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.If)]
    names = [(node.module, name) for node in block.body for name in node.names]
    assert all(name.asname == name.name for _, name in names), "a typed package exports `x as x`"
    assert {(module, name.name) for module, name in names} == {
        (module, name) for module, exported in package._EXPORTS.items() for name in exported
    }
    files = {found.stem for found in path.parent.iterdir()}
    assert not files & {name.name for _, name in names}, "a submodule would take the place of the name"
    for name in package.__all__:
        assert name in dir(package) and getattr(package, name) is vars(package)[name]
    for module in package._EXPORTS:
        if "." not in module:
            assert package.__getattr__(module) is sys.modules[f"{package.__name__}.{module}"]


def test_all_names_are_exported():
    names = {}
    exec("from hf_mel import *", names)
    assert set(hf_mel.__all__) <= set(names) and "__version__" in hf_mel.__all__
    assert len(set(hf_mel.__all__)) == len(hf_mel.__all__)


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="module 'hf_mel' has no attribute 'PGMEL'"):
        hf_mel.PGMEL  # noqa: B018
    with pytest.raises(ImportError):
        from hf_mel import PGMEL  # noqa: F401


def test_auto_classes_know_the_models(tmp_path):
    for config in (hf_mel.PGMELConfig(), hf_mel.PGMELGeneratorConfig()):
        assert type(AutoConfig.for_model(config.model_type)) is type(config)
    assert AutoModel._model_mapping[hf_mel.PGMELConfig] is hf_mel.PGMELModel
    assert AutoModel._model_mapping[hf_mel.PGMELGeneratorConfig] is hf_mel.PGMELGenerator
    hf_mel.PGMELProcessor(tokenizer=hf_mel.make_miniature_tokenizer(), max_length=32).save_pretrained(tmp_path)
    hf_mel.PGMELConfig().save_pretrained(tmp_path)
    assert type(AutoProcessor.from_pretrained(tmp_path)) is hf_mel.PGMELProcessor


# ---- What an import changes ----

PROBE = """
import json, logging, os, socket, sys, warnings
import numpy, torch, transformers
from transformers import AutoModel, Pipeline, PreTrainedModel, ProcessorMixin  # what these change is theirs

opened = []
real = socket.socket.__init__
def watched(self, *args, **kwargs):
    opened.append(1)
    real(self, *args, **kwargs)
socket.socket.__init__ = watched

def state():
    loggers = {name: (logging.getLogger(name).level, len(logging.getLogger(name).handlers), logging.getLogger(name).propagate)
               for name in ("", "transformers", "datasets", "huggingface_hub", "torch", "accelerate")}
    return [loggers, dict(os.environ), [str(entry) for entry in warnings.filters], torch.get_num_threads(),
            torch.get_default_dtype(), torch.initial_seed(), torch.is_grad_enabled(), sys.excepthook, os.getcwd(),
            hash(torch.get_rng_state().numpy().tobytes()), hash(str(numpy.random.get_state()))]

before = state()
import hf_mel
after = state()
changed = [position for position, (left, right) in enumerate(zip(before, after)) if left != right]
print(json.dumps({"changed": changed, "opened": len(opened)}))
"""


def in_a_process(code: str):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def test_import_changes_nothing():
    done = in_a_process(PROBE)
    assert json.loads(done.stdout) == {"changed": [], "opened": 0}
    assert done.stderr == ""


def test_import_is_light():
    code = (
        "import json, sys; before = set(sys.modules); import hf_mel; light = sorted(set(sys.modules) - before);"
        "import hf_mel.evaluation, hf_mel.losses; print(json.dumps([light, sorted(sys.modules)]))"
    )
    modules, with_numbers = json.loads(in_a_process(code).stdout)
    foreign = {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert foreign == {"hf_mel"}, "neither torch nor transformers"
    own = {"hf_mel", "hf_mel.version", "hf_mel.lazy", "hf_mel.compat", "hf_mel.compat.registration"}
    assert {name for name in modules if name.startswith("hf_mel")} == own, "the rest loads on first use"
    # sklearn, pandas and pyarrow are not named: some versions of transformers import them by themselves.
    assert not {"evaluate", "datasets"} & {name.split(".")[0] for name in with_numbers}


# ---- Rooms ----


def test_every_room_is_in_the_order():
    assert {room_of(path) for path in FILES} - {"__init__"} == set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_only_rooms_before_them(path):
    """So there is no circle, and nothing imports `cli`."""
    room = room_of(path)
    if room == "__init__":
        assert "cli" not in rooms_imported(path)
        return
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    assert rooms_imported(path) <= allowed, f"{room} imports {rooms_imported(path) - allowed}"


def test_models_can_travel_with_a_checkpoint():
    """Only torch, transformers and what these need, and `from .file import name`: else the code cannot be copied."""
    allowed = {"peft", "torch", "transformers", "huggingface_hub", "safetensors", "PIL", "regex"} | set(
        sys.stdlib_module_names
    )
    folder = PACKAGE / "models"
    files = {path.stem for path in folder.glob("*.py")}
    assert not [path for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"], "the room is flat"
    for path in folder.glob("*.py"):
        for level, module, _ in imports(path):
            if level == 0:
                assert module.split(".")[0] in allowed, f"{path.name} imports {module}"
            else:
                assert level == 1 and module in files - {"__init__"}, f"{path.name}: from {'.' * level}{module}"


def test_nothing_is_stored_by_pickle():
    """A file that somebody changed must not be able to run code."""
    modules = {(path.name, module) for path in FILES for _, module, _ in imports(path)}
    assert not {each for each in modules if each[1].split(".")[0] in ("pickle", "marshal", "shelve", "dill", "joblib")}


def test_no_circle_of_files():
    """Imports for type checkers and within functions included."""
    found = circles({path: files_imported(path) for path in FILES})
    assert not found, [sorted(str(path.relative_to(PACKAGE)) for path in circle) for circle in found]


def test_circles_are_found(tmp_path):
    first, second, third, fourth = (tmp_path / name for name in "abcd")
    graph = {first: {second}, second: {third, fourth}, third: {first}, fourth: set()}
    assert circles(graph) == [{first, second, third}]
    assert circles(graph | {third: {fourth}}) == []


def test_imports_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path / "hf_mel")
    files = {
        "hf_mel/__init__.py": "",
        "hf_mel/data.py": "",
        "hf_mel/room/__init__.py": "from .one import f",
        "hf_mel/room/one.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .two import C",
        "hf_mel/room/two.py": "def f():\n    from . import one, Name\n    from ..data import g",
        "hf_mel/room/three.py": "import torch\nimport hf_mel.room.one\nfrom hf_mel import data\nfrom .. import room",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    expected = {"__init__": ["one"], "one": ["two"], "two": ["__init__", "data", "one"]}
    expected["three"] = ["__init__", "data", "one"]
    for name, imported in expected.items():
        assert sorted(path.stem for path in files_imported(tmp_path / f"hf_mel/room/{name}.py")) == imported, name


def test_rooms_of_numbers_do_not_import_datasets():
    """Nor encodings of data: `evaluation/models/` does. Losses score with a model."""
    paths = [*(PACKAGE / "evaluation").glob("*.py"), PACKAGE / "losses.py", PACKAGE / "policy.py"]
    assert len(paths) > 5
    for path in paths:
        absolute = {module.split(".")[0] for level, module, _ in imports(path) if level == 0}
        if path.name == "mel_ranking.py":  # the script of an `evaluate.Metric`, whose features are those of datasets
            assert absolute == {"evaluate", "datasets", "numpy", "hf_mel"}
        else:
            assert not absolute & {"datasets", "evaluate", "hf_mel"}, path
        losses = path.stem in ("losses", "policy")
        assert rooms_imported(path) <= ({"losses", "models"} if losses else {"evaluation", "version"}), path


# ---- Sizes ----


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 400
    long = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node):
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1
            if lines >= 60:
                long[node.name] = lines
    assert not long


def test_files_outside_the_package_are_short():
    root = PACKAGE.parents[1]
    folders = ("benchmarks", "dataset_scripts", "spaces", "tests")
    files = [path for folder in folders for path in (root / folder).rglob("*.py") if "fixtures/v" not in str(path)]
    assert len(files) > 200
    lines = {str(path.relative_to(root)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert not {name: number for name, number in lines.items() if number > 400}


def test_long_classes_have_headings():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                docstring = node.body[0] if ast.get_docstring(node) else None
                lines = (
                    node.end_lineno
                    - node.lineno
                    + 1
                    - (docstring.end_lineno - docstring.lineno + 1 if docstring else 0)
                )
                part = "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno])
                assert lines <= 150 or "    # ---- " in part, f"{path}: {node.name} has {lines} lines and no heading"


def test_no_stub_and_no_print():
    for path in FILES:
        names = {
            node.id for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Name)
        }
        assert "NotImplementedError" not in names, path
        assert "print" not in names or room_of(path) == "cli", path
