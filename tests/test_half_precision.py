"""Models in half precision: rows of zeros, and entities without pictures, give finite scores and gradients."""

import copy
from functools import cache

import pytest
import torch
from transformers import PreTrainedModel

from hf_mel import (
    EntityIndex,
    GHMFCConfig,
    GHMFCModel,
    KnowledgeBase,
    Linker,
    M3ELConfig,
    M3ELModel,
    MELOVConfig,
    MELOVModel,
    MELProcessor,
    MIMICConfig,
    MIMICModel,
    PGMELConfig,
    PGMELModel,
    SingleStreamConfig,
    SingleStreamModel,
    TowerFeatures,
)
from hf_mel.models.encodings import flatten
from hf_mel.models.fusion import FUSIONS
from tests.test_single_stream import TOWER
from tests.training.common import TEXT, VISION, tiny_data, tiny_processor


HALF = [torch.float16, torch.bfloat16]
TOWERS = {"text_config": TEXT, "vision_config": VISION, "pooling": "mean"}
BAG = {"text_config": {"model_type": "bag_of_tokens", "vocab_size": 1000, "hidden_size": 16}, "pooling": "pooler"}
STATES = {**TOWERS, "max_text_tokens": 32}
UNITS = {**STATES, "matching_size": 8}
PGMEL = {**TOWERS, "projection_size": 8}
KINDS = {
    **{f"pgmel {fusion}": (PGMELModel, PGMELConfig, PGMEL | {"fusion": fusion}) for fusion in FUSIONS},
    **{
        f"pgmel views {fusion}": (PGMELModel, PGMELConfig, PGMEL | {"view_fusion": fusion})
        for fusion in ("gated", "concat")
    },
    "pgmel bag": (PGMELModel, PGMELConfig, PGMEL | BAG | {"fusion": "late"}),
    "mimic": (MIMICModel, MIMICConfig, UNITS | {"text_conditioned_patches": True}),
    "m3el": (M3ELModel, M3ELConfig, UNITS | {"cross_matching": "both"}),
    **{
        f"melov {similarity}": (
            MELOVModel,
            MELOVConfig,
            UNITS | {"bank_size": 8, "similarity": similarity, "fill_missing_images": True},
        )
        for similarity in ("kernel", "cosine")
    },
    "ghmfc": (
        GHMFCModel,
        GHMFCConfig,
        STATES | {"projection_size": 8, "coattention_size": 8, "num_coattention_heads": 2},
    ),
    "single_stream": (SingleStreamModel, SingleStreamConfig, {"tower_config": TOWER}),
}


def tiny(kind: str, dtype: torch.dtype) -> PreTrainedModel:
    torch.manual_seed(0)
    model_class, config_class, fields = KINDS[kind]
    return model_class(config_class(**copy.deepcopy(fields))).to(dtype)


@cache
def half_without_pictures() -> KnowledgeBase:
    def change(row: dict, number: int) -> dict:
        return {"image": None, "image_status": "none"} if number % 2 else {}

    return KnowledgeBase(tiny_data().entities.dataset.map(change, with_indices=True))


def zeros(model: PreTrainedModel, dtype: torch.dtype) -> TowerFeatures:
    """
    Features of three rows: of zeros with a picture, of zeros without one, and of something with a picture. In float16 the
    units get no picture of zeros: several layer norms in turn, each 316 times as steep there, are beyond its numbers.
    """
    shown = dtype is not torch.float16 or not hasattr(model, "units")
    config, given = model.config, torch.tensor([0.0, 0.0, 1.0], dtype=dtype)
    views = 2 if config.text_views == "both" else 1
    features = {"text_features": torch.ones(3, views, config.text_feature_size, dtype=dtype).cumsum(-1)}
    if model.sees_pictures and not model.reads_together:
        features["image_features"] = torch.ones(3, config.vision_feature_size, dtype=dtype).cumsum(-1)
        features["has_image"] = torch.tensor([shown, False, True])
    if model.reads_states:
        features["token_features"] = torch.ones(3, config.max_text_tokens, config.text_state_size, dtype=dtype)
        features["patch_features"] = torch.ones(3, config.num_patches, config.vision_state_size, dtype=dtype)
        features["token_mask"] = torch.arange(config.max_text_tokens).expand(3, -1) < torch.tensor([[1], [0], [5]])
    return TowerFeatures(
        **{
            name: (value * given.view(3, *[1] * (value.dim() - 1))).requires_grad_() if value.dtype is dtype else value
            for name, value in features.items()
        }
    )


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_zeros(kind, dtype):
    """In training mode, forward and backward, with the losses of the model's own."""
    model = tiny(kind, dtype).train()
    sides = {side: zeros(model, dtype) for side in ("mention", "entity")}
    mentions, entities = (model.encode(side, features) for side, features in sides.items())
    scores, units = model.match_with_units(mentions, entities)
    losses = model.extra_losses(mentions, entities, torch.eye(3, dtype=torch.bool)).values()
    outputs = [*flatten(mentions).values(), *flatten(entities).values(), scores, *units.values(), *losses]
    outputs = [value for value in outputs if value.is_floating_point()]
    assert all(value.isfinite().all() for value in outputs)
    labels = torch.tensor([1, 2, 0])
    every = [each.float() / model.config.softmax_temperature for each in (scores, *units.values())]
    total = sum(torch.nn.functional.cross_entropy(each, labels) for each in every)
    (total + sum(each.float().sum() for each in losses)).backward()
    named = dict(model.named_parameters())
    named |= {f"{side} {name}": value for side, given in sides.items() for name, value in given.items()}
    gradients = {name: value.grad for name, value in named.items() if value.grad is not None}
    assert gradients and not [name for name, value in gradients.items() if not value.isfinite().all()]
    with torch.no_grad():
        stored = [model.eval().encode(side, features) for side, features in sides.items()]
    assert all(
        value.isfinite().all() for each in stored for value in flatten(each).values() if value.is_floating_point()
    )


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_links_where_entities_have_no_pictures(kind, dtype):
    model, data = tiny(kind, dtype).eval(), tiny_data()
    given = tiny_processor()
    processor = MELProcessor(
        given.image_processor, given.tokenizer, text_views=model.config.text_views, max_length=32, surface_max_length=8
    )
    pictures = [image for image in data.mentions["train"]["image"][:] if image is not None][:2]
    model.fill_bank([model.extract(**processor.mentions(["painter", "river"], images=pictures))])
    entities = half_without_pictures()
    assert entities.image_count == 10 == len(entities) / 2
    index = EntityIndex.build(model, processor, entities)
    rows = data.mentions["test"].select(range(4))
    found = Linker(model, processor, index).link(
        rows["mention"][:], rows["text"][:], image=list(rows["image"][:]), top_k=20
    )
    for answer in found:
        scores = torch.tensor([each.score for each in answer.candidates])
        assert len(scores) == 20 and scores.isfinite().all() and len(scores.unique()) > 1
