"""Uploads of a training run: each checkpoint in the background, and the finished run."""

import os
import shutil
from concurrent.futures import Future, wait
from itertools import count
from pathlib import Path
from threading import Lock

import yaml
from huggingface_hub import CommitInfo, HfApi
from huggingface_hub.utils import httpx
from transformers import TrainerCallback, TrainingArguments
from transformers.trainer_utils import HubStrategy, SaveStrategy
from transformers.utils import logging

from ..checkpoint import BEST_FOLDER, LAST_CHECKPOINT, RECIPE_FILE, RUN_STATE, STATE_FILE, WORK_FOLDER
from .cards import CARD_FILE, update_model_card
from .publish import publish
from .training_repository import open_repository


logger = logging.get_logger(__name__)

# A push may raise these for reasons outside the code: the Hub, the network, the disk, a card that cannot be read. The client
# raises `RuntimeError` where the upload of a large file fails.
_EXPECTED = (OSError, httpx.HTTPError, RuntimeError, ValueError, yaml.YAMLError)


class HubCallback(TrainerCallback):
    """
    Pushes a training run to the Hub with [`publish`], as the arguments of [`~transformers.TrainingArguments`] say:
    `push_to_hub`, `hub_model_id`, `hub_strategy`, `hub_token`, `hub_private_repo`, `hub_revision`, `hub_always_push`.

    Each checkpoint is linked into the outbox, a folder in the output folder of the run, because the Trainer may delete the
    checkpoint before it is on the Hub. A background thread pushes what is in the outbox, in one commit. A push that fails is
    logged, and the next save or the end of the training tries again. An error that no push is expected to raise, such as a
    `TypeError`, is a bug: it is raised at the end of the training, when everything is saved.

    Args:
        args ([`~transformers.TrainingArguments`]):
            The arguments of the run.
    """

    def __init__(self, args: TrainingArguments):
        self.args, self.repo_id, self.token = args, None, args.hub_token
        self._keeps_all = args.hub_strategy == HubStrategy.ALL_CHECKPOINTS
        self.unsent: dict[Path, str] = {}  # checkpoints in the outbox, oldest first, and the messages of their commits
        self._in_progress: list[Path] = []  # those which the background thread reads, or read last
        self._lock = Lock()  # of these two
        self._jobs: list[Future] = []
        self._numbers = count(1)
        self._outbox = Path(args.output_dir) / WORK_FOLDER / "outbox"
        self._api = HfApi()  # its one thread runs one job after another

    def open_repository(self, token: str | None = None, private: bool | None = None) -> str:
        """Creates the repository of the run, if it does not exist; see [`open_repository`]. Later pushes use this token."""
        self.token = token or self.args.hub_token
        self.repo_id = open_repository(self.args, self.token, private)
        shutil.rmtree(self._outbox, ignore_errors=True)  # of an earlier run in this folder, which was killed
        return self.repo_id

    def write_card(
        self, finetuned_from=None, dataset_tags=None, dataset=None, tasks=None, dataset_args=None, **named
    ) -> None:
        """Writes the model card into the output folder, from the arguments of [`~transformers.Trainer.create_model_card`]."""
        if tasks is not None or dataset_args is not None:
            logger.warning("`tasks` and `dataset_args` are ignored: the card of a linking model has no place for them")
        named |= {"base_models": finetuned_from, "datasets": dataset_tags or dataset}
        given = {name: value for name, value in named.items() if value is not None}
        update_model_card(self.args.output_dir, repo_id=self.repo_id, **given)

    def push(
        self, message: str | None, blocking: bool = True, token: str | None = None, revision: str | None = None
    ) -> CommitInfo | Future[CommitInfo]:
        """Pushes the output folder with [`publish`], after the checkpoints that are not on the Hub yet."""
        self.finish()

        def send() -> CommitInfo:
            where = {"revision": revision or self.args.hub_revision, "token": token or self.token}
            return publish(self.args.output_dir, self.repo_id, message=message, **where).info

        return send() if blocking else self._api.run_as_future(send)

    # ---- Checkpoints ----

    def on_save(self, args, state, control, **kwargs):
        """Pushes the checkpoint that was just saved, in the background."""
        if not args.push_to_hub or not state.is_world_process_zero or args.hub_strategy == HubStrategy.END:
            return
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        folder = self._outbox / str(next(self._numbers)) / checkpoint.name
        try:
            self._stage(checkpoint, folder, Path(state.best_model_checkpoint or checkpoint))
        except OSError as error:  # such as a full disk, where there are no hard links
            shutil.rmtree(folder.parent, ignore_errors=True)
            logger.warning(f"{checkpoint} is not pushed: {error}. The training continues; the next save is pushed.")
            return
        epochs = args.save_strategy == SaveStrategy.EPOCH
        when = f"epoch {int(state.epoch)}" if epochs else f"step {state.global_step}"
        with self._lock:
            if not args.hub_always_push and not self._keeps_all:  # those that wait are replaced by this one
                self._discard([folder for folder in self.unsent if folder not in self._in_progress])
            self.unsent[folder] = f"Training in progress, {when}"
        self._start(folder)

    def on_train_end(self, args, state, control, **kwargs):
        """Pushes what is not on the Hub yet; see [`finish`]."""
        self.finish()

    def wait(self) -> None:
        """Waits for the pushes in progress. An unexpected error of one of them is raised here."""
        if not all(job.done() for job in self._jobs):
            logger.info(f"Waiting until the last checkpoint is in {self.repo_id} on the Hub.")
        wait(self._jobs)
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            job.result()

    def finish(self) -> None:
        """Waits for the pushes in progress, and tries again what failed. What then fails is logged as an error."""
        self.wait()
        if self.unsent:
            self._start(list(self.unsent)[-1])
            self.wait()
        if self.unsent:
            logger.error(
                f"{', '.join(folder.name for folder in self.unsent)} IS NOT ON THE HUB: the last push to {self.repo_id} failed, "
                f"see above. The training itself is complete, and everything is in {self.args.output_dir}. When the cause is "
                "gone, call `trainer.push_to_hub()`, or `trainer.save_model()` and then `hf-mel push model`."
            )

    def _stage(self, checkpoint: Path, folder: Path, best: Path) -> None:
        """Links a checkpoint into the outbox, with the state of the run if that is pushed."""
        resumable = self.args.hub_strategy != HubStrategy.EVERY_SAVE
        left_out = shutil.ignore_patterns(*(() if resumable else RUN_STATE))
        shutil.copytree(checkpoint, folder, copy_function=_link, ignore=left_out)
        for source in (Path(self.args.output_dir, name) for name in (CARD_FILE, RECIPE_FILE)):
            if source.is_file() and not (folder / source.name).exists():
                _link(source, folder / source.name)
        if resumable and self.args.load_best_model_at_end and best.name != checkpoint.name and best.is_dir():
            left_out = shutil.ignore_patterns(*RUN_STATE, STATE_FILE)
            shutil.copytree(best, folder / BEST_FOLDER, copy_function=_link, ignore=left_out)

    def _start(self, newest: Path) -> None:
        kept = [
            job for job in self._jobs if not job.done() or job.exception() is not None
        ]  # `wait` raises what they raised
        self._jobs = [*kept, self._api.run_as_future(self._send, newest)]

    def _send(self, newest: Path) -> None:
        """In the background: pushes what is in the outbox; with `hub_always_push` only up to this checkpoint."""
        with self._lock:
            folders = list(self.unsent)
            if self.args.hub_always_push:
                folders = folders[: folders.index(newest) + 1]
            self._in_progress = folders
        if not folders:
            return  # a job that was started before has pushed it
        error = self._push_checkpoints(folders, self.unsent[folders[-1]])
        with self._lock:
            if error is None:
                self._discard(folders)
            elif not self._keeps_all:  # else the outbox would fill the disk while the Hub is down
                self._discard(folders[:-1])

    def _push_checkpoints(self, folders: list[Path], message: str) -> Exception | None:
        """Pushes the model of the newest checkpoint, and the state of the run as `hub_strategy` says. Logs what fails."""
        newest = folders[-1]
        run_states = {LAST_CHECKPOINT: newest} if self.args.hub_strategy == HubStrategy.CHECKPOINT else {}
        if self._keeps_all:
            run_states = {folder.name: folder for folder in folders}
        where = {"revision": self.args.hub_revision, "token": self.token}
        try:
            update_model_card(newest, repo_id=self.repo_id)
            publish(newest, self.repo_id, folders=run_states, message=message, **where)
        except _EXPECTED as error:
            logger.warning(
                f"{newest.name} was not pushed to {self.repo_id}: {error or repr(error)} The training continues; the next save, "
                "or the end of the training, tries again."
            )
            return error
        return None

    def _discard(self, folders: list[Path]) -> None:
        for folder in folders:
            del self.unsent[folder]
            shutil.rmtree(folder.parent, ignore_errors=True)


def _link(source: str | Path, target: str | Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
