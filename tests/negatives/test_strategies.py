import numpy as np
import pytest
import torch

from hf_mel import NegativeStrategy, PoolBuilder, get_strategy, register_strategy
from hf_mel.negatives import STRATEGIES, Selection, mix_uniform
from hf_mel.negatives.candidates import choose_columns, sample_columns, sample_without_replacement, top_columns

from .common import make_candidates


# ---- Drawing ----


def test_sample_columns_inverts_the_cumulative_distribution():
    weights = torch.tensor([[0.25, 0.0, 0.25, 0.5]])
    # Cumulative: 0.25, 0.25, 0.5, 1
    uniforms = torch.tensor([[0.0, 0.24, 0.25, 0.49, 0.5, 0.999]], dtype=torch.double)
    assert sample_columns(weights, uniforms).tolist() == [[0, 0, 2, 2, 3, 3]]


def test_sample_columns_has_the_right_frequencies():
    weights = torch.tensor([[1.0, 0.0, 2.0, 5.0]])
    columns = sample_columns(weights, torch.rand(1, 80_000, dtype=torch.double))
    counts = columns[0].bincount(minlength=4)
    assert counts[1] == 0
    assert ((counts / 80_000 - weights[0] / 8).abs() < 0.01).all()


def test_choose_columns_takes_different_ones_and_masked_ones_last():
    mask = torch.tensor([[True, False, True, False]])
    chosen = choose_columns(mask, torch.rand(1, 4), 3)
    assert set(chosen[0, :2].tolist()) == {0, 2} and chosen[0, 2].item() in (1, 3)


def test_a_pool_that_is_too_small_is_an_error():
    with pytest.raises(ValueError, match="raise `pool_size`"):
        top_columns(torch.zeros(1, 2), 3)


# ---- Every strategy ----


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_never_picks_what_is_masked_and_does_not_depend_on_the_batch(name):
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(6, 12, generator=generator) > 0.4
    scores = torch.rand(6, 12, generator=generator)
    log_probs = torch.rand(6, 12, generator=generator).masked_fill(~mask, -torch.inf).log_softmax(-1)
    strategy = get_strategy(name, num_negatives=3)
    builder = PoolBuilder(np.zeros(6, int), np.arange(100), 12, {"uniform": 1.0}, seed=0)
    strategy.start(builder)
    rows = torch.arange(72).view(6, 12)
    together = strategy.select(make_candidates(scores, log_probs=log_probs, mask=mask, rows=rows))
    assert mask.gather(1, together.columns)[together.mask].all()
    assert together.by_strategy.all()
    for one in range(6):
        part = slice(one, one + 1)
        alone = strategy.select(
            make_candidates(scores[part], torch.ones(1), log_probs[part], mask[part], rows[part], mentions=[one])
        )
        assert alone.columns.tolist() == together.columns[part].tolist()


@pytest.mark.parametrize("name", ["random", "lexical", "attribute"])
def test_the_pool_defines_the_strategy(name):
    source = {"random": "uniform"}.get(name, name)
    assert STRATEGIES[name].pool_shares == {source: 1.0}
    counts = torch.zeros(5)
    for epoch in range(300):
        context = make_candidates(mask=torch.ones(1, 5).bool(), epoch=epoch)
        counts[get_strategy(name, num_negatives=2).select(context).columns[0]] += 1
    assert (counts - 120).abs().max() < 40  # 600 draws over 5


def test_in_batch_picks_nothing():
    selection = get_strategy("in_batch", num_negatives=0).select(make_candidates(scores=torch.zeros(3, 4)))
    assert selection.columns.shape == (3, 0)


def test_topk_takes_the_hardest_that_are_not_masked():
    scores = torch.tensor([[0.1, 0.9, 0.5, 0.7]])
    mask = torch.tensor([[True, False, True, True]])
    context = make_candidates(scores, mask=mask)
    assert get_strategy("topk", num_negatives=2).select(context).columns.tolist() == [[3, 2]]


def test_what_a_strategy_reads_says_who_draws():
    reads = {name: get_strategy(name, num_negatives=2).reads for name in STRATEGIES}
    assert {name for name, kind in reads.items() if kind == "index"} == {"topk", "semi_hard", "cache"}
    assert reads["pg"] == "policy" and reads["random"] == "nothing"
    assert get_strategy("topk", num_negatives=2, scores="fresh").is_live
    assert not get_strategy("topk", num_negatives=2).is_live
    with pytest.raises(ValueError, match="'index' or 'fresh'"):
        get_strategy("cache", num_negatives=2, scores="new")


