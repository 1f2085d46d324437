"""The folders of `dataset_scripts`: builds are thin, cards are what a script writes."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard

from hf_mel.compat.datasets import read_configs
from hf_mel.data import BENCHMARKS
from hf_mel.data.releases import counts_of, release_of
from tests.data.layouts.fixtures import write_mimic


SCRIPTS = Path(__file__).parents[1] / "dataset_scripts"
NAMES = ("wikimel", "richpediamel", "wikidiverse", "merlin", "melart")


@pytest.fixture(scope="module")
def card_script():
    spec = importlib.util.spec_from_file_location("dataset_card_script", SCRIPTS / "card.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def card(name: str) -> str:
    return (SCRIPTS / name / "README.md").read_text(encoding="utf-8")


def test_every_benchmark_has_a_folder():
    others = {"__pycache__", "static_words"}  # the second holds the script of a tower
    assert {path.name for path in SCRIPTS.iterdir() if path.is_dir()} - others == set(BENCHMARKS)
    for name in BENCHMARKS:
        assert (SCRIPTS / name / "build.py").is_file() and (SCRIPTS / name / "README.md").is_file()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_cards_name_configs_licence_and_citation(name):
    text = card(name)
    data = DatasetCard(text).data
    configs, infos = read_configs(data)
    assert set(configs) == {"mentions", "entities"} and configs["mentions"]["default"] is True
    splits = ["train"] if name == "merlin" else ["train", "validation", "test"]
    assert [part["split"] for part in configs["mentions"]["data_files"]] == splits
    assert data.license == BENCHMARKS[name].license and data.pretty_name == BENCHMARKS[name].title
    assert yaml.safe_load(text.split("---\n")[1])["size_categories"]
    assert f"# {BENCHMARKS[name].title}\n" in text and "## Statistics" in text and "## Licence" in text
    assert "\n\n\n" not in text
    assert not re.search(r"/tmp|/home|\{\{|\{%", text.replace(BENCHMARKS[name].citation, ""))


@pytest.mark.parametrize("name", NAMES)
def test_a_card_without_a_build(name, card_script):
    text = card_script.card_of(name, None, "2031-02-03")
    assert "when this card was written (2031-02-03)" in text
    release = BENCHMARKS[name].in_papers
    for value in release.statistics.values():
        assert f"| {' or '.join(f'{number:,}' for number in counts_of(value))} |" in text
    assert release.source in text and "Counted while" not in text and "state of their picture" not in text


# Layout, mentions, those with a picture, mentions by split, entities.
BUILDS = {
    "wikimel": ("ghmfc", 25_846, 69, (18_088, 2_627, 5_131), 18_880),
    "richpediamel": ("ghmfc", 17_804, 0, (12_815, 1_428, 3_561), 17_805),
    "wikidiverse": ("kgmel", 14_911, 0, (11_204, 1_663, 2_044), 7_643),
}


@pytest.mark.parametrize("name", BUILDS)
def test_the_cards_are_those_of_builds(name):
    text, (layout, mentions, pictured, by_split, entities) = card(name), BUILDS[name]
    assert re.search(rf"counted by a build of \d{{4}}-\d\d-\d\d from files in the layout `{layout}`", text)
    assert f"Of its {mentions:,} mentions {pictured} have a picture" in text
    _, infos = read_configs(DatasetCard(text).data)
    sizes = {split: info.num_examples for split, info in infos["mentions"].splits.items()}
    assert sizes == dict(zip(("train", "validation", "test"), by_split, strict=True))
    assert infos["entities"].splits["train"].num_examples == entities
    read = {"benchmark": name, "layout": layout} | ({"captions_file": ""} if name == "richpediamel" else {})
    release = release_of(read)
    for part in (*release.defects, release.source, release.note):
        assert part in text


def test_a_build_and_its_card(tmp_path, card_script):
    raw, out = write_mimic(tmp_path / "raw"), tmp_path / "wikimel"
    command = [sys.executable, SCRIPTS / "wikimel" / "build.py", "--raw", raw, "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    text = card_script.card_of("wikimel", out, "2031-02-03")
    note = re.search(r"^# WikiMEL\n\n> (.*)\n\n", text, re.MULTILINE)[1]
    assert note == (
        "The numbers below were counted by a build of 2031-02-03 from files in the layout `mimic`. Of its 9 mentions 7 have "
        "a picture, of its 5 entities 3; 2 rows name a picture that was not at hand."
    )
    assert text.replace(f"> {note}\n\n", "") == (out / "README.md").read_text(encoding="utf-8")
