import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mel.negatives import PoolBuilder, row_uniforms
from hf_mel.negatives.pools import repeated, share_counts
from tests.processes import run_python


def make_builder(size=8, shares=None, num_entities=50, num_mentions=20, identity=None, seed=0) -> PoolBuilder:
    identity = np.arange(num_entities) if identity is None else identity
    return PoolBuilder(np.arange(num_mentions), identity, size, shares or {"uniform": 1.0}, seed)


def test_share_counts_by_hand():
    assert share_counts({"dense": 0.5, "lexical": 0.25, "uniform": 0.25}, 64) == {
        "dense": 32,
        "lexical": 16,
        "uniform": 16,
    }
    # 3.5, 1.75 and 1.75 of 7: the larger remainders get the two that rounding down left over.
    assert share_counts({"dense": 0.5, "lexical": 0.25, "uniform": 0.25}, 7) == {
        "dense": 3,
        "lexical": 2,
        "uniform": 2,
    }


@given(st.integers(1, 200), st.lists(st.floats(0.01, 1), min_size=1, max_size=4))
def test_share_counts_add_up(size, weights):
    names = ("dense", "lexical", "attribute", "uniform")
    counts = share_counts({n: w / sum(weights) for n, w in zip(names, weights, strict=False)}, size)
    assert sum(counts.values()) == size and min(counts.values()) >= 0


@pytest.mark.parametrize(("shares", "message"), [({"dens": 1.0}, "dens"), ({"uniform": 0.5}, "sum to 1")])
def test_bad_shares(shares, message):
    with pytest.raises(ValueError, match=message):
        share_counts(shares, 4)


def test_a_mention_has_its_pool_whatever_the_batch():
    builder = make_builder()
    together = builder.build(np.arange(20), epoch=3)
    for mention in (0, 7, 19):
        alone = builder.build(np.array([mention]), epoch=3)
        assert alone.rows[0].tolist() == together.rows[mention].tolist()
    assert together.rows[5].tolist() == builder.build(np.array([9, 5]), epoch=3).rows[1].tolist()


def test_another_epoch_or_seed_gives_another_pool():
    rows = {
        tuple(make_builder(seed=seed).build(np.array([4]), epoch).rows[0].tolist())
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(rows) == 4


def test_pools_are_the_same_in_another_process(tmp_path):
    code = (
        "import numpy as np; from hf_mel.negatives import row_uniforms;"
        "print(row_uniforms(3, 1, np.array([2, 5]), 'pool/uniform', 3).tolist())"
    )
    done = run_python(code, env=dict(os.environ), cwd=tmp_path)
    assert done.stdout.strip() == str(row_uniforms(3, 1, np.array([2, 5]), "pool/uniform", 3).tolist())


def test_gold_same_identity_and_repetitions_are_masked():
    identity = np.arange(6)
    identity[3] = identity[0]  # entity 3 is entity 0 by another id
    builder = make_builder(size=64, num_entities=6, num_mentions=1, identity=identity)
    pool = builder.build(np.array([0]), epoch=0)
    kept = pool.rows[0][pool.mask[0]].tolist()
    assert sorted(kept) == [1, 2, 4, 5]


def test_repeated_by_hand():
    rows = np.array([[3, 1, 3, 3], [2, 2, 1, 0]])
    assert repeated(rows).tolist() == [[False, False, True, True], [False, True, False, False]]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(0, 5))
def test_each_source_gives_its_share(size, epoch):
    builder = make_builder(size=size, shares={"dense": 0.5, "uniform": 0.5}, num_entities=1000)
    dense = np.arange(100, 140)[None].repeat(20, axis=0)
    builder.set_source("dense", dense)
    rows = builder.build(np.arange(20), epoch).rows.numpy()
    count = builder.counts["dense"]
    assert np.isin(rows[:, :count], dense[0]).all()
    assert all(len(set(row[:count])) == count for row in rows)  # drawn without replacement


def test_a_short_list_is_filled_with_uniform_entities():
    builder = make_builder(size=4, shares={"lexical": 1.0})
    builder.set_source("lexical", np.array([[7, -1, -1]] * 50))
    pool = builder.build(np.arange(3), epoch=0)
    assert (pool.rows == 7).any(dim=1).all()
    assert pool.rows.min() >= 0 and pool.rows.shape == (3, 4)


def test_a_source_without_lists_is_an_error():
    with pytest.raises(ValueError, match="'dense', whose lists were not set"):
        make_builder(shares={"dense": 1.0}).build(np.array([0]), 0)
    with pytest.raises(ValueError, match="unknown source"):
        make_builder().set_source("uniform", np.zeros((2, 3)))


def test_uniform_is_uniform():
    builder = make_builder(size=10, num_entities=10, num_mentions=1)
    rows = np.concatenate([builder.build(np.array([0]), epoch).rows.numpy().ravel() for epoch in range(400)])
    counts = np.bincount(rows, minlength=10)  # 4000 draws, 400 each, standard deviation 19
    assert abs(counts - 400).max() < 100
