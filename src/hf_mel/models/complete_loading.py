"""Loading of checkpoints that hold every weight of the model, and no other."""

from pathlib import Path

from safetensors import SafetensorError


_SHOWN = 4  # names in a message
_REMEDY = (
    "Save the model again with `save_pretrained`, or download the checkpoint again. With `output_loading_info=True`, "
    "`from_pretrained` returns the model as it is and says which weights are random."
)


class CompleteLoadingMixin:
    """
    For a [`~transformers.PreTrainedModel`] whose `from_pretrained` refuses a checkpoint that does not fit it. By itself,
    transformers gives random values to what is missing and logs it: a linker with a random tower would answer, with any
    entity.
    """

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path | None, *args, **kwargs):
        """
        Load a saved model.

        Args:
            pretrained_model_name_or_path (`str` or `Path`): Folder or Hub id.
            args, kwargs: Those of [`~transformers.PreTrainedModel.from_pretrained`].

        Raises:
            `ValueError`: The checkpoint lacks weights of the model, has weights that the model has not, or cannot be read.
                Weights that are missing or left over are accepted with `output_loading_info=True`, and other sizes with
                `ignore_mismatched_sizes=True`.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        may_differ = kwargs.pop("ignore_mismatched_sizes", False)
        options = {"output_loading_info": True, "ignore_mismatched_sizes": True}
        try:
            model, info = super().from_pretrained(pretrained_model_name_or_path, *args, **options, **kwargs)
        except SafetensorError as error:
            raise ValueError(
                f"the weights in {pretrained_model_name_or_path} cannot be read ({error}): the file is not whole. {_REMEDY}"
            ) from error
        problem = _sizes(info, cls.__name__) if not may_differ else None
        if not wants_info:
            problem = problem or _lacking(info, cls.__name__) or _left_over(info, cls.__name__)
        if problem is not None:
            raise ValueError(f"{pretrained_model_name_or_path} {problem} {_REMEDY}")
        return (model, info) if wants_info else model


def _lacking(info: dict, name: str) -> str | None:
    missing = sorted(info["missing_keys"])
    return f"lacks {_some(missing)} of {name}, which would be random." if missing else None


def _left_over(info: dict, name: str) -> str | None:
    unexpected = sorted(info["unexpected_keys"])
    if not unexpected:
        return None
    return f"holds {_some(unexpected)} that {name} does not have: its `config.json` is that of another model."


def _sizes(info: dict, name: str) -> str | None:
    differing = sorted(f"{key}: {tuple(saved)}, not {tuple(own)}" for key, saved, own in info["mismatched_keys"])
    if not differing:
        return None
    return f"holds {_some(differing)} that have other sizes in {name}: its `config.json` is that of another model."


def _some(names: list[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return f"{len(names)} weight{'s' * (len(names) > 1)} ({', '.join(names[:_SHOWN])}{more})"
