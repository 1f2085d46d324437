"""The formulas of MELOV in the plainest form and in double precision, on the rows of [`tests.models.plain`]."""

import math
from dataclasses import replace

import torch

from .plain import Row, linear, mean, softmax


# ---- Generation ----


def latent(network, vector, noise: float = 0.0):
    """Latent variable with the same noise in each of its numbers, and divergence."""
    mu, log_variance = linear(network.mean, vector), linear(network.log_variance, vector)
    divergence = sum((m**2 + math.exp(v) - v - 1) / 2 for m, v in zip(mu.tolist(), log_variance.tolist(), strict=True))
    return mu + torch.exp(log_variance / 2) * noise, divergence


def generated(generator, row: Row, noise: float = 0.0):
    """Whole picture, patches, divergence."""
    whole, divergence = latent(generator.latent, row.text, noise)
    tokens = [latent(generator.token_latent, token, noise) for token in row.tokens]
    vectors = [vector for vector, _ in tokens]
    patches = []
    for query in generator.patch_queries:
        weights = softmax([dot(query, vector) / math.sqrt(len(vector)) for vector in vectors])
        mixed = sum(weight * vector for weight, vector in zip(weights, vectors, strict=True))
        patches.append(linear(generator.patch_decoder, mixed))
    return linear(generator.decoder, whole), patches, divergence + mean([each for _, each in tokens])


def generation_loss(generator, row: Row, noise: float = 0.0) -> float:
    if row.image is None:
        return 0.0
    image, patches, divergence = generated(generator, row, noise)
    whole = distance(row.image, image) ** 2
    return whole + mean([distance(a, b) ** 2 for a, b in zip(row.patches, patches, strict=True)]) + divergence


# ---- Aggregation ----


def distance(a, b) -> float:
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a.tolist(), b.tolist(), strict=True)))


def dot(a, b) -> float:
    return sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))


def similarity(kind: str, a, b, unit: float) -> float:
    if kind == "dot":
        return max(dot(a, b) / len(a), 0.0)
    if kind == "cosine":
        return max(dot(a, b) / math.sqrt(dot(a, a) * dot(b, b)), 0.0)
    scaled = distance(a, b) / unit
    return math.exp(-(scaled**2) / 2) if kind == "kernel" else 1 / (1 + scaled)


def unit_of(rows: list[Row], bandwidth: float) -> float:
    texts = [row.text for row in rows if row.image is not None]
    pairs = [(a, b) for a in range(len(texts)) for b in range(len(texts)) if a != b]
    found = bandwidth * mean([distance(texts[a], texts[b]) for a, b in pairs]) if pairs else 0.0
    return found or 1.0


def edge(config, a: Row, b: Row, unit: float) -> float:
    """From a mention to another one."""
    if b.image is None:
        return 0.0
    weight = similarity(config.similarity, a.text, b.text, unit)
    return 0.0 if config.use_threshold and weight <= config.threshold else weight


def own_edge(config, row: Row) -> float:
    return 0.0 if row.image is None else similarity(config.similarity, row.text, row.text, 1.0)


def scale(degree: float) -> float:
    return 1 / math.sqrt(degree) if degree > 0 else 0.0


def over_batch(config, rows: list[Row]) -> list[list[float]]:
    """Normalised adjacency."""
    unit = unit_of(rows, config.bandwidth)
    edges = [
        [own_edge(config, a) if i == j else edge(config, a, b, unit) for j, b in enumerate(rows)]
        for i, a in enumerate(rows)
    ]
    degrees = [sum(row) for row in edges]
    return [[scale(degrees[i]) * e * scale(degrees[j]) for j, e in enumerate(row)] for i, row in enumerate(edges)]


def layer(network, weights: list[float], vectors: list) -> torch.Tensor:
    parts = [weight * vector for weight, vector in zip(weights, vectors, strict=True) if weight]
    mixed = sum(parts) if parts else torch.zeros(network.in_features, dtype=torch.float64)
    return torch.clamp(linear(network, mixed), min=0)


