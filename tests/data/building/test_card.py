"""The card: what `load_dataset` and the Hub read of it, and what people do."""

import json
import re

import pytest
import yaml
from datasets import (
    DatasetDict,
    Features,
    List,
    Value,
    get_dataset_config_names,
    get_dataset_split_names,
    load_dataset,
)
from huggingface_hub import DatasetCard

from hf_mel.compat.datasets import read_configs
from hf_mel.data import ENTITY_FEATURES, MENTION_FEATURES
from hf_mel.data.benchmarks import BENCHMARKS
from hf_mel.data.building import build_benchmark, build_dataset
from hf_mel.data.releases import release_of
from tests.data.building.common import small_raw
from tests.data.layouts.fixtures import write_ghmfc, write_kgmel, write_mimic, write_richpediamel


@pytest.fixture(scope="module")
def wikimel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    report = build_benchmark("wikimel", write_mimic(folder / "raw"), folder / "wikimel")
    return folder / "wikimel", report


def front_matter(folder) -> dict:
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_the_hub_reads_the_yaml(wikimel):
    folder, _ = wikimel
    data = DatasetCard.load(folder / "README.md", ignore_metadata_errors=False).data.to_dict()
    assert data == front_matter(folder)
    assert data["license"] == "other" and data["language"] == ["en"] and data["pretty_name"] == "WikiMEL"
    assert data["size_categories"] == ["n<1K"]
    assert data["task_categories"] == ["text-retrieval"] and "entity-linking" in data["tags"]


def test_configs_splits_and_features(wikimel):
    folder, report = wikimel
    configs, infos = read_configs(DatasetCard.load(folder / "README.md").data)
    assert set(configs) == set(infos) == {"mentions", "entities"}
    assert configs["mentions"]["default"] is True and "default" not in configs["entities"]
    assert infos["mentions"].features == MENTION_FEATURES and infos["entities"].features == ENTITY_FEATURES
    sizes = {name: split.num_examples for name, split in infos["mentions"].splits.items()}
    assert sizes == {split: counts["mentions"] for split, counts in report["splits"].items()}
    assert infos["mentions"].download_size + infos["entities"].download_size == sum(
        entry["bytes"] for entry in report["files"]
    )
    assert get_dataset_config_names(str(folder)) == ["entities", "mentions"]
    assert get_dataset_split_names(str(folder), "mentions") == ["train", "validation", "test"]


def test_features_with_lists_survive_the_yaml(tmp_path):
    raw = small_raw(tmp_path / "raw", entities=5, train=3)
    raw.extra_features = Features({"candidates": List(Value("string"))})
    build_dataset(raw, tmp_path / "out", name="mine")
    _, infos = read_configs(DatasetCard.load(tmp_path / "out" / "README.md").data)
    assert infos["mentions"].features == Features({**MENTION_FEATURES, "candidates": List(Value("string"))})
    assert "| `candidates` | list of string |" in (tmp_path / "out" / "README.md").read_text()


def test_tables_are_whole(wikimel):
    """Each table in one piece, with as many cells in each row."""
    text = (wikimel[0] / "README.md").read_text()
    tables = [block.splitlines() for block in text.split("\n\n") if block.lstrip().startswith("|")]
    assert len(tables) == 4
    for table in tables:
        assert re.fullmatch(r"\|(---\|)+", table[1])
        assert len({line.rstrip().count("|") for line in table}) == 1, table
    assert "\n\n\n" not in text


def test_statistics_stand_next_to_those_of_the_release(wikimel):
    text = (wikimel[0] / "README.md").read_text()
    assert "| mentions, train | 6 | 18,092 |" in text
    assert "| entities | 5 | 109,976 |" in text
    assert "| distinct sentences | 6 | 22,070 |" in text
    assert "| NIL mentions | 1 |  |" in text
    assert release_of(wikimel[1]).note in text and release_of(wikimel[1]).in_papers
    assert "| mentions, test | 1 | 0 | 1 | 0 | 0 |" in text
    assert "| entities | 3 | 1 | 1 | 0 | 0 |" in text


def test_it_says_where_it_comes_from(wikimel):
    info, text = BENCHMARKS["wikimel"], (wikimel[0] / "README.md").read_text()
    release = release_of(wikimel[1])
    for part in (info.description, release.source, info.license_text, info.citation, *info.defects, *release.defects):
        assert part in text
    assert "from files in the layout `mimic`" in text


def test_facts_are_those_of_the_release_that_was_built(tmp_path):
    rich = write_richpediamel(tmp_path / "rich")
    captions = rich / "Richpedia-MEL.json"
    captions.write_text(
        json.dumps({**json.loads((rich / "train.json").read_text()), **json.loads((rich / "test.json").read_text())})
    )
    built = [
        ("wikimel", write_ghmfc(tmp_path / "raw"), {}, "GHMFC", "| entities | 5 | 18,880 |", "2,281 captions"),
        ("richpediamel", rich, {}, "GHMFC", "| mentions, test | 1 | 3,561 |", "were replaced by the lead"),
        ("richpediamel", rich, {"captions": captions}, "GHMFC with the sentences of MELBench",
         "| distinct sentences | 21 | 17,724 |", "664 mentions"),
        ("wikidiverse", write_kgmel(tmp_path / "kgmel"), {}, "KGMEL", "| entities | 5 | 7,643 or 132,460 |", "23 captions"),
    ]  # fmt: skip
    for number, (name, raw, options, title, row, defect) in enumerate(built):
        out = tmp_path / str(number)
        release = release_of(
            build_benchmark(name, raw, out, layout="kgmel" if title == "KGMEL" else "ghmfc", options=options)
        )
        text = (out / "README.md").read_text()
        assert release.title == title and release.source in text and row in text and defect in text
        assert f"the complete release: {title}.\n" in text
        assert "109,976 |" not in text and "160,935 |" not in text and "11,351" not in text


def test_the_example_runs(wikimel, monkeypatch):
    folder, _ = wikimel
    monkeypatch.chdir(folder.parent)
    (code,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
        if "load_dataset" in block
    ]
    names = {}
    exec(code, names)
    assert isinstance(names["mentions"], DatasetDict) and len(names["entities"]) == 5


def test_own_data_gets_a_card_that_says_what_to_add(tmp_path):
    build_dataset(small_raw(tmp_path / "raw", entities=5, train=3), tmp_path / "out", name="mine")
    data, text = front_matter(tmp_path / "out"), (tmp_path / "out" / "README.md").read_text()
    assert "license" not in data and data["pretty_name"] == "mine"
    assert "# mine\n" in text and "say what it is, where it comes from, and under which terms" in text
    assert "| mentions, train | 3 |\n" in text and "published" not in text and "## Licence" not in text
    assert len(load_dataset(str(tmp_path / "out"), split="train")) == 3


def test_what_is_known_can_be_given(tmp_path):
    raw = small_raw(tmp_path / "raw", entities=5, train=3)
    build_dataset(raw, tmp_path / "out", name="mine", info=BENCHMARKS["emojimel"])
    assert front_matter(tmp_path / "out")["license"] == "cc-by-sa-4.0"
    assert "# EmojiMEL" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_cards_of_all_benchmarks(tmp_path, name):
    build_dataset(small_raw(tmp_path / "raw", entities=5, train=3), tmp_path / name, name=name)
    data = front_matter(tmp_path / name)
    assert data["license"] == BENCHMARKS[name].license
    text = (tmp_path / name / "README.md").read_text()
    text = text.replace(BENCHMARKS[name].citation, "").replace("None is known", "")
    assert "{{" not in text and "{%" not in text and "None" not in text
