"""Inputs and tiny random checkpoints for the tests of this folder."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    Siglip2Config,
    Siglip2Model,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTModel,
)


SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
TEXT = {**SMALL, "vocab_size": 99, "max_position_embeddings": 64}
IDS = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
IMAGE = {**SMALL, "image_size": 8, "patch_size": 4}


def side_inputs(rows: int, side: str = "", seed: int = 0, image_size: int = 8) -> dict[str, torch.Tensor]:
    """Random inputs of `rows` examples of unequal lengths, every second one without an image."""
    random = torch.Generator().manual_seed(seed)
    batch = {}
    for view, length in (("", 9), ("surface_", 4)):
        lengths = torch.randint(2, length + 1, (rows, 1), generator=random)
        mask = torch.arange(length)[None] < lengths
        ids = torch.randint(4, 99, (rows, length), generator=random)
        ids[torch.arange(rows), lengths[:, 0] - 1] = 3  # the last token
        batch[f"{view}input_ids"] = ids.masked_fill(~mask, 0)
        batch[f"{view}attention_mask"] = mask.long()
    batch["pixel_values"] = torch.randn(rows, 3, image_size, image_size, generator=random)
    batch["has_image"] = torch.arange(rows) % 2 == 0
    return {f"{side}{name}": value for name, value in batch.items()}


@pytest.fixture
def inputs():
    labels = torch.tensor([0, 3, 1, 2])
    return {**side_inputs(4, "mention_", seed=1), **side_inputs(5, "entity_", seed=2), "labels": labels}


def _clip():
    return CLIPModel(CLIPConfig(text_config={**TEXT, **IDS}, vision_config=IMAGE, projection_dim=6))


def _siglip():
    return SiglipModel(SiglipConfig(text_config={**TEXT, **IDS, "projection_size": 10}, vision_config=IMAGE))


def _siglip2():
    vision = {**SMALL, "num_patches": 4, "patch_size": 4}
    return Siglip2Model(Siglip2Config(text_config={**TEXT, **IDS, "projection_size": 10}, vision_config=vision))


_BUILDERS = {
    "clip": _clip,
    "siglip": _siglip,
    "siglip2": _siglip2,
    "bert": lambda: BertModel(BertConfig(**TEXT)),
    "vit": lambda: ViTModel(ViTConfig(**IMAGE)),
    "dinov2": lambda: Dinov2Model(Dinov2Config(**{k: v for k, v in IMAGE.items() if k != "intermediate_size"})),
}


@pytest.fixture
def checkpoint(tmp_path):
    """`checkpoint("clip")` -> the folder of a tiny random model of this kind, and the model."""

    def build(kind: str):
        model = _BUILDERS[kind]().eval()
        with torch.no_grad():  # so that a weight that was initialised instead of loaded shows
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        folder = tmp_path / "checkpoints" / kind
        model.save_pretrained(folder)
        return folder, model

    return build
