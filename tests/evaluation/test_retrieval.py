import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mel.evaluation import dot_product, top_candidates, top_candidates_in_blocks


def oracle(scores: np.ndarray, k: int) -> list[list[int]]:
    return [sorted(range(len(row)), key=lambda i: (-row[i], i))[:k] for row in scores.tolist()]


def test_by_hand():
    entities = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.0, 1.0]])
    scores, rows = top_candidates(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), entities, k=3)
    assert rows.tolist() == [[1, 3, 2], [0, 2, 1]]
    torch.testing.assert_close(scores, torch.tensor([[1.0, 1.0, 0.8], [1.0, 0.6, 0.0]]))


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_equals_sorting_everything(data):
    num_mentions, num_entities = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 90))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    spread = data.draw(st.sampled_from([0, 1, 9]))  # 0: every entity ties
    mentions = rng.integers(-spread, spread + 1, (num_mentions, 3))
    entities = rng.integers(-spread, spread + 1, (num_entities, 3))
    k = data.draw(st.integers(1, 95))
    scores, rows = top_candidates(
        torch.tensor(mentions, dtype=torch.float32),
        torch.tensor(entities, dtype=torch.float32),
        k,
        chunk_size=data.draw(st.integers(1, 100)),
        mention_chunk_size=data.draw(st.integers(1, 10)),
    )
    all_scores = mentions @ entities.T
    assert rows.tolist() == oracle(all_scores, k)
    assert scores.tolist() == np.take_along_axis(all_scores, rows.numpy(), axis=1).tolist()


@pytest.mark.parametrize("dim", [3, 64, 256])
def test_real_embeddings_with_copies_give_the_same_bits_whatever_the_chunks(dim):
    torch.manual_seed(dim)
    base = torch.nn.functional.normalize(torch.randn(500, dim), dim=1)
    entities = base[torch.randint(0, 500, (1500,))]
    mentions = torch.nn.functional.normalize(torch.randn(90, dim), dim=1)
    scores, rows = top_candidates(mentions, entities, 20)
    tied = scores[:, 1:] == scores[:, :-1]
    assert tied.sum() > 100  # else the next line says nothing
    assert (rows[:, 1:] > rows[:, :-1])[tied].all()
    for chunk_size, mention_chunk_size in [(1, 90), (17, 11), (320, 1), (1499, 64)]:
        again = top_candidates(mentions, entities, 20, chunk_size=chunk_size, mention_chunk_size=mention_chunk_size)
        assert torch.equal(again[0], scores)
        assert torch.equal(again[1], rows)


def test_infinite_scores_come_last_and_are_no_filling():
    table = torch.full((1, 40), -torch.inf)
    table[0, 33] = 2.0
    table[0, 7] = torch.inf

    def match(mentions, entities):
        return table[:, entities[:, 0].long()]

    for chunk_size in (1, 3, 8, 40):
        rows = torch.arange(40.0)[:, None]
        scores, best = top_candidates(torch.ones(1, 1), rows, 4, match=match, chunk_size=chunk_size)
        assert best.tolist() == [[7, 33, 0, 1]]
        assert scores.tolist() == [[torch.inf, 2.0, -torch.inf, -torch.inf]]


def test_a_nan_anywhere_is_an_error_that_names_the_mention():
    for row in (0, 5, 8):
        entities = torch.ones(9, 2)
        entities[row] = torch.nan
        with pytest.raises(ValueError, match="mention 0 has a NaN score"):
            top_candidates(torch.ones(2, 2), entities, 2)
    mentions = torch.ones(9, 2)
    mentions[6] = torch.nan
    with pytest.raises(ValueError, match="mention 6 has a NaN score"):
        top_candidates(mentions, torch.ones(3, 2), 2, mention_chunk_size=4)


def test_no_block_is_larger_than_asked():
    blocks = []

    def spy(mentions, entities):
        blocks.append((len(mentions), len(entities)))
        return dot_product(mentions, entities)

    top_candidates(torch.randn(70, 4), torch.randn(333, 4), 5, match=spy, chunk_size=50, mention_chunk_size=30)
    assert max(blocks) == (30, 50)


