"""Patches that are scaled and shifted by their text."""

import pytest
import torch

from hf_mel import M3ELModel, MELOVModel, MIMICModel
from hf_mel.models.encodings import select_rows

from . import plain
from .units_common import encodings, features, side, tiny_units, unit_scores


MODELS = (MIMICModel, M3ELModel, MELOVModel)
SMALL = {MELOVModel: {"latent_size": 4, "bank_size": 4}}


def transformed(model, rows: list[plain.Row]) -> list[plain.Row]:
    """By loops: every number of every patch."""
    network = model.reader.patch_transform
    for row in rows:
        scale, shift = plain.linear(network.scale, row.text), plain.linear(network.shift, row.text)
        if row.patches is not None:
            row.patches = [
                torch.stack([patch[i] * (1 + scale[i]) + shift[i] for i in range(len(patch))]) for patch in row.patches
            ]
    return rows


@torch.no_grad()
def test_by_loops():
    model = tiny_units(MIMICModel, text_conditioned_patches=True)
    found = unit_scores(model)
    mentions, entities = (transformed(model, plain.read(model, given)) for given in features(model))
    for name, score in (("vision", plain.vision_score), ("cross", plain.cross_score)):
        expected = [[score(model.units[name], mention, entity) for entity in entities] for mention in mentions]
        torch.testing.assert_close(found[name], torch.tensor(expected).double(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("model_class", MODELS)
@torch.no_grad()
def test_at_the_beginning_it_changes_nothing_and_then_pictures_alone(model_class):
    fields = SMALL.get(model_class, {})
    without = tiny_units(model_class, **fields)
    fresh = model_class(model_class.config_class(**without.config.to_dict() | {"text_conditioned_patches": True}))
    model = fresh.double().eval()
    transform = model.reader.patch_transform
    assert not any(parameter.any() for parameter in transform.parameters())
    missing = model.load_state_dict(without.state_dict(), strict=False).missing_keys
    assert {name.rsplit(".", 1)[0] for name in missing} == {f"reader.patch_transform.{n}" for n in ("scale", "shift")}
    before, after = unit_scores(without), unit_scores(model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    for parameter in transform.parameters():
        parameter.normal_(std=0.5)
    for name, scores in unit_scores(model).items():
        assert torch.equal(scores, before[name]) is (name == "text"), name


def test_save_load_and_gradients(tmp_path):
    model = tiny_units(MIMICModel, text_conditioned_patches=True).float()
    model.save_pretrained(tmp_path)
    loaded = MIMICModel.from_pretrained(tmp_path)
    for name, value in model.reader.patch_transform.state_dict().items():
        assert value.any() and torch.equal(value, loaded.reader.patch_transform.state_dict()[name])
    inputs = {f"{kind}_{name}": v for kind in ("mention", "entity") for name, v in side(3, 1, torch.float32).items()}
    loaded.train()(**inputs, labels=torch.arange(3)).loss.backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in loaded.reader.patch_transform.parameters())


@torch.no_grad()
def test_a_row_does_not_see_the_text_of_another():
    model = tiny_units(MIMICModel, text_conditioned_patches=True)
    (mentions, _), (whole, _) = features(model), encodings(model)
    found = model.encode("mention", mentions.select(slice(1, 2)))
    torch.testing.assert_close(found, select_rows(whole, slice(1, 2)))


def test_without_pictures_there_is_none():
    model = tiny_units(MIMICModel, vision_config=None, text_conditioned_patches=True)
    assert model.reader.patch_transform is None
