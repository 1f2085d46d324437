"""
The formulas of the matching units for one mention and one entity, in the plainest form and in double precision: what the tests
compare the models with.
"""

import math
from dataclasses import dataclass

import torch


@dataclass
class Row:
    """One row as the units read it: normalised; lists of vectors; no picture is `None`."""

    text: torch.Tensor
    tokens: list[torch.Tensor]
    image: torch.Tensor | None
    patches: list[torch.Tensor] | None


def linear(layer, vector):
    total = layer.weight @ vector
    return total if layer.bias is None else total + layer.bias


def norm(layer, vector):
    mean = sum(vector) / len(vector)
    variance = sum((value - mean) ** 2 for value in vector) / len(vector)
    return (vector - mean) / math.sqrt(variance + layer.eps) * layer.weight + layer.bias


def softmax(logits):
    exponentials = [math.exp(logit - max(logits)) for logit in logits]
    return [value / sum(exponentials) for value in exponentials]


def mean(vectors):
    return sum(vectors) / len(vectors)


def attended(query, keys, values):
    weights = softmax([float(query @ key) for key in keys])
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def read(model, features, legacy: bool = False) -> list[Row]:
    """Rows from tower features; `legacy` counts padding and missing pictures."""
    reader, rows = model.reader, []
    for i in range(len(features.text_features)):
        places = [j for j, counts in enumerate(features.token_mask[i]) if counts or legacy]
        image = patches = None
        if features.has_image is not None and (features.has_image[i] or legacy):
            image = norm(reader.image_norm, linear(reader.image_map, features.image_features[i]))
            patches = [norm(reader.patch_norm, linear(reader.patch_map, each)) for each in features.patch_features[i]]
        text = norm(reader.text_norm, features.text_features[i, 0])
        tokens = [norm(reader.token_norm, features.token_features[i, j]) for j in places]
        rows.append(Row(text, tokens, image, patches))
    return rows


# ---- MIMIC ----


def global_local(unit, mention, mention_parts, entity, entity_parts):
    size = unit.query.out_features
    keys = [linear(unit.key, part) / math.sqrt(size) for part in mention_parts]
    values = [linear(unit.value, part) for part in mention_parts]
    context = norm(unit.layer_norm, mean([attended(linear(unit.query, part), keys, values) for part in entity_parts]))
    return (mention @ entity + linear(unit.global_map, entity) @ context) / 2


def text_score(unit, mention: Row, entity: Row):
    return global_local(unit, mention.text, mention.tokens, entity.text, entity.tokens)


def image_score(unit, mention: Row, entity: Row):
    if mention.image is None or entity.image is None:
        return torch.tensor(0.0, dtype=torch.float64)
    return global_local(unit, mention.image, mention.patches, entity.image, entity.patches)


def direction(network, key_image, key_patches, query_image):
    own, query = linear(network.class_map, key_image), linear(network.class_map, query_image)
    pair = norm(network.pair_norm, mean([linear(network.token_map, patch) for patch in key_patches]) + query)
    context = linear(network.context_map, pair)
    gate = torch.tanh(linear(network.gate, context))
    return norm(network.result_norm, gate * context + own) @ norm(network.query_norm, query)


def vision_score(unit, mention: Row, entity: Row):
    if mention.image is None or entity.image is None:
        return torch.tensor(0.0, dtype=torch.float64)
    there = direction(unit.entity_to_mention, mention.image, mention.patches, entity.image)
    back = direction(unit.mention_to_entity, entity.image, entity.patches, mention.image)
    return (there + back) / 2


def cross_score(unit, mention: Row, entity: Row):
    if mention.image is None or entity.image is None:
        return torch.tensor(0.0, dtype=torch.float64)
    sides = []
    for row in (mention, entity):
        text, patches = linear(unit.text_map, row.text), [linear(unit.patch_map, patch) for patch in row.patches]
        context = attended(text, patches, patches)
        sides.append(norm(unit.layer_norm, torch.tanh(linear(unit.gate, text)) * text + context))
    return sides[0] @ sides[1]


# ---- What stands for them where the sides do not interact ----


