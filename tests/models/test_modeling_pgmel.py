import copy
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import AutoModel, BertConfig, BertModel

from hf_mel import MatchingModel, PGMELConfig, PGMELModel, TowerFeatures, VectorOutput
from hf_mel.models.fusion import FUSIONS
from tests.common import ModelTesterMixin
from tests.conftest import TINY_TEXT, TINY_VISION
from tests.models.conftest import side_inputs


def tiny(**fields) -> PGMELModel:
    fields = {"text_config": dict(TINY_TEXT), "vision_config": dict(TINY_VISION), "projection_size": 8, **fields}
    return PGMELModel(PGMELConfig(**fields)).eval()


class TestPGMELModel(ModelTesterMixin):
    model_class = PGMELModel

    def test_outputs(self, tiny_model, inputs):
        outputs = tiny_model.eval()(**inputs)
        assert isinstance(outputs, VectorOutput)
        assert outputs.scores.shape == (4, 5)
        assert outputs.mention_embeds.shape == (4, 8) and outputs.entity_embeds.shape == (5, 8)
        assert outputs.mention_image_weight.shape == (4,) and outputs.entity_image_weight.shape == (5,)
        cosine = F.cosine_similarity(outputs.mention_embeds[:, None], outputs.entity_embeds[None], dim=-1)
        torch.testing.assert_close(outputs.scores, cosine)

    def test_loss_by_hand(self, tiny_model, inputs):
        outputs = tiny_model.eval()(**inputs)
        losses = []
        for scores, gold in zip(outputs.scores.tolist(), inputs["labels"].tolist(), strict=True):
            exponentials = [math.exp(score / 0.05) for score in scores]
            losses.append(-math.log(exponentials[gold] / sum(exponentials)))
        assert outputs.loss.item() == pytest.approx(sum(losses) / 4, rel=1e-4)
        inputs["labels"][0] = -100  # NIL
        assert tiny_model(**inputs).loss.item() == pytest.approx(sum(losses[1:]) / 3, rel=1e-4)

    def test_no_labels_no_loss(self, tiny_model, inputs):
        del inputs["labels"]
        assert tiny_model(**inputs).loss is None

    def test_get_features_are_the_embeddings_of_forward(self, tiny_model, inputs):
        tiny_model.eval()
        outputs = tiny_model(**inputs)
        mentions, entities = side_inputs(4, seed=1), side_inputs(5, seed=2)
        assert torch.equal(tiny_model.get_mention_features(**mentions), outputs.mention_embeds)
        assert torch.equal(tiny_model.get_entity_features(**entities), outputs.entity_embeds)

    def test_mentions_and_entities_can_have_their_own_heads(self, inputs):
        batch = side_inputs(3)
        for share in (True, False):
            model = tiny(share_heads=share)
            assert torch.equal(model.get_mention_features(**batch), model.get_entity_features(**batch)) is share


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("share_heads", [True, False])
def test_every_fusion_comes_back_bit_exact(fusion, share_heads, inputs, tmp_path):
    model = tiny(fusion=fusion, share_heads=share_heads)
    model.save_pretrained(tmp_path)
    TestPGMELModel().assert_same(model, AutoModel.from_pretrained(tmp_path), inputs)


@pytest.mark.parametrize("text_views", ["both", "context", "surface"])
def test_the_views_that_are_used_reach_the_embedding(text_views):
    model, batch = tiny(text_views=text_views), side_inputs(2)
    before = model.get_mention_features(**batch)
    for view, name in (("context", "input_ids"), ("surface", "surface_input_ids")):
        changed = {**batch, name: batch[name].clone()}
        changed[name][:, 0] += 1
        moved = (model.get_mention_features(**changed) - before).abs().amax(-1)
        assert (moved > 1e-5).all() if text_views in ("both", view) else (moved == 0).all()


def test_a_missing_view_is_named():
    batch = side_inputs(2)
    del batch["surface_input_ids"]
    with pytest.raises(ValueError, match="`surface_input_ids` is missing.*'both'"):
        tiny().extract(**batch)
    tiny(text_views="context").extract(**batch)


@pytest.mark.parametrize("pooling", ["pooler", "mean", "cls"])
def test_padding_is_never_pooled(pooling):
    model, batch = tiny(pooling=pooling), side_inputs(3)
    before = model.extract(**batch).text_features
    batch["input_ids"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, 50)
    torch.testing.assert_close(model.extract(**batch).text_features, before)


