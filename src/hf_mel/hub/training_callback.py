"""Uploads of a training run: each checkpoint in the background, and the finished run."""

import os
import shutil
from concurrent.futures import Future, wait
from itertools import count
from pathlib import Path

from huggingface_hub import CommitInfo, HfApi
from transformers import TrainerCallback, TrainingArguments
from transformers.trainer_utils import HubStrategy, SaveStrategy
from transformers.utils import logging

from ..checkpoint import BEST_FOLDER, LAST_CHECKPOINT, RECIPE_FILE, RUN_STATE, STATE_FILE, WORK_FOLDER
from .cards import CARD_FILE, update_model_card
from .publish import publish
from .training_repository import open_repository


logger = logging.get_logger(__name__)


class HubCallback(TrainerCallback):
    """
    Pushes a training run to the Hub with [`publish`], as the arguments of [`~transformers.TrainingArguments`] say:
    `push_to_hub`, `hub_model_id`, `hub_strategy`, `hub_token`, `hub_private_repo`, `hub_revision`, `hub_always_push`.

    A checkpoint is first linked into the outbox, a folder in the output folder of the run, because the Trainer may delete
    the checkpoint before it is on the Hub. One background thread pushes what is in the outbox, in one commit. A push that
    fails is logged, and the next save or the end of the training tries again.

    Args:
        args ([`~transformers.TrainingArguments`]):
            The arguments of the run.
    """

    def __init__(self, args: TrainingArguments):
        self.args, self.repo_id, self.token = args, None, args.hub_token
        self.unsent: tuple[Path, ...] = ()  # `<outbox>/<number>/checkpoint-<step>`; only the main thread changes it
        self._sent: set[Path] = set()  # only the background thread adds to it
        self._jobs: list[Future] = []
        self._submitted = 0  # number of the newest checkpoint for which a job was started
        self._message = ""
        self._numbers = count(1)
        self._outbox = Path(args.output_dir) / WORK_FOLDER / "outbox"
        self._api = HfApi()  # its one thread runs one job after another

    def open_repository(self, token: str | None = None, private: bool | None = None) -> str:
        """
        Creates the repository of the run, if it does not exist; see [`open_repository`].

        Args:
            token (`str`, *optional*):
                Token for this and all later pushes. Defaults to `hub_token`.
            private (`bool`, *optional*):
                Whether a new repository is private. Defaults to `hub_private_repo`.

        Returns:
            `str`: the repository, as `org/name`.
        """
        self.token = token or self.args.hub_token
        self.repo_id = open_repository(self.args, self.token, private)
        shutil.rmtree(self._outbox, ignore_errors=True)  # of an earlier run in this folder, which was killed
        return self.repo_id

    def write_card(
        self, finetuned_from=None, dataset_tags=None, dataset=None, tasks=None, dataset_args=None, **named
    ) -> None:
        """
        Writes the model card into the output folder, unless somebody wrote one by hand.

        Args:
            finetuned_from, dataset_tags, dataset, tasks, dataset_args, named:
                Those of [`~transformers.Trainer.create_model_card`].
        """
        if tasks is not None or dataset_args is not None:
            logger.warning("`tasks` and `dataset_args` are ignored: the card of a linking model has no place for them")
        named |= {"base_models": finetuned_from, "datasets": dataset_tags or dataset}
        given = {name: value for name, value in named.items() if value is not None}
        update_model_card(self.args.output_dir, repo_id=self.repo_id, **given)

    def push(
        self,
        message: str | None = None,
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
    ) -> CommitInfo | Future[CommitInfo]:
        """
        Pushes the output folder, after the checkpoints that are not on the Hub yet.

        Raises:
            `OSError`, `ValueError`: see [`publish`].
        """
        self.finish()

        def send() -> CommitInfo:
            where = {"revision": revision or self.args.hub_revision, "token": token or self.token}
            return publish(self.args.output_dir, self.repo_id, message=message, **where).info

        return send() if blocking else self._api.run_as_future(send)

    # ---- Checkpoints ----

    def on_save(self, args, state, control, **kwargs):
        """Puts the checkpoint that was just saved into the outbox, and pushes it if no other push is in progress."""
        if not args.push_to_hub or not state.is_world_process_zero or args.hub_strategy == HubStrategy.END:
            return
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        folder = self._outbox / str(next(self._numbers)) / checkpoint.name
        try:
            self._stage(checkpoint, folder, Path(state.best_model_checkpoint or checkpoint))
        except OSError as error:  # such as a full disk, where there are no hard links
            self._discard([folder])
            logger.warning(f"{checkpoint} is not pushed: {error}. The training continues; the next save is pushed.")
            return
        self.unsent = *self.unsent, folder
        self._settle()
        epochs = args.save_strategy == SaveStrategy.EPOCH
        when = f"epoch {int(state.epoch)}" if epochs else f"step {state.global_step}"
        self._message = f"Training in progress, {when}"
        if args.hub_always_push or not self._jobs:
            self._start()

    def on_train_end(self, args, state, control, **kwargs):
        """See [`finish`]."""
        self.finish()

    def wait(self) -> None:
        """Waits for the pushes in progress."""
        if not all(job.done() for job in self._jobs):
            logger.info(f"Waiting until the last checkpoint is in {self.repo_id} on the Hub.")
        wait(self._jobs)
        self._settle()

    def finish(self) -> None:
        """Waits for the pushes in progress, and tries again what failed. What then fails is logged as an error."""
        self.wait()
        if self.unsent:
            self._start()
            self.wait()
        if self.unsent:
            steps = ", ".join(_step(folder) for folder in self.unsent)
            logger.error(
                f"THE CHECKPOINT OF STEP {steps} IS NOT ON THE HUB: the last push to {self.repo_id} failed, see above. The "
                f"training itself is complete, and everything is in {self.args.output_dir}. Call `trainer.push_to_hub()`, "
                "or `trainer.save_model()` and then `hf-mel push model`, when the cause is gone."
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

    def _start(self) -> None:
        self._submitted = _number(self.unsent[-1])
        self._jobs.append(self._api.run_as_future(self._send, self._submitted, self._message))

    def _send(self, last: int, message: str) -> None:
        """Pushes the outbox up to this number: the model of the newest checkpoint, and the state as `hub_strategy` says."""
        folders = [folder for folder in self.unsent if _number(folder) <= last and folder not in self._sent]
        newest, strategy = folders[-1], self.args.hub_strategy
        run_states = {LAST_CHECKPOINT: newest} if strategy == HubStrategy.CHECKPOINT else {}
        if strategy == HubStrategy.ALL_CHECKPOINTS:
            run_states = {folder.name: folder for folder in folders}
        try:
            update_model_card(newest, repo_id=self.repo_id)
            where = {"revision": self.args.hub_revision, "token": self.token}
            publish(newest, self.repo_id, folders=run_states, message=message, **where)
        except Exception as error:  # noqa: BLE001 (nobody asks the job for it; and whatever it is, the training goes on)
            logger.warning(
                f"the checkpoint of step {_step(newest)} was not pushed to {self.repo_id}: {error or repr(error)} The training "
                "continues; the next push, or the end of the training, tries again."
            )
        else:
            self._sent.update(folders)

    def _settle(self) -> None:
        """Empties the outbox, except for what is in progress and what has to be sent later."""
        self._jobs = [job for job in self._jobs if not job.done()]
        in_progress = self._submitted if self._jobs else 0
        keep_all = self.args.hub_strategy == HubStrategy.ALL_CHECKPOINTS
        # A newer checkpoint replaces an older one. Otherwise the outbox would fill the disk while the Hub is down.
        replaced = () if keep_all else self.unsent[:-1]
        done = [folder for folder in replaced if _number(folder) > in_progress]
        self._discard([*done, *self._sent.intersection(self.unsent)])

    def _discard(self, folders: list[Path]) -> None:
        self.unsent = tuple(folder for folder in self.unsent if folder not in folders)
        for folder in folders:
            shutil.rmtree(folder.parent, ignore_errors=True)


def _number(folder: Path) -> int:
    return int(folder.parent.name)


def _step(folder: Path) -> str:
    return folder.name.removeprefix("checkpoint-")


def _link(source: str | Path, target: str | Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
