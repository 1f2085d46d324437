import itertools
import math

import numpy as np
import pytest

from hf_mel.evaluation import bootstrap_intervals, intervals, paired_comparison


def test_two_mentions_by_hand():
    # hits@1 of two draws from {hit, miss} is 0, 1/2, 1 with probability 1/4, 1/2, 1/4.
    wide = bootstrap_intervals([1, 2], ["hits@1"])["hits@1"]
    assert (wide.value, wide.low, wide.high) == (0.5, 0.0, 1.0)
    narrow = bootstrap_intervals([1, 2], ["hits@1"], level=0.4)["hits@1"]
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_the_normal_approximation_is_near():
    ranks = np.repeat([1.0, 2.0], [800, 200])
    interval = bootstrap_intervals(ranks, ["hits@1"])["hits@1"]
    half = 1.96 * math.sqrt(0.8 * 0.2 / 1000)
    assert interval.low == pytest.approx(0.8 - half, abs=0.003)
    assert interval.high == pytest.approx(0.8 + half, abs=0.003)


def test_a_constant_has_no_width():
    interval = bootstrap_intervals([3.0] * 10)["mrr"]
    assert interval.low == pytest.approx(1 / 3) == interval.high


def test_several_seeds():
    ranks = np.array([[1, 1, 2, 2], [1, 2, 1, 2], [1, 1, 1, 2.0]])
    interval = bootstrap_intervals(ranks, ["hits@1"])["hits@1"]
    assert interval.value == pytest.approx((2 / 4 + 2 / 4 + 3 / 4) / 3)
    assert interval.seed_std == pytest.approx(np.std([0.5, 0.5, 0.75], ddof=1))
    assert interval.num_seeds == 3
    # Mentions are drawn, not (seed, mention) pairs: three equal seeds know no more than one.
    once, thrice = bootstrap_intervals(ranks[0]), bootstrap_intervals(np.stack([ranks[0]] * 3))
    assert once["mrr"].seed_std is None
    assert thrice["mrr"].seed_std == 0
    assert (once["mrr"].low, once["mrr"].high) == pytest.approx((thrice["mrr"].low, thrice["mrr"].high))


def test_a_mention_is_drawn_with_all_its_seeds():
    # Each mention is a hit under one of the two seeds, so every draw of mentions has the same mean over seeds.
    interval = bootstrap_intervals([[1, 2, 1], [2, 1, 2]], ["hits@1"])["hits@1"]
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_same_seed_gives_the_same_interval_whatever_the_batch(monkeypatch):
    ranks = np.random.default_rng(0).integers(1, 9, 50)
    first = bootstrap_intervals(ranks, seed=3, num_resamples=500)
    assert bootstrap_intervals(ranks, seed=3, num_resamples=500) == first
    assert bootstrap_intervals(ranks, seed=4, num_resamples=500) != first
    monkeypatch.setattr(intervals, "_DRAWS_AT_ONCE", 64)
    again = bootstrap_intervals(ranks, seed=3, num_resamples=500)
    for metric in first:
        assert (again[metric].low, again[metric].high) == pytest.approx((first[metric].low, first[metric].high))


def test_the_global_generator_is_left_alone():
    np.random.seed(0)
    expected = np.random.rand()
    np.random.seed(0)
    paired_comparison([1, 2, 1], [2, 2, 2])
    assert np.random.rand() == expected


def test_a_95_percent_interval_covers_about_95_percent():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(400):
        ranks = rng.choice([1.0, 2.0, 4.0], p=[0.5, 0.3, 0.2], size=150)
        interval = bootstrap_intervals(ranks, ["mrr"], num_resamples=400, seed=trial)["mrr"]
        covered += interval.low <= 0.5 + 0.3 / 2 + 0.2 / 4 <= interval.high
    # 400 trials at 0.95 have a standard deviation of 0.011.
    assert 0.95 - 3.5 * 0.011 <= covered / 400 <= 0.95 + 3.5 * 0.011


def test_a_paired_comparison_by_hand():
    # three mentions differ, all for A: only 2 of the 8 sign patterns are as extreme
    comparison = paired_comparison([1, 1, 1, 2, 1], [2, 2, 2, 2, 1])["hits@1"]
    assert comparison.difference == pytest.approx(0.6)
    assert comparison.p_value == 2 / 8
    assert comparison.exact


