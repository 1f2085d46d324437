import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mel.evaluation import dot_product, rank_gold


def oracle(scores: np.ndarray, gold: np.ndarray) -> list[float]:
    """The definition, one comparison at a time."""
    ranks = []
    for row, g in zip(scores.tolist(), gold.tolist(), strict=True):
        better = sum(s > row[g] for s in row)
        tied = sum(s == row[g] for i, s in enumerate(row) if i != g)
        ranks.append(1 + better + tied / 2)
    return ranks


def test_by_hand():
    entities = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.0, 1.0]])
    mentions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    # scores: 1 0 .6 0 | 0 1 .8 1 | 0 1 .8 1 | 1 0 .6 0
    ranks = rank_gold(mentions, entities, [0, 3, 2, 1])
    assert ranks.dtype == np.float64
    assert ranks.tolist() == [1.0, 1.5, 3.0, 3.5]


@pytest.mark.parametrize("gold", range(5))
@pytest.mark.parametrize("chunk_size", [1, 2, 5, 8])
def test_a_constant_scorer_gains_nothing_from_the_order(gold, chunk_size):
    ranks = rank_gold(torch.ones(1, 3), torch.ones(5, 3), [gold], chunk_size=chunk_size)
    assert ranks.tolist() == [3.0]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_equals_the_definition_whatever_the_chunks(data):
    # Small integers: sums are exact, ties and duplicates abound.
    num_mentions, num_entities = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 30))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    mentions, entities = rng.integers(-1, 2, (num_mentions, 3)), rng.integers(-1, 2, (num_entities, 3))
    gold = rng.integers(0, num_entities, num_mentions)
    ranks = rank_gold(
        torch.tensor(mentions, dtype=torch.float32),
        torch.tensor(entities, dtype=torch.float32),
        gold,
        chunk_size=data.draw(st.integers(1, 33)),
        mention_chunk_size=data.draw(st.integers(1, 10)),
        tie_tolerance=data.draw(st.sampled_from([0.0, 1e-6])),
    )
    assert ranks.tolist() == oracle(mentions @ entities.T, gold)


@pytest.mark.parametrize("dim", [3, 64, 257])
def test_copies_of_an_entity_tie_across_chunk_boundaries(dim):
    torch.manual_seed(dim)
    base = torch.nn.functional.normalize(torch.randn(60, dim), dim=1)
    copies = torch.randint(0, 60, (301,))
    mentions = torch.nn.functional.normalize(torch.randn(150, dim), dim=1)
    gold = torch.randint(0, 301, (150,))
    scores = (mentions.double() @ base.double().T)[:, copies].numpy()  # copies get the very same number
    expected = oracle(scores, gold.numpy())
    for chunk_size, mention_chunk_size in [(301, 150), (1, 150), (7, 13), (64, 64), (100, 1), (1000, 1000)]:
        sizes = {"chunk_size": chunk_size, "mention_chunk_size": mention_chunk_size}
        assert rank_gold(mentions, base[copies], gold, **sizes).tolist() == expected, sizes


def test_the_tolerance_absorbs_the_rounding_of_another_match():
    """A `match` whose last bit depends on the block, as kernels may."""

    def noisy(mentions, entities):
        return dot_product(mentions, entities) * (1 + 3e-7 * (len(entities) % 2))

    mentions, entities = torch.ones(4, 8) * 0.35, torch.ones(9, 8) * 0.35
    for chunk_size in (1, 2, 4, 9):
        assert rank_gold(mentions, entities, [0, 4, 8, 2], match=noisy, chunk_size=chunk_size).tolist() == [5.0] * 4
    assert (
        rank_gold(mentions, entities, [0, 4, 8, 2], match=noisy, chunk_size=2, tie_tolerance=0).tolist() != [5.0] * 4
    )


@pytest.mark.parametrize(
    ("gold", "other", "tolerance", "rank"),
    [
        (0.01, 0.1, 0.2, 1.5),
        (0.01, 0.3, 0.2, 2.0),
        (0.3, 0.01, 0.2, 1.0),
        (100.0, 110.0, 0.2, 1.5),
        (100.0, 110.0, 0.05, 2.0),
        (100.0, 90.0, 0.2, 1.5),
        (100.0, 90.0, 0.05, 1.0),
        (-100.0, -90.0, 0.2, 1.5),
        (-100.0, -110.0, 0.2, 1.5),
    ],
)
def test_the_tolerance_is_absolute_below_one_and_relative_above(gold, other, tolerance, rank):
    ranks = rank_gold(torch.ones(1, 1), torch.tensor([[gold], [other]]), [0], tie_tolerance=tolerance)
    assert ranks.tolist() == [rank]


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_the_gold_is_never_compared_with_itself(factor):
    """Not even with a `match` that is so noisy that the gold's score in its block is far from the one it had before."""

    def noisy(mentions, entities):
        return dot_product(mentions, entities) * (factor if len(entities) == 3 else 1)

    assert rank_gold(torch.ones(1, 1), torch.tensor([[0.1], [4.0], [0.2]]), [1], match=noisy).tolist() == [1.0]


