"""Private hooks of the Trainer, and names of transformers that moved."""

from abc import abstractmethod
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Sampler
from transformers import PreTrainedModel, Trainer


PRIVATE_HOOKS = (
    *("_save", "_save_checkpoint", "_load_from_checkpoint", "_load_best_model", "_get_output_dir"),
    *("_push_from_checkpoint", "_finish_current_push", "_get_train_sampler", "_wrap_model", "_clip_grad_norm"),
)
"""Methods of the Trainer on which this file relies, from transformers 5.20 on; a test looks whether they are there."""


class HookedTrainer(Trainer):
    """
    [`~transformers.Trainer`] whose ways to write, read and publish a checkpoint have public names: a subclass says what
    weights and what state of the run are, and what goes to the Hub. Everything else about checkpoints (when, where, how many)
    stays the Trainer's. It may also say in what order the examples come.
    """

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

    @abstractmethod
    def push_checkpoint(self, folder: Path) -> None:
        """Sends a checkpoint to the Hub or begins to. Called in every process after one was saved, with `push_to_hub`."""

    @abstractmethod
    def finish_pushes(self) -> None:
        """Waits for what [`push_checkpoint`] began. Called in every process at the end of the training."""

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

    def _push_from_checkpoint(self, checkpoint_folder):
        # The Trainer's own would also pickle the arguments, and send whatever else lies in the output folder.
        self.push_checkpoint(Path(checkpoint_folder))

    def _finish_current_push(self):
        self.finish_pushes()


def enable_activation_checkpointing(model: PreTrainedModel, options: dict | None = None, **further) -> None:
    """
    Recomputes activations in the backward pass. `gradient_checkpointing_enable` until transformers 5.22, and
    `activation_checkpointing_enable` from 5.23 on, where the old name warns.
    """
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=options, **further)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options, **further)
