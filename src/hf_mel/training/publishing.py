"""The Trainer and the Hub: what of a run is published, and when."""

from concurrent.futures import Future
from pathlib import Path

from huggingface_hub import CommitInfo, HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import httpx
from transformers.trainer_utils import HubStrategy, SaveStrategy
from transformers.utils import logging

from ..compat import HookedTrainer
from ..hub.cards import is_written_by_hand, update_model_card
from ..hub.faults import explained, is_fault
from ..hub.publish import publish
from .pushes import LAST_CHECKPOINT, STATE_FILE, CheckpointPushes, write_portable_state
from .resuming import BestCheckpoint


logger = logging.get_logger(__name__)


class PublishingTrainer(HookedTrainer):
    """
    A Trainer that publishes what `hf-mel push model` would, under the same checks, in one commit at a time.

    The arguments are those of [`~transformers.TrainingArguments`]: `push_to_hub`, `hub_model_id`, `hub_strategy`,
    `hub_token`, `hub_private_repo`, `hub_revision`, `hub_always_push`.
    """

    pushes: CheckpointPushes | None = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.add_callback(BestCheckpoint)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """
        Makes the repository, if it is not there, and asks whether the token may write to it: before the training, not after.

        Args:
            token (`str`, *optional*):
                Defaults to `hub_token`, and then to that of `hf auth login`.
            private (`bool`, *optional*):
                Of a repository that is made now. Defaults to `hub_private_repo`.

        Raises:
            `OSError`: the Hub cannot be reached, or refuses. The message says what to do.
        """
        if not self.is_world_process_zero():
            return
        token = token or self.args.hub_token
        name = self.args.hub_model_id or Path(self.args.output_dir).absolute().name
        api = HfApi(token=token)
        owned = name if "/" in name else f"your account/{name}"
        try:
            private = self.args.hub_private_repo if private is None else private
            self.hub_model_id = api.create_repo(name, private=private, exist_ok=True).repo_id
            self._check_write_access(api)
            if self.args.hub_revision is not None:
                api.create_branch(self.hub_model_id, branch=self.args.hub_revision, exist_ok=True)
            self._fetch_card(api)
        except (OSError, httpx.HTTPError) as error:
            if not is_fault(error):
                raise
            raise OSError(
                f"cannot push to {self.hub_model_id or name} on the Hub: {explained(error, owned, api)} (To train without it, "
                "set `push_to_hub=False`.)"
            ) from error
        self.pushes = CheckpointPushes(
            Path(self.args.output_dir),
            self.hub_model_id,
            self._write_card,
            keep_all=self.args.hub_strategy == HubStrategy.ALL_CHECKPOINTS,
            always=self.args.hub_always_push,
            token=token,
            revision=self.args.hub_revision,
        )

    def _check_write_access(self, api: HfApi) -> None:
        """A repository that is there can be "made" with a token that may only read."""
        try:
            api.auth_check(self.hub_model_id, write=True)
        except HfHubHTTPError as error:
            if error.response.status_code in (401, 403):
                raise
            logger.info(f"the Hub does not say whether one may write to {self.hub_model_id}: {error}")

    def _fetch_card(self, api: HfApi) -> None:
        """What somebody wrote on the Hub is not overwritten: it becomes the card of the run."""
        card = Path(self.args.output_dir) / "README.md"
        there = {"repo_id": self.hub_model_id, "filename": "README.md", "revision": self.args.hub_revision}
        if is_written_by_hand(card) or not api.file_exists(**there):
            return
        found = Path(api.hf_hub_download(**there))
        if is_written_by_hand(found) or not card.exists():
            card.parent.mkdir(parents=True, exist_ok=True)
            card.write_bytes(found.read_bytes())
        if is_written_by_hand(found):
            logger.warning(
                f"{self.hub_model_id} has a card that was written by hand: it is kept, and now also in {card}"
            )

    # ---- Cards ----

    def create_model_card(
        self,
        language: str | list[str] | None = None,
        license: str | None = None,
        tags: str | list[str] | None = None,
        model_name: str | None = None,
        finetuned_from: str | list[str] | None = None,
        tasks: str | list[str] | None = None,
        dataset_tags: str | list[str] | None = None,
        dataset: str | list[str] | None = None,
        dataset_args: str | list[str] | None = None,
    ) -> None:
        """
        Writes the card into the output folder, from the files there, as `hf-mel card` does. One that was written by hand
        stays: one without the comment at the end of those that are generated.

        Args:
            language (`str` or `list[str]`, *optional*), license (`str`, *optional*), tags (`str` or `list[str]`, *optional*):
                As in [`~transformers.Trainer.create_model_card`]; by default as the run's files say.
            model_name (`str`, *optional*):
                Title of the card.
            finetuned_from (`str` or `list[str]`, *optional*):
                Repositories whose weights the model began with.
            dataset_tags (`str` or `list[str]`, *optional*):
                Repositories of the training data.
            dataset (`str` or `list[str]`, *optional*):
                Names of the training data, used without `dataset_tags`.
            tasks, dataset_args:
                Have no place in this card: the task is always multimodal entity linking.
        """
        if not self.is_world_process_zero():
            return
        if tasks is not None or dataset_args is not None:
            logger.warning(
                "`tasks` and `dataset_args` have no place in the card of a linking model: they are left out"
            )
        named = {"language": language, "license": license, "tags": tags, "model_name": model_name}
        named |= {"base_models": finetuned_from, "datasets": dataset_tags or dataset}
        self._write_card(
            Path(self.args.output_dir), **{name: value for name, value in named.items() if value is not None}
        )

    def _write_card(self, folder: Path, **named) -> None:
        update_model_card(folder, repo_id=self.hub_model_id, **named)

    # ---- After the training ----

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs,
    ) -> CommitInfo | Future[CommitInfo] | None:
        """
        Saves the model, writes the card and publishes what `hf-mel push model` would from the output folder, in one commit.

        Args:
            commit_message (`str`, *optional*, defaults to `"End of training"`):
                Of the commit.
            blocking (`bool`, *optional*, defaults to `True`):
                Return when all is there; else at once. The output folder has to stay as it is meanwhile.
            token (`str`, *optional*):
                Defaults to `hub_token`, and then to that of `hf auth login`.
            revision (`str`, *optional*):
                A branch, which is made if it is not there. Defaults to `hub_revision`, and then to `main`.
            private (`bool`, *optional*):
                Of a repository that is made now. Defaults to `hub_private_repo`.
            kwargs:
                For [`create_model_card`].

        Returns:
            `CommitInfo`; with `blocking=False` a `Future` of it; `None` in other processes than the first.

        Raises:
            `OSError`: the Hub refuses it, cannot be reached, or holds something else than was sent.
            `ValueError`: the folder holds what must not be published. All problems are listed.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        token = token or self.args.hub_token
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        self.save_model(_internal_call=True)  # in every process, as in the Trainer
        if not self.is_world_process_zero():
            return None
        if self.state.global_step:  # the card says how long it was trained
            self.save_state()
        self.create_model_card(**kwargs)
        self.pushes.finish()

        def send() -> CommitInfo:
            return publish(
                self.args.output_dir,
                self.hub_model_id,
                revision=revision or self.args.hub_revision,
                message=commit_message,
                token=token,
            ).info

        return send() if blocking else self.pushes.api.run_as_future(send)

    def save_state(self) -> None:
        """As in the Trainer, without a path of this machine."""
        super().save_state()
        if self.is_world_process_zero():
            path = Path(self.args.output_dir) / STATE_FILE
            write_portable_state(path, path)

    # ---- While the training goes on ----

    def push_checkpoint(self, folder: Path) -> None:
        """Sends a checkpoint in the background, in the first process, as `hub_strategy` says."""
        strategy = self.args.hub_strategy
        if not self.is_world_process_zero() or strategy == HubStrategy.END:
            return
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        place = {HubStrategy.CHECKPOINT: LAST_CHECKPOINT, HubStrategy.ALL_CHECKPOINTS: folder.name}.get(strategy)
        epochs = self.args.save_strategy == SaveStrategy.EPOCH
        when = f"epoch {int(self.state.epoch)}" if epochs else f"step {self.state.global_step}"
        best = self.state.best_model_checkpoint if self.args.load_best_model_at_end else None
        self.pushes.add(
            folder,
            self.state.global_step,
            f"Training in progress, {when}",
            place,
            Path(best) if best and Path(best).is_dir() else None,
        )

    def finish_pushes(self) -> None:
        """Waits until what was sent is there, and tries once more what failed. What then fails is logged as an error."""
        if self.pushes is not None:
            self.pushes.finish()

    def wait_for_pushes(self) -> None:
        """Waits for what is under way; what fails is not tried again."""
        if self.pushes is not None:
            self.pushes.wait()
