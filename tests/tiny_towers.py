"""Folders of tiny random towers, complete with tokenizer and image processor, as they come from the Hub."""

import json
from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    PreTrainedModel,
    ViTConfig,
    ViTModel,
)

from tests.common import build_tokenizer


SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
TEXT = {**SMALL, "vocab_size": 99, "max_position_embeddings": 512}
IMAGE = {**SMALL, "image_size": 8, "patch_size": 4}


def save_text_tower(folder: Path, pooling: str | None = None, more_modules: tuple[str, ...] = ()) -> PreTrainedModel:
    """A BERT; with `pooling`, such as `"mean_tokens"`, in the form of sentence-transformers."""
    model = _spread(BertModel(BertConfig(**TEXT)))
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    if pooling is not None:
        modules = [("", "Transformer"), ("1_Pooling", "Pooling"), *((f"2_{name}", name) for name in more_modules)]
        entries = [{"path": path, "type": f"sentence_transformers.models.{name}"} for path, name in modules]
        (folder / "modules.json").write_text(json.dumps(entries), encoding="utf-8")
        (folder / "1_Pooling").mkdir()
        modes = ("cls_token", "mean_tokens", "max_tokens")
        settings = {"word_embedding_dimension": 16} | {f"pooling_mode_{mode}": mode == pooling for mode in modes}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return model


def save_vision_tower(folder: Path) -> PreTrainedModel:
    """A ViT."""
    model = _spread(ViTModel(ViTConfig(**IMAGE)))
    model.save_pretrained(folder)
    _image_processor().save_pretrained(folder)
    return model


def save_clip(folder: Path) -> PreTrainedModel:
    """A CLIP, whose two towers share a space of 6 dimensions."""
    ids = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    model = _spread(CLIPModel(CLIPConfig(text_config={**TEXT, **ids}, vision_config=IMAGE, projection_dim=6)))
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    _image_processor().save_pretrained(folder)
    return model


def _image_processor() -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})


def _spread(model: PreTrainedModel) -> PreTrainedModel:
    """Larger weights, so that texts and pictures differ in their features."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()
