import numpy as np
import torch

from hf_mel.negatives import OwnerGuard, below_share_of_gold


def test_a_share_of_the_gold_entitys_score():
    # 0.95 * 0.8 = 0.76; a share of a negative score would be above it, so it counts as it is.
    scores = torch.tensor([[0.75, 0.77, 0.9], [-0.3, -0.2, -0.19]])
    keeps = below_share_of_gold(scores, torch.tensor([0.8, -0.2]), 0.95)
    assert keeps.tolist() == [[True, False, False], [True, True, False]]


def test_owners_that_are_too_similar():
    """Against plain loops, with entities of no, one and several mentions."""
    random = np.random.default_rng(0)
    golds = random.integers(0, 8, 30)
    vectors = torch.from_numpy(random.normal(size=(30, 4))).float()
    mentions, rows = random.permutation(30)[:6], torch.from_numpy(random.integers(0, 12, (6, 9)))
    keeps = OwnerGuard(golds, 12).keeps(mentions, rows, vectors, limit=0.6)
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    for row, mention in enumerate(mentions):
        for column, entity in enumerate(rows[row].tolist()):
            similar = [float(unit[mention] @ unit[owner]) for owner in np.flatnonzero(golds == entity)]
            assert keeps[row, column] == (max(similar, default=-1.0) <= 0.6)
    assert keeps.any() and not keeps.all()
