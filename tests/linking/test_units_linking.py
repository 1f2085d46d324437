"""Models whose score is no dot product, in all places where PGMEL's embeddings are: index, linker, reranker, evaluation."""

import numpy as np
import pytest
import torch

from hf_mel import EntityIndex, Linker, M3ELModel, MELOVModel, MIMICModel, ModelReranker, PGMELProcessor
from hf_mel.encoding import EntityInputs, MentionInputs, encode_all
from hf_mel.evaluation.models import evaluate_model
from hf_mel.recipes import recipe_from_dict
from tests.tiny_recipe import tiny_recipe
from tests.training.common import TEXT, VISION, tiny_data, tiny_linker, tiny_processor


@pytest.fixture(scope="module", params=[MIMICModel, M3ELModel, MELOVModel], ids=["mimic", "m3el", "melov"])
def parts(request):
    """A tiny random model, its processor, and the scores of all test mentions with all entities."""
    torch.manual_seed(0)
    config = {"text_config": dict(TEXT), "vision_config": dict(VISION), "pooling": "mean"}
    config |= {"matching_size": 8, "max_text_tokens": 32}
    if request.param is MELOVModel:
        config["bank_size"] = 8
    model = request.param(request.param.config_class(**config)).eval()
    tiny = tiny_processor()
    processor = PGMELProcessor(
        image_processor=tiny.image_processor, tokenizer=tiny.tokenizer, max_length=32, text_views="context"
    )
    data = tiny_data()
    mentions, _ = encode_all(model, MentionInputs(data.mentions["test"], processor))
    entities, _ = encode_all(model, EntityInputs(data.entities, processor))
    with torch.no_grad():
        return model, processor, model.match(mentions, entities).numpy()


def linked(linker, top_k=3, **options):
    rows = tiny_data().mentions["test"]
    return linker.link(rows["mention"][:], rows["text"][:], image=list(rows["image"][:]), top_k=top_k, **options)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_every_entity_is_scored(parts, precision):
    model, processor, expected = parts
    index = EntityIndex.build(model, processor, tiny_data().entities, encode_dtype="float32", precision=precision)
    assert index.manifest.vector_name is None and (index.manifest.recall is None) == (precision == "float32")
    best = np.sort(expected, axis=1)[:, ::-1][:, :3]
    found = [[each.score for each in answer.candidates] for answer in linked(Linker(model, processor, index))]
    size = np.abs(expected).max()
    np.testing.assert_allclose(
        found, best, atol=size * {"float32": 1e-5, "bfloat16": 5e-2, "float16": 1e-2}[precision]
    )


def test_candidates_by_name_and_of_another_model(parts):
    model, processor, expected = parts
    kb = tiny_data().entities
    index = EntityIndex.build(model, processor, kb, encode_dtype="float32")
    quick = Linker(
        tiny_linker(), tiny_processor(), kb, num_candidates=5, reranker=ModelReranker(model, processor, index)
    )
    for linker in (Linker(model, processor, index, candidates="lexical"), quick):
        for row, answer in enumerate(linked(linker)):
            for each in answer.candidates:
                assert each.score == pytest.approx(expected[row, kb.row(each.entity_id)], abs=1e-4)


def test_it_is_evaluated_by_all_pairs(parts):
    model, processor, expected = parts
    data = tiny_data()
    about = {"model_name": "x", "data_name": "y", "command": "z", "progress": False}
    _, ranks = evaluate_model(model, processor, data, "test", batch_size=4, **about)
    golds = data.entities.rows(data.mentions["test"]["entity_id"][:])
    gold = expected[np.arange(len(golds)), golds][:, None]
    assert ranks.tolist() == ((expected > gold).sum(axis=1) + 1).tolist()


def test_it_is_evaluated_in_two_stages(parts):
    """Among the proposals; a gold entity that is not among them is not found."""
    model, processor, expected = parts
    data = tiny_data()
    about = {"model_name": "x", "data_name": "y", "command": "z", "progress": False, "candidates": "dense"}
    mentions, _ = encode_all(model, MentionInputs(data.mentions["test"], processor))
    entities, _ = encode_all(model, EntityInputs(data.entities, processor))
    products = (mentions["dense"] @ entities["dense"].T).numpy()
    for count in (4, 20):
        result, ranks = evaluate_model(model, processor, data, "test", batch_size=4, num_candidates=count, **about)
        for row, gold in enumerate(data.entities.rows(data.mentions["test"]["entity_id"][:])):
            among = np.argsort(-products[row], kind="stable")[:count]
            rank = 1 + (expected[row, among] > expected[row, gold]).sum() if gold in among else np.inf
            assert ranks[row] == rank
        assert result.protocol.kind == "candidate-k" and result.protocol.num_candidates == count
        assert result.protocol.retriever.startswith("the first of two stages")
        assert result.metrics["retrieved"] == np.isfinite(ranks).mean()


@pytest.mark.parametrize("kind", ["mimic", "m3el", "melov", "ghmfc"])
def test_a_recipe_names_the_kind(kind, tmp_path):
    recipe = tiny_recipe(tmp_path)
    recipe["model"] |= {"type": kind, "config": {"text_config": TEXT, "vision_config": VISION, "pooling": "mean"}}
    recipe["model"]["processor"] = {"max_length": 32}
    model, processor = recipe_from_dict(recipe).model.load(tiny_data())
    assert model.config.model_type == kind and processor.text_views == "context" and processor.max_length == 32
    recipe["model"]["type"] = "mimik"
    with pytest.raises(ValueError, match="model.type is 'mimik', did you mean 'mimic'"):
        recipe_from_dict(recipe)
    recipe["model"] |= {"type": kind, "config": {"fusion": "gmu"}}
    with pytest.raises(ValueError, match="unknown key model.config.fusion"):
        recipe_from_dict(recipe)
