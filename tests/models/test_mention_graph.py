"""Aggregation over similar mentions: edges, threshold, convolutions, bank."""

from dataclasses import replace

import pytest
import torch

from hf_mel.models.matching_units import ReadFeatures
from hf_mel.models.mention_graph import SOFTNESS, MentionGraph, Threshold

from .plain_melov import aggregated_beside, aggregated_in_batch, over_batch
from .test_latent import config, random_read, rows_of, spread


THRESHOLDS = {"kernel": 0.25, "dot": 0.05, "cosine": 0.05, "euclidean": 0.35}


def build(similarity: str = "kernel", **fields) -> MentionGraph:
    fields = {"threshold": THRESHOLDS[similarity], "bandwidth": 0.6, "bank_size": 8, **fields}
    graph = MentionGraph(config(similarity=similarity, **fields))
    for part in (graph.image_layers, graph.patch_layers):
        spread(part)
    graph.config = config(similarity=similarity, **fields)
    return graph.double()


def batches(read: ReadFeatures, size: int):
    for begin in range(0, len(read.text), size):
        rows = slice(begin, begin + size)
        names = ("text", "tokens", "token_mask", "image", "patches", "has_image")
        yield ReadFeatures(*(getattr(read, name)[rows] for name in names))


def assert_rows(found: tuple, expected: list[list]) -> None:
    image, patches, _ = found
    for i, (whole, *places) in enumerate(expected):
        torch.testing.assert_close(image[i], whole)
        torch.testing.assert_close(patches[i], torch.stack(places))


# ---- In training: the mentions of the batch ----


@pytest.mark.parametrize("num_graph_layers", [1, 2, 3])
@pytest.mark.parametrize("use_threshold", [True, False])
@pytest.mark.parametrize("similarity", THRESHOLDS)
def test_batch_by_loops(similarity, use_threshold, num_graph_layers):
    graph = build(similarity, use_threshold=use_threshold, num_graph_layers=num_graph_layers).train()
    read = random_read(7)
    rows = rows_of(read)
    adjacency = torch.tensor(over_batch(graph.config, rows))
    linked = (adjacency > 0).sum().item()
    if use_threshold:
        assert 6 < linked < 42, "some edges are left out, and some are there"
    elif similarity in ("kernel", "euclidean"):
        assert linked == 42, "of the seven one has no picture, to which no edge leads"
    assert_rows(graph(read), aggregated_in_batch(graph, graph.config, rows))
    torch.testing.assert_close(graph(read)[2], (adjacency > 0).any(dim=1))


def test_the_normalised_adjacency_is_symmetric_among_mentions_with_a_picture():
    read = random_read(6)
    read.has_image[:] = True
    adjacency = torch.tensor(over_batch(build().config, rows_of(read)))
    torch.testing.assert_close(adjacency, adjacency.T)


def test_a_high_threshold_leaves_each_mention_to_itself():
    graph, read = build(threshold=0.999).train(), random_read(4)
    read.has_image[:] = True
    hidden = read.image
    for layer in graph.image_layers.layers:
        hidden = torch.relu(layer(hidden))
    torch.testing.assert_close(graph(read)[0], hidden)


def test_numbers_in_place_of_a_missing_picture_have_no_influence():
    graph, read = build().train(), random_read(5)
    before = graph(read)
    read.image = torch.where(read.has_image[:, None], read.image, 1e3)
    read.patches = torch.where(read.has_image[:, None, None], read.patches, 1e3)
    for a, b in zip(before, graph(read), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("similarity", THRESHOLDS)
def test_equal_texts_and_lonely_mentions_have_finite_gradients(similarity):
    graph, read = build(similarity).train(), random_read(4)
    read.text = read.text[:1].repeat(4, 1).requires_grad_()
    for rows in (slice(0, 4), slice(0, 1), slice(1, 2)):
        given = [
            getattr(read, name)[rows] for name in ("text", "tokens", "token_mask", "image", "patches", "has_image")
        ]
        image, patches, _ = graph(ReadFeatures(*given))
        (image.sum() + patches.sum()).backward()
        assert read.text.grad.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in graph.parameters())


@pytest.mark.parametrize("similarity", ["kernel", "euclidean"])
def test_the_unit_of_distance_is_a_constant_to_the_gradient(similarity, monkeypatch):
    graph, read = build(similarity, bandwidth=1.5).train(), random_read(5)
    constant, gradients = graph._unit(read.text[read.has_image]).detach(), []
    for replaced in (False, True):
        if replaced:
            monkeypatch.setattr(graph, "_unit", lambda text: constant)
        text = read.text.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(graph(replace(read, text=text))[0].sum(), text)
        gradients.append(gradient)
    assert gradients[0].any()
    torch.testing.assert_close(*gradients)


# ---- Threshold ----