def test_half_precision_is_compared_in_float32():
    mentions = torch.ones(1, 2, dtype=torch.bfloat16)
    entities = torch.tensor([[256.0, 0.0], [256.0, 1.0]], dtype=torch.bfloat16)  # 257 rounds to 256 in bfloat16
    scores, rows = top_candidates(mentions, entities, 2)
    assert rows.tolist() == [[1, 0]]
    assert scores.tolist() == [[257.0, 256.0]]


def test_edges():
    scores, rows = top_candidates(torch.ones(0, 2), torch.ones(3, 2), 2)
    assert scores.shape == rows.shape == (0, 2)
    assert top_candidates(torch.ones(1, 2), torch.ones(3, 2), 9)[1].tolist() == [[0, 1, 2]]
    with pytest.raises(ValueError, match="k must be at least 1"):
        top_candidates(torch.ones(1, 2), torch.ones(3, 2), 0)
    with pytest.raises(ValueError, match="no entities"):
        top_candidates(torch.ones(1, 2), torch.ones(0, 2), 1)


# ---- In blocks ----


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_blocks_give_what_the_whole_gives(data):
    """Whatever the blocks, with a restriction or without."""
    count, k = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 95))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    spread = data.draw(st.sampled_from([0, 1, 9]))
    mentions = torch.from_numpy(rng.integers(-spread, spread + 1, (data.draw(st.integers(0, 9)), 3))).float()
    entities = torch.from_numpy(rng.integers(-spread, spread + 1, (count, 3))).float()
    allowed = torch.from_numpy(rng.random(count) < data.draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])))
    ends = sorted({*data.draw(st.lists(st.integers(1, count), max_size=5)), count})
    blocks = [(first, entities[first:end]) for first, end in zip([0, *ends], ends, strict=False)]
    for mask, rows in ((allowed, allowed.nonzero().flatten()), (None, torch.arange(count))):
        scores, found = top_candidates_in_blocks(mentions, blocks, k, allowed=mask, mention_chunk_size=4)
        assert scores.shape == found.shape == (len(mentions), min(k, len(rows)))
        expected = oracle((mentions @ entities[rows].T).numpy(), k)
        assert found.tolist() == [[int(rows[column]) for column in best] for best in expected]
        assert torch.equal(scores, (mentions @ entities.T).gather(1, found))


def test_blocks_need_not_stay():
    """Each is asked for once, and only what is allowed in it is compared."""
    seen = []

    def blocks():
        for first in range(0, 100, 10):
            yield first, {"embeds": torch.eye(100)[first : first + 10]}

    def match(mentions, entities):
        seen.append(len(entities["embeds"]))
        return mentions["embeds"] @ entities["embeds"].T

    allowed = torch.zeros(100, dtype=torch.bool)
    allowed[[3, 4, 99]] = True
    mentions = {"embeds": torch.eye(100)[[99, 3, 50]]}
    scores, rows = top_candidates_in_blocks(mentions, blocks(), 2, allowed=allowed, match=match)
    assert rows.tolist() == [[99, 3], [3, 4], [3, 4]] and scores.tolist() == [[1, 0], [1, 0], [0, 0]]
    assert seen == [2, 1]


def test_a_nan_in_a_block_names_rows_and_mention():
    entities = torch.ones(6, 2)
    entities[4] = torch.nan
    with pytest.raises(ValueError, match="mention 0 has a NaN score against entity rows 4 to 5"):
        top_candidates_in_blocks(torch.ones(2, 2), [(0, entities[:4]), (4, entities[4:])], 2)
    allowed = torch.tensor([True] * 4 + [False, True])
    assert top_candidates_in_blocks(torch.ones(1, 2), [(0, entities)], 9, allowed=allowed)[1].tolist() == [
        [0, 1, 2, 3, 5]
    ]
