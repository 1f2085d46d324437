"""Encodings of mentions and entities: of a batch of one side, and of all rows of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from transformers.utils.logging import tqdm

from ..models import MatchingModel, TowerFeatures
from .inputs import SideInputs, length_buckets, read_ahead


@dataclass(frozen=True)
class Encoded:
    """
    Encodings of the rows of one side. Every tensor has one leading row for each mention or entity.

    Args:
        whole (`dict[str, torch.Tensor]`):
            What `model.encode` returned: what `model.match` compares.
        alone (`dict[str, dict[str, torch.Tensor]]`):
            The same for the text alone and for the image alone, by modality, if these were asked for.
        has_image (`torch.BoolTensor` of shape `(num_rows,)`, *optional*):
            Rows for which `alone["image"]` counts.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel.encoding import Encoded

    >>> encoded = Encoded({"embeds": torch.eye(3)})
    >>> encoded.rows, encoded.select(torch.tensor([2])).whole["embeds"]
    (3, tensor([[0., 0., 1.]]))
    ```
    """

    whole: dict[str, torch.Tensor]
    alone: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    has_image: torch.Tensor | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.whole.values())))

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return next(iter(self.whole.values())).device

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "Encoded":
        """Apply a function to every tensor."""
        return Encoded(
            {name: function(value) for name, value in self.whole.items()},
            {name: {key: function(value) for key, value in part.items()} for name, part in self.alone.items()},
            None if self.has_image is None else function(self.has_image),
        )

    def select(self, rows) -> "Encoded":
        """The given rows: a slice, or an index tensor, whose shape replaces the leading dimension."""
        return self.map(lambda value: value[rows])

    def to(self, device: torch.device) -> "Encoded":
        """Move every tensor."""
        return self.map(lambda value: value.to(device))

    def detach(self) -> "Encoded":
        """The same values without gradient."""
        return self.map(torch.Tensor.detach)

    @staticmethod
    def cat(parts: Sequence["Encoded"]) -> "Encoded":
        """The rows of several encodings, in turn."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        return Encoded(
            {name: torch.cat([part.whole[name] for part in parts]) for name in first.whole},
            {
                name: {key: torch.cat([part.alone[name][key] for part in parts]) for key in values}
                for name, values in first.alone.items()
            },
            None if first.has_image is None else torch.cat([part.has_image for part in parts]),
        )

    # ---- As an index stores it ----

    def flatten(self) -> dict[str, torch.Tensor]:
        """One dictionary, in which the encodings of a modality have names that begin with `text.` or `image.`."""
        flat = dict(self.whole)
        for modality, part in self.alone.items():
            flat |= {f"{modality}.{name}": value for name, value in part.items()}
        return flat if self.has_image is None else flat | {"image.present": self.has_image}


# ---- A batch ----


def to_device(inputs: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """Moves each tensor."""
    return {name: value.to(device) for name, value in inputs.items()}


def tower_features(model: MatchingModel, inputs: dict[str, torch.Tensor]) -> TowerFeatures:
    """What the towers make of inputs, or the inputs themselves where they are features that were kept."""
    return TowerFeatures(**inputs) if "text_features" in inputs else model.extract(**inputs)


def encode_modalities(model: MatchingModel, side: str, features: TowerFeatures) -> Encoded:
    """
    Encodings of one side, those of its text alone and of its images alone included.

    A model without a vision tower has one modality, which is the whole: nothing is added.
    """
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
    """Of encodings as an index stores them ([`Encoded.flatten`]): those that `model.encode` itself gave."""
    return {name: value for name, value in encodings.items() if "." not in name}


# ---- All rows ----


@contextmanager
def evaluation_mode(model: MatchingModel) -> Iterator[None]:
    """Evaluation mode within, and afterwards the mode in which the model was, whatever happened."""
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
