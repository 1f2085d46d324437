"""Sparse scores that are added to those of `match`: ranks and searches are those of the sums."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from hf_mel.evaluation import rank_gold, top_candidates, top_candidates_in_blocks


def oracle(scores: np.ndarray, k: int) -> list[list[int]]:
    return [sorted(range(len(row)), key=lambda i: (-row[i], i))[:k] for row in scores.tolist()]


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_ranks_and_searches_are_those_of_the_sums(data):
    num_mentions, num_entities = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 60))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    mentions = rng.integers(-1, 2, (num_mentions, 3)).astype(np.float32)
    entities = rng.integers(-1, 2, (num_entities, 3)).astype(np.float32)
    present = rng.random((num_mentions, num_entities)) < data.draw(st.sampled_from([0.0, 0.1, 0.9]))
    dense = np.where(present, rng.integers(0, 3, present.shape), 0).astype(np.float32)
    scores, added = mentions @ entities.T + dense, sparse.csr_array(dense)
    sides = torch.from_numpy(mentions), torch.from_numpy(entities)
    sizes = {"mention_chunk_size": data.draw(st.integers(1, 10))}
    chunk = data.draw(st.integers(1, 70))
    k = data.draw(st.integers(1, 65))

    found, rows = top_candidates(*sides, k, added=added, chunk_size=chunk, **sizes)
    assert rows.tolist() == oracle(scores, k)
    assert found.tolist() == np.take_along_axis(scores, rows.numpy(), axis=1).tolist()

    gold = rng.integers(0, num_entities, num_mentions)
    own = scores[np.arange(num_mentions), gold][:, None]
    ranks = 1 + (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2
    assert rank_gold(*sides, gold, added=added, chunk_size=chunk, **sizes).tolist() == ranks.tolist()

    allowed = rng.random(num_entities) < 0.5
    blocks = [(first, sides[1][first : first + chunk]) for first in range(0, num_entities, chunk)]
    for mask, kept in ((torch.from_numpy(allowed), np.flatnonzero(allowed)), (None, np.arange(num_entities))):
        _, rows = top_candidates_in_blocks(sides[0], blocks, k, allowed=mask, added=added, **sizes)
        assert rows.tolist() == [kept[best].tolist() for best in oracle(scores[:, kept], k)]


def test_added_scores_of_another_shape_are_refused():
    sides = torch.ones(2, 3), torch.ones(4, 3)
    for call in (
        lambda added: rank_gold(*sides, [0, 1], added=added),
        lambda added: top_candidates(*sides, 1, added=added),
    ):
        with pytest.raises(
            ValueError, match=r"`added` must have a score for each pair, shape \(2, 4\), but is \(2, 5\)"
        ):
            call(sparse.csr_array((2, 5)))


def test_scores_that_the_match_function_returned_stay_as_they_are():
    table = torch.zeros(1, 3)
    added = sparse.csr_array(np.array([[0.0, 2.0, 0.0]], dtype=np.float32))
    found = top_candidates(torch.ones(1, 1), torch.ones(3, 1), 1, match=lambda *_: table, added=added)
    assert found[1].tolist() == [[1]] and not table.any()
