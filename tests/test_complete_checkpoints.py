"""A checkpoint that is not whole, or not of its configuration, is refused by whatever loads a model to link with."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModel, pipeline

from hf_mel import Linker, PGMELGenerator, PGMELGeneratorConfig, PGMELModel
from hf_mel.checkpoint import load_checkpoint
from tests.models.conftest import _BUILDERS
from tests.training.common import tiny_data, tiny_linker, tiny_processor


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    tiny_linker().save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "checkpoint")


def keep(folder, wanted) -> None:
    """Leave in the checkpoint the weights with these names."""
    file = folder / "model.safetensors"
    state = {name: value for name, value in load_file(file).items() if wanted(name)}
    assert state
    save_file(state, file, {"format": "pt"})


def configure(folder, **changes) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


LOADERS = {
    "load_checkpoint": lambda folder: load_checkpoint(str(folder)),
    "Linker": lambda folder: Linker.from_pretrained(folder, tiny_data().entities),
    "pipeline": lambda folder: pipeline(
        "multimodal-entity-linking", model=str(folder), index=tiny_data().entities, device="cpu"
    ),
    "AutoModel": AutoModel.from_pretrained,
    "class": PGMELModel.from_pretrained,
}


@pytest.mark.parametrize("loader", LOADERS)
def test_weights_are_missing(loader, folder):
    """As an adapter is saved: only what was trained."""
    keep(folder, lambda name: name.startswith("heads."))
    message = (
        r"checkpoint lacks \d\d weights \(text_model\.embeddings\..*, \.\.\.\) of PGMELModel, .*Save the model again"
    )
    with pytest.raises(ValueError, match=message):
        LOADERS[loader](folder)


@pytest.mark.parametrize("loader", LOADERS)
def test_the_whole_one_loads(loader, whole):
    LOADERS[loader](whole)


def test_one_weight_is_enough(folder):
    keep(folder, lambda name: name != "vision_model.post_layernorm.bias")
    with pytest.raises(ValueError, match=r"lacks 1 weight \(vision_model.post_layernorm.bias\) of PGMELModel"):
        load_checkpoint(str(folder))


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.999])
def test_the_file_was_cut_off(part, folder):
    file = folder / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match="the weights in .*checkpoint cannot be read .*the file is not whole"):
        load_checkpoint(str(folder))


@pytest.mark.parametrize("gone", ["model-00002-of-", "model.safetensors.index.json"])
def test_a_part_of_the_weights_was_not_copied(gone, folder):
    model = PGMELModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="8KB")
    next(file for file in folder.iterdir() if file.name.startswith(gone)).unlink()
    with pytest.raises(OSError, match="checkpoint"):
        load_checkpoint(str(folder))


class TestAnotherConfiguration:
    def test_weights_are_left_over(self, folder):
        configure(folder, vision_config=None)
        with pytest.raises(
            ValueError, match=r"holds \d\d weights \(heads.*\) that PGMELModel does not have: its `config"
        ):
            load_checkpoint(str(folder))

    def test_weights_have_other_sizes(self, folder):
        configure(folder, projection_size=9)
        with pytest.raises(ValueError, match=r"checkpoint holds .*: \(8,.*\), not \(9,.*other sizes in PGMELModel"):
            load_checkpoint(str(folder))


class TestWhoWantsItAllTheSame:
    def test_gets_what_is_random(self, folder):
        keep(folder, lambda name: name.startswith("heads."))
        model, info = PGMELModel.from_pretrained(folder, output_loading_info=True)
        assert {name.split(".")[0] for name in info["missing_keys"]} == {"text_model", "vision_model"}
        assert all(value.isfinite().all() for value in model.state_dict().values())

    def test_gets_other_sizes(self, folder):
        configure(folder, projection_size=9)
        with pytest.raises(ValueError, match="other sizes"):
            PGMELModel.from_pretrained(folder, output_loading_info=True)
        model = PGMELModel.from_pretrained(folder, ignore_mismatched_sizes=True)
        assert model.config.projection_size == 9


def test_a_generator_too(tmp_path):
    config = PGMELGeneratorConfig.from_model_config(tiny_linker().config, projection_size=4)
    PGMELGenerator(config).save_pretrained(tmp_path)
    keep(tmp_path, lambda name: "layer_norm" not in name)
    with pytest.raises(ValueError, match="lacks 2 weights .*layer_norm.* of PGMELGenerator"):
        PGMELGenerator.from_pretrained(tmp_path)


def test_a_tower_too(tmp_path):
    """A pooler may be missing (see `test_from_towers.py`), a layer may not."""
    _BUILDERS["bert"]().save_pretrained(tmp_path)
    keep(tmp_path, lambda name: "attention.self" not in name)
    with pytest.raises(
        ValueError, match="lacks 6 weights of BertModel, which would be random: encoder.layer.0.attention"
    ):
        PGMELModel.from_towers(tmp_path)


def test_only_the_half_that_is_wanted_has_to_be_there(tmp_path):
    _BUILDERS["clip"]().save_pretrained(tmp_path)
    keep(tmp_path, lambda name: name.startswith("text_"))
    assert PGMELModel.from_towers(tmp_path, vision=False).vision_model is None
    with pytest.raises(ValueError, match=r"lacks \d\d weights of CLIPModel, which would be random: vision"):
        PGMELModel.from_towers(tmp_path)
