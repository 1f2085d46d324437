"""The callback that refreshes the index of the discriminator."""

from transformers.trainer_callback import TrainerCallback


class RefreshCallback(TrainerCallback):
    """
    Refreshes the index before an epoch, whose batches the data loader may draw ahead, or before a step.

    Args:
        trainer ([`MELTrainer`]):
            The Trainer.
    """

    def __init__(self, trainer):
        self.trainer = trainer

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.trainer.refresh()
        self.trainer.data_collator.start_epoch(int(state.epoch or 0.0))

    def on_step_begin(self, args, state, control, **kwargs):
        self.trainer.refresh()