def test_the_exact_p_value_counts_sign_patterns():
    ranks_a, ranks_b = np.array([1, 3, 2, 9, 1, 5, 1]), np.array([2, 1, 4, 2, 3, 5, 8])
    differences = 1 / ranks_a - 1 / ranks_b
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product([-1, 1], repeat=7)]
    expected = np.mean([value >= abs(differences.sum()) - 1e-12 for value in sums])
    assert paired_comparison(ranks_a, ranks_b)["mrr"].p_value == pytest.approx(expected)


@pytest.mark.parametrize("draws_at_once", [2**21, 100])
def test_the_drawn_p_value_is_near_the_exact_one(monkeypatch, draws_at_once):
    monkeypatch.setattr(intervals, "_DRAWS_AT_ONCE", draws_at_once)
    ranks_a, ranks_b = np.array([1, 2, 3, 5, 1, 8, 2] * 2), np.array([2, 1, 4, 3, 3, 4, 6] * 2)  # never the same rank
    exact = paired_comparison(ranks_a, ranks_b, num_resamples=2**14)["mrr"]
    drawn = paired_comparison(ranks_a, ranks_b, num_resamples=1000)["mrr"]
    assert exact.exact and not drawn.exact
    assert 0.05 < exact.p_value < 0.95
    assert drawn.p_value == pytest.approx(exact.p_value, abs=4 * 0.5 / math.sqrt(1000))


def test_a_drawn_p_value_is_never_zero():
    assert paired_comparison([1] * 100, [9] * 100, num_resamples=99)["hits@1"].p_value == 1 / 100


def test_the_p_value_is_right_when_the_systems_are_alike():
    rng = np.random.default_rng(0)
    small = 0
    for trial in range(300):
        ranks = rng.integers(1, 8, (2, 80))
        small += paired_comparison(*ranks, ["mrr"], num_resamples=300, seed=trial)["mrr"].p_value <= 0.05
    # 300 trials at 0.05 have a standard deviation of 0.0126.
    assert 0.05 - 3.5 * 0.0126 <= small / 300 <= 0.05 + 3.5 * 0.0126


def test_pairing_sees_what_two_intervals_cannot():
    rng = np.random.default_rng(0)
    ranks_b = rng.integers(1, 3, 1000)
    ranks_a = np.where(np.arange(1000) < 40, 1, ranks_b)
    alone_a, alone_b = bootstrap_intervals(ranks_a)["hits@1"], bootstrap_intervals(ranks_b)["hits@1"]
    assert alone_a.low < alone_b.high  # the intervals overlap
    comparison = paired_comparison(ranks_a, ranks_b)["hits@1"]
    assert comparison.low > 0
    assert comparison.p_value < 0.001


def test_it_is_antisymmetric_and_knows_no_difference_of_a_run_to_itself():
    ranks_a, ranks_b = np.array([[1, 2, 1, 4], [1, 1, 1, 4]]), np.array([2, 2, 1, 1])
    there, back = paired_comparison(ranks_a, ranks_b)["mrr"], paired_comparison(ranks_b, ranks_a)["mrr"]
    assert there.difference == pytest.approx(-back.difference)
    assert there.p_value == back.p_value
    itself = paired_comparison(ranks_b, ranks_b)["mrr"]
    assert (itself.difference, itself.low, itself.high, itself.p_value) == (0, 0, 0, 1)


def test_bad_input():
    with pytest.raises(ValueError, match="same mentions, got 2 and 3"):
        paired_comparison([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="level"):
        bootstrap_intervals([1], level=95)
    with pytest.raises(ValueError, match="num_resamples"):
        bootstrap_intervals([1], num_resamples=0)
    with pytest.raises(ValueError, match="not empty"):
        bootstrap_intervals([])
    with pytest.raises(ValueError, match="mr does not exist"):
        bootstrap_intervals([1, math.inf], ["mr"])
    assert bootstrap_intervals([1, math.inf], ["mrr"])["mrr"].value == 0.5
