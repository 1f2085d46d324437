"""From rows of mentions and entities to what a model makes of them: the bridge which training and linking share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from datasets import Dataset
from datasets import Image as Picture
from torch.utils.data import DataLoader
from transformers.utils.logging import tqdm

from .data import KnowledgeBase, load_images
from .models import MatchingModel, PGMELProcessor, TowerFeatures


Encoded = dict[str, torch.Tensor]
"""What `MatchingModel.encode` returns: tensors with one leading row for each mention or entity."""


class SideInputs(Protocol):
    """Model inputs of the mentions or of the entities, by row."""

    side: str

    def __len__(self) -> int: ...

    def __call__(self, rows: Sequence[int]) -> dict[str, torch.Tensor]: ...

    def lengths(self) -> np.ndarray | None:
        """A length for each row, so that rows of similar length are encoded together; `None` if all are equal."""


class MentionInputs:
    """
    Processed mentions of a data set with the columns of [`MENTION_FEATURES`].

    Args:
        mentions (`datasets.Dataset`):
            The mentions.
        processor ([`PGMELProcessor`]):
            Tokenizes them and prepares their pictures, if the model sees pictures.
    """

    side = "mention"

    def __init__(self, mentions: Dataset, processor: PGMELProcessor):
        self.processor = processor
        self._names, self._sentences, self._starts = (mentions[name][:] for name in ("mention", "text", "start"))
        self._pictures = None
        if processor.image_processor is not None:  # opened when asked for, and a broken one does not stop the others
            self._pictures = mentions.select_columns(["id", "image"]).cast_column("image", Picture(decode=False))

    def __len__(self) -> int:
        return len(self._names)

    def lengths(self) -> np.ndarray:
        return np.array([len(name) + len(text) for name, text in zip(self._names, self._sentences, strict=True)])

    def __call__(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        rows = [int(row) for row in rows]
        return dict(
            self.processor.mentions(
                mention=[self._names[row] for row in rows],
                text=[self._sentences[row] for row in rows],
                start=[self._starts[row] for row in rows],
                images=None if self._pictures is None else load_images(self._pictures, rows),
            )
        )


class EntityInputs:
    """
    Processed entities of a knowledge base.

    Args:
        knowledge_base ([`KnowledgeBase`]):
            The entities.
        processor ([`PGMELProcessor`]):
            Tokenizes them and prepares their pictures, if the model sees pictures.
    """

    side = "entity"

    def __init__(self, knowledge_base: KnowledgeBase, processor: PGMELProcessor):
        self.knowledge_base = knowledge_base
        self.processor = processor

    def __len__(self) -> int:
        return len(self.knowledge_base)

    def lengths(self) -> np.ndarray:
        names, texts = self.knowledge_base.names(), self.knowledge_base.texts()
        return np.array([len(name) + len(text) for name, text in zip(names, texts, strict=True)])

    def __call__(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        rows = [int(row) for row in rows]
        pictures = self.knowledge_base.images(rows) if self.processor.image_processor is not None else None
        return dict(
            self.processor.entities(
                name=self.knowledge_base.names(rows), description=self.knowledge_base.texts(rows), images=pictures
            )
        )


# ---- Towers ----

TOWER_PARTS = ("text_model", "vision_model", "text_projection", "visual_projection", "tower")
"""The parts of a [`MatchingModel`] on which its tower features depend; all others are heads."""


# What a configuration says beside what the tower computes: where it was saved, by which version, how it is run.
_NOT_COMPUTED = (
    "_name_or_path",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "architectures",
    "_attn_implementation",
)


def tower_config(model: MatchingModel) -> dict[str, dict | None]:
    """Configurations of the towers, without what does not change their features."""
    names = ("tower_config",) if model.reads_together else ("text_config", "vision_config")
    configs = {name: getattr(model.config, name) for name in names}
    return {
        name: None if config is None else {k: v for k, v in config.to_dict().items() if k not in _NOT_COMPUTED}
        for name, config in configs.items()
    }


def tower_state(model: MatchingModel) -> dict[str, torch.Tensor]:
    """Weights of the towers."""
    return {name: value for name, value in model.state_dict().items() if name.split(".")[0] in TOWER_PARTS}


# ---- Encoding ----


def tower_features(model: MatchingModel, inputs: dict[str, torch.Tensor]) -> TowerFeatures:
    """What the towers make of inputs, or the inputs themselves where they are features that were kept."""
    return TowerFeatures(**inputs) if "text_features" in inputs else model.extract(**inputs)


def to_device(inputs: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """Moves each tensor."""
    return {name: value.to(device) for name, value in inputs.items()}


@contextmanager
def evaluation_mode(model: MatchingModel) -> Iterator[None]:
    """Evaluation mode within, and afterwards the mode in which the model was, whatever happened."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def length_buckets(lengths: np.ndarray | None, num_rows: int, batch_size: int) -> list[np.ndarray]:
    """Rows in batches, those of similar length together, the longest first: what does not fit in memory shows at once."""
    order = np.arange(num_rows) if lengths is None else np.argsort(-lengths, kind="stable")
    return [order[begin : begin + batch_size] for begin in range(0, num_rows, batch_size)]


