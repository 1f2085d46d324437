"""Entities encoded, a shard at a time."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from transformers.utils import logging
from transformers.utils.logging import tqdm

from ...data import KnowledgeBase
from ...data.problems import listed, nearest
from ...encoding import (
    Encodings,
    EntityInputs,
    SideInputs,
    encode_modalities,
    evaluation_mode,
    length_buckets,
    to_device,
)
from ...models import MatchingModel, MELProcessor
from ...models.encodings import fill_rows, flatten, map_tensors
from .columns import EntityColumns
from .folder import Pending
from .manifest import Manifest
from .precision import reduce_tensors
from .store import write_shard


logger = logging.get_logger(__name__)

ENCODE_DTYPES = ("auto", "float32", "bfloat16")


class Process(Protocol):
    """The part of `accelerate.PartialState` that is used here."""

    num_processes: int
    process_index: int
    is_main_process: bool

    def wait_for_everyone(self) -> None: ...


class Alone:
    """The only process."""

    num_processes = 1
    process_index = 0
    is_main_process = True

    def wait_for_everyone(self) -> None:
        """There is no one else."""


@dataclass(frozen=True)
class EncodeSettings:
    """
    Settings for encoding entities. An index stores them, so that entities added later are encoded alike.

    Args:
        encode_dtype (`str`): `"float32"` or `"bfloat16"`: in what the towers compute.
        modalities (`bool`): Also encode text alone and image alone.
        thumbnail_size (`int`): Longest side of the stored pictures; 0: none are stored.
        batch_size (`int`): Entities encoded at once.
        shard_rows (`int`): Entities in a shard.
    """

    encode_dtype: str
    modalities: bool
    thumbnail_size: int
    batch_size: int
    shard_rows: int

    def __post_init__(self):
        if self.encode_dtype not in ("float32", "bfloat16"):
            raise ValueError(f"encode_dtype={self.encode_dtype!r}: use one of {listed(ENCODE_DTYPES)}")
        for name, least in (("batch_size", 1), ("shard_rows", 1), ("thumbnail_size", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")

    @classmethod
    def of(cls, manifest: Manifest) -> "EncodeSettings":
        """Those of an index."""
        return cls(**{name: getattr(manifest, name) for name in cls.__dataclass_fields__})


def resolve_dtype(encode_dtype: str, model: MatchingModel) -> str:
    """
    In what the towers compute: `"auto"` is `"bfloat16"` where the model is in full precision and its device has arithmetic
    of that type, else `"float32"`, which stands for the model's own precision.
    """
    if encode_dtype not in ENCODE_DTYPES:
        raise ValueError(
            f"encode_dtype={encode_dtype!r}{nearest(encode_dtype, ENCODE_DTYPES) or '.'} Use one of {listed(ENCODE_DTYPES)}"
        )
    if encode_dtype != "auto":
        return encode_dtype
    return "bfloat16" if model.dtype == torch.float32 and _has_bfloat16(model.device) else "float32"


def _has_bfloat16(device: torch.device) -> bool:
    """Returns `True` if the hardware computes in bfloat16. Emulated, it is slower than full precision."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    # torch has no public name for these in all versions.
    tests = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(test is not None and test() for test in tests)


# ---- Encoding ----


class ShardEncoder:
    """
    Encodes some entities of a knowledge base, as a shard of an index.

    Args:
        model ([`MatchingModel`]), processor ([`MELProcessor`]), knowledge_base ([`KnowledgeBase`]):
            What encodes what.
        settings ([`EncodeSettings`]):
            How.
        features (`SideInputs`, *optional*):
            Features of the towers for all entities, such as a [`FeatureCache`], in place of computing them.
        side (`str`, *optional*, defaults to `"entity"`):
            `"mention"`: encode the entities as if their name and text were a mention and its sentence.
    """

    def __init__(
        self,
        model: MatchingModel,
        processor: MELProcessor,
        knowledge_base: KnowledgeBase,
        settings: EncodeSettings,
        side: str = "entity",
        features: SideInputs | None = None,
    ):
        if features is not None and len(features) != len(knowledge_base):
            raise ValueError(f"`features` has {len(features):,} rows for {len(knowledge_base):,} entities")
        self.model, self.settings, self.side = model, settings, side
        self.columns = EntityColumns(knowledge_base, settings.thumbnail_size)
        self.inputs = EntityInputs(self.columns, processor) if features is None else features
        self.lengths = self.inputs.lengths()

    @torch.no_grad()
    def __call__(self, rows: np.ndarray, update: Callable[[int], None]) -> Encodings:
        """Encodings of rows, in their order, on the CPU. `update` is told how many are done."""
        collected: Encodings = {}
        with evaluation_mode(self.model):
            lengths = None if self.lengths is None else self.lengths[rows]
            for part in length_buckets(lengths, len(rows), self.settings.batch_size):
                collected = fill_rows(collected, torch.from_numpy(part), self._encode(rows[part]), len(rows))
                update(len(part))
        self._refuse_nan(collected, rows)
        return collected

    def _encode(self, rows: np.ndarray) -> Encodings:
        device = self.model.device
        inputs = to_device(self.inputs(rows), device)
        half = self.settings.encode_dtype == "bfloat16"
        with torch.autocast(device.type, dtype=torch.bfloat16) if half else nullcontext():
            features = self.model.tower_features(inputs)
        # The heads are small, and what they give is compared: here rounding would be seen.
        with torch.autocast(device.type, enabled=False):
            features = features.to(self.model.dtype)
            if self.settings.modalities:
                encoded = encode_modalities(self.model, self.side, features)
            else:
                encoded = self.model.encode(self.side, features)
        return map_tensors(_full, encoded)

    def _refuse_nan(self, encoded: Encodings, rows: np.ndarray) -> None:
        for name, value in flatten(encoded).items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                wrong = (~torch.isfinite(value)).reshape(len(value), -1).any(dim=1).nonzero().flatten()
                ids = [self.columns.knowledge_base.ids[int(rows[row])] for row in wrong]
                raise ValueError(
                    f"the model gives NaN or infinite numbers ({name}) for {len(ids):,} entities: {listed(ids, 5)}. "
                    "Look at the weights of the checkpoint and, with encode_dtype='bfloat16', try 'float32'."
                )


def _full(value: torch.Tensor) -> torch.Tensor:
    value = value.cpu()
    return value.float() if value.is_floating_point() else value


def encode_shards(
    encoder: ShardEncoder,
    rows: np.ndarray,
    first: int,
    pending: Pending,
    precision: str,
    process: Process,
    progress: bool,
) -> int:
    """
    Writes rows of a knowledge base as shards from number `first` on, without those that were written before; processes
    take turns. What a shard holds does not depend on who writes it.

    Returns:
        `int`: the number of shards, of all processes.
    """
    size = encoder.settings.shard_rows
    parts = {first + number: rows[begin : begin + size] for number, begin in enumerate(range(0, len(rows), size))}
    mine = dict(list(parts.items())[process.process_index :: process.num_processes])
    done = {number for number in mine if pending.whole(number) is not None}
    if done:
        logger.info(f"{pending.folder}: {len(done)} of {len(mine)} shards were written before, going on")
    with tqdm(
        total=sum(len(part) for part in mine.values()),
        initial=sum(len(mine[number]) for number in done),
        desc="Encoding entities",
        disable=not (progress and process.is_main_process),
    ) as bar:
        for number, part in mine.items():
            if number not in done:
                tensors = reduce_tensors(flatten(encoder(part, bar.update)), precision)
                pending.note(write_shard(pending.folder, number, tensors, encoder.columns.table(part)))
    return len(parts)
