"""What the folder of a finished run says about itself."""

import json
import re
import shlex
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from safetensors import safe_open
from transformers import AutoModel
from transformers.utils import logging

from ..data import BENCHMARKS, EMBEDDED
from ..data.benchmarks import Benchmark
from ..data.problems import listed
from ..evaluation import EvaluationResult
from ..linking.calibration import CALIBRATION_FILE, Calibration
from ..linking.index.fingerprints import describe_model
from ..recipes import Recipe
from ..training import PGMELTrainingArguments
from ..training.checkpoints import ARGUMENTS_FILE, GENERATOR_FOLDER


logger = logging.get_logger(__name__)

HIDDEN = "PATH"  # what stands where a folder of this machine stood
STATE_FILE = "trainer_state.json"

# A path of this machine in a word: at its start, or after what separates it from others. No `https://`.
_PATH = re.compile(r"""(^|(?<=[\s=,\[({'"]))(~|/|\\\\|\.\.[\\/]|[A-Za-z]:[\\/]|file:).*""", re.DOTALL)
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
        state (`dict`): Steps and epochs of `trainer_state.json`.
        results (`list[EvaluationResult]`): Those of `eval_results_*.json`, by name; without a path of this machine.
        best_by (`str`, *optional*): The metric by which the best weights were chosen; `None`: the last ones were kept.
        calibration ([`Calibration`], *optional*): That of `calibration.json`, if it was fitted for this model.
        has_generator (`bool`): Whether the generator lies beside the model.
        num_parameters (`int`, *optional*): Numbers in the weights.
        recipe ([`Recipe`], *optional*): Of the run, if it was given.
    """

    config: dict[str, Any]
    arguments: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    results: list[EvaluationResult] = field(default_factory=list)
    best_by: str | None = None
    calibration: Calibration | None = None
    has_generator: bool = False
    num_parameters: int | None = None
    recipe: Recipe | None = None

    @classmethod
    def read(cls, folder: str | Path, recipe: Recipe | None = None) -> "RunFolder":
        """
        Reads a folder that `hf-mel train` or [`~PreTrainedModel.save_pretrained`] wrote.

        Raises:
            `FileNotFoundError`: no checkpoint there.
            `ValueError`: a file of it is damaged, or the recipe is of another run.
        """
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"{folder} is no checkpoint: it has no config.json")
        arguments = _read_json(folder / ARGUMENTS_FILE)
        results = [_readable(EvaluationResult.load(path)) for path in sorted(folder.glob("eval_results_*.json"))]
        run = cls(
            config=_read_json(folder / "config.json"),
            arguments=changed_arguments(arguments),
            state=_read_json(folder / STATE_FILE),
            best_by=arguments.get("metric_for_best_model") if arguments.get("load_best_model_at_end") else None,
            results=results,
            calibration=_own_calibration(folder),
            has_generator=(folder / GENERATOR_FOLDER / "config.json").is_file(),
            num_parameters=_count_parameters(folder),
            recipe=recipe,
        )
        run._check_recipe()
        return run

    # ---- Names ----

    @property
    def training_results(self) -> list[EvaluationResult]:
        """Those that the training run itself wrote; others may be on data that the model was not trained on."""
        return [result for result in self.results if "train_seconds" in result.extra]

    @property
    def model_name(self) -> str:
        """What tables call the model."""
        for result in self.training_results or self.results:
            return result.model_name
        kind = str(self.config.get("model_type", "model")).upper()
        return self.recipe.evaluation.model_name if self.recipe else kind

    @property
    def data_name(self) -> str | None:
        """What the run calls its data, as `WikiMEL (GHMFC)`; `None` if nothing in the folder says so."""
        if self.recipe is not None:
            return plain_name(self.recipe.data.shown_name)
        for result in self.training_results:
            return split_dataset(result.dataset)[0]
        return None

    @property
    def benchmark_name(self) -> str | None:
        """Name under which [`load_benchmark`] knows the data, if it does."""
        if self.recipe is not None:
            return self.recipe.data.benchmark
        return known_name(self.data_name)

    @property
    def benchmark(self) -> Benchmark | None:
        """What is known of the data."""
        return BENCHMARKS.get(self.benchmark_name)

    @property
    def dataset_id(self) -> str | None:
        """The data's repository on the Hub, if the run took them from there."""
        return self.recipe.data.repo_id if self.recipe is not None else None

    def is_own(self, result: EvaluationResult) -> bool:
        """Whether a result is on the data that the model was trained on."""
        return self.data_name is not None and split_dataset(result.dataset)[0] == self.data_name

    def _check_recipe(self) -> None:
        found = sorted({split_dataset(result.dataset)[0] for result in self.training_results})
        if self.recipe is not None and found and self.data_name not in found:
            raise ValueError(
                f"the recipe is of data called {self.data_name!r}, but the run wrote results on {listed(found)}: give the "
                "recipe of this run, with the same `data.name`"
            )

    @property
    def base_models(self) -> list[str]:
        """Repositories on the Hub whose weights the run began with. A folder of this machine is none."""
        if self.recipe is None:
            return []
        model = self.recipe.model
        named = [model.checkpoint] if model.checkpoint else [model.text, model.vision]
        return list(dict.fromkeys(name for name in named if isinstance(name, str) and is_repo_id(name)))


