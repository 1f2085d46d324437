"""Features of frozen towers, computed once, kept on disk, read by memory map."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from filelock import FileLock
from transformers.utils import logging
from transformers.utils.logging import tqdm

from ..encoding import SideInputs, evaluation_mode, length_buckets, read_ahead, to_device
from ..linking.index.fingerprints import computed_settings, tokenizer_digest, weights_digest
from ..linking.index.manifest import MANIFEST_FILE, write_bytes
from ..models import MatchingModel
from ..models.tower_features import TOWER_PARTS


logger = logging.get_logger(__name__)

FORMAT_VERSION = 1
FLUSH_EVERY = 20  # batches; an interruption costs no more


class FeatureCache:
    """
    Tower features of all mentions or entities, memory-mapped. Called with rows it returns their features, so it takes the
    place of processed inputs.

    The folder's name is a fingerprint of the towers' weights, the processor and the data: if one of them changes, the
    features are computed again. An interrupted computation continues where it was.

    Args:
        folder (`str` or `Path`):
            A folder that [`FeatureCache.build`] has completed.

    Raises:
        `ValueError`: the folder holds no complete features.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        manifest = _read_manifest(self.folder)
        if manifest is None:
            raise ValueError(f"{self.folder} holds no complete features: build them with `FeatureCache.build`")
        self.side, self.num_rows, self.dtype = manifest["side"], manifest["num_rows"], manifest["dtype"]
        self._arrays = {name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in manifest["arrays"]}

    def __len__(self) -> int:
        return self.num_rows

    def lengths(self) -> None:
        return None

    def __call__(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        rows = np.asarray(rows)
        return {name: _as_tensor(array[rows]) for name, array in self._arrays.items()}

    @classmethod
    def find(
        cls,
        cache_dir: str | Path,
        model: MatchingModel,
        inputs: SideInputs,
        data_fingerprint: str,
        dtype: Literal["float32", "bfloat16"] = "float32",
    ) -> "FeatureCache | None":
        """Opens the features of these inputs if an earlier [`FeatureCache.build`] completed them; `None` otherwise."""
        if not Path(cache_dir).is_dir() or not model.towers_frozen:
            return None
        folder = Path(cache_dir) / features_fingerprint(model, inputs, data_fingerprint, dtype)[:32]
        return None if _read_manifest(folder) is None else cls(folder)

    # ---- Building ----

    @classmethod
    def build(
        cls,
        cache_dir: str | Path,
        model: MatchingModel,
        inputs: SideInputs,
        data_fingerprint: str,
        batch_size: int = 128,
        dtype: Literal["float32", "bfloat16"] = "float32",
        progress: bool = True,
        num_workers: int = 0,
    ) -> "FeatureCache":
        """
        Opens the features of these inputs, after computing the missing ones.

        Args:
            cache_dir (`str` or `Path`):
                Folder of all caches.
            model ([`MatchingModel`]):
                A model with frozen towers.
            inputs (`SideInputs`):
                [`MentionInputs`] or [`EntityInputs`].
            data_fingerprint (`str`):
                Fingerprint of the data.
            dtype (`str`, *optional*, defaults to `"float32"`):
                `"bfloat16"` halves the size.
            num_workers (`int`, *optional*, defaults to 0):
                Processes that read inputs ahead.
        """
        if not model.towers_frozen:
            raise ValueError("features can be kept for frozen towers only: set `freeze_text` and `freeze_vision`")
        key = features_fingerprint(model, inputs, data_fingerprint, dtype)
        folder = Path(cache_dir) / key[:32]
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):  # several processes or runs may want the same features: one computes them
            if _read_manifest(folder) is None:
                _compute(folder, model, inputs, batch_size, dtype, progress, num_workers)
                names = sorted(path.stem for path in folder.glob("*.npy") if path.stem != "done")
                manifest = {"version": FORMAT_VERSION, "key": key, "side": inputs.side, "arrays": names}
                manifest |= {"num_rows": len(inputs), "dtype": dtype}
                write_bytes(folder / MANIFEST_FILE, (json.dumps(manifest, indent=2) + "\n").encode())
        return cls(folder)


