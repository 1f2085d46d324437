"""`hf-mel init`: a complete checkpoint, and messages for calls that cannot work."""

import pytest
from transformers import AutoConfig, AutoModel

from hf_mel import Linker, make_miniature
from hf_mel.checkpoint import load_checkpoint
from hf_mel.cli.main import main
from hf_mel.hub.upload_checks import check_folder, planned_files
from tests.tiny_towers import save_clip, save_text_tower, save_vision_tower


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    """A folder with the towers `text`, `vision` and `clip`."""
    folder = tmp_path_factory.mktemp("towers")
    save_text_tower(folder / "text", "mean_tokens"), save_vision_tower(folder / "vision"), save_clip(folder / "clip")
    return folder


def refused(argv, capsys) -> str:
    assert main(["init", *map(str, argv)]) == 2
    return capsys.readouterr().err.rpartition("hf-mel init: ")[2]


def test_writes_a_checkpoint_that_links(towers, tmp_path, capsys):
    out = tmp_path / "new" / "model"
    assert main(["init", str(towers / "text"), str(towers / "vision"), "--out", str(out), "--max_length", "32"]) == 0
    shown = capsys.readouterr().out
    assert (
        "a text and a vision tower, mean pooling, 48 dimensions, names in the score, not trained" in shown
        and str(out) in shown
    )
    model, processor = load_checkpoint(str(out))
    assert model.is_untrained and model.towers_frozen and processor.max_length == 32
    kb = make_miniature(num_entities=5, num_train=5, num_validation=5, num_test=5).entities
    assert len(Linker(model, processor, kb).link("painter", "A painter was here.").candidates) == 5


def test_the_card_says_that_it_is_not_trained(towers, tmp_path):
    for name, formula in (("text", "is the cosine of their texts"), ("clip", "is 3/4 of the cosine of their texts")):
        out = tmp_path / name
        assert main(["init", str(towers / name), "--out", str(out), "--license", "mit"]) == 0
        card = (out / "README.md").read_text(encoding="utf-8")
        assert "**It is not trained.**" in card and formula in card and "license: mit" in card
        assert "Features of the names are added" in card
        assert ("Text and picture are compared as well" in card) is (name == "clip")
        assert str(tmp_path) not in card and str(towers) not in card
        check_folder(out, "model", planned_files(out, "model"))  # it can be pushed as it is
        # Trained, it is a model like any other.
        model = AutoModel.from_pretrained(out)
        model.pair_weights.weight.data.mul_(1.5)
        model.save_pretrained(out)
        assert main(["card", str(out)]) == 0
        assert "not trained" not in (out / "README.md").read_text(encoding="utf-8")


def test_options_reach_the_model(towers, tmp_path):
    words = [
        "--text_views",
        "context",
        "--no_vision",
        "--train_towers",
        "--pooling",
        "mean",
        "--name_features",
        "false",
    ]
    assert main(["init", str(towers / "clip"), "--out", str(tmp_path / "out"), *words]) == 0
    config = AutoConfig.from_pretrained(tmp_path / "out")
    assert (config.text_views, config.vision_config, config.pooling) == ("context", None, "mean")
    assert not config.freeze_text and not config.name_features


def test_a_folder_with_files_is_replaced_only_on_demand(towers, tmp_path, capsys):
    out = tmp_path / "out"
    words = [towers / "text", "--out", out]
    out.mkdir()
    assert main(["init", *map(str, words)]) == 0, "an empty folder is as good as none"
    (out / "old.txt").write_text("x")
    assert f"--out {out} is not empty: name a new folder, or add --overwrite" in refused(words, capsys)
    assert (out / "old.txt").exists()
    assert main(["init", *map(str, words), "--overwrite"]) == 0
    assert not (out / "old.txt").exists() and (out / "model.safetensors").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_overwrite_never_deletes_what_is_no_checkpoint(towers, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("x")
    assert "holds other files" in refused([towers / "text", "--out", tmp_path, "--overwrite"], capsys)
    message = refused([towers / "text", "--out", towers / "text", "--overwrite"], capsys)
    assert "is TEXT_TOWER itself" in message and (towers / "text" / "model.safetensors").exists()
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--text_views", "all"], "--text_views must be one of both, context, surface, got 'all'"),
        (["--pooling", "max"], "--pooling must be one of mean, cls, pooler, got 'max'"),
        (["--vision_revision", "v1"], "--vision_revision is for VISION_TOWER"),
    ],
)
def test_wrong_options(towers, tmp_path, capsys, words, message):
    assert message in refused([towers / "text", "--out", tmp_path / "out", *words], capsys)
    assert not (tmp_path / "out").exists()


def test_wrong_towers(towers, tmp_path, capsys):
    out = ["--out", tmp_path / "out"]
    assert "the text tower: there is no folder 'nowhere'" in refused(["nowhere", *out], capsys)
    assert "cannot be the text tower: it reads `pixel_values`" in refused([towers / "vision", *out], capsys)
    assert "cannot be the vision tower: it reads `input_ids`" in refused([towers / "text"] * 2 + out, capsys)
    assert "--no_vision" in refused([towers / "text", towers / "vision", *out, "--no_vision"], capsys)
    assert not list(tmp_path.iterdir())
