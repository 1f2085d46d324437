"""Private hooks of the Trainer, and names of transformers that moved."""

from abc import abstractmethod
from concurrent.futures import Future
from pathlib import Path

import torch
from huggingface_hub import CommitInfo
from torch import nn
from torch.utils.data import Sampler
from transformers import PreTrainedModel, Trainer
from transformers.trainer_utils import HubStrategy


PRIVATE_HOOKS = (
    *("_save", "_save_checkpoint", "_load_from_checkpoint", "_load_best_model", "_get_output_dir"),
    *("_push_from_checkpoint", "_get_train_sampler", "_wrap_model", "_clip_grad_norm"),
    "_hp_search_setup",
)
"""Methods of the Trainer on which this file relies, from transformers 5.20 on; a test looks whether they are there."""


class HookedTrainer(Trainer):
    """
    [`~transformers.Trainer`] with public names for what it does in private methods: a subclass defines how weights and the
    state of the run are saved and loaded, and in which order the training examples come. Everything else about checkpoints
    (when, where, how many) is the Trainer's.

    Args:
        hub ([`HubCallback`]):
            The callback that uploads to the Hub. `compat` may not import it.
        args, kwargs:
            Those of [`~transformers.Trainer`].
    """

    def __init__(self, *args, hub, **kwargs):
        self.hub = hub  # before the Trainer's own constructor, which calls `init_hf_repo`
        super().__init__(*args, **kwargs)
        self.add_callback(hub)

    def train_sampler(self) -> Sampler | None:
        """The order of the training examples; `None`: the Trainer's own."""
        return None

    def training_module(self) -> nn.Module:
        """The module that is trained: `model`, or one that holds it."""
        return self.model

    @abstractmethod
    def clip_gradients(self) -> torch.Tensor:
        """Clips the gradients before an optimizer step, and returns their norm."""

    @abstractmethod
    def save_weights(self, folder: Path) -> None:
        """Writes what `from_pretrained` needs. Called in the main process only."""

    @abstractmethod
    def load_weights(self, folder: Path) -> None:
        """Loads the weights in place. Called in every process."""

    @abstractmethod
    def save_run_state(self, folder: Path) -> None:
        """Writes what, beside weights, optimizer, schedule and random numbers, a resumed run needs."""

    @abstractmethod
    def load_run_state(self, folder: Path) -> None:
        """Counterpart of [`save_run_state`]."""

    # ---- The Hub ----

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """
        As in [`~transformers.Trainer`]: creates the repository, if it does not exist. Also checks that the token may write.

        Raises:
            `OSError`: the Hub cannot be reached, or refuses. The message says what to do.
        """
        if self.is_world_process_zero():
            self.hub_model_id = self.hub.open_repository(token, private)

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
        Writes the model card into the output folder, from the files there, as `hf-mel card` does. A card that somebody wrote
        by hand is kept. The arguments are those of [`~transformers.Trainer.create_model_card`]; `tasks` and `dataset_args` are
        ignored, because the task is always multimodal entity linking.
        """
        if self.is_world_process_zero():
            named = {"language": language, "license": license, "tags": tags, "model_name": model_name}
            named |= {"dataset_tags": dataset_tags, "dataset": dataset, "dataset_args": dataset_args}
            self.hub.write_card(finetuned_from=finetuned_from, tasks=tasks, **named)

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
        Saves the model, writes the card, and publishes the output folder in one commit, as `hf-mel push model` does.

        The arguments are those of [`~transformers.Trainer.push_to_hub`]: `revision` is a branch, which is created if it does not
        exist; `kwargs` go to [`create_model_card`]; with `blocking=False` the output folder must not change meanwhile.

        Returns:
            `CommitInfo`; with `blocking=False` a `Future` of it; `None` in other processes than the first.

        Raises:
            `OSError`: the Hub cannot be reached, refuses, or holds something else than was sent.
            `ValueError`: the folder holds what must not be published. All problems are listed.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        self.save_model(_internal_call=True)  # in every process, as in the Trainer
        if not self.is_world_process_zero():
            return None
        if self.state.global_step:  # the card says how long the model was trained
            self.save_state()
        self.create_model_card(**kwargs)
        return self.hub.push(commit_message, blocking, token, revision)

    def wait_for_pushes(self) -> None:
        """Waits for the pushes in progress; what fails is not tried again."""
        self.hub.wait()

    # ---- The private hooks ----

    def _wrap_model(self, model, training=True, dataloader=None):
        if not training:
            return model
        module = self.training_module()
        if self.accelerator.unwrap_model(model, keep_torch_compile=False) is module:
            return model  # wrapped by an earlier call of `train`
        return self.accelerator.prepare(module)

    def _clip_grad_norm(self, model):
        return self.clip_gradients()

    def _save(self, output_dir=None, state_dict=None):
        # The Trainer's own would also pickle the arguments.
        if self.args.should_save:
            self.save_weights(Path(output_dir if output_dir is not None else self.args.output_dir))

    def _save_checkpoint(self, model, trial):
        folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save and not self.args.save_only_model:
            folder.mkdir(parents=True, exist_ok=True)
            self.save_run_state(folder)
        super()._save_checkpoint(model, trial)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        self.load_weights(Path(resume_from_checkpoint))
        self.load_run_state(Path(resume_from_checkpoint))

    def _get_train_sampler(self, train_dataset=None):
        own = self.train_sampler()
        return super()._get_train_sampler(train_dataset) if own is None else own

    def _load_best_model(self):
        self.load_weights(Path(self.state.best_model_checkpoint))

    def _hp_search_setup(self, trial):
        super()._hp_search_setup(trial)
        if trial is not None:
            self.args.check()  # a trial sets attributes, which no `__post_init__` has seen

    def _push_from_checkpoint(self, checkpoint_folder):
        # The Trainer's own would also pickle the arguments, and send whatever is in the output folder. `hub` pushes the
        # checkpoint, in `on_save`, when each process has written its random numbers.
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero() and self.args.hub_strategy != HubStrategy.END:
            self.callback_handler.on_push_begin(self.args, self.state, self.control)


def enable_activation_checkpointing(model: PreTrainedModel, options: dict | None = None, **further) -> None:
    """
    Recomputes activations in the backward pass. `gradient_checkpointing_enable` until transformers 5.22, and
    `activation_checkpointing_enable` from 5.23 on, where the old name warns.
    """
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=options, **further)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options, **further)
