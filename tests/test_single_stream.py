"""A model of one tower in all that the others work with: training, index, linker, pipeline, calibration, card."""

import copy

import numpy as np
import pytest
import torch
from transformers import pipeline

from hf_mel import EntityIndex, Linker, MentionQuery, PGMELProcessor, SingleStreamConfig, SingleStreamModel
from hf_mel.checkpoint import load_checkpoint
from hf_mel.data import load_images
from hf_mel.evaluation import load_results
from hf_mel.hub import render_model_card
from hf_mel.linking.queries import encode_queries
from hf_mel.recipes import recipe_from_dict
from hf_mel.runs import run_recipe
from tests.tiny_recipe import tiny_recipe
from tests.training.common import changed, make_trainer, tiny_data, tiny_processor, weights


TOWER = {
    "model_type": "vilt",
    "vocab_size": 1000,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
    "image_size": 16,
    "patch_size": 8,
    "initializer_range": 0.2,
}


def tiny_model(**fields) -> SingleStreamModel:
    torch.manual_seed(0)
    return SingleStreamModel(SingleStreamConfig(**copy.deepcopy({"tower_config": TOWER, **fields})))


def processor() -> PGMELProcessor:
    given = tiny_processor()
    return PGMELProcessor(given.image_processor, given.tokenizer, text_views="context", max_length=32)


def tiny_trainer(folder, model, **options):
    return make_trainer(folder, model, processor=processor(), **options)


def queries(rows: int = 6) -> list[MentionQuery]:
    """Some with a picture, and a picture that two share."""
    mentions = tiny_data().mentions["test"].select(range(rows))
    pictures = load_images(mentions)
    pictures[0] = pictures[1] = next(picture for picture in pictures if picture is not None)
    columns = (mentions[name][:] for name in ("mention", "text", "start"))
    return [MentionQuery(*each) for each in zip(*columns, pictures, strict=True)]


# ---- Training ----


@pytest.mark.parametrize("negatives", ["in_batch", "topk", "pg"])
def test_it_trains_with_any_negatives(tmp_path, negatives):
    model = tiny_model()
    trainer = tiny_trainer(
        tmp_path, model, negatives=negatives, generator_init="random", generator_type="both", learning_rate=0.01
    )
    before = weights(trainer)
    losses = [each["loss"] for each in trainer.train() and trainer.state.log_history if "loss" in each]
    moved = changed(before, weights(trainer))
    assert moved == ({"discriminator", "generator"} if negatives == "pg" else {"discriminator"})
    assert len(losses) == 4 and np.isfinite(losses).all()
    assert 0 < trainer.evaluate()["eval_mrr"] <= 1


def test_mini_batches_change_nothing(tmp_path):
    found = []
    for name, size in (("whole", None), ("parts", 4)):
        options = {"per_device_train_batch_size": 8, "mini_batch_size": size, "max_steps": 2}
        options |= {"optim": "sgd", "learning_rate": 0.1}  # Adam makes steps of what is rounding alone
        trainer = tiny_trainer(tmp_path / name, tiny_model(), negatives="in_batch", **options)
        trainer.train()
        found.append(weights(trainer))
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, atol=1e-4, rtol=1e-3, msg=name)


def test_a_copy_of_heads_that_are_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="generator_init"):
        tiny_trainer(tmp_path, tiny_model(), negatives="pg")


def test_a_frozen_tower_keeps_its_features(tmp_path):
    trainer = tiny_trainer(tmp_path, tiny_model(freeze_tower=True), negatives="in_batch")
    first = trainer.evaluate()["eval_mrr"]
    assert list((tmp_path / "feature_cache").rglob("text_features.npy"))
    assert tiny_trainer(tmp_path / "b", tiny_model(), negatives="in_batch").evaluate()["eval_mrr"] == first


# ---- Linking ----


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index") / "index"
    return EntityIndex.build(tiny_model(), processor(), tiny_data().entities, folder, encode_dtype="float32")


def test_mentions_are_encoded_with_their_pictures(index):
    model, given = tiny_model().eval(), queries()
    found = encode_queries(model, processor(), given, batch_size=4)["embeds"]
    inputs = processor().mentions(
        [each.mention for each in given],
        [each.text for each in given],
        [each.start for each in given],
        [each.image for each in given],
    )
    assert inputs["has_image"].any()
    torch.testing.assert_close(found, model.encode("mention", model.extract(**inputs))["embeds"].detach())
    without = [MentionQuery(each.mention, each.text, each.start) for each in given]
    apart = (encode_queries(model, processor(), without)["embeds"] - found).abs().amax(dim=1) > 1e-3
    assert torch.equal(apart, inputs["has_image"])


def test_linking_by_its_index(index):
    model = tiny_model()
    linker = Linker(model, processor(), index)
    together = linker.link_queries(queries(), top_k=3)
    for query, linked in zip(queries(), together, strict=True):
        (alone,) = linker.link_queries([query], top_k=3)
        assert [each.entity_id for each in alone.candidates] == [each.entity_id for each in linked.candidates]
        assert linked.has_image == (query.image is not None) and linked.image_weight is None
        assert linked.candidates[0].text_score is None, "no modality is seen alone"
    kb = tiny_data().entities
    entities = model.eval().extract(**processor().entities(kb.names(), kb.texts(), kb.images()))
    embeds = model.encode("entity", entities)["embeds"]
    torch.testing.assert_close(index.encodings(np.arange(len(kb)))["embeds"].float(), embeds, atol=1e-5, rtol=1e-4)
    scores = encode_queries(model, processor(), queries())["embeds"] @ embeds.T
    assert together[0].candidates[0].entity_id == kb.ids[int(scores[0].argmax())]


# ---- A run ----


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("single") / "run"
    recipe = tiny_recipe(folder)
    recipe["model"] = {
        "type": "single_stream",
        "tokenizer": "miniature",
        "image_size": 16,
        "config": {"tower_config": TOWER},
    }
    recipe["training"] |= {"negatives": "in_batch"}
    run_recipe(recipe_from_dict(recipe), "hf-mel train recipe.yaml")
    return folder


def test_a_recipe(run):
    model, reader = load_checkpoint(str(run))
    assert type(model) is SingleStreamModel and reader.max_length == 32 and reader.text_views == "context"
    assert load_results(run)["test"].model_name == "single_stream"
    link = pipeline("multimodal-entity-linking", model=str(run), index=tiny_data().entities, device="cpu", top_k=2)
    assert len(link(queries()[0])["candidates"]) == 2


def test_its_card(run):
    card = render_model_card(run)
    assert "| tower of text and picture | `vilt`, hidden size 16, trained |\n" in card.text
    assert "A picture can mislead it" in card.text and "text-only" not in card.text and "vision tower" not in card.text
    assert "single_stream" in card.data.tags and "independent implementation" not in card.text
