r"""
Features of the pictures of similar mentions: the intra-modality aggregation of MELOV (Sui et al., Findings of ACL 2024), a
graph convolution over mentions whose texts are near each other.
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_melov import MELOVConfig
from .matching_units import ReadFeatures
from .numerics import at_least_single, unit_vectors


SOFTNESS = 0.1  # temperature of the sigmoid which gives the threshold its gradient


class Threshold(nn.Module):
    r"""
    Edges \\(A_{ij} \le \tau\\) are 0, the others stay. The step has no gradient, so \\(\tau\\) learns by a straight-through
    estimate: forward the step, backward the derivative of \\(\sigma((A_{ij} - \tau) / 0.1)\\). It concerns \\(\tau\\) alone:
    to the edges the step is a constant.

    Args:
        value (`float`): Where \\(\tau\\) begins.
        learn (`bool`): Whether it is a parameter.
    """

    def __init__(self, value: float, learn: bool):
        super().__init__()
        self.first = float(value)
        self.value = nn.Parameter(torch.tensor(self.first)) if learn else None

    def forward(self, edges: torch.Tensor) -> torch.Tensor:
        """`edges` of any shape -> what is left of them."""
        value = self.first if self.value is None else self.value.to(edges.dtype)
        kept = (edges > value).to(edges.dtype)
        if self.value is not None and torch.is_grad_enabled():
            soft = torch.sigmoid((edges.detach() - value) / SOFTNESS)
            kept = kept + soft - soft.detach()
        return edges * kept


class GraphConvolutions(nn.Module):
    r"""Layers \\(H' = \mathrm{ReLU}(A H W + b)\\); \\(H\\) has a row for each mention, \\(A\\) is the normalised adjacency."""

    def __init__(self, size: int, num_layers: int):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(size, size) for _ in range(num_layers))

    def forward(self, hidden: torch.Tensor, adjacency: torch.Tensor) -> list[torch.Tensor]:
        """`hidden` of shape `(num_mentions, ..., size)` -> inputs of each layer, and the result as the last."""
        states = [hidden]
        for layer in self.layers:
            states.append(F.relu(layer(_mixed(adjacency, states[-1]))))
        return states

    def beside(
        self, hidden: torch.Tensor, own: torch.Tensor, adjacency: torch.Tensor, bank: torch.Tensor
    ) -> torch.Tensor:
        """
        The result for mentions which do not see each other.

        Args:
            hidden (`torch.Tensor` of shape `(num_mentions, ..., size)`): Their features.
            own (`torch.Tensor` of shape `(num_mentions,)`): Weight of the edge of each to itself.
            adjacency (`torch.Tensor` of shape `(num_mentions, bank_size)`): Their edges to those of the bank.
            bank (`torch.Tensor` of shape `(num_layers, bank_size, ..., size)`): The bank's inputs of each layer.
        """
        own = own.to(hidden.dtype).view(-1, *[1] * (hidden.dim() - 1))
        for layer, stored in zip(self.layers, bank, strict=True):
            hidden = F.relu(layer(own * hidden + _mixed(adjacency, stored)))
        return hidden