def test_mean_pooling_by_hand():
    model = tiny(pooling="mean", text_views="context")
    ids, mask = torch.tensor([[5, 6, 7, 0]]), torch.tensor([[1, 1, 1, 0]])
    hidden = model.text_model(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(model.extract(ids, mask).text_features[0, 0], hidden[0, :3].sum(0) / 3)


def test_cls_pooling_finds_the_first_token_after_padding_on_the_left():
    model = tiny(pooling="cls", text_views="context")
    ids, mask = torch.tensor([[0, 5, 6, 7]]), torch.tensor([[0, 1, 1, 1]])
    hidden = model.text_model(input_ids=ids, attention_mask=mask).last_hidden_state
    assert torch.equal(model.extract(ids, mask).text_features[0, 0], hidden[0, 1])


class TestMissingImage:
    @pytest.mark.parametrize("garbage", [0.0, 3.0, math.nan, math.inf])
    def test_pixels_have_no_influence(self, inputs, garbage):
        model = tiny()
        expected = model(**inputs)
        for side in ("mention", "entity"):
            inputs[f"{side}_pixel_values"][~inputs[f"{side}_has_image"]] = garbage
        outputs = model(**inputs)
        for a, b in zip(outputs.to_tuple(), expected.to_tuple(), strict=True):
            assert torch.equal(a, b)
        outputs.loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)

    def test_pixels_of_an_image_have_influence(self):
        model, batch = tiny(), side_inputs(4)
        before = model.get_mention_features(**batch)
        batch["pixel_values"] = batch["pixel_values"] * 2
        changed = (model.get_mention_features(**batch) - before).abs().amax(-1) > 1e-6
        assert torch.equal(changed, batch["has_image"])

    def test_no_pixels_is_no_image(self):
        model, batch = tiny(), side_inputs(3)
        batch["has_image"][:] = False
        expected = model.extract(**batch)
        del batch["pixel_values"], batch["has_image"]
        features = model.extract(**batch)
        assert not features.has_image.any()
        assert all(torch.equal(features[name], expected[name]) for name in expected)

    def test_pixels_without_a_mask_are_images(self):
        model, batch = tiny(), side_inputs(3)
        del batch["has_image"]
        assert model.extract(**batch).has_image.all()

    def test_a_batch_without_images_gives_the_vision_tower_a_gradient_of_zero(self):
        model, batch = tiny().train(), side_inputs(2)
        batch["has_image"][:] = False
        batch["pixel_values"][:] = math.nan
        model.get_mention_features(**batch).sum().backward()
        gradients = [parameter.grad for parameter in model.vision_model.embeddings.parameters()]
        assert gradients and all(gradient is not None and (gradient == 0).all() for gradient in gradients)


class TestTextOnly:
    @pytest.mark.parametrize("fusion", sorted(set(FUSIONS) - {"image"}))
    def test_works_and_comes_back(self, fusion, inputs, tmp_path):
        model = tiny(vision_config=None, fusion=fusion)
        assert model.vision_model is None
        outputs = model(**inputs)  # the pixels of a multimodal batch are ignored
        assert (outputs.mention_image_weight == 0).all()
        assert model.extract(**side_inputs(2)).keys() == {"text_features"}
        outputs.loss.backward()
        model.save_pretrained(tmp_path)
        reloaded = AutoModel.from_pretrained(tmp_path)
        assert reloaded.config.vision_config is None and reloaded.vision_model is None
        TestPGMELModel().assert_same(model, reloaded, inputs)


class TestFrozenTowers:
    @pytest.mark.parametrize("text", [True, False])
    @pytest.mark.parametrize("vision", [True, False])
    def test_frozen_means_no_gradient_and_no_dropout(self, text, vision, inputs, tmp_path):
        built = tiny(freeze_text=text, freeze_vision=vision, text_projection_dim=6, vision_projection_dim=5)
        built.save_pretrained(tmp_path)
        for model in (built, PGMELModel.from_pretrained(tmp_path)):
            model.train()
            assert model.towers_frozen is (text and vision)
            assert model.heads.training
            assert model.text_model.training is not text and model.vision_model.training is not vision
            model(**inputs).loss.backward()
            for name, parameter in model.named_parameters():
                frozen = (text and name.startswith("text_")) or (vision and name.startswith("vis"))
                assert parameter.requires_grad is not frozen, name
                assert parameter.grad is None or not frozen, name
                if name.startswith(("text_model.encoder", "vision_model.encoder", "text_proj", "visual")):
                    assert (parameter.grad is None) is frozen, name

    def test_text_only(self):
        assert tiny(vision_config=None, freeze_text=True).towers_frozen
        assert not tiny(vision_config=None).towers_frozen

    def test_a_new_model_is_frozen_before_anyone_calls_train(self):
        model = PGMELModel(PGMELConfig(text_config=dict(TINY_TEXT), freeze_text=True))
        assert not model.text_model.training and model.heads.training
        assert not any(parameter.requires_grad for parameter in model.text_model.parameters())

    def test_no_graph_is_built_for_a_frozen_tower(self):
        batch = side_inputs(2)
        for freeze in (True, False):
            model = tiny(freeze_text=freeze, freeze_vision=freeze)
            for parameter in model.parameters():
                parameter.requires_grad_()  # as an adapter or a careless caller would
            features = model.extract(**batch)
            assert features.text_features.requires_grad is not freeze
            assert features.image_features.requires_grad is not freeze
            with torch.no_grad():
                features = model.extract(**batch)
            assert not features.text_features.requires_grad and not features.image_features.requires_grad

    def test_a_frozen_tower_gives_the_same_features_in_training(self):
        config = {**TINY_TEXT, "hidden_dropout_prob": 0.5}
        batch = side_inputs(2)
        for freeze in (True, False):
            model = tiny(text_config=dict(config), freeze_text=freeze).train()
            features = model.extract(**batch).text_features
            assert torch.equal(features, model.extract(**batch).text_features) is freeze
            assert features.requires_grad is not freeze