def test_threshold_is_straight_through():
    threshold = Threshold(0.4, learn=True).double()
    edges = torch.tensor([0.1, 0.4, 0.45, 0.9], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([3.0, 5.0, 7.0, 11.0], dtype=torch.float64)
    kept = threshold(edges)
    torch.testing.assert_close(kept, torch.tensor([0.0, 0.0, 0.45, 0.9]).double())
    (kept * weights).sum().backward()
    # To the edges the step is a constant, to the threshold it is a sigmoid.
    torch.testing.assert_close(edges.grad, torch.tensor([0.0, 0.0, 7.0, 11.0]).double())
    expected = 0.0
    for edge, weight in zip(edges.tolist(), weights.tolist(), strict=True):
        soft = 1 / (1 + torch.tensor((0.4 - edge) / SOFTNESS).double().exp().item())
        expected -= weight * edge * soft * (1 - soft) / SOFTNESS
    assert threshold.value.grad.item() == pytest.approx(expected)


def test_a_threshold_that_is_not_learnt_is_no_parameter():
    learnt, fixed, none = build(), build(learn_threshold=False), build(use_threshold=False)
    assert "threshold.value" in dict(learnt.named_parameters())
    assert not any("threshold" in name for graph in (fixed, none) for name in graph.state_dict())
    read = random_read(6)
    fixed.load_state_dict(learnt.state_dict(), strict=False)
    torch.testing.assert_close(learnt.train()(read)[0], fixed.train()(read)[0])
    with torch.no_grad():
        learnt.threshold.value.fill_(0.99)
    assert not torch.equal(learnt(read)[0], fixed(read)[0])


# ---- The bank ----


@pytest.mark.parametrize("num_graph_layers", [1, 2, 3])
@pytest.mark.parametrize("similarity", THRESHOLDS)
def test_bank_by_loops(similarity, num_graph_layers):
    graph = build(similarity, num_graph_layers=num_graph_layers).eval()
    stored, read = random_read(6), random_read(5)
    graph.fill(batches(stored, 4))
    assert graph.bank_count == 5, "one has no picture"
    bank = rows_of(stored)
    assert_rows(graph(read), [aggregated_beside(graph, graph.config, bank, row) for row in rows_of(read)])


def test_a_full_bank_takes_no_more_and_asks_for_no_more():
    graph, stored, asked = build(bank_size=5).eval(), random_read(12), []

    def ask():
        for batch in batches(stored, 3):
            asked.append(len(batch.text))
            yield batch

    graph.fill(ask())
    assert asked == [3, 3]
    assert graph.bank_count == 4, "of the first five one has no picture"
    torch.testing.assert_close(graph.bank_text[:4], stored.text[[0, 2, 3, 4]])
    torch.testing.assert_close(graph.bank_image[0, :4], stored.image[[0, 2, 3, 4]])


def test_filling_again_forgets_what_was_there():
    graph, fresh, stored = build().eval(), build().eval(), random_read(3)
    fresh.load_state_dict(graph.state_dict())
    graph.fill([random_read(8)])
    graph.fill([stored])
    fresh.fill([stored])
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in graph.state_dict().items())
    graph.fill([])
    assert graph.bank_count == 0 and not graph.bank_text.any() and graph.bank_unit == 1


@pytest.mark.parametrize("bank_size", [0, 8])
@pytest.mark.parametrize("similarity", THRESHOLDS)
def test_without_stored_mentions_each_has_itself(similarity, bank_size):
    graph, read = build(similarity, bank_size=bank_size).eval(), random_read(4)
    if not bank_size:
        graph.fill([random_read(6)])
    image, patches, has_edge = graph(read)
    whole, places = read.image, read.patches
    for one, other in zip(graph.image_layers.layers, graph.patch_layers.layers, strict=True):
        whole, places = torch.relu(one(whole)), torch.relu(other(places))
    rows = read.has_image
    torch.testing.assert_close(image[rows], whole[rows])
    torch.testing.assert_close(patches[rows], places[rows])
    assert torch.equal(has_edge, rows)


def test_mentions_do_not_see_each_other_beside_a_bank():
    graph, read = build().eval(), random_read(6)
    graph.fill([random_read(8)])
    whole = graph(read)
    for i, one in enumerate(batches(read, 1)):
        for together, alone in zip(whole, graph(one), strict=True):
            torch.testing.assert_close(together[i : i + 1], alone)


def test_gradients_by_finite_differences():
    """Beside a bank, whose unit of distance is a constant: of the texts, too. A threshold that is learnt has an estimate."""
    graph = build(bandwidth=1.5, threshold=0.1, learn_threshold=False).eval()
    graph.fill([random_read(8)])
    read, parameters = random_read(3), dict(graph.named_parameters())

    def total(text, image, *values):
        given = replace(read, text=text, image=image)
        image, patches, _ = torch.func.functional_call(graph, dict(zip(parameters, values, strict=True)), (given,))
        return (image**2).sum() + (patches**2).sum()

    leaves = [value.detach().requires_grad_() for value in (read.text, read.image, *parameters.values())]
    assert torch.autograd.gradcheck(total, leaves)