def read_ahead(
    inputs: SideInputs, batches: Sequence[np.ndarray], num_workers: int = 0
) -> Iterator[dict[str, torch.Tensor]]:
    """
    Inputs of each batch of rows, in turn. With `num_workers`, so many processes open pictures and tokenize texts while the
    model is at work; what comes is the same.
    """
    # Workers draw nothing at random, so their seeds are not taken from the global generator, which others draw from.
    draw = torch.Generator()
    rows = range(len(inputs))
    yield from DataLoader(rows, batch_sampler=batches, collate_fn=inputs, num_workers=num_workers, generator=draw)


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
) -> tuple[Encoded, TowerFeatures | None]:
    """
    Encodes every row of one side, in evaluation mode.

    Args:
        model ([`MatchingModel`]):
            The model; left in the mode in which it was.
        inputs (`SideInputs`):
            [`MentionInputs`], [`EntityInputs`] or a [`FeatureCache`].
        with_features (`bool`, *optional*, defaults to `False`):
            Also return what the towers gave, without the states of tokens and patches.
        process (`tuple[int, int]`, *optional*, defaults to `(0, 1)`):
            Index and number of the processes which share the work.
        reduce (`Callable`, *optional*):
            Sums a tensor over the processes.
        num_workers (`int`, *optional*, defaults to 0):
            Processes that read inputs ahead: see [`read_ahead`].

    Raises:
        `ValueError`: there is no row.

    Returns:
        `tuple`: what `encode` returns for all rows, in their order, on the CPU, and the tower features or `None`.
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
    if value.dtype == torch.bool:
        return reduce(value.to(torch.uint8)).bool()
    return reduce(value)


# ---- One modality alone, beside the whole: an encoding that travels with it ----

MODALITIES = ("text", "image")
_PRESENT = "present"


def encode_modalities(model: MatchingModel, side: str, features: TowerFeatures) -> Encoded:
    """
    What `model.encode` makes of the features of one side, and what it makes of text and of image alone, under names that
    begin with `text.` and `image.`. `image.present` says which rows have an image.

    A model without a vision tower has one modality, which is the whole: nothing is added.
    """
    encoded = dict(model.encode(side, features))
    if features.image_features is None:
        return encoded
    nothing = torch.zeros_like(features.has_image)
    of_text = ("text_features", "token_features")
    alone = {
        "text": TowerFeatures(**(dict(features) | {"has_image": nothing})),
        "image": TowerFeatures(
            **{name: torch.zeros_like(value) if name in of_text else value for name, value in features.items()}
        ),
    }
    for modality, part in alone.items():
        encoded |= {f"{modality}.{name}": value for name, value in model.encode(side, part).items()}
    encoded[f"image.{_PRESENT}"] = features.has_image
    return encoded


def whole(encoded: Encoded) -> Encoded:
    """The encodings that `model.encode` itself gave."""
    return {name: value for name, value in encoded.items() if "." not in name}


def alone(mentions: Encoded, entities: Encoded) -> Iterator[tuple[str, Encoded, Encoded, torch.Tensor]]:
    """
    The modalities that [`encode_modalities`] added: name, mentions, entities, and where both have it, of shape
    `(num_mentions, num_entities)`.
    """
    shape = tuple(len(next(iter(side.values()))) for side in (mentions, entities))
    for modality in MODALITIES:
        sides = [_part(side, modality) for side in (mentions, entities)]
        if not sides[0]:
            continue
        has = [part.pop(_PRESENT, None) for part in sides]
        device = next(iter(sides[0].values())).device
        both = torch.ones(shape, dtype=torch.bool, device=device) if has[0] is None else has[0][:, None] & has[1]
        yield modality, *sides, both


def _part(encoded: Encoded, modality: str) -> Encoded:
    prefix = f"{modality}."
    return {name.removeprefix(prefix): value for name, value in encoded.items() if name.startswith(prefix)}
