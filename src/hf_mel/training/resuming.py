"""Checkpoints that are fetched from the Hub, so that a training goes on from them."""

import filecmp
import json
import os
import shutil
from pathlib import Path

from accelerate.utils import broadcast_object_list
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import httpx
from transformers import TrainerCallback
from transformers.utils import logging

from ..hub.faults import explained, is_fault
from ..models.towers import is_repository
from .arguments import PGMELTrainingArguments
from .checkpoints import SAMPLER_FILE
from .pushes import BEST_FOLDER, LAST_CHECKPOINT, STATE_FILE


logger = logging.get_logger(__name__)

# Each as a pattern. Without one of the first five the Trainer would go on without a word, and otherwise than before.
NEEDED = (
    "optimizer*",
    "scheduler.pt",
    "rng_state*.pth",
    SAMPLER_FILE,
    STATE_FILE,
    "config.json",
    "model*.safetensors",
)


def local_checkpoint(source: str | Path, args: PGMELTrainingArguments) -> Path:
    """
    The folder of a checkpoint, fetched if it is one of the Hub. To be called in every process.

    Args:
        source (`str` or `Path`):
            A folder; or `org/name` or `org/name@revision`, a repository to which checkpoints were pushed.
        args ([`PGMELTrainingArguments`]):
            `hub_token`; `hub_revision`, where `hub_model_id` is the repository and no revision is given; and the output
            folder, into which the best weights so far go.

    Raises:
        `FileNotFoundError`: there is neither such a folder nor such a repository, or no checkpoint in it.
        `OSError`: the Hub cannot be reached, and the cache does not hold it.
        `ValueError`: the checkpoint is not whole, or the output folder is of another run.
    """
    if Path(source).is_dir():
        return Path(source)
    repo_id, _, revision = str(source).partition("@")
    if not is_repository(repo_id):
        raise FileNotFoundError(f"there is no folder {source}, to go on from the checkpoint in it")
    if not revision and repo_id == args.hub_model_id:
        revision = args.hub_revision
    # A push in between must not give the processes different checkpoints: the first one says which.
    found: list = [None, None]
    if args.process_index == 0:
        try:
            found[0] = str(fetch_checkpoint(repo_id, revision or None, args.hub_token))
        except (OSError, ValueError) as error:
            found[1] = error
    broadcast_object_list(found)
    if found[1] is not None:
        raise found[1]
    folder = Path(found[0])
    with args.main_process_first():
        if not folder.is_dir():  # another machine than that of the first process
            folder = fetch_checkpoint(repo_id, folder.parent.name, args.hub_token, folder.name)
        if args.should_save:
            _restore_best(folder, Path(args.output_dir))
    return folder


def fetch_checkpoint(repo_id: str, revision: str | None, token: str | None, name: str | None = None) -> Path:
    """
    Fetches the folder of a checkpoint into the cache: `last-checkpoint`, or the newest of `checkpoint-*`.

    Raises:
        See [`local_checkpoint`].
    """
    api = HfApi(token=token)
    where = {"repo_id": repo_id, "revision": revision, "token": token}
    try:
        folder = Path(snapshot_download(**where, allow_patterns=f"{name or LAST_CHECKPOINT}/*"))
        if name is None and not (folder / LAST_CHECKPOINT).is_dir():
            files = api.list_repo_files(repo_id, revision=folder.name)
            steps = {int(part[11:]) for part in (file.split("/")[0] for file in files) if _is_step(part)}
            if not steps:
                raise FileNotFoundError(
                    f"{repo_id} has no folder {LAST_CHECKPOINT}/ (at {revision or 'main'}): only a training with "
                    '`push_to_hub=True` and `hub_strategy="checkpoint"` (or "all_checkpoints") leaves there what going on '
                    "needs. Its model alone is a beginning, not a continuation: load it with `from_pretrained`."
                )
            name = f"checkpoint-{max(steps)}"
            folder = Path(snapshot_download(**where | {"revision": folder.name}, allow_patterns=f"{name}/*"))
    except (OSError, httpx.HTTPError) as error:
        # The cache lacks it, because of what the Hub said before.
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
            f"the checkpoint in {repo_id}, at commit {folder.name}, is not whole: {', '.join(missing)} missing in {checkpoint}. "
            "Was the Hub out of reach while it was fetched? Then run the same again. Or was it saved with `save_only_model`? "
            "Then training cannot go on from it."
        )
    return checkpoint


def _is_step(name: str) -> bool:
    return name.startswith("checkpoint-") and name[11:].isdecimal()


def _restore_best(checkpoint: Path, output_dir: Path) -> None:
    """Puts the best weights so far where the Trainer would have kept them."""
    best = checkpoint / BEST_FOLDER
    if not best.is_dir():
        return
    step = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))["best_global_step"]
    target = output_dir / f"checkpoint-{step}"
    if target.is_dir():
        names = [path.name for path in best.glob("*.safetensors")]
        if not all((target / name).is_file() and filecmp.cmp(best / name, target / name, False) for name in names):
            raise ValueError(
                f"{target} is not the checkpoint of this step that the run on the Hub had: choose another `output_dir`"
            )
        return
    unfinished = output_dir / f"{target.name}.{os.getpid()}.tmp"
    shutil.copytree(best, unfinished)
    os.replace(unfinished, target)


class BestCheckpoint(TrainerCallback):
    """
    Finds the best checkpoint so far in the output folder. The Trainer knows it by the path that it had when it was saved,
    which need not be that of the machine where the run goes on.
    """

    def on_train_begin(self, args, state, control, **kwargs):
        """Called with the state of the checkpoint."""
        if state.best_global_step is None or state.best_model_checkpoint is not None:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.best_global_step}"
        if folder.is_dir():
            state.best_model_checkpoint = str(folder)
        elif args.load_best_model_at_end:
            logger.warning(
                f"the best weights so far, those of step {state.best_global_step}, are not in {args.output_dir}: if no later "
                "evaluation is better, the last weights are kept"
            )
