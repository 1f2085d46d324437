import math

import numpy as np
import pytest
import torch

from hf_mel.evaluation import candidate_metrics, rank_among_candidates, rank_gold, rank_with_gold_added, top_candidates


SCORES = np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.5, 0.5, 0.5], [0.9, 0.2, np.nan]])
CANDIDATES = np.array([[7, 3, 1], [7, 3, 1], [7, 3, 1], [7, 3, -1]])


def test_by_hand():
    ranks = rank_among_candidates(SCORES, CANDIDATES, [3, 4, 1, 3])
    assert ranks.tolist() == [2.0, math.inf, 2.0, 2.0]


def test_the_optimistic_variant_by_hand():
    ranks = rank_with_gold_added(SCORES, CANDIDATES, [3, 4, 1, 5], [0.5, 0.5, 0.5, 0.1])
    # mention 1: its gold scores as one candidate and below another; mention 3: below its two candidates
    assert ranks.tolist() == [2.0, 2.5, 2.0, 3.0]


def test_with_every_entity_retrieved_it_is_the_full_ranking():
    torch.manual_seed(0)
    mentions, entities, gold = torch.randn(40, 8), torch.randn(25, 8), torch.randint(0, 25, (40,))
    scores, rows = top_candidates(mentions, entities, 25)
    assert rank_among_candidates(scores, rows, gold).tolist() == rank_gold(mentions, entities, gold).tolist()


def test_metrics_keep_the_missed_in_the_denominator():
    metrics = candidate_metrics([1, 6, math.inf, 2.5], retriever="BM25")
    expected = {"T@1": 0.25, "T@5": 0.5, "T@10": 0.75, "T@20": 0.75, "retrieved": 0.75}
    assert metrics == expected | {"retriever": "BM25", "num_mentions": 4}


def test_the_optimistic_metrics_carry_their_label_and_no_recall():
    metrics = candidate_metrics([1, 6], retriever="BM25", gold_added=True, ks=(5,))
    assert metrics == {"T@5 (gold added)": 0.5, "retriever": "BM25", "num_mentions": 2}
    with pytest.raises(ValueError, match="gold_added=True, but 1 ranks are infinite"):
        candidate_metrics([1, math.inf], retriever="BM25", gold_added=True)


def test_the_retriever_must_be_named():
    with pytest.raises(TypeError, match="retriever"):
        candidate_metrics([1.0])
    with pytest.raises(ValueError, match="retriever's name"):
        candidate_metrics([1.0], retriever=" ")
    with pytest.raises(ValueError, match="at least one mention"):
        candidate_metrics([], retriever="BM25")


@pytest.mark.parametrize(
    ("scores", "candidates", "gold", "message"),
    [
        ([[1.0, 0.0]], [[3, 3]], [3], "mention 0 has the same candidate twice"),
        ([[1.0, math.nan]], [[3, 4]], [3], "mention 0 has a NaN score"),
        ([[1.0, 0.0]], [[3, 4]], [-1], "mention 0 has no gold row"),
        ([[1.0, 0.0]], [[3, 4, 5]], [3], "must be"),
    ],
)
def test_bad_input(scores, candidates, gold, message):
    with pytest.raises(ValueError, match=message):
        rank_among_candidates(np.array(scores), np.array(candidates), gold)


def test_filling_may_be_repeated():
    ranks = rank_among_candidates(np.array([[1.0, 9.0, 9.0]]), np.array([[3, -1, -1]]), [3])
    assert ranks.tolist() == [1.0]


def test_a_nan_gold_score_is_an_error():
    with pytest.raises(ValueError, match="mention 1 has a NaN score"):
        rank_with_gold_added(SCORES[:2], CANDIDATES[:2], [3, 4], [0.5, math.nan])
