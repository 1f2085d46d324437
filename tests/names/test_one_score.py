"""One score: evaluation, search, candidates and answers rank by what the encodings say plus the part of the names."""

import numpy as np
import pytest
import torch

from hf_mel import EntityIndex, KnowledgeBase, Linker, MentionQuery, MIMICModel, ModelReranker, PGMELProcessor
from hf_mel.data import MELData, make_miniature_tokenizer
from hf_mel.encoding import EntityInputs, MentionInputs, encode_all
from hf_mel.evaluation.models import evaluate_model
from hf_mel.linking import explain
from hf_mel.linking.index import get_backend
from hf_mel.models import PGMELConfig, PGMELModel
from hf_mel.names import NameIndex, added_scores
from tests.linking.index.test_neighbours import Library
from tests.training.common import TEXT, VISION, tiny_data, tiny_processor


WEIGHTS = torch.tensor([0.4, 0.3, 0.2, 0.1, 0.15, 0.05])


def build(kind: str):
    """A tiny random model with weights of the names, and its processor."""
    torch.manual_seed(0)
    tiny = tiny_processor(kind == "mimic")
    if kind == "mimic":
        config = {"text_config": dict(TEXT), "vision_config": dict(VISION), "pooling": "mean", "matching_size": 8}
        model = MIMICModel(MIMICModel.config_class(**config, max_text_tokens=32, name_features=True))
        options = {"image_processor": tiny.image_processor, "text_views": "context"}
        processor = PGMELProcessor(tokenizer=tiny.tokenizer, max_length=32, **options)
    else:
        config = PGMELConfig(text_config=dict(TEXT), pooling="mean", projection_size=16, name_features=True)
        model, processor = PGMELModel(config), tiny
    with torch.no_grad():
        model.pair_weights.weight.copy_(WEIGHTS)
    return model.eval(), processor


@pytest.fixture(scope="module", params=["pgmel", "mimic"])
def parts(request):
    """Model, processor, and the scores of all test mentions with all entities, pair by pair."""
    model, processor = build(request.param)
    data = tiny_data()
    mentions, _ = encode_all(model, MentionInputs(data.mentions["test"], processor))
    entities, _ = encode_all(model, EntityInputs(data.entities, processor))
    names = NameIndex(data.entities.names(), data.entities.aliases())
    features = names.features(data.mentions["test"]["mention"][:]).with_all(torch.arange(len(data.entities)))
    with torch.no_grad():
        scores = model.score(mentions, entities, features).numpy()
        plain = model.match(mentions, entities).numpy()
    assert 0.05 < (scores != plain).mean() < 1, "some pairs have features, and some have none"
    return model, processor, data, scores, plain


def queries_of(data: MELData) -> list[MentionQuery]:
    rows = data.mentions["test"]
    return [
        MentionQuery(*each)
        for each in zip(rows["mention"][:], rows["text"][:], rows["start"][:], rows["image"][:], strict=True)
    ]


def test_evaluation(parts):
    model, processor, data, scores, _ = parts
    about = {"model_name": "x", "data_name": "y", "command": "z", "progress": False}
    golds = data.entities.rows(data.mentions["test"]["entity_id"][:])
    own = scores[np.arange(len(golds)), golds][:, None]
    _, ranks = evaluate_model(model, processor, data, "test", batch_size=4, **about)
    assert ranks.tolist() == ((scores > own).sum(axis=1) + 1).tolist()
    _, ranks = evaluate_model(
        model, processor, data, "test", num_candidates=len(data.entities), candidates="dense", **about
    )
    assert ranks.tolist() == ((scores > own).sum(axis=1) + 1).tolist()


@pytest.mark.parametrize("candidates", ["dense", "lexical", "merged"])
def test_linking(parts, candidates):
    model, processor, data, scores, plain = parts
    linker = Linker(model, processor, data.entities, candidates=candidates, num_candidates=5)
    queries = queries_of(data)
    answers = linker.link_queries(queries, top_k=5)
    for number, answer in enumerate(answers):
        rows = [data.entities.row(each.entity_id) for each in answer.candidates]
        found = np.array([each.score for each in answer.candidates])
        np.testing.assert_allclose(found, scores[number, rows], atol=1e-5)
        named = [each.name_score for each in answer.candidates]
        np.testing.assert_allclose(named, (scores - plain)[number, rows], atol=1e-5)
        assert (np.diff(found) <= 0).all()
        if candidates == "dense":
            np.testing.assert_allclose(found, np.sort(scores[number])[::-1][:5], atol=1e-5)
        if model.vision_model is None:
            texts = [each.text_score for each in answer.candidates]
            np.testing.assert_allclose(texts, plain[number, rows], atol=1e-5)
    # Alone as among others, to the last bit.
    if model.vector_name is not None:
        for query, answer in zip(queries[:4], answers, strict=False):
            (alone,) = linker.link_queries([query], top_k=5)
            assert [each.name_score for each in alone.candidates] == [each.name_score for each in answer.candidates]
            assert [each.entity_id for each in alone.candidates] == [each.entity_id for each in answer.candidates]


def test_reranker(parts):
    model, processor, data, scores, _ = parts
    index = EntityIndex.build(model, processor, data.entities, encode_dtype="float32")
    quick, own = build("pgmel")
    linker = Linker(quick, own, data.entities, num_candidates=4, reranker=ModelReranker(model, processor, index))
    for number, answer in enumerate(linker.link_queries(queries_of(data), top_k=3)):
        for each in answer.candidates:
            assert each.score == pytest.approx(scores[number, data.entities.row(each.entity_id)], abs=1e-5)


