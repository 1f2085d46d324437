"""Encodings of mentions and entities: of a batch of one side, and of all rows of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from transformers.utils.logging import tqdm

from ..models import Encodings, MatchingModel, TowerFeatures
from ..models.encodings import ALONE, fill_rows, map_tensors
from .inputs import SideInputs, length_buckets, read_ahead


def to_device(inputs: Encodings, device: torch.device) -> Encodings:
    """Moves each tensor of inputs or encodings."""
    return map_tensors(lambda value: value.to(device), inputs)


def encode_modalities(model: MatchingModel, side: str, features: TowerFeatures) -> Encodings:
    """
    Encodings of one side and, for a model with a vision tower, what is compared of the text alone and of the image alone:
    `alone`, with `text`, `image`, and the mask `has_image` of the rows in which `image` counts.
    """
    encoded = model.encode(side, features)
    if features.image_features is None:
        return encoded

    def compared(part: TowerFeatures) -> Encodings:
        own = model.encode(side, part)
        if model.vector_name is not None:
            return {model.vector_name: own[model.vector_name]}
        return {name: value for name, value in own.items() if name != model.proposal_name}

    of_text = ("text_features", "token_features")
    text = TowerFeatures(**(dict(features) | {"has_image": torch.zeros_like(features.has_image)}))
    image = TowerFeatures(**{k: torch.zeros_like(v) if k in of_text else v for k, v in features.items()})
    alone = {"text": compared(text), "image": compared(image), "has_image": features.has_image}
    return {**encoded, ALONE: alone}


# ---- All rows ----


@contextmanager
def evaluation_mode(model: MatchingModel) -> Iterator[None]:
    """Evaluation mode within the block; restores the mode afterwards."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@torch.no_grad()
def encode_all(
    model: MatchingModel,
    inputs: SideInputs,
    batch_size: int = 256,
    with_features: bool = False,
    progress: bool = False,
    process: tuple[int, int] = (0, 1),
    reduce: Callable[[torch.Tensor], torch.Tensor] | None = None,
    num_workers: int = 0,
) -> tuple[Encodings, TowerFeatures | None]:
    """
    Encodes every row of one side, in evaluation mode.

    Args:
        inputs (`SideInputs`): [`MentionInputs`], [`EntityInputs`] or a [`FeatureCache`].
        with_features (`bool`, *optional*, defaults to `False`):
            Also return the features of the towers, without the states of tokens and patches.
        process (`tuple[int, int]`, *optional*, defaults to `(0, 1)`):
            Index and number of the processes which share the work.
        reduce (`Callable`, *optional*): Sums a tensor over the processes.
        num_workers (`int`, *optional*, defaults to 0): Processes that read inputs ahead: see [`read_ahead`].

    Returns:
        `tuple`: the encodings of all rows, in their order, on the CPU, and the tower features or `None`.
    """
    if not len(inputs):
        raise ValueError(f"there is no {inputs.side} to encode")
    collected: Encodings = {}
    index, count = process
    buckets = length_buckets(inputs.lengths(), len(inputs), batch_size)
    # A process without a share encodes a row of another's: it has to know the shapes, to sum zeros of them.
    share = buckets[index::count] or [buckets[0][:1]]
    with evaluation_mode(model):
        bar = tqdm(share, desc=f"Encoding {inputs.side} rows", disable=not progress)
        for rows, given in zip(bar, read_ahead(inputs, share, num_workers), strict=True):
            features = model.tower_features(to_device(given, model.device))
            found = {"encoded": model.encode(inputs.side, features)}
            if with_features:
                found["features"] = features.pooled()
            collected = fill_rows(collected, torch.from_numpy(rows), map_tensors(torch.Tensor.cpu, found), len(inputs))
    if not buckets[index::count]:
        map_tensors(torch.Tensor.zero_, collected)
    if count > 1:  # each process filled its own rows and left zeros in the others; booleans cannot be summed
        collected = map_tensors(lambda v: reduce(v.byte()).bool() if v.dtype == torch.bool else reduce(v), collected)
    return collected["encoded"], TowerFeatures(**collected["features"]) if with_features else None


def fill_mention_bank(
    model: MatchingModel, mention_inputs: Callable[[], SideInputs], seed: int, batch_size: int = 256
) -> None:
    """
    Offers training mentions to [`~MatchingModel.fill_bank`] in an order that depends on the seed alone, the same in each
    process. A model takes as many as it stores; `mention_inputs` is not called if it stores none.
    """

    def batches() -> Iterator[TowerFeatures]:
        inputs = mention_inputs()
        rows = np.random.default_rng(seed).permutation(len(inputs))
        for begin in range(0, len(rows), batch_size):
            part = inputs(rows[begin : begin + batch_size])
            yield model.tower_features(to_device(part, model.device))

    with evaluation_mode(model), torch.no_grad():
        model.fill_bank(batches())
