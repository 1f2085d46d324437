"""Parts of M3EL (Hu et al., KDD 2025) that it does not share with MIMIC: cross-modal matching and contrastive learning."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_m3el import M3ELConfig
from .matching_units import Encoded, ReadFeatures, VectorUnit
from .numerics import MASKED, at_least_single, unit_vectors


# ---- Cross-modal matching ----


class CrossAttention(nn.Module):
    r"""
    \\(M(p, q) = \mathrm{ReLU}(W\, \mathrm{softmax}(p (W q)^T) q)\\), with one \\(W\\), and no bias, in both places: each of a set
    \\(p\\) takes what it finds in a set \\(q\\).

    Args:
        size (`int`): Size of the vectors of both sets.
    """

    def __init__(self, size: int):
        super().__init__()
        self.shared_map = nn.Linear(size, size, bias=False)

    def forward(self, asking: torch.Tensor, asked: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """
        Args:
            asking (`torch.Tensor` of shape `(batch_size, num_asking, size)`): The set \\(p\\).
            asked (`torch.Tensor` of shape `(batch_size, num_asked, size)`): The set \\(q\\).
            mask (`torch.BoolTensor` of shape `(batch_size, num_asked)`): Which of \\(q\\) count.

        Returns:
            `torch.Tensor` of shape `(batch_size, num_asking, size)`.
        """
        logits = asking @ self.shared_map(asked).mT
        attention = logits.masked_fill(~mask[:, None], MASKED).softmax(dim=-1)
        return torch.relu(self.shared_map(attention @ asked))


class SetAggregation(nn.Module):
    r"""
    One vector from a set: the mean over heads of \\(\mathrm{mean}_i x_i + \lambda\, \mathrm{pool}_k(x)\\). A head pools by
    \\(\sum_i \mathrm{softmax}_i(T_k x_i) \odot x_i\\), each coordinate by itself, or by the maximum. It has no parameters.

    Args:
        temperatures (`list[float]`): \\(T_k\\) of the softmax heads.
        use_max (`bool`): Whether there is a head of the maximum.
        weight (`float`): \\(\lambda\\).
    """

    def __init__(self, temperatures: list[float], use_max: bool, weight: float):
        super().__init__()
        self.temperatures, self.use_max, self.weight = tuple(temperatures), use_max, weight

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`values` of shape `(batch_size, num_values, size)`, of which those in `mask` count -> `(batch_size, size)`."""
        mask = mask[..., None]
        counted = torch.where(mask, values, 0.0)
        mean = counted.sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        heads = [
            ((temperature * values).masked_fill(~mask, MASKED).softmax(dim=1) * counted).sum(dim=1)
            for temperature in self.temperatures
        ]
        if self.use_max:
            heads.append(values.masked_fill(~mask, MASKED).amax(dim=1))
        return mean + self.weight * torch.stack(heads).mean(dim=0) if heads else mean


class _CrossMatchingUnit(VectorUnit):
    """Base class of both directions. The score is 0 where a side has no picture."""

    def __init__(self, config: M3ELConfig):
        super().__init__()
        size = config.matching_size
        self.token_map = nn.Linear(config.text_state_size, size)
        self.attention = CrossAttention(size)
        self.aggregation = SetAggregation(
            config.aggregation_temperatures, config.aggregation_max, config.aggregation_weight
        )
        self.gate = nn.Linear(size, 1)
        self.layer_norm = nn.LayerNorm(size)

    def residual(self, whole: torch.Tensor, context: torch.Tensor, has_image: torch.Tensor) -> Encoded:
        hidden = self.layer_norm(torch.tanh(self.gate(whole)) * whole + context)
        return {"vector": torch.where(has_image[:, None], hidden, 0.0)}


