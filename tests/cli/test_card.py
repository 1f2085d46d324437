"""`hf-mel card`, and the card that `hf-mel train` leaves."""

import shutil

import pytest
import yaml
from huggingface_hub import ModelCard

from hf_mel.cli.main import main
from hf_mel.evaluation import load_results
from tests.tiny_recipe import tiny_recipe


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The recipe's file, and the folder of its finished run."""
    folder = tmp_path_factory.mktemp("carded")
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(tiny_recipe(folder / "out")), encoding="utf-8")
    assert main(["train", str(recipe)]) == 0
    return recipe, folder / "out"


def test_train_leaves_a_card_which_the_command_renders_again(trained, capsys):
    folder = trained[1]
    left = (folder / "README.md").read_bytes()
    result = load_results(folder)["test"]
    values = {each.metric_type: each.metric_value for each in ModelCard.load(folder / "README.md").data.eval_results}
    assert values["mrr"] == result.metrics["mrr"]
    (folder / "README.md").unlink()
    assert main(["card", str(folder)]) == 0
    assert capsys.readouterr().out.endswith(f"written to {folder / 'README.md'}\n")
    assert (folder / "README.md").read_bytes() == left
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    given = yaml.safe_load(trained[0].read_text(encoding="utf-8"))
    assert recipe == given | {"training": given["training"] | {"output_dir": "PATH"}}


def test_options(trained, tmp_path):
    folder, out = trained[1], tmp_path / "cards" / "tiny.md"
    left = (folder / "README.md").read_bytes()
    assert main(["card", str(folder), "--repo_id", "org/tiny", "--license", "mit", "--out", str(out)]) == 0
    card = ModelCard.load(out)
    assert card.data.license == "mit" and card.data.model_name == "tiny" and '"org/tiny"' in card.text
    assert (folder / "README.md").read_bytes() == left


def test_other_runs_beside_it(trained, tmp_path, capsys):
    folder, other = (shutil.copytree(trained[1], tmp_path / name) for name in ("run", "other"))
    assert main(["card", str(folder), "--beside", str(other), str(other / "eval_results.json")]) == 0
    text = (folder / "README.md").read_text(encoding="utf-8")
    table = text.split("### Beside other runs")[1]
    assert table.count("| +0.0 [+0.0, +0.0] | +0.0 [+0.0, +0.0] |") == 2
    assert main(["card", str(folder)]) == 0 and (folder / "README.md").read_text(encoding="utf-8") == text
    capsys.readouterr()
    assert main(["card", str(folder), "--beside", str(tmp_path)]) == 2
    assert "has no results: name a run's folder, or its eval_results.json" in capsys.readouterr().err
    assert (folder / "README.md").read_text(encoding="utf-8") == text


def test_what_is_wrong_is_told_in_a_line(trained, tmp_path, capsys):
    folder = str(trained[1])
    for argv, message in (
        ([str(tmp_path)], "no config.json"),
        ([folder, "--repo_id", "no id"], "no id"),
    ):
        assert main(["card", *argv]) == 2
        error = capsys.readouterr().err
        assert "hf-mel card: " in error and message in error and "Traceback" not in error
