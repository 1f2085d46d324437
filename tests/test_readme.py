"""What the README promises: its examples run, and its links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hf_mel import PGMELConfig, PGMELModel, PGMELProcessor, make_miniature_tokenizer
from tests.processes import run_python


ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_examples_run(tmp_path, monkeypatch, capsys):
    """In one namespace, in a folder of its own, after what `make demo` leaves (here a model that has learnt nothing)."""
    monkeypatch.chdir(tmp_path)
    tower = {"model_type": "bert", "vocab_size": 1000, "hidden_size": 16, "num_hidden_layers": 1}
    tower |= {"num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 64}
    PGMELModel(PGMELConfig(text_config=tower, pooling="mean", projection_size=8)).save_pretrained("runs/emojimel")
    PGMELProcessor(tokenizer=make_miniature_tokenizer(), max_length=32).save_pretrained("runs/emojimel")
    threads, namespace = torch.get_num_threads(), {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"README.md, block {number + 1}", "exec"), namespace)
    assert torch.get_num_threads() == threads
    assert capsys.readouterr().out.strip()


def test_extending_from_outside(tmp_path):
    """The page about extensions, as one script in an empty folder; then its checkpoint where nothing is registered."""
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    script = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
    (tmp_path / "mine.py").write_text(script, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "mine.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("average\n"), done.stderr[-3000:]
    code = "from hf_mel import PGMELModel; PGMELModel.from_pretrained('average-model')"
    done = run_python(code, env=environment, cwd=tmp_path)
    assert done.returncode != 0
    assert "got 'average'" in done.stderr and "import the module that registers it" in done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_links_lead_somewhere(document):
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    if document.name == "README.md":
        assert links
    relative = [link.split("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    missing = [link for link in relative if not (document.parent / link).exists()]
    assert not missing


def test_python_that_is_not_run_is_python():
    for block in re.findall(
        r"^```py\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        compile(block, "README.md", "exec")


def test_commands_of_the_readme_exist():
    """`hf-mel ...` with options that are known, `make ...` with targets that are there."""
    from hf_mel.cli.main import COMMANDS, GROUPS

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text += "".join(
        (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("data.md", "linking.md", "service.md")
    )
    found = re.findall(r"^hf-mel (\w+) ?(\w*)", text, re.MULTILINE)
    assert {f"{first} {second}" if first in GROUPS else first for first, second in found} == set(COMMANDS)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