class TextualToVisualUnit(_CrossMatchingUnit):
    r"""
    Tokens \\(T\\) attend to patches \\(V\\). With \\(A\\) the aggregation of a set, \\(a = A(M(T, V))\\), \\(b = A(V)\\) and
    \\(z = \sigma(W_z [a; b])\\), a side is \\(\mathrm{LN}(\tanh(w \cdot t)\, t + z \odot a + (1 - z) \odot b)\\), where \\(t\\)
    is the whole text, mapped to the size of the patches.

    Args:
        config ([`M3ELConfig`]): Sizes and heads.
    """

    def __init__(self, config: M3ELConfig):
        super().__init__(config)
        self.text_map = nn.Linear(config.text_feature_size, config.matching_size)
        self.fusion = nn.Linear(2 * config.matching_size, config.matching_size)

    def encode(self, side: str, read: ReadFeatures) -> Encoded:
        every_patch = torch.ones_like(read.patches[..., 0], dtype=torch.bool)
        found = self.attention(self.token_map(read.tokens), read.patches, every_patch)
        found = self.aggregation(found, read.token_mask)
        seen = self.aggregation(read.patches, every_patch)
        share = torch.sigmoid(self.fusion(torch.cat([found, seen], dim=-1)))
        return self.residual(self.text_map(read.text), share * found + (1 - share) * seen, read.has_image)


class VisualToTextualUnit(_CrossMatchingUnit):
    r"""
    Patches \\(V\\) attend to tokens \\(T\\). With \\(A\\) the aggregation of a set, a side is
    \\(\mathrm{LN}(\tanh(w \cdot v)\, v + A(M(V, T)))\\), where \\(v\\) is the whole picture.

    Args:
        config ([`M3ELConfig`]): Sizes and heads.
    """

    def encode(self, side: str, read: ReadFeatures) -> Encoded:
        every_patch = torch.ones_like(read.patches[..., 0], dtype=torch.bool)
        found = self.attention(read.patches, self.token_map(read.tokens), read.token_mask)
        return self.residual(read.image, self.aggregation(found, every_patch), read.has_image)


# ---- Contrastive learning within a modality ----


def intra_modal_contrast(
    mentions: torch.Tensor,
    entities: torch.Tensor,
    excluded: torch.Tensor,
    temperature: float = 0.03,
    inter_weight: float = 1.0,
    intra_weight: float = 0.8,
) -> torch.Tensor:
    r"""
    Contrast of one modality, in which mentions are also each other's negatives, and so are entities. With cosines
    \\(\cos\\), the mention \\(i\\) as anchor has the logits \\([\alpha \cos(m_i, e_j) / \tau;\; \beta \cos(m_i, m_j) / \tau]\\)
    over all \\(j\\), but for \\(j = i\\) in the second part, and the gold one is \\(\cos(m_i, e_i)\\); with the entity as anchor
    likewise. The loss is the mean of the cross entropies of both anchors.

    Args:
        mentions (`torch.Tensor` of shape `(num_mentions, size)`): Features of the mentions.
        entities (`torch.Tensor` of shape `(num_mentions, size)`): Features of their gold entities.
        excluded (`torch.BoolTensor` of shape `(num_mentions, num_mentions)`): Pairs of rows that are no negatives.
        temperature (`float`, *optional*, defaults to 0.03): \\(\tau\\).
        inter_weight (`float`, *optional*, defaults to 1.0): \\(\alpha\\).
        intra_weight (`float`, *optional*, defaults to 0.8): \\(\beta\\); 0 leaves the second part out.

    Returns:
        `torch.Tensor` of shape `(num_mentions,)`.
    """
    wide = at_least_single(mentions).dtype  # in half precision, cosines divided by 0.03 have few digits left
    mentions, entities = unit_vectors(mentions, wide), unit_vectors(entities, wide)
    own = torch.eye(len(mentions), dtype=torch.bool, device=mentions.device)
    gold = torch.arange(len(mentions), device=mentions.device)
    both = []
    for anchors, others in ((mentions, entities), (entities, mentions)):
        inter = inter_weight / temperature * anchors @ others.mT
        logits = inter.masked_fill(excluded & ~own, -torch.inf)
        if intra_weight:
            intra = intra_weight / temperature * anchors @ anchors.mT
            logits = torch.cat([logits, intra.masked_fill(excluded | own, -torch.inf)], dim=1)
        both.append(F.cross_entropy(logits, gold, reduction="none"))
    return (both[0] + both[1]) / 2
