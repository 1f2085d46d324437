"""States of tokens and patches, as the models that read them get them from their towers, and as they are stored."""

import pytest
import torch
from transformers import AutoModel

from hf_mel import M3ELModel, MIMICConfig, MIMICModel, PGMELConfig, PGMELModel
from tests.conftest import TINY_TEXT
from tests.models.units_common import TINY, longer, side, tiny_units


BAG = {"model_type": "bag_of_tokens", "vocab_size": 99, "hidden_size": 16}
RESNET = {
    "model_type": "resnet",
    "embedding_size": 4,
    "hidden_sizes": [8, 16],
    "depths": [1, 1],
    "layer_type": "basic",
}


class TestTokens:
    @torch.no_grad()
    def test_are_those_of_the_tower_and_zero_on_padding(self):
        model, inputs = tiny_units(MIMICModel), side(4, 1)
        found = model.extract(**inputs)
        mask = inputs["attention_mask"].bool()
        hidden = model.text_model(inputs["input_ids"], inputs["attention_mask"]).last_hidden_state
        assert found.token_features.shape == (4, 12, 16) and found.token_mask.shape == (4, 12)
        assert torch.equal(found.token_mask[:, :9], mask) and not found.token_mask[:, 9:].any()
        torch.testing.assert_close(found.token_features[found.token_mask], hidden[mask])
        assert (found.token_features[~found.token_mask] == 0).all()

    @torch.no_grad()
    def test_under_legacy_masking_those_of_padding_are_kept(self):
        model, inputs = tiny_units(MIMICModel, legacy_masking=True), side(4, 1)
        found = model.extract(**inputs)
        hidden = model.text_model(inputs["input_ids"], inputs["attention_mask"]).last_hidden_state
        torch.testing.assert_close(found.token_features[:, :9], hidden)
        assert (found.token_features[:, 9:] == 0).all()

    def test_without_a_mask_all_are_tokens(self):
        found = tiny_units(MIMICModel).extract(torch.tensor([[5, 6, 7]]))
        assert found.token_mask.sum() == 3

    def test_a_text_that_is_too_long(self):
        inputs = longer(side(2, 1), 4)
        with pytest.raises(ValueError, match="has 13 tokens, but `config.max_text_tokens` is 12.*`max_length=12`"):
            tiny_units(MIMICModel).extract(**inputs)
        tiny_units(MIMICModel, max_text_tokens=13).extract(**inputs)

    @torch.no_grad()
    def test_of_a_bag_of_tokens(self):
        model, inputs = tiny_units(MIMICModel, text_config=BAG), side(4, 1)
        tower = model.text_model
        tower.token_weights.copy_(torch.linspace(0.1, 2.0, 99))
        found = model.extract(**inputs)
        for row, ids, mask in zip(found.token_features, inputs["input_ids"], inputs["attention_mask"], strict=True):
            for place, (token, counts) in enumerate(zip(ids.tolist(), mask.tolist(), strict=True)):
                vector = tower.vectors.weight[token]
                expected = tower.token_weights[token] * 4 * vector / vector.norm()  # 4: the root of the size
                torch.testing.assert_close(row[place], expected * (counts and token >= tower.config.num_special))
        alone = tower(inputs["input_ids"], inputs["attention_mask"])
        assert alone.last_hidden_state.shape == (4, 1, 16), "states are made only if they are asked for"
        torch.testing.assert_close(found.text_features[:, 0], alone.pooler_output)


