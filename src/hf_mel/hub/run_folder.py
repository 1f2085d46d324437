"""The files of a finished run, read from its folder."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from safetensors import safe_open
from transformers import AutoModel
from transformers.utils import logging

from ..checkpoint import ARGUMENTS_FILE, GENERATOR_FOLDER, RECIPE_FILE, STATE_FILE
from ..data import BENCHMARKS, EMBEDDED
from ..data.benchmarks import Benchmark
from ..evaluation import RESULTS_FILE, EvaluationResult, load_results
from ..linking.calibration import CALIBRATION_FILE, Calibration
from ..linking.index.fingerprints import describe_model
from .paths import plain_name, portable, without_paths


logger = logging.get_logger(__name__)

COMPARISONS_FILE = "comparisons.json"

# Where and how a run is watched, kept and computed; none of it changes what is learnt.
_OPERATIONAL = re.compile(
    r"\w*_dir$|run_name$|report_to$|project$|resume_from_checkpoint$|disable_tqdm$|log_level|log_on|"
    r"logging_|save_|eval_strategy$|eval_steps$|eval_delay$|eval_on_start$|per_device_eval|use_cpu$|tf32$|local_rank$|"
    r"do_(train|eval|predict)$|(hub|push_to_hub|trackio|dataloader|ddp|fsdp|deepspeed|torch_compile|accelerator|skip_memory|"
    r"include_|auto_find|greater_is_better|parallelism|enable_jit)"
)


@dataclass
class RunFolder:
    """
    A checkpoint folder, as far as a card needs it. What is not there is empty.

    Args:
        config (`dict`): `config.json`.
        arguments (`dict[str, tuple]`): Training arguments that differ from their defaults: value and default.
        all_arguments (`dict[str, Any]`): All training arguments, as they were.
        state (`dict`): Steps and epochs of `trainer_state.json`.
        results (`list[EvaluationResult]`): Those of `eval_results.json` that are of this model, without a path of this machine.
        best_by (`str`, *optional*): The metric by which the best weights were chosen; `None`: the last ones were kept.
        calibration ([`Calibration`], *optional*): That of `calibration.json`, if it was fitted for this model.
        has_generator (`bool`): Whether the generator lies beside the model.
        num_parameters (`int`, *optional*): Numbers in the weights.
        recipe (`dict[str, dict]`): The keys of `recipe.yaml`, by section; empty where there was no recipe.
        is_untrained (`bool`): Whether the heads are those of `hf-mel init`, so that scores are cosines of the towers.
    """

    config: dict[str, Any]
    arguments: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    all_arguments: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    results: list[EvaluationResult] = field(default_factory=list)
    best_by: str | None = None
    calibration: Calibration | None = None
    has_generator: bool = False
    num_parameters: int | None = None
    recipe: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_untrained: bool = False

    @classmethod
    def read(cls, folder: str | Path) -> "RunFolder":
        """
        Reads a folder that `hf-mel train` or [`~PreTrainedModel.save_pretrained`] wrote.

        Raises:
            `FileNotFoundError`: no checkpoint there.
            `ValueError`: a file of it is damaged.
        """
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"{folder} is no checkpoint: it has no config.json")
        arguments, defaults = _read_arguments(folder / ARGUMENTS_FILE)

        @cache  # only where it is asked for: the model has to be loaded
        def fingerprint() -> str:
            return describe_model(AutoModel.from_pretrained(folder))["fingerprint"]

        config, num_parameters = read_json(folder / "config.json"), _count_parameters(folder)
        may_be_untrained = config.get("fusion") == "cosine" and num_parameters is not None
        return cls(
            config=config,
            arguments=changed_arguments(arguments, defaults),
            all_arguments=portable(arguments),
            state=read_json(folder / STATE_FILE),
            best_by=arguments.get("metric_for_best_model") if arguments.get("load_best_model_at_end") else None,
            results=_own_results(folder, fingerprint),
            calibration=_own_calibration(folder, fingerprint),
            has_generator=(folder / GENERATOR_FOLDER / "config.json").is_file(),
            num_parameters=num_parameters,
            recipe=read_recipe(folder),
            is_untrained=may_be_untrained and AutoModel.from_pretrained(folder).is_untrained,
        )

    # ---- Names ----

    @property
    def model_type(self) -> str | None:
        """Type of the model, as `pgmel`."""
        return self.config.get("model_type")

    @property
    def has_adapters(self) -> bool:
        """`True` if the towers have adapters. The folder then has their weights, without those of the towers."""
        return (self.config.get("adapters") or {}).get("base") is not None

    @property
    def sees_pictures(self) -> bool:
        """`True` if the model reads pictures."""
        return any(self.config.get(name) is not None for name in ("vision_config", "tower_config"))

    @property
    def training_results(self) -> list[EvaluationResult]:
        """Those that the training run itself wrote; others may be on data that the model was not trained on."""
        return [result for result in self.results if "train_seconds" in result.extra]

    @property
    def model_name(self) -> str:
        """Name of the model in tables."""
        for result in self.training_results or self.results:
            return result.model_name
        if self.is_untrained:
            return "Pretrained towers, not trained"
        kind = str(self.config.get("model_type", "model")).upper()
        return str(self.recipe.get("evaluation", {}).get("model_name") or kind)

    @property
    def data_name(self) -> str | None:
        """Name of the data, such as `WikiMEL (GHMFC)`; `None` if no file of the folder has it."""
        data = self.recipe.get("data", {})
        for name in (data.get("name"), data.get("benchmark")):
            if name:
                return plain_name(str(name))
        for result in self.training_results:
            return split_dataset(result.dataset)[0]
        return None

    @property
    def benchmark_name(self) -> str | None:
        """Name under which [`load_benchmark`] knows the data, if it does."""
        if "data" in self.recipe:
            return self.recipe["data"].get("benchmark")
        return known_name(self.data_name)

    @property
    def benchmark(self) -> Benchmark | None:
        """Published facts about the data; `None` if they are no known benchmark."""
        return BENCHMARKS.get(self.benchmark_name)

    @property
    def dataset_id(self) -> str | None:
        """The data's repository on the Hub, if the run took them from there."""
        return self.recipe.get("data", {}).get("repo_id")

    def is_own(self, result: EvaluationResult) -> bool:
        """Returns `True` if a result is on the data that the model was trained on."""
        return self.data_name is not None and split_dataset(result.dataset)[0] == self.data_name

    @property
    def base_models(self) -> list[str]:
        """Repositories on the Hub whose weights the run began with."""
        return list(self.config.get("base_models") or [])


