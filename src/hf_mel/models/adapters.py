"""LoRA adapters in the towers of a model: added, saved without the towers, loaded, merged."""

import copy
import hashlib
import os
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers.utils import CONFIG_NAME, cached_file, logging

from .adapter_targets import check_lora_config, find_targets, import_peft, plain_lora_config, tower_kind
from .adapter_weights import load_strictly, read_weights
from .tower_features import TOWER_PARTS


logger = logging.get_logger(__name__)

_HUB = ("token", "cache_dir", "local_files_only", "force_download", "proxies", "revision", "subfolder")
_OF_THIS_REPOSITORY = ("revision", "subfolder")
_IGNORED = ("trust_remote_code", "adapter_kwargs", "code_revision", "_from_auto", "_from_pipeline", "_commit_hash")


class AdapterMixin:
    """
    LoRA adapters for the towers of a [`MatchingModel`]. The weights of the towers do not change, those of the heads are
    trained. `config.adapters` describes the adapters; a saved model then holds adapters and heads, and the name of the
    checkpoint, or of the checkpoints of the towers, that holds everything else.
    """

    tower_sources: dict | None = None
    """Arguments of `from_towers` that load the same towers again; `None` if the model was made in another way."""
    loaded_revision: str | None = None
    """The argument `revision` of `from_pretrained`."""

    @property
    def has_adapters(self) -> bool:
        """`True` if the towers have adapters."""
        return getattr(self.config, "adapters", None) is not None

    # ---- Adding and merging ----

    def add_adapter(self, adapter_config, adapter_name: str | None = None) -> None:
        """
        Add LoRA adapters to the towers, in place, and freeze the weights of the towers. A tower without an adapter is frozen
        as a whole (`config.freeze_text`, `config.freeze_vision`).

        Args:
            adapter_config (`peft.LoraConfig`):
                `target_modules` are matched against the names of the modules in the towers, which begin with `text_model`,
                `vision_model`, `text_projection`, `visual_projection` or `tower`. `None`: all linear layers in the
                attention of the towers that are not frozen.
            adapter_name (`str`, *optional*):
                Only `"default"`: there is one set of adapters.

        Raises:
            `ImportError`: PEFT is not installed.
            `ValueError`: The model has adapters; the configuration is not one of LoRA, or has a field that cannot be used;
                no module matches; or a frozen tower has modules that match.

        Example:

        ```py
        >>> from peft import LoraConfig

        >>> model.add_adapter(LoraConfig(r=8, lora_alpha=16))
        >>> model.merge_and_unload().save_pretrained("merged")
        ```
        """
        peft = import_peft()
        if self.has_adapters:
            raise ValueError("the model has adapters already: call `model.merge_and_unload()` first.")
        check_lora_config(adapter_config, adapter_name)
        targets = find_targets(self, adapter_config)
        base, towers = self._find_base(), _tower_state(self)
        lora = plain_lora_config(adapter_config) | {"target_modules": targets}
        self._inject(peft.LoraConfig(**lora))
        adapted = {tower_kind(name) for name in targets}
        for kind in ("text", "vision"):
            if kind not in adapted and hasattr(self.config, f"freeze_{kind}"):
                setattr(self.config, f"freeze_{kind}", True)
        if base is not None and "checkpoint" in base and not Path(base["checkpoint"]).is_dir():
            self.config.base_models = [base["checkpoint"]]  # for the card
        dtype = str(self.dtype).removeprefix("torch.")
        self.config.adapters = {"lora": lora, "base": base, "dtype": dtype, "fingerprint": _fingerprint(towers)}
        self.train(self.training)

    def merge_and_unload(self) -> "AdapterMixin":
        """
        Add the adapters to the weights of the towers, in place: the model is then one without adapters, whose scores are the
        same up to rounding. `save_pretrained` writes all its weights.

        Returns:
            The model itself.

        Raises:
            `ValueError`: The model has no adapters.
        """
        if not self.has_adapters:
            raise ValueError("the model has no adapters to merge.")
        layer_class = import_peft().tuners.tuners_utils.BaseTunerLayer
        for name, module in list(self.named_modules()):
            if isinstance(module, layer_class):
                module.merge()
                parent, _, child = name.rpartition(".")
                setattr(self.get_submodule(parent), child, module.get_base_layer())
        del self.peft_config
        del self.config.adapters
        self.config._name_or_path = ""  # its weights are no longer those of a checkpoint
        self.tower_sources = None
        self.requires_grad_(True)
        return self.train(self.training)

    def _inject(self, lora_config) -> None:
        trained = {name for name, value in self.named_parameters() if value.requires_grad}
        import_peft().inject_adapter_in_model(lora_config, self)
        for name, value in self.named_parameters():  # PEFT has frozen everything else
            if not _in_tower(name):
                value.requires_grad_(name in trained)

    # ---- The checkpoint that holds the towers ----

    def _find_base(self) -> dict | None:
        """Returns the place from which the towers' weights can be loaded; `None` if the model has to be saved as a whole."""
        source = getattr(self.config, "_name_or_path", "") or ""
        if source:
            base = {"checkpoint": os.path.abspath(source) if os.path.isdir(source) else source}
        elif self.tower_sources is not None:
            base = {"towers": self.tower_sources}
        else:
            logger.warning("the adapters will be saved with the whole model, because no checkpoint holds its towers")
            return None
        try:
            base = _pinned(base, self.loaded_revision)
            towers = _tower_state(self._load_base(copy.deepcopy(self.config), base, dtype=self.dtype))
        except (OSError, ValueError) as error:
            logger.warning(
                f"the adapters will be saved with the whole model, because its base cannot be loaded: {error}"
            )
            return None
        own = _tower_state(self)
        if own.keys() != towers.keys() or not all(torch.equal(own[name].cpu(), towers[name]) for name in own):
            logger.warning(
                f"the adapters will be saved with the whole model, because its towers are not those of {base} any more"
            )
            return None
        return base

    @classmethod
    def _load_base(cls, config: PreTrainedConfig, base: dict | None, **options) -> "AdapterMixin":
        """The model without adapters; only its towers count."""
        if base is not None and "checkpoint" in base:
            revision = {"revision": base["revision"]} if "revision" in base else {}
            return super().from_pretrained(base["checkpoint"], config=config, **revision, **options)
        made = {name: options[name] for name in ("dtype", "attn_implementation") if name in options}
        model = cls._from_config(config, **made)
        if base is not None:
            options = {name: value for name, value in options.items() if name not in made}
            arguments = {"text": base["towers"]["text"], "dtype": made.get("dtype") or torch.float32}
            for name, value in base["towers"].items():
                arguments[name] = options | value if name.endswith("_kwargs") else value
            load_strictly(model, _tower_state(cls.from_towers(**arguments)), _tower_names(model), "the towers")
        return model

    # ---- Saving and loading ----

    def _saved_names(self, adapters: dict) -> set[str]:
        """The weights that a checkpoint with these adapters has to hold: all but those that its base holds."""
        whole = adapters["base"] is None
        return {name for name in self.state_dict() if whole or not _in_tower(name) or ".lora_" in name}

    def save_pretrained(self, save_directory: str | Path, is_main_process: bool = True, state_dict=None, **kwargs):
        """
        As in [`~transformers.PreTrainedModel`]. Of a model with adapters only adapters and heads are written, if a checkpoint
        holds the towers.

        Raises:
            `ValueError`: The folder is the checkpoint that holds the towers.
        """
        if self.has_adapters:
            base = (self.config.adapters["base"] or {}).get("checkpoint")
            if (
                base is not None
                and os.path.exists(base)
                and os.path.realpath(base) == os.path.realpath(save_directory)
            ):
                raise ValueError(
                    f"{save_directory} holds the towers that the adapters need, and saving there would overwrite them: "
                    "choose another folder (`output_dir` of a training)."
                )
            state = self.state_dict() if state_dict is None else state_dict
            names = self._saved_names(self.config.adapters)
            state_dict = {name: value for name, value in state.items() if name in names}
            kwargs |= {"save_original_format": False, "max_shard_size": "1000GB"}  # one file, read as it is
        return super().save_pretrained(save_directory, is_main_process, state_dict, **kwargs)

    def load_adapter_weights(self, folder: str | Path) -> None:
        """
        Load adapters and heads in place, from a folder that `save_pretrained` wrote.

        Raises:
            `ValueError`: The folder holds other adapters, adapters for other towers, or none.
        """
        saved = getattr(type(self.config).from_pretrained(folder), "adapters", None)
        if saved is None:
            raise ValueError(f"the model has adapters, and {folder} has none: leave out `peft_config`.")
        for name in ("lora", "fingerprint"):
            if saved[name] != self.config.adapters[name]:
                what = "`peft_config`" if name == "lora" else "weights of the towers"
                raise ValueError(
                    f"{folder} was saved with another {what}: load the same model, with the same adapters."
                )
        load_strictly(self, read_weights(folder), self._saved_names(saved), folder)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """
        As in [`~transformers.PreTrainedModel`]. A checkpoint with adapters is loaded together with the checkpoint that holds
        its towers; adapters and heads are then trainable.

        Raises:
            `ImportError`: The checkpoint has adapters, and PEFT is not installed.
            `OSError`: The checkpoint of the towers cannot be loaded.
            `ValueError`: The checkpoint has adapters, and lacks weights or has others; its towers are not those it was
                trained with; or an argument cannot be used with adapters.
        """
        source, config = pretrained_model_name_or_path, kwargs.get("config")
        if source is None:
            return super().from_pretrained(source, *args, **kwargs)
        hub = {name: kwargs[name] for name in _HUB if kwargs.get(name) is not None}
        if isinstance(config, PreTrainedConfig):
            adapters = getattr(config, "adapters", None)
        else:
            adapters = cls.config_class.get_config_dict(config or source, **hub)[0].get("adapters")
        if adapters is None:
            loaded = super().from_pretrained(source, *args, **kwargs)
            (loaded[0] if isinstance(loaded, tuple) else loaded).loaded_revision = kwargs.get("revision")
            return loaded
        if not isinstance(config, PreTrainedConfig):
            options = {name: value for name, value in kwargs.items() if name not in ("config", *_HUB)}
            config, kwargs = cls.config_class.from_pretrained(
                config or source, return_unused_kwargs=True, **hub, **options
            )
        return cls._with_saved_adapters(source, copy.deepcopy(config), hub, kwargs)

    @classmethod
    def _with_saved_adapters(cls, source, config: PreTrainedConfig, hub: dict, options: dict) -> "AdapterMixin":
        peft, adapters = import_peft(), config.adapters
        unused = (*_HUB, *_IGNORED, "config", "dtype", "torch_dtype", "attn_implementation")
        refused = [f"`{name}`" for name, value in options.items() if name not in unused and value is not None]
        if refused:
            raise ValueError(
                f"{source} has adapters, with which {', '.join(refused)} cannot be used: load it without, and save "
                "`model.merge_and_unload()` as a model without adapters."
            )
        del config.adapters
        dtype, saved_dtype = getattr(torch, adapters["dtype"]), config.dtype
        shared = {name: value for name, value in hub.items() if name not in _OF_THIS_REPOSITORY}
        if options.get("attn_implementation") is not None:
            shared["attn_implementation"] = options["attn_implementation"]
        try:
            model = cls._load_base(config, adapters["base"], dtype=dtype, **shared)
        except (OSError, ValueError) as error:
            raise type(error)(
                f"{source} has adapters for {adapters['base']}, which cannot be loaded: {error}"
            ) from error
        if adapters["base"] is not None and _fingerprint(_tower_state(model)) != adapters["fingerprint"]:
            raise ValueError(
                f"{source} has adapters for {adapters['base']}, whose weights are not those that they were trained with."
            )
        model._inject(peft.LoraConfig(**adapters["lora"]))
        model.config.adapters = adapters
        load_strictly(model, read_weights(source, **hub), model._saved_names(adapters), source)
        model.config._name_or_path = str(source)
        wanted = options.get("dtype") or options.get("torch_dtype") or "auto"
        wanted = saved_dtype if wanted == "auto" else wanted
        wanted = getattr(torch, wanted) if isinstance(wanted, str) else wanted
        return (model if wanted in (None, dtype) else model.to(wanted)).eval()