class TestMatching:
    def test_candidates_are_the_entries_of_all_pairs(self):
        model = tiny()
        mentions, entities = model.encode("mention", model.extract(**side_inputs(3))), {}
        everything = model.encode("entity", model.extract(**side_inputs(6, seed=3)))
        candidates = torch.tensor([[0, 1], [5, 2], [3, 3]])
        entities = {name: value[candidates] for name, value in everything.items()}
        expected = model.match(mentions, everything).gather(1, candidates)
        torch.testing.assert_close(model.match_candidates(mentions, entities), expected)
        torch.testing.assert_close(MatchingModel.match_candidates(model, mentions, entities), expected)

    def test_base_class_is_abstract(self):
        with pytest.raises(TypeError, match="abstract"):
            MatchingModel(PGMELConfig())


class TestTowerFeatures:
    def test_select_and_to(self):
        features = tiny().extract(**side_inputs(4))
        some = features.select(torch.tensor([2, 1])).to(torch.bfloat16)
        assert some.text_features.shape == (2, 2, 16) and some.text_features.dtype is torch.bfloat16
        assert some.has_image.tolist() == [True, False] and some.has_image.dtype is torch.bool
        assert features.text_features.requires_grad and not features.detach().text_features.requires_grad

    def test_encoding_selected_rows_is_selecting_encoded_rows(self):
        model = tiny()
        features = model.extract(**side_inputs(4))
        rows = torch.tensor([3, 0])
        part, whole = model.encode("entity", features.select(rows)), model.encode("entity", features)
        for name in whole:
            torch.testing.assert_close(part[name], whole[name][rows])


class TestLoading:
    def test_checkpoint_of_another_type(self, tmp_path):
        BertModel(BertConfig(**{k: v for k, v in TINY_TEXT.items() if k != "model_type"})).save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=f"{tmp_path}.*'bert', not 'pgmel'.*from_towers"):
            PGMELModel.from_pretrained(tmp_path)
        with pytest.raises(ValueError, match="'bert'"):
            PGMELModel(BertConfig())

    def test_a_raw_parameter_that_a_checkpoint_lacks_is_initialised(self, tmp_path):
        tiny(fusion="image").save_pretrained(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        name = "heads.heads.shared.fusion.no_image"
        save_file({n: w for n, w in weights.items() if n != name}, tmp_path / "model.safetensors", {"format": "pt"})
        model, info = PGMELModel.from_pretrained(tmp_path, output_loading_info=True)
        assert info["missing_keys"] == {name}
        value = model.get_parameter(name)
        assert 0 < value.abs().max() < 0.2

    def test_initialisation_is_reproducible_and_has_the_asked_spread(self):
        model = tiny(projection_size=512, initializer_range=0.1)
        weight = model.heads.heads["shared"].fusion.gate.weight
        assert weight.std().item() == pytest.approx(0.1, rel=0.05)
        torch.manual_seed(3)
        first = tiny().state_dict()
        torch.manual_seed(3)
        assert all(torch.equal(value, first[name]) for name, value in tiny().state_dict().items())

    @pytest.mark.parametrize("attention", ["sdpa", "eager"])
    def test_attention_reaches_both_towers(self, tmp_path, inputs, attention):
        model = tiny()
        model.save_pretrained(tmp_path)
        loaded = PGMELModel.from_pretrained(tmp_path, attn_implementation=attention)
        for tower in (loaded.text_model, loaded.vision_model):
            assert tower.config._attn_implementation == attention
        torch.testing.assert_close(loaded(**inputs).scores, model(**inputs).scores)

    def test_default_attention_is_sdpa(self):
        assert tiny().text_model.config._attn_implementation == "sdpa"
        assert tiny().config._attn_implementation == "sdpa"

    def test_gradient_checkpointing_changes_no_gradient(self, inputs):
        plain = tiny().train()
        saving = copy.deepcopy(plain)
        # transformers 5.23 renamed it, and warns of the old name
        new = hasattr(saving, "activation_checkpointing_enable")
        saving.activation_checkpointing_enable() if new else saving.gradient_checkpointing_enable()
        layers = [m for m in saving.modules() if getattr(m, "gradient_checkpointing", False)]
        assert any("Bert" in type(m).__name__ for m in layers) and any("CLIP" in type(m).__name__ for m in layers)
        for model in (plain, saving):
            model(**inputs).loss.backward()
        gradients = dict(plain.named_parameters())
        for name, parameter in saving.named_parameters():
            if gradients[name].grad is not None:
                torch.testing.assert_close(parameter.grad, gradients[name].grad, msg=name)

    def test_batch_can_be_encoded_from_stored_features(self, inputs):
        model = tiny()
        features = model.extract(**side_inputs(4, seed=1))
        stored = TowerFeatures(**{name: value.clone() for name, value in features.items()})
        assert torch.equal(model.encode("mention", stored)["embeds"], model(**inputs).mention_embeds)