def test_topk_can_choose_among_more():
    seen = set()
    for epoch in range(40):
        context = make_candidates(torch.tensor([[0.1, 0.9, 0.5, 0.7]]), epoch=epoch)
        columns = get_strategy("topk", num_negatives=1, choose_from=2).select(context).columns
        seen |= set(columns[0].tolist())
    assert seen == {1, 3}
    with pytest.raises(ValueError, match="got 3 and 4"):
        get_strategy("topk", num_negatives=4, choose_from=3)


def test_semi_hard_stays_in_the_band():
    # Gold 0.8, margin 0.3: the band is 0.5 < s < 0.8. Second row: nothing in it, so anything that is not masked.
    scores = torch.tensor([[0.9, 0.6, 0.2, 0.7], [0.9, 0.1, 0.2, 0.95]])
    mask = torch.tensor([[True] * 4, [True, True, False, True]])
    seen = [set(), set()]
    for epoch in range(60):
        context = make_candidates(scores, gold=torch.tensor([0.8, 0.8]), mask=mask, epoch=epoch)
        columns = get_strategy("semi_hard", num_negatives=2, margin=0.3).select(context).columns
        seen = [old | set(row.tolist()) for old, row in zip(seen, columns, strict=True)]
    assert seen == [{1, 3}, {0, 1, 3}]


def test_pg_samples_from_the_policy():
    log_probs = torch.tensor([[0.1, 0.0, 0.6, 0.3]]).log()
    counts = torch.zeros(4)
    for epoch in range(500):
        context = make_candidates(log_probs=log_probs, epoch=epoch)
        selection = get_strategy("pg", num_negatives=4).select(context)
        counts += selection.columns[0].bincount(minlength=4)
        assert selection.weights.tolist() == [[0.25] * 4]
    assert counts[1] == 0
    assert (counts / 2000 - log_probs.exp()[0]).abs().max() < 0.05


def test_pg_without_replacement_takes_different_ones_in_proportion():
    log_probs = torch.tensor([[0.1, 0.0, 0.6, 0.3]]).log()
    first = torch.zeros(4)
    for epoch in range(600):
        selection = get_strategy("pg", num_negatives=2, with_replacement=False).select(
            make_candidates(log_probs=log_probs, epoch=epoch)
        )
        assert len(set(selection.columns[0].tolist())) == 2 and 1 not in selection.columns[0]
        first[selection.columns[0, 0]] += 1
    assert (first / 600 - log_probs.exp()[0]).abs().max() < 0.06


@pytest.mark.parametrize("count", [1, 2, 3])
def test_samples_without_replacement_are_unbiased(count):
    """The weighted sum over the sample is on average the expectation, and so REINFORCE the exact gradient."""
    logits = torch.tensor([0.3, -1.0, 0.8, 0.0, -torch.inf], dtype=torch.double)
    rewards = torch.tensor([0.2, 1.0, -0.5, 0.4, 9.0], dtype=torch.double)
    log_probs = logits.log_softmax(-1).expand(40_000, 5)
    columns, weights = sample_without_replacement(log_probs, torch.rand(40_000, 5, dtype=torch.double), count)
    each = (weights * rewards[columns]).sum(-1)
    expected = (logits.softmax(-1) * rewards)[:4].sum()
    error = each.std() / 200
    assert (each.mean() - expected).abs() < 5 * error

    policy = torch.nn.functional.one_hot(columns, 5) - logits.softmax(-1)  # gradient of log p(k)
    gradients = (weights[..., None] * rewards[columns][..., None] * policy).sum(1)
    exact = logits.softmax(-1)[:4] * (rewards[:4] - expected)
    assert ((gradients.mean(0)[:4] - exact).abs() < 5 * gradients.std(0)[:4] / 200).all()
    assert ((0.5 * gradients.mean(0)[:4] - exact).abs() > 5 * gradients.std(0)[:4] / 200).any()  # the bound can fail


def test_when_all_are_taken_the_sum_is_exact():
    log_probs = torch.tensor([[0.2, 0.8, 0.0]]).log()
    columns, weights = sample_without_replacement(log_probs, torch.rand(1, 3), 3)
    assert weights.gather(1, columns.argsort()).tolist()[0] == pytest.approx([0.2, 0.8, 0.0])


