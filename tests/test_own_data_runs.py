"""Training on data of one's own: the recipe `own-data`, with and without validation and test split."""

import logging

import pytest
from datasets import DatasetDict

from hf_mel import load_data, make_miniature
from hf_mel.cli.main import main
from hf_mel.data import MELData
from hf_mel.recipes import load_recipe
from hf_mel.runs import run_recipe
from hf_mel.zero_shot import load_towers
from tests.test_museum import MUSEUM
from tests.tiny_recipe import DATA_OPTIONS, tiny_recipe


@pytest.fixture
def with_splits(monkeypatch):
    """Makes every recipe load the miniature with these splits alone."""

    def only(*splits: str) -> None:
        data = make_miniature(**DATA_OPTIONS)
        part = MELData(DatasetDict({split: data.mentions[split] for split in splits}), data.entities)
        monkeypatch.setattr("hf_mel.recipes.sections.load_benchmark", lambda *_, **__: part)

    return only


def recipe(folder, **changes):
    from hf_mel.recipes import recipe_from_dict

    content = tiny_recipe(folder)
    content["training"] |= {"num_train_epochs": 1, "load_best_model_at_end": True, "negatives": "in_batch"} | changes
    return recipe_from_dict(content)


@pytest.mark.parametrize("splits", [("train",), ("train", "test"), ("train", "validation", "test")])
def test_any_splits_will_do(splits, with_splits, tmp_path, caplog):
    with_splits(*splits)
    with caplog.at_level(logging.WARNING, logger="hf_mel.runs"):
        run = run_recipe(recipe(tmp_path), "test")
    assert len(run.results) == ("test" in splits)
    chosen = "validation" in splits
    assert bool(run.summary) is chosen and run.trainer.args.load_best_model_at_end is chosen
    assert ("no validation split" in caplog.text) is not chosen
    assert ("no split 'test'" in caplog.text) is ("test" not in splits)
    if not chosen:
        assert "(`eval_strategy` and `load_best_model_at_end` of the recipe do not apply)" in caplog.text
        assert run.trainer.args.eval_strategy == "no"
    # The recipe stays as it was given: on data with all splits it means what it says.
    assert load_recipe(tmp_path / "recipe.yaml").training["load_best_model_at_end"] is True


def test_what_cannot_do_without(with_splits, tmp_path):
    with_splits("train")
    with pytest.raises(ValueError, match="`save_strategy: best` needs a validation split"):
        run_recipe(recipe(tmp_path, save_strategy="best"), "test")
    named = recipe(tmp_path)
    named.given["evaluation"] = {"splits": ["test"]}
    with pytest.raises(ValueError, match="`evaluation.splits` names 'test', but there is only train"):
        run_recipe(named, "test")
    with_splits("test")
    with pytest.raises(ValueError, match="no split 'train' to train on, only test"):
        run_recipe(recipe(tmp_path), "test")


def test_own_data_from_tables_to_a_checkpoint(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tables = ["--entities", str(MUSEUM / "objects.csv"), "--mentions", str(MUSEUM / "captions.csv")]
    assert main(["data", "import", *tables, "--split", "0.6/0.2/0.2", "--out", "museum"]) == 0
    assert main(["train", "own-data"]) == 2 and "`data.path` is missing" in capsys.readouterr().err
    run = ["train", "own-data", "--data.path", "museum", "--num_train_epochs", "1", "--use_cpu", "--disable_tqdm"]
    assert main(run) == 0
    assert "museum, test   hits@1" in capsys.readouterr().out
    assert len(load_data("museum").mentions["validation"]) > 0
    # It begins with the scores of `hf-mel init static-words`.
    begun, _ = load_towers("static-words")
    trained = load_recipe("own-data").model.load(load_data("museum"))[0]
    weights = dict(begun.named_parameters())
    assert all((weights[name] == value).all() for name, value in trained.named_parameters())
    fields = begun.config.to_dict(), trained.config.to_dict()
    assert {name for name in fields[0] if fields[0][name] != fields[1][name]} == {"freeze_vision"}
