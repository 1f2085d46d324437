"""Checkpoints on the Hub from which training is resumed."""

import filecmp
import json
import os
import shutil
import tempfile
from pathlib import Path

from accelerate.utils import broadcast_object_list
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import httpx
from transformers import TrainingArguments
from transformers.utils import logging

from ..checkpoint import BEST_FOLDER, LAST_CHECKPOINT, SAMPLER_FILE, STATE_FILE, WORK_FOLDER
from ..models.towers import is_repository
from .faults import explained, is_fault


logger = logging.get_logger(__name__)

# Without one of the first five, the Trainer would resume with another optimizer, schedule or data, and without a warning.
NEEDED = (
    *("optimizer*", "scheduler.pt", "rng_state*.pth", SAMPLER_FILE, STATE_FILE),
    *("config.json", "model*.safetensors"),
)


def local_checkpoint(source: str | Path | bool | None, args: TrainingArguments) -> str | bool | None:
    """
    Resolves the argument `resume_from_checkpoint` for the Trainer. A checkpoint on the Hub is copied into the output folder,
    as `checkpoint-<step>`, with the best checkpoint so far. To be called in every process.

    Args:
        source (`str`, `Path` or `bool`, *optional*):
            `org/name` or `org/name@revision`, a repository to which checkpoints were pushed; or what the Trainer accepts,
            which is returned as it is.
        args ([`~transformers.TrainingArguments`]):
            `output_dir`; `hub_token`; and `hub_revision`, the default revision if the repository is `hub_model_id`.

    Raises:
        `FileNotFoundError`: there is no such folder and no such repository, or it has no checkpoint.
        `OSError`: the Hub cannot be reached, and the checkpoint is not in the cache.
        `ValueError`: the checkpoint is incomplete, or the output folder has another checkpoint of this step.
    """
    if source is None or isinstance(source, bool):
        return source
    if Path(source).is_dir():
        return str(source)
    repo_id, _, revision = str(source).partition("@")
    if not is_repository(repo_id):
        raise FileNotFoundError(f"cannot resume from {source}: there is no such folder")
    if not revision and repo_id == args.hub_model_id:
        revision = args.hub_revision
    # The first process chooses the commit: a push in between must not give the processes different checkpoints.
    found: list = [None, None]
    if args.process_index == 0:
        try:
            found[0] = fetch_checkpoint(repo_id, revision or None, args.hub_token)
        except (OSError, ValueError) as error:
            found[1] = error
    broadcast_object_list(found)
    cached, error = found
    if error is not None:
        raise error
    with args.main_process_first():
        if not cached.is_dir():  # on another machine than the first process
            cached = fetch_checkpoint(repo_id, cached.parent.name, args.hub_token, cached.name)
        return str(place_checkpoint(cached, Path(args.output_dir), warn=args.load_best_model_at_end))


def fetch_checkpoint(repo_id: str, revision: str | None, token: str | None, name: str | None = None) -> Path:
    """Downloads a checkpoint into the cache: `last-checkpoint`, or the newest of `checkpoint-*`, if it is not named."""
    api = HfApi(token=token)
    where = {"repo_id": repo_id, "revision": revision, "token": token}
    try:
        folder = Path(snapshot_download(**where, allow_patterns=f"{name or LAST_CHECKPOINT}/*"))
        if name is None and not (folder / LAST_CHECKPOINT).is_dir():
            name = _newest_checkpoint(api.list_repo_files(repo_id, revision=folder.name))
            if name is None:
                raise FileNotFoundError(
                    f"{repo_id} has no folder {LAST_CHECKPOINT}/ (at {revision or 'main'}): only a training with "
                    '`push_to_hub=True` and `hub_strategy="checkpoint"` (or "all_checkpoints") pushes what resuming needs. '
                    "To start a new training from the model alone, load it with `from_pretrained`."
                )
            folder = Path(snapshot_download(**where | {"revision": folder.name}, allow_patterns=f"{name}/*"))
    except (OSError, httpx.HTTPError) as error:
        # If the cache does not have it either, the cause is what the Hub answered.
        cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
        if not is_fault(cause):
            raise
        raise OSError(
            f"{repo_id} is no folder here, and no checkpoint was fetched from the Hub: {explained(cause, repo_id, api)}"
        ) from error
    checkpoint = folder / (name or LAST_CHECKPOINT)
    missing = [pattern for pattern in NEEDED if not any(checkpoint.glob(pattern))]
    if missing:
        raise ValueError(
            f"the checkpoint in {repo_id}, at commit {folder.name}, is incomplete: {', '.join(missing)} missing in "
            f"{checkpoint}. Was the Hub out of reach during the download? Then run the same again. Or was it saved with "
            "`save_only_model`? Then training cannot be resumed from it."
        )
    return checkpoint


def _newest_checkpoint(files: list[str]) -> str | None:
    folders = {file.split("/")[0] for file in files if file.startswith("checkpoint-") and "/" in file}
    steps = [int(folder[11:]) for folder in folders if folder[11:].isdecimal()]
    return f"checkpoint-{max(steps)}" if steps else None


def place_checkpoint(cached: Path, output_dir: Path, warn: bool = False) -> Path:
    """
    Copies a checkpoint, and the best weights that were pushed with it, to where the Trainer would have saved them. Logs a
    warning, if asked to, where the best weights so far are missing.
    """
    state = json.loads((cached / STATE_FILE).read_text(encoding="utf-8"))
    best_step, target = state.get("best_global_step"), output_dir / f"checkpoint-{state['global_step']}"
    best = None if best_step is None else output_dir / f"checkpoint-{best_step}"
    if (cached / BEST_FOLDER).is_dir():
        _copy(cached / BEST_FOLDER, best)
    if best is not None and best != target and not best.is_dir():
        if warn:
            logger.warning_once(
                f"the best weights so far, those of step {best_step}, are neither in {output_dir} nor on the Hub: if no later "
                "evaluation is better, the last weights are kept"
            )
        best = None
    _copy(cached, target, state | {"best_model_checkpoint": None if best is None else str(best)})
    return target


def _copy(source: Path, target: Path, state: dict | None = None) -> None:
    """Copies a folder, so that the target is never there in part; or nothing, if the target is this checkpoint already."""
    if target.is_dir():
        names = [path.name for pattern in NEEDED for path in source.glob(pattern) if path.name != STATE_FILE]
        _, different, missing = filecmp.cmpfiles(source, target, names, shallow=False)
        if different or missing:
            raise ValueError(
                f"{target} is not the checkpoint that the run on the Hub has of this step ({(different + missing)[0]} differs "
                "or is missing): delete it, or choose another `output_dir`"
            )
        return
    (target.parent / WORK_FOLDER).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent / WORK_FOLDER) as folder:
        unfinished = Path(folder) / target.name
        shutil.copytree(source, unfinished, ignore=shutil.ignore_patterns(BEST_FOLDER))
        if state is not None:
            (unfinished / STATE_FILE).write_text(json.dumps(state, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        try:
            os.replace(unfinished, target)
        except OSError:
            if not target.is_dir():  # else another machine, with the same file system, was faster
                raise
