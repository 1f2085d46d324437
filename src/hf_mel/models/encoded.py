"""Encodings of mentions or entities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch


Encodings = dict[str, torch.Tensor]
"""Encodings as an index stores them, by name: see [`Encoded.flatten`]."""


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
    >>> from hf_mel.models import Encoded

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
        """Device of the tensors."""
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
