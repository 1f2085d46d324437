r"""
Units that compare mentions with entities, each by one aspect (Luo et al., KDD 2023). A unit encodes each side by itself, and
what is left for a pair is made of matrix products: scoring never holds a tensor of pairs x tokens x tokens.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .configuration_units import UnitsConfig
from .numerics import MASKED, at_least_single, layer_norm
from .tower_features import TowerFeatures


Encoded = dict[str, torch.Tensor]

# Numbers of a block of attention: what fits into the cache of a core, and what a step of training may recompute at once.
CACHED, RECOMPUTED = 2**18, 2**23


@dataclass
class ReadFeatures:
    """
    Normalised features of one side, as the units read them.

    Args:
        text (`torch.Tensor` of shape `(batch_size, text_size)`): The whole text.
        tokens (`torch.Tensor` of shape `(batch_size, num_tokens, token_size)`): Its tokens.
        token_mask (`torch.BoolTensor` of shape `(batch_size, num_tokens)`): Which of them count.
        image (`torch.Tensor` of shape `(batch_size, matching_size)`, *optional*): The whole picture.
        patches (`torch.Tensor` of shape `(batch_size, num_patches, matching_size)`, *optional*): Its patches.
        has_image (`torch.BoolTensor` of shape `(batch_size,)`, *optional*): Whether the picture counts.
        extra (`dict[str, torch.Tensor]`): What goes into the encoding beside what the units make of the features.
    """

    text: torch.Tensor
    tokens: torch.Tensor
    token_mask: torch.Tensor
    image: torch.Tensor | None = None
    patches: torch.Tensor | None = None
    has_image: torch.Tensor | None = None
    extra: Encoded = field(default_factory=dict)


class FirstZero(nn.Linear):
    """A linear map that begins as 0; transformers asks a layer, not the module around it, how it begins."""


class PatchTransform(nn.Module):
    r"""
    \\(v'_p = (1 + \gamma(t)) \odot v_p + \beta(t)\\) for each patch of a picture, with \\(\gamma\\) and \\(\beta\\) linear in
    the feature of its text: the text-conditioned part of the patch transform of JD-CCL (Nguyen et al., NAACL 2025). Both
    begin as 0, so that the patches begin as they are.

    Args:
        text_size (`int`): Size of the text feature.
        size (`int`): Size of a patch.
    """

    def __init__(self, text_size: int, size: int):
        super().__init__()
        self.scale, self.shift = FirstZero(text_size, size), FirstZero(text_size, size)

    def forward(self, patches: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """`patches` of shape `(batch_size, num_patches, size)`, `text` of shape `(batch_size, text_size)`."""
        return patches * (1 + self.scale(text)[:, None]) + self.shift(text)[:, None]


class FeatureReader(nn.Module):
    """
    Tower features to what the units read: pictures are mapped to `matching_size`, and each of the four kinds of features has
    a layer norm, which mentions and entities share.

    Args:
        config ([`UnitsConfig`]): Sizes.
    """

    def __init__(self, config: UnitsConfig):
        super().__init__()
        self.legacy_masking = config.legacy_masking
        self.text_norm = nn.LayerNorm(config.text_feature_size)
        self.token_norm = nn.LayerNorm(config.text_state_size)
        self.image_map = None
        if config.vision_config is not None:
            self.image_map = nn.Linear(config.vision_feature_size, config.matching_size)
            self.patch_map = nn.Linear(config.vision_state_size, config.matching_size)
            self.image_norm = nn.LayerNorm(config.matching_size)
            self.patch_norm = nn.LayerNorm(config.matching_size)
        self.patch_transform = None
        if config.vision_config is not None and config.text_conditioned_patches:
            self.patch_transform = PatchTransform(config.text_feature_size, config.matching_size)

    def forward(self, features: TowerFeatures) -> ReadFeatures:
        """`features` of a model that reads states."""
        features = features.to(self.text_norm.weight.dtype)
        text, tokens = features.text_features[:, 0], features.token_features
        mask = torch.ones_like(features.token_mask) if self.legacy_masking else features.token_mask
        read = ReadFeatures(self.text_norm(text), self.token_norm(tokens), mask)
        if self.image_map is not None:
            read.image = self.image_norm(self.image_map(features.image_features))
            read.patches = self.patch_norm(self.patch_map(features.patch_features))
            if self.patch_transform is not None:
                read.patches = self.patch_transform(read.patches, read.text)
            read.has_image = torch.ones_like(features.has_image) if self.legacy_masking else features.has_image
        return read


class MatchingUnit(nn.Module, ABC):
    """One aspect by which pairs are scored."""

    @abstractmethod
    def encode(self, side: str, read: ReadFeatures) -> Encoded:
        """Encodes one side, `"mention"` or `"entity"`, for [`~MatchingUnit.match`]. Rows are independent of each other."""

    @abstractmethod
    def match(self, mentions: Encoded, entities: Encoded) -> torch.Tensor:
        """Scores of all pairs, of shape `(num_mentions, num_entities)`; 0 where a side lacks what is compared."""

    @abstractmethod
    def dense(self, side: str, encoded: Encoded) -> torch.Tensor:
        """
        A vector that stands for each row of one side, of shape `(batch_size, dense_size)`: the product of a mention's and
        an entity's is their score, or near it where the two interact, and 0 where a side lacks what is compared.

        Args:
            side (`str`): `"mention"` or `"entity"`.
            encoded (`dict[str, torch.Tensor]`): What [`~MatchingUnit.encode`] gave for this side.
        """


# ---- Global with local ----


class GlobalLocalUnit(MatchingUnit):
    r"""
    \\(S = (G2G + G2L) / 2\\) with \\(G2G = g_m \cdot g_e\\) and
    \\(G2L = \mathrm{fc}(g_e) \cdot \mathrm{LN}(\mathrm{mean}\, \mathrm{softmax}(Q K^T / \sqrt d) V)\\), where the mean is over
    the entity's tokens, queries are the entity's tokens and keys and values the mention's (MIMIC, text unit; of M3EL also with
    patches for tokens). The mean commutes with the product by \\(V\\), so the rows of the attention are averaged first.

    Args:
        global_size (`int`): Size of what stands for the whole.
        local_size (`int`): Size of a token.
        size (`int`): Size \\(d\\) in which they are compared.
        kind (`str`): `"text"` or `"image"`.
    """

    def __init__(self, global_size: int, local_size: int, size: int, kind: str = "text"):
        super().__init__()
        self.kind = kind
        self.query, self.key, self.value = (nn.Linear(local_size, size) for _ in range(3))
        self.global_map = nn.Linear(global_size, size)
        self.layer_norm = nn.LayerNorm(size)

    def encode(self, side: str, read: ReadFeatures) -> Encoded:
        whole, local, mask = read.text, read.tokens, read.token_mask
        if self.kind == "image":
            whole, local = read.image, read.patches
            mask = read.has_image[:, None].expand(local.shape[:2])
        encoded = {"global": whole, "mask": mask}
        if side == "mention":
            key = self.key(local) / self.key.out_features**0.5
            return encoded | {"key": key, "value": self.value(local)}
        return encoded | {"query": self.query(local), "local": self.global_map(whole)}

    def match(self, mentions: Encoded, entities: Encoded) -> torch.Tensor:
        global_score = mentions["global"] @ entities["global"].mT
        score = (global_score + self._local(mentions, entities)) / 2
        if self.kind == "text":  # a text has a token, if only a special one
            return score
        return torch.where(mentions["mask"][:, :1] & entities["mask"][:, 0], score, 0.0)

    def dense(self, side: str, encoded: Encoded) -> torch.Tensor:
        r"""
        \\(G2G\\) exactly, and \\(G2L\\) as if every token of the entity paid the same attention to all tokens of the
        mention: \\([g_m;\, \mathrm{LN}(\mathrm{mean}\, V)] \cdot [g_e;\, \mathrm{fc}(g_e)] / 2\\).
        """
        if side == "entity":
            vector = torch.cat([encoded["global"], encoded["local"]], dim=-1)
        else:
            weights = encoded["mask"].to(encoded["value"].dtype)
            weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
            context = self.layer_norm((weights[:, None] @ encoded["value"])[:, 0])
            vector = torch.cat([encoded["global"], context], dim=-1) / 2
        return vector if self.kind == "text" else torch.where(encoded["mask"][:, :1], vector, 0.0)

    def _local(self, mentions: Encoded, entities: Encoded) -> torch.Tensor:
        keys, queries = mentions["key"], entities["query"]
        weights = entities["mask"].to(queries.dtype)
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
        # Large and finite: a row without any key then has even weights, and no NaN reaches a gradient.
        bias = torch.zeros_like(mentions["mask"], dtype=keys.dtype).masked_fill(~mentions["mask"], MASKED)
        grad = torch.is_grad_enabled() and (keys.requires_grad or queries.requires_grad)
        limit = RECOMPUTED if grad else CACHED
        parts = _parts(len(queries), limit // max(keys.shape[0] * keys.shape[1] * queries.shape[1], 1))
        columns = []
        for part in parts:
            given = (keys, mentions["value"], bias, queries[part], weights[part], entities["local"][part])
            # In training the attention of many blocks is computed again in the backward pass, never kept.
            again = grad and len(parts) > 1
            columns.append(checkpoint(self._block, *given, use_reentrant=False) if again else self._block(*given))
        return torch.cat(columns, dim=1)

    def _block(self, keys, values, bias, queries, weights, local) -> torch.Tensor:
        num_mentions, num_keys, _ = keys.shape
        num_entities, num_queries, _ = queries.shape
        # One product for all pairs of tokens of the block.
        logits = torch.addmm(bias.flatten(), queries.flatten(0, 1), keys.flatten(0, 1).mT)
        attention = logits.view(num_entities * num_queries, num_mentions, num_keys).softmax(dim=-1)
        attention = weights[:, None] @ attention.view(num_entities, num_queries, num_mentions * num_keys)
        attention = attention.view(num_entities, num_mentions, num_keys).transpose(0, 1)
        context = layer_norm(self.layer_norm, attention @ values)
        return torch.einsum("med,ed->me", context, local)


def _parts(length: int, size: int) -> list[slice]:
    """At least one part, so that no entities have scores of shape `(num_mentions, 0)`."""
    size = max(size, 1)
    return [slice(begin, begin + size) for begin in range(0, max(length, 1), size)]


# ---- Pictures ----


class Direction(nn.Module):
    r"""
    One direction of the vision unit, from a query picture to a key picture:
    \\(p = \mathrm{LN}_1(\bar a_k + b_q)\\) with \\(\bar a_k\\) the mean of \\(\mathrm{fc}_{tok}\\) over the key's patches and
    \\(b = \mathrm{fc}_{cls}(v)\\); \\(c = \mathrm{fc}(p)\\), \\(g = \tanh(w \cdot c)\\),
    \\(h = \mathrm{LN}_2(g c + b_k)\\); the score is \\(h \cdot \mathrm{LN}_3(b_q)\\).

    All of it is affine in vectors of one side but for two norms and the gate, which are a number a pair: the variances and
    products are sums of products of the sides' vectors. So five matrix products stand for a network that would run once a pair.

    Args:
        size (`int`): Size of the vectors.
    """

    def __init__(self, size: int):
        super().__init__()
        self.token_map, self.class_map, self.context_map = (nn.Linear(size, size) for _ in range(3))
        self.gate = nn.Linear(size, 1)
        self.pair_norm, self.result_norm, self.query_norm = (nn.LayerNorm(size) for _ in range(3))

    def as_query(self, read: ReadFeatures) -> torch.Tensor:
        """`(batch_size, 3, size)`: \\(b\\) centred, its share of \\(c\\), and what the result is compared with."""
        own = self.class_map(read.image)
        centred = own - own.mean(dim=-1, keepdim=True)
        return torch.stack([centred, self._context_share(centred), self.query_norm(own)], dim=1)

    def as_key(self, read: ReadFeatures) -> torch.Tensor:
        """`(batch_size, 3, size)`: \\(\\bar a\\) centred, its share of \\(c\\), and \\(b\\)."""
        pooled = self.token_map(read.patches).mean(dim=1)
        centred = pooled - pooled.mean(dim=-1, keepdim=True)
        return torch.stack([centred, self._context_share(centred), self.class_map(read.image)], dim=1)

    def _context_share(self, centred: torch.Tensor) -> torch.Tensor:
        return F.linear(self.pair_norm.weight * centred, self.context_map.weight)

    def forward(self, keys: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        """Scores `(num_keys, num_queries)` from what [`as_key`] and [`as_query`] gave. In single precision at least."""
        dtype = keys.dtype
        keys, queries = at_least_single(keys), at_least_single(queries)
        (a, k_share, own), (b, q_share, aim) = keys.unbind(1), queries.unbind(1)
        size = a.shape[-1]
        deviation = (_square(a)[:, None] + _square(b) + 2 * a @ b.mT) / size
        inverse = (deviation.clamp(min=0) + self.pair_norm.eps).rsqrt()  # of the norm of each pair
        offset = F.linear(self.pair_norm.bias, self.context_map.weight, self.context_map.bias).to(a.dtype)

        gate_weight = self.gate.weight[0].to(a.dtype)
        logit = inverse * ((k_share @ gate_weight)[:, None] + q_share @ gate_weight) + offset @ gate_weight
        gate = torch.tanh(logit + self.gate.bias.to(a.dtype))
        scale = gate * inverse  # of the shares in g * c

        k_share, q_share, own, offset = (
            value - value.mean(dim=-1, keepdim=True) for value in (k_share, q_share, own, offset)
        )
        spread = scale**2 * (_square(k_share)[:, None] + _square(q_share) + 2 * k_share @ q_share.mT)
        spread = spread + gate**2 * _square(offset) + _square(own)[:, None]
        spread = spread + 2 * scale * gate * ((k_share @ offset)[:, None] + q_share @ offset)
        spread = spread + 2 * scale * ((k_share * own).sum(-1)[:, None] + own @ q_share.mT)
        spread = spread + 2 * gate * (own @ offset)[:, None]

        weighted = aim * self.result_norm.weight.to(a.dtype)
        product = (
            scale * (k_share @ weighted.mT + (q_share * weighted).sum(-1))
            + gate * (weighted @ offset)
            + own @ weighted.mT
        )
        result = product * (spread.clamp(min=0) / size + self.result_norm.eps).rsqrt()
        return (result + aim @ self.result_norm.bias.to(a.dtype)).to(dtype)


def _square(vectors: torch.Tensor) -> torch.Tensor:
    return (vectors * vectors).sum(dim=-1)


class VisionUnit(MatchingUnit):
    """
    Two directions with weights of their own, from the entity's picture to the mention's and back; the mean of both (MIMIC).
    0 where a side has no picture.

    Args:
        size (`int`): Size of the vectors.
    """

    def __init__(self, size: int):
        super().__init__()
        self.entity_to_mention, self.mention_to_entity = Direction(size), Direction(size)

    def encode(self, side: str, read: ReadFeatures) -> Encoded:
        to, back = self.entity_to_mention, self.mention_to_entity
        asking, asked = (back, to) if side == "mention" else (to, back)
        return {"query": asking.as_query(read), "key": asked.as_key(read), "has_image": read.has_image}

    def match(self, mentions: Encoded, entities: Encoded) -> torch.Tensor:
        there = self.entity_to_mention(mentions["key"], entities["query"])
        back = self.mention_to_entity(entities["key"], mentions["query"]).mT
        return torch.where(mentions["has_image"][:, None] & entities["has_image"], (there + back) / 2, 0.0)

    def dense(self, side: str, encoded: Encoded) -> torch.Tensor:
        r"""
        With the gate at 0, where the two pictures do not interact: \\(\mathrm{LN}_2(b_k) \cdot \mathrm{LN}_3(b_q)\\) of
        both directions.
        """
        asked = self.entity_to_mention if side == "mention" else self.mention_to_entity
        key, query = asked.result_norm(encoded["key"][:, 2]), encoded["query"][:, 2]
        vector = torch.cat([key / 2, query / 2] if side == "mention" else [query, key], dim=-1)
        return torch.where(encoded["has_image"][:, None], vector, 0.0)


class VectorUnit(MatchingUnit):
    """A unit for which each side is one vector, `encoded["vector"]`, and the score of a pair their product."""

    def match(self, mentions: Encoded, entities: Encoded) -> torch.Tensor:
        return mentions["vector"] @ entities["vector"].mT

    def dense(self, side: str, encoded: Encoded) -> torch.Tensor:
        """The vector: their product is the score exactly."""
        return encoded["vector"]


class CrossUnit(VectorUnit):
    r"""
    Text that attended to its picture, on both sides with the same weights (MIMIC): with text \\(t\\) and patches \\(V\\) mapped
    to one size, \\(h = \mathrm{LN}(\tanh(w \cdot t)\, t + \mathrm{softmax}(t V^T) V)\\); the score is \\(h_m \cdot h_e\\), and 0
    where a side has no picture.

    Args:
        text_size (`int`): Size of the text feature.
        size (`int`): Size of the patches, and of the result.
    """

    def __init__(self, text_size: int, size: int):
        super().__init__()
        self.text_map, self.patch_map = nn.Linear(text_size, size), nn.Linear(size, size)
        self.gate = nn.Linear(size, 1)
        self.layer_norm = nn.LayerNorm(size)

    def encode(self, side: str, read: ReadFeatures) -> Encoded:
        text, patches = self.text_map(read.text), self.patch_map(read.patches)
        attention = (patches @ text[:, :, None])[..., 0].softmax(dim=-1)
        context = (attention[:, None] @ patches)[:, 0]
        hidden = self.layer_norm(torch.tanh(self.gate(text)) * text + context)
        return {"vector": torch.where(read.has_image[:, None], hidden, 0.0)}
