import json
import math

import numpy as np
import pytest

from hf_mel.evaluation import per_mention_values, ranking_metrics, split_metrics


def test_by_hand():
    metrics = ranking_metrics(np.array([1, 1.5, 3, 4, 20]))
    assert metrics == {
        "hits@1": 0.2,
        "hits@3": 0.6,
        "hits@5": 0.8,
        "hits@10": 0.8,
        "mrr": pytest.approx((1 + 2 / 3 + 1 / 3 + 1 / 4 + 1 / 20) / 5),
        "mr": pytest.approx(5.9),
        "num_mentions": 5,
    }


def test_not_retrieved_counts_and_has_no_mean_rank():
    metrics = ranking_metrics([1.0, math.inf], ks=(10,))
    assert metrics == {"hits@10": 0.5, "mrr": 0.5, "num_mentions": 2}
    json.dumps(metrics, allow_nan=False)


def test_seen_and_unseen():
    parts = split_metrics([1, 2, 4, 8], np.array([True, False, True, False]), ks=(1,))
    assert parts == {
        "seen": {"hits@1": 0.5, "mrr": 0.625, "mr": 2.5, "num_mentions": 2},
        "unseen": {"hits@1": 0.0, "mrr": 0.3125, "mr": 5.0, "num_mentions": 2},
    }
    assert split_metrics([1], [True])["unseen"] == {"num_mentions": 0}


def test_the_parts_average_to_the_whole():
    rng = np.random.default_rng(0)
    ranks, seen = rng.integers(1, 30, 200), rng.random(200) < 0.3
    parts, whole = split_metrics(ranks, seen), ranking_metrics(ranks)
    for name in ("hits@1", "hits@5", "mrr", "mr"):
        mean = sum(part[name] * part["num_mentions"] for part in parts.values()) / 200
        assert mean == pytest.approx(whole[name])


@pytest.mark.parametrize("ranks", [[1, 0.5], [1, math.nan], [1, -3]])
def test_what_is_no_rank(ranks):
    with pytest.raises(ValueError, match=r"position \(1,\)"):
        ranking_metrics(ranks)


def test_bad_input():
    with pytest.raises(ValueError, match="at least one mention"):
        ranking_metrics([])
    with pytest.raises(ValueError, match="seen must be a boolean"):
        split_metrics([1, 2], [0, 1])
    for metric in ("hits@0", "hits@", "recall@5", "hits"):
        with pytest.raises(ValueError, match="unknown metric"):
            per_mention_values([1], metric)
