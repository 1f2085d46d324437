"""Every loss of the discriminator on numbers worked out by hand."""

import math

import torch

from hf_mel import losses


def close(actual, expected):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=1e-5, atol=1e-6)


# ---- Discriminator ----


def test_triplet():
    # [0.3 - 0.9 + 0.8]_+ = 0.2 and [0.3 - 0.9 + 0.1]_+ = 0: mean 0.1. Second row: 0.3 - 0.2 + (0.5, 0.4) = 0.6, 0.5.
    scores = torch.tensor([[0.8, 0.1], [0.5, 0.4]])
    close(losses.triplet_loss(torch.tensor([0.9, 0.2]), scores, 0.3), [0.1, 0.55])


def test_triplet_leaves_out_what_is_masked():
    mask = torch.tensor([[True, False], [False, False]])
    scores = torch.tensor([[0.8, 0.9], [5.0, 5.0]])
    close(losses.triplet_loss(torch.tensor([0.9, 0.2]), scores, 0.3, mask), [0.2, 0.0])


def test_triplet_without_negatives_costs_nothing():
    close(losses.triplet_loss(torch.tensor([0.9]), torch.zeros(1, 0), 0.3), [0.0])


def test_in_batch_contrast():
    # Row 0: logits 2 and 0, so -log(e^2 / (e^2 + 1)). Row 1: logits 0 and 1.
    scores = torch.tensor([[1.0, 0.0], [0.0, 0.5]])
    expected = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(-1))]
    close(losses.in_batch_contrast(scores, torch.eye(2).bool(), 0.5), expected)


def test_the_same_entity_is_no_negative():
    scores = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    loss = losses.in_batch_contrast(scores, same, 1.0)
    close(loss[0], math.log(1 + math.exp(-1)))  # the second column is left out
    close(loss[2], math.log(1 + 2 * math.exp(-1)))
