"""What is stored of measurements holds no folder of the machine it was measured on."""

import re
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
STORED = [*sorted((ROOT / "docs" / "results").glob("*.json")), *sorted((ROOT / "model_cards").glob("*.md"))]
OF_A_MACHINE = re.compile(r"""(?:^|[\s"'=(])(/(?:home|root|tmp|work|mnt|Users)/[^\s"']*)""", re.MULTILINE)


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name)
def test_no_folder_of_a_machine(path):
    assert not OF_A_MACHINE.findall(path.read_text(encoding="utf-8"))


def test_such_a_folder_would_be_found():
    assert OF_A_MACHINE.findall('"command": "hf-mel train x --data.raw_dir=/home/me/data"') == ["/home/me/data"]