def even_global_local(unit, mention, mention_parts, entity):
    context = norm(unit.layer_norm, mean([linear(unit.value, part) for part in mention_parts]))
    return (mention @ entity + linear(unit.global_map, entity) @ context) / 2


def even_text_score(unit, mention: Row, entity: Row):
    return even_global_local(unit, mention.text, mention.tokens, entity.text)


def even_image_score(unit, mention: Row, entity: Row):
    if mention.image is None or entity.image is None:
        return torch.tensor(0.0, dtype=torch.float64)
    return even_global_local(unit, mention.image, mention.patches, entity.image)


def closed_vision_score(unit, mention: Row, entity: Row):
    if mention.image is None or entity.image is None:
        return torch.tensor(0.0, dtype=torch.float64)
    total = 0
    for network, key, query in (
        (unit.entity_to_mention, mention.image, entity.image),
        (unit.mention_to_entity, entity.image, mention.image),
    ):
        key, query = linear(network.class_map, key), linear(network.class_map, query)
        total = total + norm(network.result_norm, key) @ norm(network.query_norm, query)
    return total / 2


NEAR_MIMIC = {"text": even_text_score, "vision": closed_vision_score}
NEAR_M3EL = {"text": even_text_score, "image": even_image_score}


# ---- M3EL ----


def cross_attention(shared, asking, asked):
    """M(p, q) = ReLU(W softmax(p (W q)^T) q)"""
    keys = [linear(shared, each) for each in asked]
    return [torch.clamp(linear(shared, attended(each, keys, asked)), min=0) for each in asking]


def aggregated(vectors, heads=(2.0, 2.5, 3.5, 4.5, "max"), weight=1.0):
    average = mean(vectors)
    pooled = []
    for head in heads:
        coordinates = []
        for column in zip(*[vector.tolist() for vector in vectors], strict=True):
            weights = softmax([head * value for value in column]) if head != "max" else None
            coordinates.append(
                max(column) if weights is None else sum(w * v for w, v in zip(weights, column, strict=True))
            )
        pooled.append(average + weight * torch.tensor(coordinates, dtype=torch.float64))
    return mean(pooled) if pooled else average


def textual_to_visual(unit, row: Row, **heads):
    tokens = [linear(unit.token_map, token) for token in row.tokens]
    found = aggregated(cross_attention(unit.attention.shared_map, tokens, row.patches), **heads)
    seen = aggregated(row.patches, **heads)
    share = torch.sigmoid(linear(unit.fusion, torch.cat([found, seen])))
    text = linear(unit.text_map, row.text)
    context = share * found + (1 - share) * seen
    return norm(unit.layer_norm, text * torch.tanh(linear(unit.gate, text)) + context)


def visual_to_textual(unit, row: Row, **heads):
    tokens = [linear(unit.token_map, token) for token in row.tokens]
    context = aggregated(cross_attention(unit.attention.shared_map, row.patches, tokens), **heads)
    return norm(unit.layer_norm, row.image * torch.tanh(linear(unit.gate, row.image)) + context)


def of_both_sides(vector):
    """The score of a unit in which each side is one vector."""

    def score(unit, mention: Row, entity: Row):
        if mention.image is None or entity.image is None:
            return torch.tensor(0.0, dtype=torch.float64)
        return vector(unit, mention) @ vector(unit, entity)

    return score


def intra_modal_contrast(mentions, entities, skipped, tau=0.03, inter=1.0, intra=0.8) -> list[float]:
    """`skipped`: set of pairs of rows that are no negatives of each other."""

    def cosine(a, b):
        return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))

    def anchored(i, own_side, other_side):
        gold = math.exp(inter * cosine(own_side[i], other_side[i]) / tau)
        total = gold
        for j in range(len(own_side)):
            if j != i and (i, j) not in skipped:
                total += math.exp(inter * cosine(own_side[i], other_side[j]) / tau)
                total += math.exp(intra * cosine(own_side[i], own_side[j]) / tau) if intra else 0
        return -math.log(gold / total)

    return [(anchored(i, mentions, entities) + anchored(i, entities, mentions)) / 2 for i in range(len(mentions))]
