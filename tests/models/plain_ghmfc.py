"""The formulas of GHMFC for one row, in the plainest form and in double precision: what the tests compare the model with."""

import math

import torch

from tests.models.plain import linear, mean, norm, softmax


def phrases(module, tokens: list[torch.Tensor]) -> list[torch.Tensor]:
    """A phrase at each token: the largest, in each coordinate, of convolutions that see zeros beyond the text."""
    found = []
    for i in range(len(tokens)):
        candidates = []
        for convolution in module.convolutions:
            width = convolution.weight.shape[2]
            total = convolution.bias.clone()
            for k in range(width):
                place = i - (width - 1) // 2 + k
                if 0 <= place < len(tokens):
                    total = total + convolution.weight[:, :, k] @ tokens[place]
            candidates.append([math.tanh(value) for value in total.tolist()])
        found.append(torch.tensor([max(column) for column in zip(*candidates, strict=True)], dtype=torch.float64))
    return found


def guided(module, guides: list[torch.Tensor] | None, shown: list[torch.Tensor]) -> torch.Tensor:
    """The mean over the guides of what each attends to, head by head; without guides, the mean of what is shown."""
    size = module.value.out_features // module.num_heads
    values = [linear(module.value, each) for each in shown]
    heads = []
    for head in range(module.num_heads):
        own = slice(head * size, (head + 1) * size)
        if not guides:
            heads.append(mean([value[own] for value in values]))
            continue
        seen = []
        for guide in guides:
            query = linear(module.query, guide)[own]
            logits = [float(query @ linear(module.key, each)[own]) / math.sqrt(size) for each in shown]
            seen.append(sum(w * value[own] for w, value in zip(softmax(logits), values, strict=True)))
        heads.append(mean(seen))
    return linear(module.output, torch.cat(heads))


def fused(module, text: torch.Tensor, image: torch.Tensor | None) -> tuple[torch.Tensor, float]:
    if image is None:
        return text, 0.0
    share = torch.full_like(text, 0.5)
    if module.gate is not None:
        share = 1 / (1 + torch.exp(-linear(module.gate, torch.cat([text, image]))))
    return share * text + (1 - share) * image, float(sum(1 - share) / len(share))


def levels(head, tokens: list[torch.Tensor]) -> dict[str, list[torch.Tensor]]:
    if not head.guided_text:
        return {}
    mapped = [norm(head.token_norm, linear(head.token_map, token)) for token in tokens]
    return {name: mapped if name == "token" else phrases(head.phrases, mapped) for name in head.guided_text}


def row(head, features, i: int, use_images: bool = True) -> dict:
    """What `HierarchicalFusion` gives for row `i` of the features."""
    tokens = [features.token_features[i, j] for j, counts in enumerate(features.token_mask[i]) if counts]
    has_image = features.has_image is not None and bool(features.has_image[i]) and use_images
    own, patches = levels(head, tokens), None
    if has_image and own:
        patches = [norm(head.patch_norm, linear(head.patch_map, each)) for each in features.patch_features[i]]
    parts = [norm(head.text_feature_norm, features.text_features[i, 0])] if head.use_global else []
    parts += [guided(head.guided_text[name], patches, level) for name, level in own.items()]
    text, image = norm(head.text_norm, linear(head.text_map, torch.cat(parts))), None
    if has_image:
        parts = [norm(head.image_feature_norm, features.image_features[i])] if head.use_global else []
        parts += [guided(head.guided_image[name], level, patches) for name, level in own.items()]
        image = norm(head.image_norm, linear(head.image_map, torch.cat(parts)))
    hidden, weight = fused(head.fusion, text, image) if head.has_vision else (text, 0.0)
    return {"embeds": hidden / math.sqrt(float(hidden @ hidden)), "image_weight": weight, "text": text, "image": image}


def contrast(anchors: list, others: list, same: set[tuple[int, int]], tau: float) -> list[float]:
    """Of rows without a picture, whose anchor or other is `None`: 0. `same`: pairs that are no negatives."""

    def cosine(a, b):
        return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))

    found = []
    for i, anchor in enumerate(anchors):
        if anchor is None or others[i] is None:
            found.append(0.0)
            continue
        there = [j for j, other in enumerate(others) if other is not None and anchors[j] is not None]
        logits = {j: cosine(anchor, others[j]) / tau for j in there if j == i or (i, j) not in same}
        total = sum(math.exp(logit) for logit in logits.values())
        found.append(-math.log(math.exp(logits[i]) / total))
    return found