def test_no_block_is_larger_than_asked():
    blocks = []

    def spy(mentions, entities):
        blocks.append((len(mentions), len(entities)))
        return mentions @ entities.T

    rank_gold(torch.randn(200, 4), torch.randn(333, 4), [0] * 200, match=spy, chunk_size=50, mention_chunk_size=30)
    assert max(m for m, _ in blocks) == 30
    assert max(e for _, e in blocks) == 50


def test_dicts_and_a_match_of_their_own():
    def match(mentions, entities):
        return mentions["x"] @ entities["x"].T + entities["bonus"]

    mentions = {"x": torch.tensor([[1.0], [1.0]])}
    entities = {"x": torch.tensor([[3.0], [2.0], [1.0]]), "bonus": torch.tensor([0.0, 0.0, 9.0])}
    assert rank_gold(mentions, entities, [0, 2], match=match, chunk_size=2).tolist() == [2.0, 1.0]


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_scores_are_compared_in_float32(dtype, autocast):
    # 257 and 256 are the same number in bfloat16.
    mentions = torch.ones(1, 2, dtype=dtype)
    entities = torch.tensor([[256.0, 0.0], [256.0, 1.0]], dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        assert rank_gold(mentions, entities, [0]).tolist() == [2.0]


def test_infinite_scores_are_ranked():
    table = torch.tensor([[torch.inf, -torch.inf, 0.0, torch.inf], [-torch.inf, -torch.inf, 1.0, 2.0]])

    def match(mentions, entities):
        return table[mentions[:, 0].long()][:, entities[:, 0].long()]

    rows = torch.arange(4.0)[:, None]
    assert rank_gold(rows[:2], rows, [0, 1], match=match, chunk_size=3).tolist() == [1.5, 3.5]


def test_a_nan_is_an_error_that_names_the_mention():
    mentions = torch.ones(7, 2)
    mentions[5, 0] = torch.nan
    with pytest.raises(ValueError, match=r"mention 5 has a NaN score"):
        rank_gold(mentions, torch.ones(3, 2), [0] * 7, mention_chunk_size=4)


def test_a_nan_is_named_by_its_position_among_all_mentions():
    mentions = torch.ones(200, 2)
    mentions[170] = torch.nan
    with pytest.raises(
        ValueError, match=r"mention 170 has a NaN score against the gold entities of mentions 164 to 199"
    ):
        rank_gold(mentions, torch.ones(3, 2), [0] * 200, mention_chunk_size=100)


def test_a_nan_in_an_entity_that_is_nobodys_gold_is_an_error():
    entities = torch.ones(9, 2)
    entities[8, 1] = torch.nan
    with pytest.raises(ValueError, match=r"mention 0 has a NaN score against entity rows 8 to 8"):
        rank_gold(torch.ones(2, 2), entities, [0, 1], chunk_size=4)


@pytest.mark.parametrize(
    ("gold", "message"),
    [
        ([0, 3], r"1 gold rows lie outside the 3 entities, the first at mention 1: 3"),
        ([-1, 0], r"the first at mention 0: -1\. Mentions whose gold is NIL"),
        ([0], r"one row for each of the 2 mentions"),
        ([0.0, 1.0], r"must be integers"),
    ],
)
def test_wrong_gold_rows(gold, message):
    with pytest.raises(ValueError, match=message):
        rank_gold(torch.ones(2, 2), torch.ones(3, 2), gold)


def test_wrong_arguments():
    ones = torch.ones(2, 2)
    with pytest.raises(ValueError, match="chunk_size must be at least 1"):
        rank_gold(ones, ones, [0, 1], chunk_size=0)
    with pytest.raises(ValueError, match="tie_tolerance"):
        rank_gold(ones, ones, [0, 1], tie_tolerance=float("nan"))
    with pytest.raises(ValueError, match="`match` must return"):
        rank_gold(ones, ones, [0, 1], match=lambda m, e: (m * e).sum(1))
    with pytest.raises(ValueError, match="same number of rows"):
        rank_gold({"a": ones, "b": torch.ones(3)}, ones, [0, 1])


def test_no_mentions():
    assert rank_gold(torch.ones(0, 2), torch.ones(3, 2), []).shape == (0,)
