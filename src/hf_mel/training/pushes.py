"""Checkpoints of a run on their way to the Hub, in the background, while the training goes on."""

import json
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from threading import Lock

from huggingface_hub import HfApi
from transformers.utils import logging

from ..checkpoint import RECIPE_FILE
from ..hub.publish import publish
from .checkpoints import SAMPLER_FILE


logger = logging.get_logger(__name__)

LAST_CHECKPOINT = "last-checkpoint"  # as the Trainer calls it in the repository
BEST_FOLDER = "best"  # in a pushed checkpoint: the best weights so far, where they are not those of the checkpoint
STATE_FILE = "trainer_state.json"
WORK_FOLDER = ".cache/hf_mel"  # in the output folder; `.cache` is never published

# What a checkpoint of the Trainer holds beside the model.
RUN_STATE = ("optimizer*", "scheduler.pt", "scaler.pt", "rng_state*.pth", SAMPLER_FILE, STATE_FILE)


@dataclass(eq=False)
class Parcel:
    """
    A checkpoint to be sent. Its files are hard links where the file system has them: the Trainer may delete the checkpoint
    before it is sent.

    Args:
        number (`int`): Counts the parcels of a run.
        folder (`Path`): Holds `model/`, as it shall be in the repository, and `run/`, from which training can go on.
        step (`int`): Of the checkpoint.
        message (`str`): Of the commit.
        name (`str`, *optional*): Where `run/` goes in the repository; `None`: nowhere.
        is_read (`bool`): Whether the thread is at work on it.
        is_sent (`bool`): Whether it is on the Hub.
    """

    number: int
    folder: Path
    step: int
    message: str
    name: str | None
    is_read: bool = False
    is_sent: bool = False

    @property
    def model(self) -> Path:
        """What `from_pretrained` needs, and the card."""
        return self.folder / "model"

    @property
    def run(self) -> Path:
        """What resuming needs."""
        return self.folder / "run"