class TestPatches:
    @torch.no_grad()
    def test_are_those_of_the_tower_with_the_class_token(self):
        model, inputs = tiny_units(MIMICModel), side(4, 1)
        found = model.extract(**inputs)
        outputs = model.vision_model(inputs["pixel_values"][[0, 2]])
        assert found.patch_features.shape == (4, 5, 16)
        torch.testing.assert_close(found.patch_features[[0, 2]], outputs.last_hidden_state)
        torch.testing.assert_close(found.image_features[[0, 2]], outputs.pooler_output)
        assert (found.patch_features[[1, 3]] == 0).all()

    @torch.no_grad()
    def test_of_a_convolutional_tower_are_its_places(self):
        model, inputs = tiny_units(MIMICModel, vision_config=RESNET, num_patches=4), side(4, 1)
        inputs["pixel_values"] = torch.randn(4, 3, 16, 16, dtype=torch.float64)
        hidden = model.vision_model(inputs["pixel_values"][[0, 2]]).last_hidden_state
        assert hidden.shape == (2, 16, 2, 2)
        found = model.extract(**inputs)
        for place in range(4):
            torch.testing.assert_close(
                found.patch_features[[0, 2], place], hidden[:, :, place // 2, place % 2], msg=str(place)
            )
        assert model.match(model.encode("mention", found), model.encode("entity", found)).isfinite().all()

    @pytest.mark.parametrize("model_class", [MIMICModel, M3ELModel])
    def test_another_number_than_the_configuration_says(self, model_class):
        model = tiny_units(model_class, num_patches=4)
        with pytest.raises(ValueError, match="gives 5 states.*`config.num_patches` is 4: set `num_patches=5`"):
            model.extract(**side(2, 1))

    def test_a_batch_without_pictures_has_the_same_shapes(self):
        model, inputs = tiny_units(MIMICModel), side(4, 1)
        some = model.extract(**inputs)
        none = model.extract(inputs["input_ids"], inputs["attention_mask"])
        assert some.keys() == none.keys() and not none.has_image.any()
        for name, value in some.items():
            assert none[name].shape == value.shape and none[name].dtype == value.dtype, name

    @torch.no_grad()
    def test_pictures_alone(self):
        model, inputs = tiny_units(MIMICModel), side(4, 1)
        found, whole = model.extract_images(inputs["pixel_values"][[0, 2]]), model.extract(**inputs)
        assert found.keys() == {"image_features", "patch_features"}
        assert all(torch.equal(value, whole[name][[0, 2]]) for name, value in found.items())


class TestStored:
    def test_select_detach_and_cast(self):
        whole = tiny_units(MIMICModel).extract(**side(4, 1))
        some = whole.select(torch.tensor([2, 1])).to(torch.bfloat16)
        assert some.keys() == whole.keys() and len(some) == 6
        for name, value in some.items():
            expected = whole[name][[2, 1]]
            assert value.dtype is (torch.bool if expected.dtype is torch.bool else torch.bfloat16), name
            assert torch.equal(value, expected.to(value.dtype))
        assert whole.token_features.requires_grad and whole.patch_features.requires_grad
        assert not any(value.requires_grad for value in whole.detach().values())

    def test_a_model_without_units_has_none(self):
        fields = {name: TINY[name] for name in ("text_config", "vision_config")}
        model = PGMELModel(PGMELConfig(**{k: dict(v) for k, v in fields.items()}, text_views="context")).double()
        assert model.extract(**side(2, 1)).keys() == {"text_features", "image_features", "has_image"}


@pytest.mark.parametrize(
    ("kinds", "fields", "patches"),
    [
        (("clip",), {}, 5),
        (("siglip",), {}, 4),
        (("siglip2",), {}, 4),
        (("bert", "vit"), {}, 5),
        (("bert", "dinov2"), {"pooling": "mean"}, 5),
        (("bert",), {}, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("model_class", [MIMICModel, M3ELModel])
def test_on_pretrained_towers(checkpoint, tmp_path, model_class, kinds, fields, patches):
    folders = [checkpoint(kind)[0] for kind in kinds]
    model = model_class.from_towers(*folders, matching_size=6, max_text_tokens=12, **fields)
    assert model.config.num_patches == patches
    found = model.extract(**side(4, 1, torch.float32))
    if patches:
        assert found.patch_features.shape == (4, patches, 16)
    scores = model.match(model.encode("mention", found), model.encode("entity", found))
    assert scores.shape == (4, 4) and scores.isfinite().all()
    model.save_pretrained(tmp_path / "saved")
    reloaded = AutoModel.from_pretrained(tmp_path / "saved")
    assert type(reloaded) is model_class and reloaded.config.num_patches == patches
    again = reloaded.extract(**side(4, 1, torch.float32))
    torch.testing.assert_close(
        reloaded.match(reloaded.encode("mention", again), reloaded.encode("entity", again)), scores
    )


def test_frozen_towers_have_no_gradient_and_the_heads_have():
    model = (
        MIMICModel(
            MIMICConfig(
                text_config=dict(TINY_TEXT),
                vision_config=dict(TINY["vision_config"]),
                matching_size=6,
                max_text_tokens=12,
                freeze_text=True,
                freeze_vision=True,
            )
        )
        .double()
        .train()
    )
    found = model.extract(**side(4, 1))
    assert not any(value.requires_grad for value in found.values())
    assert {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad} == {"reader", "units"}