def test_an_unknown_strategy_names_the_nearest():
    with pytest.raises(ValueError, match="'semi_hard'"):
        get_strategy("semihard", num_negatives=1)
    with pytest.raises(TypeError, match="'topk'.*choose"):
        get_strategy("topk", num_negatives=1, choose=3)


class Hardest(NegativeStrategy):
    reads = "index"

    def columns(self, candidates):
        return candidates.masked_scores.topk(self.num_negatives).indices


def test_a_strategy_of_ones_own_is_a_class_an_instance_or_a_registered_name():
    register_strategy("test_hardest", Hardest)
    register_strategy("test_hardest", Hardest)  # an imported module may run twice
    own = Hardest(2)
    copied = get_strategy(own)
    assert copied is not own
    for strategy in (
        own,
        copied,
        get_strategy(Hardest, num_negatives=2),
        get_strategy("test_hardest", num_negatives=2),
    ):
        assert strategy.select(make_candidates(torch.tensor([[0.1, 0.9, 0.5]]))).columns.tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="registered already"):
        register_strategy("test_hardest", NegativeStrategy)


# ---- Cache ----


def make_cache(temperature=1e-3):
    builder = PoolBuilder(np.array([0, 1]), np.arange(1000), 8, {"uniform": 1.0}, seed=0)
    cache = get_strategy("cache", num_negatives=2, temperature=temperature)
    cache.start(builder)
    return cache, builder


def test_cache_keeps_the_hardest_when_it_is_cold():
    cache, builder = make_cache()
    pool = cache.pool(builder, np.array([1]), epoch=0)
    scores = torch.arange(8.0)[None] / 10
    context = make_candidates(scores, rows=pool.rows, mentions=[1])
    cache.remember(np.array([1]), cache.updates(context))
    assert set(cache.kept[1]) == set(pool.rows[0, 4:].tolist())
    assert (cache.kept[0] == -1).all()
    later = cache.pool(builder, np.array([1]), epoch=1)
    assert set(later.rows[0, :4].tolist()) == set(pool.rows[0, 4:].tolist())


def test_cache_draws_from_what_it_kept():
    cache, builder = make_cache()
    pool = cache.pool(builder, np.array([0, 1]), epoch=0)
    columns = cache.select(make_candidates(torch.zeros(2, 8), rows=pool.rows)).columns
    assert (columns < 4).all()


def test_cache_state_goes_on():
    cache, builder = make_cache()
    cache.pool(builder, np.array([0]), 0)
    cache.remember(np.array([0]), np.array([[5, 6, 7, 8]]))
    other, _ = make_cache()
    other.load_state_dict(cache.state_dict())
    assert other.pool(builder, np.array([0]), 1).rows.tolist() == cache.pool(builder, np.array([0]), 1).rows.tolist()


# ---- Uniform share ----


def test_uniform_share_replaces_what_the_numbers_say():
    pool = make_candidates(mask=[[True, False, True, True]])
    selection = Selection(torch.tensor([[3, 3, 3]]), torch.ones(1, 3).bool(), torch.ones(1, 3).bool())
    # Replaced where the first half is below 0.5; the second half picks among columns 0, 2, 3.
    pool.uniforms = lambda stream, count: torch.tensor([[0.1, 0.6, 0.4, 0.0, 0.0, 0.4]], dtype=torch.double)
    mixed = mix_uniform(selection, pool, 0.5)
    assert mixed.columns.tolist() == [[0, 3, 2]]
    assert mixed.by_strategy.tolist() == [[False, True, False]]
    assert mix_uniform(selection, pool, 0.0) is selection
    weighted = mix_uniform(selection._replace(weights=torch.full((1, 3), 0.25)), pool, 0.5)
    assert weighted.weights.tolist() == [[0.5] * 3]  # half of the samples stay


def test_a_strategy_of_ones_own_is_checked():
    class One(NegativeStrategy):
        def columns(self, candidates):
            return torch.zeros(len(candidates.rows), 1, dtype=torch.long)

    class Fresch(NegativeStrategy):
        reads = "fresch"

    with pytest.raises(ValueError, match=r"One.columns gave the shape \(\d+, 1\) and not \(\d+, 4\)"):
        One(num_negatives=4).select(make_candidates(rows=[[1, 2, 3, 4]]))
    with pytest.raises(ValueError, match="`reads` of Fresch must be nothing, index, fresh or policy, not 'fresch'"):
        Fresch(num_negatives=4)
