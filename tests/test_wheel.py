"""The wheel: recipes and the table of their keys are in it, and work where nothing of the repository is."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hf_mel.recipe_files import find_recipe, recipe_names


ROOT = Path(__file__).parents[1]
build = pytest.importorskip("hatchling.build", reason="hatchling is not installed: pip install hatchling")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what the wheel holds."""
    folder = tmp_path_factory.mktemp("wheel")
    before = Path.cwd()
    try:
        os.chdir(ROOT)  # where the hooks of a build look for the project
        wheel = build.build_wheel(str(folder))
    finally:
        os.chdir(before)
    with zipfile.ZipFile(folder / wheel) as opened:
        opened.extractall(folder / "site")
    return folder / "site"


def hf_mel(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name != "WIKIDIVERSE"}
    environment |= {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "hf_mel.cli.main", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_every_recipe_and_part_is_in_the_wheel(installed):
    source = find_recipe("emojimel").parent
    names = {path.relative_to(source) for path in source.rglob("*.yaml")}
    shipped = installed / "hf_mel" / "recipe_files" / "shipped"
    assert {path.relative_to(shipped) for path in shipped.rglob("*.yaml")} == names
    assert (shipped.parent / "keys.json").is_file()


def test_recipes_work_outside_the_repository(installed, tmp_path):
    listed = hf_mel(installed, tmp_path, "recipes")
    assert listed.returncode == 0 and all(f"\n{name} " in listed.stdout for name in recipe_names())
    shown = hf_mel(installed, tmp_path, "train", "pgmel-text-wikidiverse", "--help")
    assert shown.returncode == 0 and "--model.config.fusion" in shown.stdout
    missing = hf_mel(installed, tmp_path, "train", "pgmel-text-wikidiverse")
    assert missing.returncode == 2 and "set the environment variable WIKIDIVERSE" in missing.stderr
    assert not list(tmp_path.iterdir())


def test_a_table_is_linked_without_download(installed, tmp_path):
    (tmp_path / "objects.csv").write_text(
        "id,name,description\n1,puzzle jug,Spouts and holes\n2,lantern clock,Brass\n"
    )
    (tmp_path / "captions.csv").write_text("id,text,mention\na,It strikes the hours.,clock\n")
    commands = (
        ["init", "static-words", "--out", "model"],
        ["index", "build", "model", "--kb", "objects.csv", "--out", "index"],
        ["link", "model", "--index", "index", "--input", "captions.csv", "--output", "links.jsonl"],
    )
    for command in commands:
        done = hf_mel(installed, tmp_path, *command)
        assert done.returncode == 0, done.stderr
    (link,) = (tmp_path / "links.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(link)["entity_id"] == "2"


def test_first_example_of_the_readme(installed, tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)[1]
    shown = re.search(r"^```text\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)[1]
    environment = os.environ | {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout == shown, done.stderr