class CheckpointPushes:
    """
    Sends checkpoints in the background, each in one commit. What fails is told and goes with the next one, or at the end.

    Args:
        output_dir (`Path`):
            That of the run.
        repo_id (`str`):
            The repository, which is there.
        write_card (`Callable[[Path], None]`):
            Writes the card into a folder with a model.
        keep_all (`bool`):
            Whether every checkpoint is kept in the repository, each in its own folder. Else only the newest is sent.
        always (`bool`):
            Send every checkpoint, after those before it; else one that comes while another is being sent waits for the next
            save, or for the end of the training.
        token (`str`, *optional*), revision (`str`, *optional*):
            Of the repository.
    """

    def __init__(
        self,
        output_dir: Path,
        repo_id: str,
        write_card: Callable[[Path], None],
        keep_all: bool,
        always: bool,
        token: str | None = None,
        revision: str | None = None,
    ):
        self.output_dir, self.repo_id, self.write_card = output_dir, repo_id, write_card
        self.keep_all, self.always, self.token, self.revision = keep_all, always, token, revision
        self.api = HfApi(token=token)  # its one thread sends one thing after another
        self._folder = output_dir / WORK_FOLDER / "pushes"
        shutil.rmtree(self._folder, ignore_errors=True)  # of a run that was killed: links to what is elsewhere
        self._lock = Lock()  # of the parcels
        self._jobs: list[Future] = []
        self._count = 0
        self.unsent: list[Parcel] = []

    # ---- While training goes on ----

    def add(self, checkpoint: Path, step: int, message: str, name: str | None, best: Path | None = None) -> None:
        """
        Sends a checkpoint, soon.

        Args:
            checkpoint (`Path`): Its folder.
            step (`int`), message (`str`), name (`str`, *optional*): See [`Parcel`].
            best (`Path`, *optional*): The checkpoint with the best weights so far.
        """
        self._count += 1
        parcel = Parcel(self._count, self._folder / str(self._count), step, message, name)
        link_files(checkpoint, parcel.model, leave_out=RUN_STATE)
        link_files(self.output_dir, parcel.model, only=(RECIPE_FILE, "README.md"))
        write_portable_state(checkpoint / STATE_FILE, parcel.model / STATE_FILE)
        if name is not None:
            link_files(checkpoint, parcel.run, leave_out=(STATE_FILE,))
            write_portable_state(checkpoint / STATE_FILE, parcel.run / STATE_FILE)
            if best is not None and best.resolve() != checkpoint.resolve():
                link_files(best, parcel.run / BEST_FOLDER, leave_out=RUN_STATE)
        self._settle()
        with self._lock:
            idle = [] if self.keep_all or (self.always and self._jobs) else [p for p in self.unsent if not p.is_read]
            self._forget(idle)  # else a Hub that is long down would fill the disk
            self.unsent.append(parcel)
        if self.always or not self._jobs:
            self._start()

    def wait(self) -> None:
        """Waits for what is under way."""
        if not all(job.done() for job in self._jobs):
            logger.info(f"waiting until the last checkpoint is on the Hub, in {self.repo_id}")
        if self._jobs:
            # Comes after them in the one thread: what failed has then been told, too.
            wait([self.api.run_as_future(len, ())])
        self._settle()
        if not self.keep_all:
            self._forget(self.unsent[:-1])

    def finish(self) -> None:
        """Waits for what is under way, and tries once more what was not sent. What then fails is logged as an error."""
        self.wait()
        if self.unsent:
            self._start()
            self.wait()
        if self.unsent:
            steps = ", ".join(str(parcel.step) for parcel in self.unsent)
            logger.error(
                f"THE CHECKPOINT OF STEP {steps} IS NOT ON THE HUB: the last push to {self.repo_id} failed, see above. The "
                f"training itself ended well, and everything is in {self.output_dir}. Call `trainer.push_to_hub()`, or "
                "`trainer.save_model()` and then `hf-mel push model`, when the cause is gone."
            )

    # ---- One push ----

    def _start(self) -> None:
        newest = self.unsent[-1]
        job = self.api.run_as_future(self._send, newest.number)
        self._jobs.append(job)
        job.add_done_callback(lambda job: self._tell(job, newest.step))

    def _send(self, last: int) -> None:
        """In the thread: what there is up to this number, and no older model after a newer one."""
        with self._lock:
            parcels = [parcel for parcel in self.unsent if parcel.number <= last and not parcel.is_sent]
            for parcel in parcels:
                parcel.is_read = True
        if not parcels:
            return
        newest = parcels[-1]
        kept = parcels if self.keep_all else [newest]
        try:
            self.write_card(newest.model)
            publish(
                newest.model,
                self.repo_id,
                folders={parcel.name: parcel.run for parcel in kept if parcel.name is not None},
                revision=self.revision,
                message=newest.message,
                token=self.token,
            )
            for parcel in parcels:
                parcel.is_sent = True
        finally:
            for parcel in parcels:
                parcel.is_read = False

    def _tell(self, job: Future, step: int) -> None:
        error = job.exception()
        if error is not None:
            logger.warning(
                f"the checkpoint of step {step} was not pushed to {self.repo_id}: {error or repr(error)} The training goes on; "
                "the next push, or the end of the training, tries again."
            )

    def _settle(self) -> None:
        """Takes note of what has ended."""
        self._jobs = [job for job in self._jobs if not job.done()]
        with self._lock:
            self._forget([parcel for parcel in self.unsent if parcel.is_sent and not parcel.is_read])

    def _forget(self, parcels: list[Parcel]) -> None:
        """What is sent, or of no use since there is a newer one."""
        for parcel in parcels:
            self.unsent.remove(parcel)
            shutil.rmtree(parcel.folder, ignore_errors=True)


def link_files(source: Path, target: Path, only: Iterable[str] = ("*",), leave_out: Iterable[str] = ()) -> None:
    """The files of a folder in another one, by hard links where that works. Patterns are of names in the folder itself."""
    for path in sorted(source.rglob("*") if tuple(only) == ("*",) else source.glob("*")):
        first = path.relative_to(source).parts[0]
        chosen = any(fnmatch(first, pattern) for pattern in only)
        if not path.is_file() or not chosen or any(fnmatch(first, pattern) for pattern in leave_out):
            continue
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, place)
        except FileExistsError:
            raise  # a copy would be written into what it is linked to
        except OSError:  # another file system, or one without hard links
            shutil.copy2(path, place)


def write_portable_state(source: Path, target: Path) -> None:
    """
    The Trainer's state without the path of the best checkpoint, which is one of this machine: the step of the best
    checkpoint, which stays, says as much.
    """
    if not source.is_file():
        return
    state = json.loads(source.read_text(encoding="utf-8"))
    text = json.dumps(state | {"best_model_checkpoint": None}, indent=2, sort_keys=True) + "\n"
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.tmp")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, target)  # never into a file that may be a link
