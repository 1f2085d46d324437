"""MELOV, whose model stores mentions, and a training of it."""

import torch

from hf_mel import MELOVConfig, MELOVModel, PGMELTrainer

from .common import TEXT, VISION, make_trainer


def melov(**fields) -> MELOVModel:
    torch.manual_seed(0)
    fields = {"matching_size": 8, "latent_size": 4, "bank_size": 12, "max_text_tokens": 32, **fields}
    return MELOVModel(MELOVConfig(text_config=dict(TEXT), vision_config=dict(VISION), pooling="mean", **fields))


def melov_trainer(folder, model=None, **options) -> PGMELTrainer:
    options = {"negatives": "in_batch", "contrast_weight": 1.0, "unit_weight": 1.0, "triplet_weight": 0.0, **options}
    return make_trainer(folder, model=melov() if model is None else model, **options)


def bank(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.optimiser.graph.named_buffers()}