def _in_tower(name: str) -> bool:
    return name.split(".")[0] in TOWER_PARTS


def _tower_names(model: nn.Module) -> set[str]:
    return {name for name in model.state_dict() if _in_tower(name)}


def _tower_state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.state_dict().items() if _in_tower(name)}


def _fingerprint(state: dict[str, torch.Tensor]) -> str:
    """A digest of names and values."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\0".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _pinned(base: dict, revision: str | None) -> dict:
    """With the commits that a name on the Hub, and its revision, mean now."""
    if "checkpoint" in base:
        commit = _commit_of(base["checkpoint"], revision=revision)
        return base if commit is None else base | {"revision": commit}
    towers = dict(base["towers"])
    for name in {"text", "vision"} & towers.keys():
        options = towers.get(f"{name}_kwargs", {})
        where = {key: options[key] for key in _OF_THIS_REPOSITORY if key in options}
        commit = _commit_of(towers[name], **where) if isinstance(towers[name], str) else None
        if commit is not None:
            towers[f"{name}_kwargs"] = options | {"revision": commit}
    return {"towers": towers}


def _commit_of(source: str, **where) -> str | None:
    """The commit of a repository on the Hub; `None` for a folder."""
    if os.path.isdir(source):
        return None
    snapshot = Path(cached_file(source, CONFIG_NAME, **where))
    parts = snapshot.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None


def tower_sources(
    text: str | Path,
    vision: str | Path | bool | None = None,
    text_kwargs: dict | None = None,
    vision_kwargs: dict | None = None,
) -> dict:
    """The arguments of `from_towers` as JSON has them, without what concerns this machine: `AdapterMixin.tower_sources`."""
    local = set(_HUB) - set(_OF_THIS_REPOSITORY)
    found = {}
    for name, value in (("text", text), ("vision", vision)):
        is_place = isinstance(value, (str, Path))
        found[name] = os.path.abspath(value) if is_place and os.path.isdir(value) else value
    for name, given in (("text_kwargs", text_kwargs), ("vision_kwargs", vision_kwargs)):
        found[name] = {key: value for key, value in (given or {}).items() if key not in local}
    return {name: value for name, value in found.items() if value is not None and value != {}}