def features_fingerprint(model: MatchingModel, inputs: SideInputs, data_fingerprint: str, dtype: str) -> str:
    """SHA-256 over the towers' configuration and weights, the processor, the side, the data and the type of number."""
    config = {name: getattr(model.config, name) for name in ("text_views", "pooling")}
    for name in ("tower_config",) if model.reads_together else ("text_config", "vision_config"):
        tower = getattr(model.config, name)
        config[name] = tower and computed_settings(tower.to_dict())
    if model.reads_states:
        config |= {name: getattr(model.config, name) for name in ("max_text_tokens", "keeps_padding")}
    towers = {name: value for name, value in model.state_dict().items() if name.split(".")[0] in TOWER_PARTS}
    # Without `auto_map`, which saving adds: the processor of a saved checkpoint has to be that of its training.
    processor = json.dumps(computed_settings(inputs.processor.to_dict()), sort_keys=True)
    digests = weights_digest(towers), tokenizer_digest(inputs.processor.tokenizer), processor
    parts = (FORMAT_VERSION, inputs.side, len(inputs), data_fingerprint, dtype, model.dtype, config, *digests)
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


@torch.no_grad()
def _compute(
    folder: Path,
    model: MatchingModel,
    inputs: SideInputs,
    batch_size: int,
    dtype: str,
    progress: bool,
    num_workers: int,
) -> None:
    """Writes the features of the rows that an interrupted computation left out."""
    done = _open_array(folder / "done.npy", (len(inputs),), np.bool_)
    if done.any():
        logger.info(f"{folder}: {int(done.sum())} of {len(inputs)} rows were computed before, going on.")
    arrays: dict[str, np.ndarray] = {}
    buckets = [rows[~done[rows]] for rows in length_buckets(inputs.lengths(), len(inputs), batch_size)]
    buckets = [rows for rows in buckets if len(rows)]
    bar = tqdm(buckets, desc=f"Tower features of {inputs.side} rows", disable=not progress)
    ahead = read_ahead(inputs, buckets, num_workers)
    for number, (rows, given) in enumerate(zip(bar, ahead, strict=True), start=1):
        # Full precision whoever asks: the features outlive the autocast of an evaluation.
        with evaluation_mode(model), torch.autocast(model.device.type, enabled=False):
            features = model.extract(**to_device(given, model.device))
        for name, value in features.items():
            value = _as_array(value, dtype)
            if name not in arrays:
                arrays[name] = _open_array(folder / f"{name}.npy", (len(inputs), *value.shape[1:]), value.dtype)
            arrays[name][rows] = value
        if number % FLUSH_EVERY == 0 or number == len(buckets):
            # First the features, then the note that they are there: a row marked as done is done.
            for array in arrays.values():
                array.flush()
            done[np.concatenate(buckets[max(number - FLUSH_EVERY, 0) : number])] = True
            done.flush()


def _read_manifest(folder: Path) -> dict | None:
    """The manifest, which is written last: without it the features are incomplete."""
    path = folder / MANIFEST_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _open_array(path: Path, shape: tuple[int, ...], dtype) -> np.ndarray:
    """A writable memory map, of zeros where the file is new."""
    if not path.exists():
        temporary = path.with_suffix(".npy.tmp")
        np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape).flush()
        temporary.replace(path)  # never a file with half a header
    return np.load(path, mmap_mode="r+")


def _as_array(value: torch.Tensor, dtype: str) -> np.ndarray:
    value = value.detach().cpu()
    if not value.is_floating_point():
        return value.numpy()
    # NumPy has no bfloat16: its bits are kept as 16-bit integers.
    return value.bfloat16().view(torch.uint16).numpy() if dtype == "bfloat16" else value.float().numpy()


def _as_tensor(array: np.ndarray) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.view(torch.bfloat16).float() if array.dtype == np.uint16 else tensor