def _mixed(adjacency: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    mixed = adjacency.to(hidden.dtype) @ hidden.flatten(1)
    return mixed.view(len(adjacency), *hidden.shape[1:])


class MentionGraph(nn.Module):
    r"""
    Aggregated features \\(v^{GA}\\) of the whole picture and \\(v^{LA}\\) of its patches, by two GCNs over one graph of mentions.

    **Edges.** By the distance \\(d\\) of the texts' features, \\(t\\) being those which the units read: `"kernel"`
    \\(\exp(-d^2 / 2 b^2)\\); `"euclidean"` \\(1 / (1 + d / b)\\); `"cosine"` and `"dot"` the cosine and \\(t_i \cdot t_j\\)
    divided by their size, 0 where these are negative. \\(b\\) is `bandwidth` times the mean distance of the mentions of the
    graph, a constant to the gradient. Then the [`Threshold`], except for the edge of a mention to itself, and
    \\(D^{-1/2} A D^{-1/2}\\). A mention without a picture receives and gives nothing: no edge leads to it. Patches are
    aggregated place by place.

    **Which mentions.** In training mode those of the batch. In evaluation mode each mention joins, alone, the mentions of
    a bank: it reads them, and they do not read it, so that its score depends on nothing else in the batch. The bank is
    state of the model, made by [`~MELOVModel.fill_bank`] and saved with it: texts, and the pictures as they enter each layer.
    Before it holds anything a mention has itself as the only neighbour. The paper leaves open what the neighbours of a
    mention are when the model is used.

    Args:
        config ([`MELOVConfig`]): Sizes, similarity, threshold.
    """

    def __init__(self, config: MELOVConfig):
        super().__init__()
        self.similarity, self.bandwidth = config.similarity, float(config.bandwidth)
        self.threshold = Threshold(config.threshold, config.learn_threshold) if config.use_threshold else None
        self.image_layers, self.patch_layers = (
            GraphConvolutions(config.matching_size, config.num_graph_layers) for _ in range(2)
        )
        shape = config.num_graph_layers, config.bank_size
        self.register_buffer("bank_text", torch.zeros(config.bank_size, config.text_feature_size))
        self.register_buffer("bank_image", torch.zeros(*shape, config.matching_size))
        self.register_buffer("bank_patches", torch.zeros(*shape, config.num_patches, config.matching_size))
        self.register_buffer("bank_degree", torch.ones(config.bank_size))
        self.register_buffer("bank_unit", torch.ones(()))  # the distance b
        self.register_buffer("bank_count", torch.zeros((), dtype=torch.long))

    def forward(self, read: ReadFeatures) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Aggregated whole picture `(batch_size, size)`, patches `(batch_size, num_patches, size)`, and who had an edge."""
        with torch.autocast(read.text.device.type, enabled=False):
            text = at_least_single(read.text)
            own = self._own(text) * read.has_image
            if self.training:
                adjacency, degree, _ = self._within(text, own, read.has_image)
            else:
                adjacency, degree = self._to_bank(text, own)
        if self.training:
            states = self.image_layers(read.image, adjacency), self.patch_layers(read.patches, adjacency)
            return states[0][-1], states[1][-1], degree > 0
        own = own * _inverse_root(degree) ** 2
        image = self.image_layers.beside(read.image, own, adjacency, self.bank_image)
        patches = self.patch_layers.beside(read.patches, own, adjacency, self.bank_patches)
        return image, patches, degree > 0

    # ---- Edges ----

    def _within(
        self, text: torch.Tensor, own: torch.Tensor, has_image: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Normalised adjacency of these mentions, their degrees, and their unit of distance."""
        unit = self._unit(text[has_image])
        edges = self._edges(text, text, unit) * has_image
        edges = torch.where(torch.eye(len(text), dtype=torch.bool, device=text.device), own, edges)
        degree = edges.sum(dim=1)
        inverse = _inverse_root(degree)
        return inverse[:, None] * edges * inverse, degree, unit

    def _to_bank(self, text: torch.Tensor, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised adjacency to the bank, and degrees."""
        edges = self._edges(text, at_least_single(self.bank_text), at_least_single(self.bank_unit))
        edges = edges * (torch.arange(edges.shape[1], device=edges.device) < self.bank_count)
        degree = own + edges.sum(dim=1)
        inverse, bank_inverse = _inverse_root(degree), _inverse_root(at_least_single(self.bank_degree))
        return inverse[:, None] * edges * bank_inverse, degree

    def _edges(self, text: torch.Tensor, others: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        if self.similarity == "dot":
            edges = (text @ others.mT / text.shape[-1]).clamp(min=0)
        elif self.similarity == "cosine":
            edges = (unit_vectors(text) @ unit_vectors(others).mT).clamp(min=0)
        else:
            distances = _distances(text, others) / unit
            edges = torch.exp(-(distances**2) / 2) if self.similarity == "kernel" else 1 / (1 + distances)
        return edges if self.threshold is None else self.threshold(edges)

    def _own(self, text: torch.Tensor) -> torch.Tensor:
        """Similarity of each mention with itself."""
        if self.similarity == "dot":
            return (text**2).sum(dim=-1) / text.shape[-1]
        return torch.ones_like(text[:, 0])

    @torch.no_grad()
    def _unit(self, text: torch.Tensor) -> torch.Tensor:
        """`bandwidth` times the mean distance between two mentions; 1 where there are no two, or all are equal."""
        pairs = max(len(text) * (len(text) - 1), 1)
        unit = self.bandwidth * _distances(text, text).sum() / pairs
        return torch.where(unit > 0, unit, 1.0)

    # ---- The bank ----

    @torch.no_grad()
    def fill(self, mentions: Iterable[ReadFeatures]) -> None:
        """Put the first mentions in place of those that the bank holds; those without a picture have nothing to give."""
        size, taken, found = len(self.bank_text), 0, []
        for read in mentions if size else ():
            rows = read.has_image[: size - taken].nonzero().flatten()
            found.append((read.text[rows], read.image[rows], read.patches[rows]))
            taken += len(read.text)
            if taken >= size:
                break
        for buffer in (self.bank_text, self.bank_image, self.bank_patches):
            buffer.zero_()
        self.bank_degree.fill_(1.0)
        self.bank_unit.fill_(1.0)
        text, image, patches = (torch.cat(part) for part in zip(*found, strict=True)) if found else ((), (), ())
        self.bank_count.fill_(len(text))
        if not len(text):
            return
        with torch.autocast(text.device.type, enabled=False):
            text = at_least_single(text)
            has_image = torch.ones(len(text), dtype=torch.bool, device=text.device)
            adjacency, degree, unit = self._within(text, self._own(text), has_image)
        self.bank_text[: len(text)] = text.to(self.bank_text.dtype)
        self.bank_degree[: len(text)] = degree.to(self.bank_degree.dtype)
        self.bank_unit.copy_(unit)
        layers = ((self.bank_image, self.image_layers, image), (self.bank_patches, self.patch_layers, patches))
        for bank, convolutions, hidden in layers:
            for stored, state in zip(bank, convolutions(hidden, adjacency)[:-1], strict=True):
                stored[: len(text)] = state.to(stored.dtype)


def _distances(text: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    # Not by a matrix product: what that leaves of the distance of equal texts is rounding.
    return torch.cdist(text, others, compute_mode="donot_use_mm_for_euclid_dist")


def _inverse_root(degree: torch.Tensor) -> torch.Tensor:
    """One divided by the root of the degree; 0 of a mention without an edge."""
    has_edge = degree > 0
    return torch.where(has_edge, torch.where(has_edge, degree, 1.0).rsqrt(), 0.0)
