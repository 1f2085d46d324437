"""The folder as it is pushed: its card, what it imports, what it needs."""

import ast
import sys
from pathlib import Path

import pytest
import yaml

import hf_mel
from hf_mel.hub.upload_checks import check_folder, planned_files
from tests.spaces.conftest import SPACE


CARD = yaml.safe_load((SPACE / "README.md").read_text(encoding="utf-8").split("---")[1])


def imported() -> dict[str, set[str]]:
    """Modules, with the names that are taken from each."""
    found: dict[str, set[str]] = {}
    for path in SPACE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                for name in node.names:
                    found.setdefault(name.name, set())
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, "app.py is no package"
                found.setdefault(node.module, set()).update(name.name for name in node.names)
    return found


def modules_of(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom)}


def test_it_can_be_pushed():
    files = planned_files(SPACE, "space")
    check_folder(SPACE, "space", files)
    names = {file.path for file in files}
    assert {"app.py", "README.md", "requirements.txt", "page.js", "style.css"} <= names
    assert not [name for name in names if name.endswith((".pyc", ".pyi"))]
    assert sum(file.size for file in files) < 200_000


def test_the_card_is_one_of_a_gradio_space():
    assert CARD["sdk"] == "gradio" and (SPACE / CARD["app_file"]).is_file() and CARD["license"] == "apache-2.0"
    assert len(CARD["short_description"]) <= 60
    constraints = (SPACE.parents[1] / "constraints.txt").read_text(encoding="utf-8")
    assert f"gradio=={CARD['sdk_version']}" in constraints.splitlines()
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {CARD["colorFrom"], CARD["colorTo"]} <= colours


def test_it_imports_public_names_of_the_package_alone():
    own = {path.stem for path in SPACE.glob("*.py")}
    needed = {line.split("[")[0] for line in (SPACE / "requirements.txt").read_text().split()}
    allowed = {"hf_mel", "gradio", "PIL"} | needed | own | set(sys.stdlib_module_names)  # Pillow comes with both
    for module, names in imported().items():
        assert module.split(".")[0] in allowed, module
        assert not any(part.startswith("_") for part in module.split(".")), module
        assert not any(name.startswith("_") and not name.startswith("__") for name in names), names
    assert imported()["hf_mel"] <= set(hf_mel.__all__)


def test_only_the_page_needs_gradio():
    """What is shown can be made and tested without it."""
    using = {path.name for path in SPACE.glob("*.py") if "gradio" in modules_of(path)}
    assert using == {"interface.py"}


@pytest.mark.parametrize("path", sorted(SPACE.glob("*.py")), ids=lambda path: path.name)
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name
