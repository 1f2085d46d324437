"""Arguments of `from_pretrained` that say where files come from."""

HUB_ARGUMENTS = (
    "cache_dir",
    "force_download",
    "local_files_only",
    "token",
    "revision",
    "subfolder",
    "trust_remote_code",
)


def hub_arguments(kwargs: dict) -> dict:
    """Those of `kwargs` that say where files come from."""
    return {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}


def without_hub_arguments(kwargs: dict) -> dict:
    """The others."""
    return {name: value for name, value in kwargs.items() if name not in HUB_ARGUMENTS}
