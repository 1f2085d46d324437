"""Built folders are read as they are now, not as a cache remembers them."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from hf_mel.data import build_dataset, load_data
from hf_mel.data.emojimel import EMOJIMEL_PATH
from hf_mel.data.folders import read_folder
from hf_mel.data.layouts import RawBenchmark
from hf_mel.data.shards import described, file_digest


def build(out, name="Ada", **options):
    """A folder whose only difference to another one is the name of its entity; names of one length give one size."""
    mention = {"id": "m1", "mention": name, "text": f"{name} wrote.", "entity_id": "Q1"}
    raw = RawBenchmark({"train": [mention]}, lambda: iter([{"id": "Q1", "name": name}]))
    build_dataset(raw, out, name="mine", **options)
    return out


def names(folder) -> list[str]:
    """The entity and the mention, as each way of loading sees them."""
    data = load_data(folder)
    tables = [
        data.entities.dataset["name"], data.mentions["train"]["mention"],
        load_dataset(str(folder), "entities", split="train")["name"],
        load_dataset(str(folder), split="train")["mention"],
    ]  # fmt: skip
    return [value for column in tables for value in column[:]]


def test_two_folders_of_one_name(tmp_path):
    first, second = build(tmp_path / "a" / "mine", "Ada"), build(tmp_path / "b" / "mine", "Bob")
    assert names(first) == ["Ada"] * 4
    assert names(second) == ["Bob"] * 4
    assert names(first) == ["Ada"] * 4


def test_a_folder_that_is_built_again(tmp_path):
    assert names(build(tmp_path / "mine", "Ada")) == ["Ada"] * 4
    card = (tmp_path / "mine" / "README.md").read_text()
    assert names(build(tmp_path / "mine", "Bob", overwrite=True)) == ["Bob"] * 4
    build(tmp_path / "mine", "Ada", overwrite=True)
    assert (tmp_path / "mine" / "README.md").read_text() == card, "the digest is of the content"


def test_files_that_are_replaced(tmp_path):
    """With the card as it was, `load_dataset` cannot know; the package does."""
    folder = build(tmp_path / "mine", "Ada")
    assert load_data(folder).entities.names() == ["Ada"]
    shutil.copytree(build(tmp_path / "other", "Bob") / "entities", folder / "entities", dirs_exist_ok=True)
    assert load_data(folder).entities.names() == ["Bob"]


def test_rows_are_those_of_the_card(tmp_path):
    folder = build(tmp_path / "mine")
    (file,) = (folder / "mentions").glob("*.parquet")
    table = pq.read_table(file)
    pq.write_table(pa.concat_tables([table, table]), file)
    with pytest.raises(ValueError, match=r"mine: 1 problem\n  mentions, split 'train': 2 rows; the card says 1\n"):
        read_folder(folder)


def test_a_split_without_files(tmp_path):
    folder = build(tmp_path / "mine")
    shutil.rmtree(folder / "mentions")
    with pytest.raises(FileNotFoundError, match="mentions/train-"):
        load_data(folder)


def test_a_card_without_entities(tmp_path):
    folder = build(tmp_path / "mine")
    (folder / "README.md").write_text("# Mine\n")
    with pytest.raises(ValueError, match=r"README\.md names no config `entities`"):
        load_data(folder)


def test_options_reach_the_reader(tmp_path):
    read_folder(build(tmp_path / "mine"), cache_dir=str(tmp_path / "cache"))
    assert any((tmp_path / "cache").iterdir())


def test_the_card_of_emojimel_says_what_its_files_hold():
    card = (EMOJIMEL_PATH / "README.md").read_text(encoding="utf-8")
    for config in ("mentions", "entities"):
        assert described(config, map(file_digest, sorted((EMOJIMEL_PATH / config).iterdir()))) in card
