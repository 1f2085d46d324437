"""Candidates: dense, lexical and merged, with scores that agree; restrictions; names that match."""

import numpy as np
import pytest
import torch

from hf_mel import EntityIndex, KnowledgeBase, Linker, MatchingModel, MentionQuery, PGMELModel
from hf_mel.linking.candidates import CandidateFinder, matched_alias
from hf_mel.linking.queries import encode_queries
from tests.training.common import tiny_data, tiny_linker, tiny_processor


@pytest.fixture(scope="module")
def model():
    return tiny_linker(False)


@pytest.fixture(scope="module")
def index(model):
    return EntityIndex.build(model, tiny_processor(False), tiny_data().entities)


@pytest.fixture
def queries() -> list[MentionQuery]:
    rows = tiny_data().mentions["test"].select(range(5))
    return [MentionQuery(name, text) for text, name in zip(rows["text"][:], rows["mention"][:], strict=True)]


def found(index, model, queries, mode, count, allowed=None, k=1):
    encoded = encode_queries(model, tiny_processor(False), queries)
    return CandidateFinder(index, model, mode, count).find(queries, encoded, k, allowed)


def all_scores(index, model, queries) -> np.ndarray:
    encoded = encode_queries(model, tiny_processor(False), queries)
    with torch.no_grad():
        return model.match(encoded, index.encodings(np.arange(index.num_rows))).numpy()


@pytest.mark.parametrize("mode", ["dense", "lexical", "merged"])
def test_scores_are_those_of_the_model_and_fall(index, model, queries, mode):
    result, expected = found(index, model, queries, mode, 6), all_scores(index, model, queries)
    for rows, scores, truth in zip(result.rows, result.scores, expected, strict=True):
        held = rows >= 0
        assert held.any() and len(set(rows[held])) == held.sum()
        assert scores[held] == pytest.approx(truth[rows[held]], abs=1e-5)
        assert (np.diff(scores[held]) <= 0).all() and np.isneginf(scores[~held]).all()
        assert held[: held.sum()].all(), "what is missing stands at the end"


def test_dense_are_the_best_of_all(index, model, queries):
    result, expected = found(index, model, queries, "dense", 4), all_scores(index, model, queries)
    assert result.rows.tolist() == np.argsort(-expected, axis=1, kind="stable")[:, :4].tolist()
    assert result.lexical_scores is None
    assert found(index, model, queries, "dense", 4, k=9).rows.shape == (5, 9), "at least as many as are asked for"


def test_lexical_are_those_with_a_similar_name(index, model, queries):
    result = found(index, model, queries, "lexical", 20)
    names = index.names()
    for query, rows, similarities in zip(queries, result.rows, result.lexical_scores, strict=True):
        best = rows[np.nanargmax(similarities)]
        assert set(query.mention.lower()) & set(names[best].lower())
        assert (np.isnan(similarities) == (rows < 0)).all()
    assert (result.rows < 0).any(), "not every name resembles every mention"


def test_merged_is_the_union_without_doubles(index, model, queries):
    dense, lexical, merged = (found(index, model, queries, mode, 4) for mode in ("dense", "lexical", "merged"))
    for left, right, rows, similarities in zip(
        dense.rows, lexical.rows, merged.rows, merged.lexical_scores, strict=True
    ):
        assert set(rows[rows >= 0]) == set(left) | set(right[right >= 0])
        assert len(rows[rows >= 0]) == len(set(rows[rows >= 0]))
        assert {row for row, value in zip(rows, similarities, strict=True) if value > 0} == set(right[right >= 0])


@pytest.mark.parametrize("mode", ["dense", "lexical", "merged"])
def test_only_allowed_rows(index, model, queries, mode):
    allowed = np.zeros(index.num_rows, dtype=bool)
    allowed[[3, 7]] = True
    result = found(index, model, queries, mode, 6, allowed)
    assert set(result.rows[result.rows >= 0].tolist()) <= {3, 7}
    assert mode == "lexical" or (np.sort(result.rows, axis=1)[:, -2:] == [3, 7]).all()


def test_a_name_that_is_added_is_found_and_one_that_is_removed_is_not(model):
    processor = tiny_processor(False)
    index = EntityIndex.build(model, processor, tiny_data().entities)
    finder = CandidateFinder(index, model, "lexical", 3)
    query = [MentionQuery("Zyxw", "Zyxw came.")]
    encoded = encode_queries(model, processor, query)
    assert (finder.find(query, encoded, 1).rows == -1).all()
    index.add(model, processor, KnowledgeBase.from_records([{"id": "new", "name": "Zyxw", "attributes": "A: b."}]))
    assert finder.find(query, encoded, 1).rows[0, 0] == index.row("new")
    index.remove(["new"])
    assert (finder.find(query, encoded, 1).rows == -1).all()


def test_bad_arguments(index, model):
    with pytest.raises(ValueError, match="did you mean 'dense'"):
        CandidateFinder(index, model, "dens", 3)
    with pytest.raises(ValueError, match="at least 1"):
        CandidateFinder(index, model, "dense", 0)


@pytest.mark.parametrize(
    ("mention", "names", "expected"),
    [
        ("big  BLUE", ["IBM", "Big Blue"], "Big Blue"),
        ("Ｉ ＢＭ", ["I BM"], "I BM"),
        ("Williams", ["Robin Williams", "R. Williams"], "R. Williams"),
        ("President Lincoln", ["Abraham Lincoln", "Lincoln"], "Lincoln"),
        ("Ann", ["Anna"], None),
        ("C++", ["C"], None),  # signs that are no punctuation belong to a name
        ("bat", ["Batman", "Bat (animal)"], "Bat (animal)"),
        ("毛", ["毛泽东"], "毛泽东"),
        ("★", ["★ Star", "Sun"], "★ Star"),
        ("Ada", [], None),
    ],
)
def test_the_name_that_fits(mention, names, expected):
    assert matched_alias(mention, names) == expected


class Nearness(PGMELModel):
    """Scores by distance, which is no dot product."""

    vector_name = None
    match_candidates = MatchingModel.match_candidates

    def match(self, mentions, entities):
        return -torch.cdist(mentions["embeds"], entities["embeds"])


@pytest.mark.parametrize("mode", ["dense", "lexical", "merged"])
def test_a_model_whose_score_is_no_dot_product(model, queries, mode):
    other = Nearness(model.config)
    other.load_state_dict(model.state_dict())
    index = EntityIndex.build(other.eval(), tiny_processor(False), tiny_data().entities, encode_dtype="float32")
    result, expected = found(index, other, queries, mode, 6), all_scores(index, other, queries)
    for rows, scores, truth in zip(result.rows, result.scores, expected, strict=True):
        held = rows >= 0
        assert held.any() and scores[held] == pytest.approx(truth[rows[held]], abs=1e-5) and (scores[held] < 0).all()
    linked = Linker(other, tiny_processor(False), index, candidates=mode).link_queries(queries)
    assert [each.best.score for each in linked] == pytest.approx(result.scores[:, 0].tolist(), abs=1e-5)
