"""The start where no model is named: trained once, kept, and never taken for whole when it is not."""

import pytest
import yaml

import first_start
from linking import Demo
from tests.tiny_recipe import tiny_recipe


@pytest.fixture
def recipe(tmp_path):
    content = tiny_recipe("runs/elsewhere")
    content["data"]["options"] |= {"num_validation": 60}  # enough to calibrate with
    content["training"]["num_train_epochs"] = 1
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_small_model_is_trained_once(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(first_start.trained, "__defaults__", (recipe,))
    cache = tmp_path / "cache"
    demo = Demo.open({"HF_MEL_SPACE_CACHE": str(cache)})
    said = capsys.readouterr().out
    assert "training a small one with the recipe tiny." in said and str(cache) in said and "Trained." in said
    assert "trained here" in demo.model_name and demo.linker.calibration.kind == "fitted"
    linked = demo.answer(demo.query("A painter was here.", "painter", 2, None), demo.threshold.default, 3).linked
    assert len(linked.candidates) == 3 and linked.is_nil is not None
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    assert {path.name for path in folder.iterdir()} == {"model", "index"}
    assert not list(folder.glob("model/checkpoint-*"))

    monkeypatch.setattr(first_start, "_train", lambda *args: pytest.fail("it is there"))
    again = Demo.open({"HF_MEL_SPACE_CACHE": str(cache)})
    assert "Using the small model" in capsys.readouterr().out
    assert again.linker.setup == demo.linker.setup
    recipe.write_text(recipe.read_text() + "# another\n")
    with pytest.raises(pytest.fail.Exception, match="it is there"):
        first_start.trained(cache, recipe)


def test_an_interrupted_training_leaves_nothing(recipe, tmp_path, monkeypatch):
    def broken(folder, recipe):
        (folder / "model").mkdir()
        (folder / "model" / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(first_start, "_train", broken)
    with pytest.raises(KeyboardInterrupt):
        first_start.trained(tmp_path / "cache", recipe)
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_where_it_is_kept(tmp_path):
    assert first_start.cache_folder({"HF_MEL_SPACE_CACHE": "here"}).as_posix() == "here"
    assert first_start.cache_folder({"XDG_CACHE_HOME": "/x"}).as_posix() == "/x/hf_mel/space"
    assert first_start.cache_folder({}).parts[-3:] == (".cache", "hf_mel", "space")