def convolved(networks, adjacency: list[list[float]], vectors: list) -> list[list]:
    """Inputs of each layer, and what the last gives."""
    states = [vectors]
    for network in networks:
        states.append([layer(network, weights, states[-1]) for weights in adjacency])
    return states


def pictures(rows: list[Row]) -> list[list]:
    """The whole pictures, and those at each place."""
    places = max(len(row.patches or ()) for row in rows)
    return [
        [row.image for row in rows],
        *([row.patches[p] if row.patches else None for row in rows] for p in range(places)),
    ]


def aggregated_in_batch(graph, config, rows: list[Row]) -> list[list]:
    """For each row the whole picture, then its patches."""
    adjacency = over_batch(config, rows)
    kinds = pictures(rows)
    networks = [graph.image_layers.layers, *[graph.patch_layers.layers] * (len(kinds) - 1)]
    found = [convolved(network, adjacency, kind)[-1] for network, kind in zip(networks, kinds, strict=True)]
    return [list(each) for each in zip(*found, strict=True)]


def aggregated_beside(graph, config, bank: list[Row], row: Row) -> list:
    """The whole picture, then its patches, of a mention that joins a bank alone."""
    bank = [each for each in bank if each.image is not None]
    unit = unit_of(bank, config.bandwidth)
    among = over_batch(config, bank)
    degrees = [
        sum(own_edge(config, a) if i == j else edge(config, a, b, unit) for j, b in enumerate(bank))
        for i, a in enumerate(bank)
    ]
    edges, own = [edge(config, row, each, unit) for each in bank], own_edge(config, row)
    degree = own + sum(edges)
    weights = [scale(degree) * e * scale(d) for e, d in zip(edges, degrees, strict=True)] + [own * scale(degree) ** 2]
    result, kinds = [], pictures([*bank, row])
    for number, kind in enumerate(kinds):
        networks = (graph.image_layers if number == 0 else graph.patch_layers).layers
        states, hidden = convolved(networks, among, kind[:-1]), kind[-1]
        for depth, network in enumerate(networks):
            hidden = layer(network, weights, [*states[depth], hidden])
        result.append(hidden)
    return result


# ---- Fusion, and all of it ----


def fused(contributions, features: dict):
    """`features` by source; `None`: it has nothing."""
    weights = {}
    for name, feature in features.items():
        if feature is not None:
            first, _, second = contributions.weigh[name]
            weights[name] = torch.sigmoid(linear(second, torch.clamp(linear(first, feature), min=0)))
    return sum(weight / sum(weights.values()) * features[name] for name, weight in weights.items())


def optimised(model, rows: list[Row], bank: list[Row] | None, noise: float = 0.0) -> list[Row]:
    """Mentions with optimised pictures; `bank=None`: the graph is that of the rows."""
    config, optimiser = model.config, model.optimiser
    if config.use_aggregation:
        if bank is None:
            found = aggregated_in_batch(optimiser.graph, config, rows)
        else:
            found = [aggregated_beside(optimiser.graph, config, bank, row) for row in rows]
    result = []
    for number, row in enumerate(rows):
        if row.image is None:
            result.append(row)
            continue
        images, patches = {"original": row.image}, [{"original": patch} for patch in row.patches]
        if config.use_generation:
            images["generated"], new, _ = generated(optimiser.generator, row, noise)
            for sources, patch in zip(patches, new, strict=True):
                sources["generated"] = patch
        if config.use_aggregation:
            images["aggregated"], *new = found[number]
            for sources, patch in zip(patches, new, strict=True):
                sources["aggregated"] = patch
        image = fused(optimiser.image_contributions, images)
        result.append(
            replace(row, image=image, patches=[fused(optimiser.patch_contributions, each) for each in patches])
        )
    return result