def changed_arguments(values: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Value and default of the training arguments that are not as [`PGMELTrainingArguments`] has them."""
    changed = {}
    for each in fields(PGMELTrainingArguments):
        value, default = values.get(each.name), _plain(each.default)
        if (
            each.name in values
            and value != default
            and not _is_empty(value, default)
            and not _OPERATIONAL.match(each.name)
        ):
            changed[each.name] = (without_paths(value) if isinstance(value, str) else value, default)
    return changed


def split_dataset(dataset: str) -> tuple[str, str]:
    """Data and split of a result's `dataset`, such as `WikiMEL (GHMFC), test`."""
    data, comma, split = dataset.rpartition(", ")
    return (data, split) if comma else (dataset, "test")


def known_name(data: str | None) -> str | None:
    """The benchmark that a result's data are, as `wikimel` for `WikiMEL (GHMFC)`; `None` for other data."""
    match = re.fullmatch(r"(\S+)( \(.*\))?", data or "")
    return match[1].lower() if match and match[1].lower() in {**BENCHMARKS, **EMBEDDED} else None


def without_paths(text: str) -> str:
    """A command with `PATH` for each absolute path: it names folders, and often the user, of one machine."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""  # a backslash is one of a path
    try:
        words = list(lexer)
    except ValueError:  # an open quote: where a path ends cannot be told, so it ends nowhere
        return _PATH.sub(HIDDEN, text)
    hidden = [_PATH.sub(HIDDEN, word) for word in words]
    if words == hidden:
        return text
    return " ".join(word if HIDDEN in word and " " not in word else shlex.quote(word) for word in hidden)


def plain_name(name: str) -> str:
    """A name of data; of a path its last part."""
    return re.split(r"[\\/]", name.rstrip("\\/"))[-1]


def is_repo_id(name: str) -> bool:
    """Whether this is the id of a repository on the Hub and no folder or variable of this machine."""
    if without_paths(name) != name or name.startswith(".") or Path(name).exists():
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _readable(result: EvaluationResult) -> EvaluationResult:
    """Nothing of this machine, and no line break where a table is to come."""
    data, split = split_dataset(result.dataset)
    names = {"model_name": plain_name(result.model_name), "dataset": f"{plain_name(data)}, {split}"}
    return replace(result, command=without_paths(result.command), **names)


def _is_empty(*values: Any) -> bool:
    """Nothing given, in each of the ways in which the arguments write it."""
    return all(value is None or value is False or value in ("", [], {}) for value in values)


def _plain(default: Any) -> Any:
    return getattr(default, "value", default)  # of an enumeration, as JSON has it


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold an object, not {values!r:.40}")
    return values


def _own_calibration(folder: Path) -> Calibration | None:
    """A calibration outlives a second training in the same folder: its numbers are then those of another model."""
    calibration = Calibration.load(folder)
    fitted_for = calibration.setup.get("model") if calibration else None
    if fitted_for is None or describe_model(AutoModel.from_pretrained(folder))["fingerprint"] == fitted_for:
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
