"""Encodings of mentions and entities: of a batch of one side, and of all rows of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from transformers.utils.logging import tqdm

from ..models import Encoded, MatchingModel, TowerFeatures
from .inputs import SideInputs, length_buckets, read_ahead


def to_device(inputs: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """Moves each tensor."""
    return {name: value.to(device) for name, value in inputs.items()}


def tower_features(model: MatchingModel, inputs: dict[str, torch.Tensor]) -> TowerFeatures:
    """Features of the towers: computed from the inputs, or the inputs themselves where they are kept features."""
    return TowerFeatures(**inputs) if "text_features" in inputs else model.extract(**inputs)


def encode_modalities(model: MatchingModel, side: str, features: TowerFeatures) -> Encoded:
    """Encodings of one side: of the whole and, for a model with a vision tower, of the text alone and of the image alone."""
    whole = dict(model.encode(side, features))
    if features.image_features is None:
        return Encoded(whole)
    nothing = torch.zeros_like(features.has_image)
    of_text = ("text_features", "token_features")
    text = TowerFeatures(**(dict(features) | {"has_image": nothing}))
    image = TowerFeatures(**{k: torch.zeros_like(v) if k in of_text else v for k, v in features.items()})
    alone = {name: dict(model.encode(side, part)) for name, part in (("text", text), ("image", image))}
    return Encoded(whole, alone, features.has_image)


def whole(encodings: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The encodings of `model.encode` itself among those that an index stores ([`Encoded.flatten`])."""
    return {name: value for name, value in encodings.items() if "." not in name}


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
) -> tuple[dict[str, torch.Tensor], TowerFeatures | None]:
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
    collected: dict[str, torch.Tensor] = {}
    index, count = process
    buckets = length_buckets(inputs.lengths(), len(inputs), batch_size)
    # A process without a share encodes a row of another's: it has to know the shapes, to sum zeros of them.
    share = buckets[index::count] or [buckets[0][:1]]
    idle = not buckets[index::count]
    with evaluation_mode(model):
        bar = tqdm(share, desc=f"Encoding {inputs.side} rows", disable=not progress)
        for rows, given in zip(bar, read_ahead(inputs, share, num_workers), strict=True):
            features = tower_features(model, to_device(given, model.device))
            parts = {f"encoded.{name}": value for name, value in model.encode(inputs.side, features).items()}
            if with_features:
                parts |= {f"features.{name}": value for name, value in features.pooled().items()}
            where = torch.from_numpy(rows)
            for name, value in parts.items():
                if name not in collected:
                    collected[name] = torch.zeros(len(inputs), *value.shape[1:], dtype=value.dtype)
                if not idle:
                    collected[name][where] = value.cpu()
    if count > 1:  # each process filled its own rows and left zeros in the others
        collected = {name: _summed(value, reduce) for name, value in collected.items()}
    encoded = {name[8:]: value for name, value in collected.items() if name.startswith("encoded.")}
    features = {name[9:]: value for name, value in collected.items() if name.startswith("features.")}
    return encoded, TowerFeatures(**features) if with_features else None


def _summed(value: torch.Tensor, reduce: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    return reduce(value.to(torch.uint8)).bool() if value.dtype == torch.bool else reduce(value)


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
            yield tower_features(model, to_device(part, model.device))

    with evaluation_mode(model), torch.no_grad():
        model.fill_bank(batches())
