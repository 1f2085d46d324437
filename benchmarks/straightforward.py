"""
The units' formulas written down as they stand, a tensor for each pair: what `matching_speed.py` measures against. Nothing else uses it.
"""

import math

import torch

from hf_mel.models.matching_units import Direction, GlobalLocalUnit, MatchingUnit, ReadFeatures, VisionUnit


def score(unit, mentions: ReadFeatures, entities: ReadFeatures) -> torch.Tensor:
    """Scores of all pairs by one unit, of shape `(num_mentions, num_entities)`."""
    kinds = {GlobalLocalUnit: global_local, VisionUnit: vision}
    return kinds.get(type(unit), vectors)(unit, mentions, entities)


def global_local(unit: GlobalLocalUnit, mentions: ReadFeatures, entities: ReadFeatures) -> torch.Tensor:
    """Attention of each pair's tokens, the values gathered for each token of the entity, and then the mean."""
    if unit.kind == "text":
        sides = [(read.text, read.tokens, read.token_mask) for read in (mentions, entities)]
    else:
        sides = [(r.image, r.patches, r.has_image[:, None].expand(r.patches.shape[:2])) for r in (mentions, entities)]
    (whole_m, local_m, mask_m), (whole_e, local_e, mask_e) = sides
    queries, keys, values = unit.query(local_e), unit.key(local_m), unit.value(local_m)
    logits = torch.einsum("eqd,mkd->meqk", queries, keys) / math.sqrt(queries.shape[-1])
    attention = logits.masked_fill(~mask_m[:, None, None], -torch.inf).softmax(dim=-1)
    context = torch.einsum("meqk,mkd->meqd", attention, values)
    context = (context * mask_e[None, :, :, None]).sum(dim=2) / mask_e.sum(dim=1)[None, :, None]
    local = (unit.layer_norm(context) * unit.global_map(whole_e)).sum(dim=-1)
    return (whole_m @ whole_e.mT + local) / 2


def vision(unit: VisionUnit, mentions: ReadFeatures, entities: ReadFeatures) -> torch.Tensor:
    """Both directions, the network run once a pair."""
    there = direction(unit.entity_to_mention, mentions, entities)
    back = direction(unit.mention_to_entity, entities, mentions).mT
    return (there + back) / 2


def direction(network: Direction, keys: ReadFeatures, queries: ReadFeatures) -> torch.Tensor:
    """Scores of shape `(num_keys, num_queries)`."""
    query = network.class_map(queries.image)
    pooled = network.pair_norm(network.token_map(keys.patches).mean(dim=1)[:, None] + query)
    context = network.context_map(pooled)
    gated = torch.tanh(network.gate(context)) * context
    hidden = network.result_norm(gated + network.class_map(keys.image)[:, None])
    return (hidden * network.query_norm(query)).sum(dim=-1)


def vectors(unit: MatchingUnit, mentions: ReadFeatures, entities: ReadFeatures) -> torch.Tensor:
    """The other units compare vectors, and nothing in them depends on the pair."""
    return unit.encode("mention", mentions)["vector"] @ unit.encode("entity", entities)["vector"].mT