def test_explanation(parts):
    model, processor, data, scores, _ = parts
    linker = Linker(model, processor, data.entities, num_candidates=2)
    query = queries_of(data)[0]
    order = np.argsort(-scores[0], kind="stable")
    far = data.entities.ids[int(order[7])]
    explanation = explain(linker, query, top_k=2, gold=far, max_words=1)
    assert explanation.gold.candidate.rank == 8
    assert explanation.gold.candidate.entity.score == pytest.approx(scores[0, order[7]], abs=1e-5)
    assert "names' part" in explanation.to_text()
    assert any(reason.startswith("The names add") for reason in explanation.reasons)


# ---- Search ----


WORDS = sorted(word for word in make_miniature_tokenizer().get_vocab() if word.isalpha() and len(word) > 3)[:60]


def named_kb(count: int = 2000) -> KnowledgeBase:
    draw = np.random.default_rng(0)
    return KnowledgeBase.from_records(
        [
            {"id": f"Q{n}", "name": " ".join(draw.choice(WORDS, 2)), "aliases": list(draw.choice(WORDS, 1))}
            | {"description": " ".join(draw.choice(WORDS, 5))}
            for n in range(count)
        ]
    )


@pytest.fixture(scope="module")
def large():
    """An index of many entities whose names share words; queries, and the scores of all pairs."""
    model, processor = build("pgmel")
    kb = named_kb()
    index = EntityIndex.build(model, processor, kb, encode_dtype="float32", shard_rows=700)
    draw = np.random.default_rng(1)
    mentions = [" ".join(draw.choice([*WORDS[:50], "unknown", "Zyx"], 2)) for _ in range(70)]
    queries = torch.nn.functional.normalize(torch.randn(70, 16, generator=torch.Generator().manual_seed(2)), dim=1)
    added = added_scores(model, index.name_index, mentions)
    products = queries @ index.encodings(np.arange(index.num_rows))["embeds"].T
    return index, queries, added, products.numpy() + added.toarray()


@pytest.mark.parametrize("restricted", [False, True])
def test_every_search_finds_the_best_sums(large, restricted):
    index, queries, added, scores = large
    allowed = np.random.default_rng(3).random(index.num_rows) < 0.5 if restricted else None
    choice = scores if allowed is None else np.where(allowed, scores, -np.inf)
    exact = index.search(queries, 7, added=added, allowed=allowed)
    np.testing.assert_allclose(exact[0], np.sort(choice, axis=1)[:, ::-1][:, :7], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(choice, exact[1], axis=1), exact[0], atol=1e-5)
    small = index.search(queries, 7, allowed=allowed, added=added, backend=get_backend("exact", index, block_rows=64))
    searches = [small, index.search(queries, 7, allowed=allowed, added=added, backend="two_stage")]
    for complete in (True, False):  # libraries of nearest neighbours, which know of no names
        library = Library(index, complete)
        searches.append(index.search(queries, 7, allowed=allowed, added=added, backend=library))
    parts = [
        index.search(queries[[row]], 7, allowed=allowed, added=added[[row]])  # takes the way of a few queries
        for row in range(len(queries))
    ]
    searches.append(tuple(np.concatenate(each) for each in zip(*parts, strict=True)))
    for scores_found, rows in searches:
        assert np.array_equal(rows, exact[1]) and np.array_equal(scores_found, exact[0])


def test_added_scores_of_another_shape_are_refused(large):
    index, queries, added, _ = large
    with pytest.raises(ValueError, match="`added` must be of shape"):
        index.search(queries[:3], 2, added=added)


def test_names_follow_the_index():
    model, processor = build("pgmel")
    kb = tiny_data().entities
    linker = Linker(model, processor, EntityIndex.build(model, processor, kb, encode_dtype="float32"))
    new = {"id": "new", "name": "Zyxw Vuts", "attributes": "A: b."}

    def named() -> dict[str, float]:
        found = linker.link("zyxw vuts", "Zyxw Vuts came.", top_k=len(linker.index))
        return {each.entity_id: each.name_score for each in found.candidates if each.name_score}

    whole = WEIGHTS[[0, 2, 3, 4]].sum().item()
    assert named() == {}
    linker.index.add(model, processor, KnowledgeBase.from_records([new]))
    assert named() == {"new": pytest.approx(whole)}
    linker.index.update(model, processor, KnowledgeBase.from_records([new | {"name": "Zyxw"}]))
    assert named() == {"new": pytest.approx(WEIGHTS[2].item() / 2 + WEIGHTS[3].item())}
    linker.index.compact()
    assert named() == {"new": pytest.approx(WEIGHTS[2].item() / 2 + WEIGHTS[3].item())}
    linker.index.remove(["new"])
    assert named() == {}


def test_model_without_the_feature_makes_no_index_of_names():
    torch.manual_seed(0)
    model = PGMELModel(PGMELConfig(text_config=dict(TEXT), pooling="mean", projection_size=16)).eval()
    linker = Linker(model, tiny_processor(False), tiny_data().entities)
    linked = linker.link("Ada", "Ada came.")
    assert linked.best.name_score is None and linked.best.text_score == linked.best.score
    assert "name_index" not in linker.index.__dict__
