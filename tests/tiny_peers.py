"""Tiny models made of matching units, on the towers and the data of `tests/training/common.py`."""

import torch

from hf_mel import PGMELProcessor
from hf_mel.models import LINKING_MODELS, UnitsModel
from tests.tiny_recipe import tiny_recipe
from tests.training.common import TEXT, VISION, tiny_processor


PEERS = ("mimic", "m3el", "melov")
CONFIG = {"matching_size": 6, "max_text_tokens": 32}
# With which they were published, in so far as it is no matter of size.
TRAINING = {
    "negatives": "in_batch",
    "contrast_weight": 1.0,
    "unit_weight": 1.0,
    "contrast_temperature": 1.0,
    "generator_init": "random",
    "generator_type": "both",
}


def tiny_peer(name: str, seed: int = 0, **config) -> UnitsModel:
    """A random model; one with a bank has stored nothing yet."""
    torch.manual_seed(seed)
    model_class = LINKING_MODELS[name]
    fields = {"text_config": dict(TEXT), "vision_config": dict(VISION), "pooling": "mean"} | CONFIG | config
    return model_class(model_class.config_class(**fields))


def peer_processor() -> PGMELProcessor:
    """Reads the one view of the text that units compare."""
    processor = tiny_processor()
    return PGMELProcessor(processor.image_processor, processor.tokenizer, text_views="context", max_length=32)


def peer_recipe(name: str, output_dir, negatives: str = "in_batch") -> dict:
    """The recipe of a run in seconds, free to be changed."""
    recipe = tiny_recipe(output_dir)
    recipe["model"]["type"] = name
    del recipe["model"]["config"]["projection_size"]
    recipe["model"]["config"] |= CONFIG
    recipe["model"]["processor"] = {"max_length": 32}
    recipe["training"] |= {**TRAINING, "negatives": negatives}
    return recipe
