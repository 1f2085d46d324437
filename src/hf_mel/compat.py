"""The one place that knows in which version of transformers a thing has another name."""

from transformers import PreTrainedModel


def enable_activation_checkpointing(model: PreTrainedModel, options: dict | None = None, **further) -> None:
    """
    Recomputes activations in the backward pass. `gradient_checkpointing_enable` until transformers 5.22, and
    `activation_checkpointing_enable` from 5.23 on, where the old name warns.
    """
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=options, **further)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
