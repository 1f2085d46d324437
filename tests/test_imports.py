"""What `import hf_mel` does and does not do, and the rules of the rooms."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModel, AutoProcessor

import hf_mel


PACKAGE = Path(hf_mel.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# Rooms may import those further up, never those further down.
ROOMS = [
    *("version", "compat", "models", "checkpoint", "data", "evaluation", "losses", "negatives", "encoding"),
    *(
        "doctor",
        "linking",
        "hub",
        "training",
        "service",
        "measure",
        "recipe_files",
        "recipes",
        "runs",
        "reporting",
        "cli",
    ),
]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[int, str, list[str]]]:
    """Level (0: absolute), module and names of every import, also of those within functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or "", [name.name for name in node.names]))
        elif isinstance(node, ast.Import):
            found += [(0, name.name, []) for name in node.names]
    return found


def rooms_imported(path: Path) -> set[str]:
    """Rooms of the package which a file imports."""
    found = set()
    depth = len(path.relative_to(PACKAGE).parts)  # 1: beside the package's `__init__.py`
    for level, module, names in imports(path):
        if level == 0 and module.split(".")[0] == "hf_mel":
            found |= {module.split(".")[1]} if "." in module else set(names)
        elif level == depth:  # up to the package itself
            found |= {module.split(".")[0]} if module else set(names)
        assert level <= depth, f"{path}: an import leaves the package"
    return found


# ---- Names ----


@pytest.mark.parametrize("name", hf_mel.__all__)
def test_public_names_resolve(name):
    value = getattr(hf_mel, name)
    assert value is getattr(hf_mel, name)
    assert name in dir(hf_mel)
    if getattr(value, "__module__", "").startswith("hf_mel"):
        assert value.__name__ == name


def test_lazy_names_are_those_for_type_checkers():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    checked = {name.name: node.module for node in block.body for name in node.names}
    assert checked == hf_mel._ROOM_OF


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
        "import json, sys, hf_mel; first = sorted(sys.modules); import hf_mel.evaluation, hf_mel.losses;"
        "print(json.dumps([first, sorted(sys.modules)]))"
    )
    modules, with_numbers = json.loads(in_a_process(code).stdout)
    loaded = {name.split(".")[0] for name in modules}
    # sklearn, pandas and pyarrow are not named: some versions of transformers import them by themselves.
    assert not loaded & {"evaluate", "datasets", "faiss", "gradio", "matplotlib"}
    loaded = {name for name in modules if name.startswith("hf_mel.") and not name.startswith("hf_mel.models.")}
    own = {"hf_mel.models", "hf_mel.version", "hf_mel.linking", "hf_mel.linking.pipeline"}
    assert loaded == own, "the rest loads on first use"
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
    allowed = {"torch", "transformers", "huggingface_hub", "safetensors", "PIL"} | set(sys.stdlib_module_names)
    folder = PACKAGE / "models"
    files = {path.stem for path in folder.glob("*.py")}
    assert not [path for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"], "the room is flat"
    for path in folder.glob("*.py"):
        for level, module, _ in imports(path):
            if level == 0:
                assert module.split(".")[0] in allowed, f"{path.name} imports {module}"
            else:
                assert level == 1 and module in files - {"__init__"}, f"{path.name}: from {'.' * level}{module}"


def test_rooms_of_numbers_do_not_import_datasets():
    paths = [*(PACKAGE / "evaluation").glob("*.py"), PACKAGE / "losses.py"]
    assert len(paths) > 5
    for path in paths:
        absolute = {module.split(".")[0] for level, module, _ in imports(path) if level == 0}
        if path.name == "mel_ranking.py":  # the script of an `evaluate.Metric`, whose features are those of datasets
            assert absolute == {"evaluate", "datasets", "numpy", "hf_mel"}
        else:
            assert not absolute & {"datasets", "evaluate", "hf_mel"}, path


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
