"""`hf-mel data import`: options, what is printed, what is refused."""

import datasets
import pytest
from datasets import load_dataset
from PIL import Image

from hf_mel import KnowledgeBase, load_data
from hf_mel.cli.data_import import run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    picture = Image.new("RGB", (5, 3), "red")
    picture.putpixel((0, 0), (0, 0, 255))
    (tmp_path / "pictures").mkdir()
    picture.save("pictures/kettle.png")
    (tmp_path / "entities.csv").write_text(
        "sku;label;aliases;image\nA-1;Kettle;pot/boiler;kettle.png\nA-2;Lamp;;absent.png\n"
    )
    (tmp_path / "train.csv").write_text("mention;sentence;sku\nkettle;The kettle is hot.;A-1\ncup;A cup.;-\n")
    (tmp_path / "test.jsonl").write_text('{"mention": "lamp", "text": "A lamp.", "sku": "A-2"}\n')
    return tmp_path


ARGUMENTS = (
    "--entities entities.csv --train train.csv --test test.jsonl --columns id=sku name=label "
    "--mention_columns entity_id=sku --delimiter ; --list_separator / --images pictures --nil - nil"
).split()


def test_from_tables_to_load_dataset(folder, capsys):
    run([*ARGUMENTS, "--out", "kitchen", "--num_proc", "2"])
    printed = capsys.readouterr().out.splitlines()
    assert [line.split() for line in printed[:3]] == [
        "train 2 mentions 1 NIL pictures: 2 none".split(),
        "test 1 mention 0 NIL pictures: 1 none".split(),
        "entities 2 pictures: 1 missing_file, 1 ok".split(),
    ]
    assert printed[3].startswith("kitchen: 3 Parquet files, ")
    assert printed[4:] == ["kitchen/build_report.json: all counts, and the one broken picture"]
    mentions = load_dataset("kitchen", "mentions")
    assert mentions["train"]["entity_id"][:] == ["A-1", None]
    assert mentions["test"]["text"][:] == ["A lamp."]
    assert load_dataset("kitchen", "entities", split="train")[0]["image"].size == (5, 3)
    kb = KnowledgeBase.load("kitchen")
    assert kb.ids == ["A-1", "A-2"] and kb.aliases([0]) == [["pot", "boiler"]]
    card = (folder / "kitchen" / "README.md").read_text()
    assert "`entities=entities.csv`" in card and str(folder) not in card
    assert str(folder) not in (folder / "kitchen" / "build_report.json").read_text()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        run([*ARGUMENTS, "--out", "kitchen"])
    run([*ARGUMENTS, "--out", "kitchen", "--overwrite", "--name", "Kitchen"])
    assert "# Kitchen" in (folder / "kitchen" / "README.md").read_text()


def test_mentions_without_splits_become_train(folder):
    (folder / "e.csv").write_text("id,name\nA-1,Kettle\n")
    (folder / "m.csv").write_text("mention,sentence\nkettle,A kettle.\n")
    run("--entities e.csv --mentions m.csv --out o --mention_columns entity_id=".split())
    assert load_dataset("o", "mentions")["train"]["entity_id"][:] == [None]


def test_one_table_is_divided(folder, capsys):
    (folder / "e.csv").write_text("id,name\nA-1,Kettle\n")
    lines = [f"m{number},kettle,Kettle {number}.,A-1" for number in range(10)]
    for name, rows in (("m.csv", lines), ("turned.csv", lines[::-1])):
        (folder / name).write_text("\n".join(["id,mention,text,entity_id", *rows]))
    arguments = "--entities e.csv --split 0.7/0.1/0.2 --seed 3".split()
    run([*arguments, "--mentions", "m.csv", "--out", "straight"])
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[:3]] == [
        ["train", "7"],
        ["validation", "1"],
        ["test", "2"],
    ]
    run([*arguments, "--mentions", "turned.csv", "--out", "turned"])
    first, second = (
        {split: set(rows["id"][:]) for split, rows in load_data(name).mentions.items()}
        for name in ("straight", "turned")
    )
    assert first == second
    card = (folder / "straight" / "README.md").read_text()
    assert "Splits: 0.7/0.1/0.2 of the captions, by a hash of their texts. Seed: 3." in card