def changed_arguments(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Value and default of the training arguments that were chosen and change what is learnt."""
    return {
        name: (portable(values[name]), default)
        for name, default in defaults.items()
        if not _is_empty(values[name], default) and not is_operational(name)
    }


def is_operational(argument: str) -> bool:
    """Returns `True` if a training argument affects logging, saving or computing, and not what is learned."""
    return _OPERATIONAL.match(argument) is not None


def read_recipe(folder: Path) -> dict[str, dict[str, Any]]:
    """The sections of `recipe.yaml`, as they were given; empty where there is none."""
    path = folder / RECIPE_FILE
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(values, dict) for values in content.values()):
        raise ValueError(f"{path}: a recipe is a mapping of sections, each a mapping")
    return portable(content)


def split_dataset(dataset: str) -> tuple[str, str]:
    """Data and split of a result's `dataset`, such as `WikiMEL (GHMFC), test`."""
    data, comma, split = dataset.rpartition(", ")
    return (data, split) if comma else (dataset, "test")


def known_name(data: str | None) -> str | None:
    """The benchmark that a result's data are, as `wikimel` for `WikiMEL (GHMFC)`; `None` for other data."""
    match = re.fullmatch(r"(\S+)( \(.*\))?", data or "")
    return match[1].lower() if match and match[1].lower() in {**BENCHMARKS, **EMBEDDED} else None


def readable_result(result: EvaluationResult) -> EvaluationResult:
    """Nothing of this machine, and no line break where a table is to come."""
    data, split = split_dataset(result.dataset)
    names = {"model_name": plain_name(result.model_name), "dataset": f"{plain_name(data)}, {split}"}
    return replace(result, command=without_paths(result.command), **names)


def _is_empty(*values: Any) -> bool:
    """Nothing given, in each of the ways in which the arguments write it."""
    return all(value is None or value is False or value in ("", [], {}) for value in values)


def _read_arguments(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    content = read_json(path)
    values, defaults = content.get("arguments", {}), content.get("defaults", {})
    if not isinstance(values, dict) or not isinstance(defaults, dict) or (content and not values):
        raise ValueError(f"{path} must hold the objects `arguments` and `defaults`")
    if not defaults.keys() <= values.keys():
        raise ValueError(f"{path}: there are defaults of arguments that are not there")
    return values, defaults


def read_json(path: Path, kind: type[dict] | type[list] = dict) -> Any:
    """The object or list of a file; an empty one where there is no file."""
    if not path.is_file():
        return kind()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, kind):
        raise ValueError(f"{path} must hold {'an object' if kind is dict else 'a list'}, not {values!r:.40}")
    return values


def _own_results(folder: Path, fingerprint: Callable[[], str]) -> list[EvaluationResult]:
    """Results outlive a second training in the same folder, until it is evaluated: they are then those of another model."""
    found = load_results(folder)
    others = [split for split, each in found.items() if each.model_fingerprint not in (None, fingerprint())]
    if others:
        logger.warning(f"{folder / RESULTS_FILE}: {', '.join(others)} is of another model: the card leaves it out")
    return [readable_result(each) for split, each in found.items() if split not in others]


def _own_calibration(folder: Path, fingerprint: Callable[[], str]) -> Calibration | None:
    """The same holds for a calibration."""
    calibration = Calibration.load(folder)
    fitted_for = calibration.setup.get("model") if calibration else None
    if fitted_for is None or fingerprint() == fitted_for:
        return calibration
    logger.warning(f"{folder / CALIBRATION_FILE} was fitted for another model: the card leaves it out")
    return None


def _count_parameters(folder: Path) -> int | None:
    """By the headers of the weights: nothing is loaded."""
    count = 0
    for path in sorted(folder.glob("model*.safetensors")):
        with safe_open(path, framework="np") as weights:
            for name in weights.keys():
                size = 1
                for side in weights.get_slice(name).get_shape():
                    size *= side
                count += size
    return count or None
