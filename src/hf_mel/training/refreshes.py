"""The callback that refreshes the index of the negatives."""

from collections.abc import Callable

from transformers.trainer_callback import TrainerCallback


class RefreshCallback(TrainerCallback):
    """
    Refreshes the index before an epoch, whose batches the data loader may draw ahead, or before a step.

    Args:
        refresh (`Callable[[], None]`): Refreshes the index, if it is due.
        start_epoch (`Callable[[int], None]`): Is called with the number of the epoch that begins.
    """

    def __init__(self, refresh: Callable[[], None], start_epoch: Callable[[int], None]):
        self.refresh, self.start_epoch = refresh, start_epoch

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.refresh()
        self.start_epoch(int(state.epoch or 0.0))

    def on_step_begin(self, args, state, control, **kwargs):
        self.refresh()