def test_tables_with_different_delimiters(folder):
    (folder / "m.csv").write_text("mention,text,sku\nkettle,A kettle.,A-1\n")
    words = "--entities entities.csv --columns id=sku name=label --delimiter ; --mentions m.csv --mention_columns entity_id=sku"
    with pytest.raises(ValueError, match="is the delimiter another one"):
        run([*words.split(), "--out", "kitchen"])
    run([*words.split(), "--out", "kitchen", "--mention_delimiter", ","])
    assert load_data("kitchen").mentions["train"]["entity_id"][:] == ["A-1"]


def test_strict(folder):
    with pytest.raises(ValueError, match=r"entities\.csv: 1 problem\n  column 'price': is not used"):
        text = (folder / "entities.csv").read_text().replace("\n", ";9\n").replace("image;9", "image;price")
        (folder / "entities.csv").write_text(text)
        run([*ARGUMENTS, "--out", "kitchen", "--strict"])
    text = text.replace(";9\n", "\n").replace(";price", "")
    (folder / "entities.csv").write_text(text)
    with pytest.raises(FileNotFoundError, match=r"record 'A-2': .*absent\.png is not there"):
        run([*ARGUMENTS, "--out", "kitchen", "--strict"])
    assert not (folder / "kitchen").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mentions", "train.csv"], "--mentions has no splits, --train is one"),
        (["--columns", "id"], "--columns id: write field=column"),
        (["--columns", "id=sku", "id=label"], "--columns: `id` stands twice"),
        (["--columns", "id=sku", "nam=label"], "--columns nam=label: field 'nam' is unknown; did you mean 'name'?"),
        (["--entities", "absent.csv"], "no entities at absent.csv"),
        (["--split", "0.8/0.2/0"], "--split divides the table of --mentions, which is missing"),
        (["--mentions", "train.csv", "--seed", "1"], "--mentions has no splits"),
        (["--seed", "1"], "--seed is the seed of --split, which is missing"),
        (["--delimiter", ";;"], "--delimiter ';;': give one character"),
        (["--list_separator", ""], "--list_separator is empty"),
        (["--images", "absent"], "--images absent: there is no such folder"),
        (["--mention_columns", "entity_id=sk"], "column 'sk': \\(for `entity_id`\\) is not there; did you mean 'sku'"),
    ],
)
def test_what_is_refused(folder, arguments, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run([*ARGUMENTS, "--out", "kitchen", *arguments])
    assert not (folder / "kitchen").exists()


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("0.8/0.2", "--split 0.8/0.2: write three shares"),
        ("0.8/0.1/x", "--split 0.8/0.1/x: the share of test is 'x', which is not a number"),
        ("80/10/10", "--split 80/10/10: the share of train is 80"),
        ("0.8/0.1/0.2", "--split 0.8/0.1/0.2: the shares add up to 1.1, not to 1"),
        ("0.8/nan/0.2", "the share of validation is nan"),
    ],
)
def test_shares_that_are_refused(folder, split, message):
    with pytest.raises(ValueError, match=message):
        run(["--entities", "entities.csv", "--mentions", "train.csv", "--out", "kitchen", "--split", split])


def test_the_knowledge_base_alone(folder, capsys):
    run("--entities entities.csv --out kitchen --columns id=sku name=label --delimiter ;".split())
    assert capsys.readouterr().out.split()[:5] == ["entities", "2", "pictures:", "2", "missing_file"]
    assert KnowledgeBase.load("kitchen").ids == ["A-1", "A-2"]
    assert load_dataset("./kitchen", split="train")["name"][:] == ["Kettle", "Lamp"]


def test_help(capsys):
    with pytest.raises(SystemExit) as done:
        run(["--help"])
    assert done.value.code == 0
    shown = capsys.readouterr().out
    assert "hf-mel data import" in shown and "--mention_columns" in shown and "--fetch_urls" in shown
