"""Checks that the configurations of all models share."""

import difflib


PIPELINE_TASK = "multimodal-entity-linking"


def check_field_names(config_class: type, names, reserved: tuple[str, ...] = ()) -> None:
    """Raise `TypeError`, naming the nearest valid name, if `names` holds one that is no own field of `config_class`."""
    valid = sorted(set(config_class.__annotations__) - set(reserved))
    for name in names:
        if name not in valid:
            near = difflib.get_close_matches(name, valid, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else f" Valid names: {', '.join(valid)}."
            raise TypeError(f"{config_class.__name__} has no settable field `{name}`.{hint}")


def check_model_type(config_dict: dict, expected: str, source) -> None:
    """Raise `ValueError` if a loaded configuration is of another model type: its weights would all be random."""
    found = config_dict.get("model_type")
    if found is not None and found != expected:
        raise ValueError(
            f"{source} holds a model of type {found!r}, not {expected!r}. To build a model on pretrained "
            f"towers, call `from_towers` of its class; a generator is in the sub-folder `generator` of a checkpoint."
        )


def check_pipeline(task: str | None) -> None:
    """Raise `ImportError` if the pipeline, for which a configuration is loaded, is not there: no code of it travels."""
    if task != PIPELINE_TASK:
        return
    from transformers.pipelines import PIPELINE_REGISTRY

    if task not in PIPELINE_REGISTRY.supported_tasks:
        raise ImportError(
            f"the pipeline {task!r} is part of the package hf_mel, not of the checkpoint: run `pip install hf-mel`, and "
            "`import hf_mel` before `pipeline(...)`. Without it, `AutoModel` and `AutoProcessor` load the checkpoint with "
            "`trust_remote_code=True`."
        )
