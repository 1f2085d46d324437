"""The model card: YAML that the Hub reads and text for people, both from what a run left in its folder."""

import os
import re
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml
from huggingface_hub.utils import validate_repo_id
from jinja2 import Environment, StrictUndefined

from ..data import BENCHMARKS, EMBEDDED
from ..evaluation import EvaluationResult, results_table
from ..linking.pipeline import TASK
from ..recipes import Recipe
from .run_folder import RunFolder, known_name, split_dataset


TEMPLATE = Path(__file__).parent / "templates" / "model_card.md"
CARD_FILE = "README.md"
EVAL_RESULTS_FILE = ".eval_results/hf_mel.yaml"
LICENSE = "apache-2.0"
CITATION = """@article{pooja2025pgmel,
  title = {PGMEL: Policy Gradient-based Generative Adversarial Network for Multimodal Entity Linking},
  author = {Pooja, KM and Long, Cheng and Sun, Aixin},
  journal = {arXiv preprint arXiv:2510.02726},
  url = {https://arxiv.org/abs/2510.02726},
  year = {2025},
}

@software{hf_mel,
  title = {hf-mel: multimodal entity linking on the Hugging Face stack},
  author = {{The hf-mel authors}},
  license = {Apache-2.0},
}"""

_SHARES = re.compile(r"(hits@\d+|mrr|T@\d+( \(gold added\))?|retrieved)$")
_HEADINGS = {"hits@1": "H@1", "hits@3": "H@3", "hits@5": "H@5", "hits@10": "H@10", "mrr": "MRR", "mr": "MR"}
_RULES = {
    "full-kb": "Every mention is ranked against the whole knowledge base.",
    "candidate-k": "Every mention is ranked among its retrieved candidates; a gold entity that is not one of them is wrong.",
    "candidate-k, gold added": (
        "Every mention is ranked among its retrieved candidates, to which the gold entity was added where it was missed: "
        "such numbers are too good."
    ),
}


def render_model_card(
    folder: str | Path, recipe: Recipe | None = None, repo_id: str | None = None, license: str = LICENSE
) -> ModelCard:
    """
    The card of a checkpoint, from the files of its run alone: the same files give the same bytes. Where there is no
    result, there is no section of results; absolute paths are left out.

    Args:
        folder (`str` or `Path`):
            The checkpoint: `config.json` and, as far as they are there, `training_args.json`, `trainer_state.json`,
            `eval_results_*.json`, `calibration.json`, `generator/` and the weights.
        recipe ([`Recipe`], *optional*):
            That of the run. It says what the folder does not: pretrained towers, and the data of a run without results.
        repo_id (`str`, *optional*):
            Where the checkpoint will be on the Hub; the example loads it from there.
        license (`str`, *optional*, defaults to `"apache-2.0"`):
            Of the weights, as the Hub writes it.

    Returns:
        `ModelCard`, whose metadata the client has checked.

    Raises:
        `FileNotFoundError`: no checkpoint in the folder.
        `ValueError`: a file in it is damaged, or `repo_id` is none.

    Example:

    ```python
    >>> import tempfile
    >>> from hf_mel import PGMELConfig, PGMELModel
    >>> from hf_mel.hub import render_model_card

    >>> tower = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     PGMELModel(PGMELConfig(text_config=tower)).save_pretrained(folder)
    ...     card = render_model_card(folder, repo_id="org/tiny")
    >>> card.data.license, card.data.pipeline_tag, card.data.eval_results
    ('apache-2.0', 'multimodal-entity-linking', None)
    ```
    """
    if repo_id is not None:
        validate_repo_id(repo_id)
    run = RunFolder.read(folder, recipe)
    data = _metadata(run, repo_id, license)
    # Not `ModelCard.from_template`: it leaves an empty line for each tag, which breaks tables.
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    environment.filters["number"] = _number
    environment.filters["cell"] = _cell
    body = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        run=run,
        title=_title(run),
        info=run.benchmark,
        source=repo_id or "path/to/checkpoint",
        loading=_loading(run),
        license=license,
        model_rows=_model_rows(run),
        table=_table(run.results),
        rules=[text for kind, text in _RULES.items() if any(each.protocol.kind == kind for each in run.results)],
        novelty=_novelty(run.results),
        calibration=_calibration_rows(run),
        costs=_costs(run.training_results or run.results),
        citation=CITATION,
    )
    # The client parses it again, and refuses what the Hub's model-index could not be read from.
    return ModelCard(f"---\n{data.to_yaml()}\n---\n{body}", ignore_metadata_errors=False)


def write_model_card(
    folder: str | Path,
    recipe: Recipe | None = None,
    repo_id: str | None = None,
    license: str = LICENSE,
    path: str | Path | None = None,
) -> Path:
    """
    Writes the card of a checkpoint, `README.md` in its folder; one that stands there is replaced whole or not at all.
    Where the data are a repository on the Hub, `.eval_results/hf_mel.yaml` holds the results in the form that its
    leaderboard reads.

    Args:
        folder (`str` or `Path`), recipe ([`Recipe`], *optional*), repo_id (`str`, *optional*), license (`str`, *optional*):
            Those of [`render_model_card`].
        path (`str` or `Path`, *optional*):
            Another file for the card; nothing is then written into the folder.

    Returns:
        `Path` of the card.
    """
    card = render_model_card(folder, recipe, repo_id, license)
    if path is None:
        entries = eval_result_entries(RunFolder.read(folder, recipe))
        if entries:
            text = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)
            _replace(Path(folder) / EVAL_RESULTS_FILE, text)
    target = Path(folder) / CARD_FILE if path is None else Path(path)
    _replace(target, str(card))
    return target


def eval_result_entries(run: RunFolder) -> list[EvalResultEntry]:
    """Results as entries of `.eval_results/*.yaml`; none where the data are no repository on the Hub."""
    if run.dataset_id is None:
        return []
    return [
        EvalResultEntry(
            dataset_id=run.dataset_id,
            task_id=f"{split_dataset(result.dataset)[1]}_{metric}",
            value=value,
            date=result.date,
            notes=result.protocol.describe(),
        )
        for result in run.results
        if run.is_own(result)
        for metric, value in _metrics(result).items()
    ]


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    os.replace(unfinished, path)


# ---- YAML ----


def _metadata(run: RunFolder, repo_id: str | None, license: str) -> ModelCardData:
    info = run.benchmark
    results = [entry for result in run.results for entry in _model_index(run, result)]
    model_type = str(run.config.get("model_type", "pgmel"))
    known = run.dataset_id or (info.name if info else None)
    return ModelCardData(
        language=list(info.languages) if info else None,
        license=license,
        # `pipeline(model=...)` asks the Hub for these two: the task, and that transformers loads the model.
        library_name="transformers",
        pipeline_tag=TASK,
        tags=["entity-linking", TASK, "multimodal", "knowledge-base", "hf_mel", model_type],
        base_model=run.base_models or None,
        datasets=[known] if known else None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=(repo_id.split("/")[-1] if repo_id else _slug(_title(run, " "))) if results else None,
        eval_results=results or None,
    )


def _model_index(run: RunFolder, result: EvaluationResult) -> list[EvalResult]:
    data, split = split_dataset(result.dataset)
    return [
        EvalResult(
            task_type=TASK,
            task_name="Multimodal entity linking",
            dataset_type=(run.dataset_id if run.is_own(result) else None) or known_name(data) or _slug(data),
            dataset_name=_data_title(data),
            dataset_split=split,
            metric_type=metric,
            metric_name=_HEADINGS.get(metric, metric),
            metric_value=value,
            metric_args={"protocol": result.protocol.describe()},
        )
        for metric, value in _metrics(result).items()
    ]


def _metrics(result: EvaluationResult) -> dict[str, Any]:
    return {name: value for name, value in result.metrics.items() if name == "mr" or _SHARES.match(name)}


def _slug(text: str) -> str:
    return re.sub(r"[^\w.]+", "-", text.lower()).strip("-.") or "data"


# ---- Text ----


def _title(run: RunFolder, link: str = " on ") -> str:
    return run.model_name if run.data_name is None else f"{run.model_name}{link}{_data_title(run.data_name)}"


def _data_title(data: str) -> str:
    """What papers call the data, where they are a benchmark as such and no variant of it."""
    return BENCHMARKS[data].title if data in BENCHMARKS else data


def _loading(run: RunFolder) -> tuple[str, str]:
    """The function that loads the data, and its call."""
    name = run.benchmark_name
    if name in EMBEDDED:
        return "load_benchmark", f'load_benchmark("{name}")'
    if run.dataset_id is not None and name is not None:
        return "load_benchmark", f'load_benchmark("{name}", repo_id="{run.dataset_id}")'
    if name is not None:
        return "load_benchmark", f'load_benchmark("{name}", path="path/to/{name}")'
    return "load_data", 'load_data("path/to/data")'


def _model_rows(run: RunFolder) -> list[tuple[str, str]]:
    config = run.config
    rows = {
        "text tower": _tower(config.get("text_config"), config.get("freeze_text")),
        "vision tower": _tower(config.get("vision_config"), config.get("freeze_vision")) or "none: a text-only model",
        "pooling of the text": config.get("pooling"),
        "views of the text": config.get("text_views"),
        "fusion of text and image": config.get("fusion"),
        "size of the embeddings": config.get("projection_size"),
        "parameters": run.num_parameters,
    }
    return [(label, _number(value)) for label, value in rows.items() if value is not None]


def _tower(config: dict[str, Any] | None, frozen: bool | None) -> str | None:
    if not config:
        return None
    size = config.get("hidden_size") or (config.get("hidden_sizes") or [None])[-1]
    parts = [f"`{config.get('model_type', 'unknown')}`", f"hidden size {_number(size)}" if size else ""]
    return ", ".join(part for part in [*parts, "frozen" if frozen else "trained"] if part)


def _table(results: list[EvaluationResult]) -> str:
    """The table with intervals, and under it how the numbers came about."""
    if not results:
        return ""
    names = [name for name in _HEADINGS if any(name in result.metrics for result in results)]
    names += [name for result in results for name in _metrics(result) if name not in names]
    columns = {"data": "dataset"} | {_HEADINGS.get(name, name): f"metrics.{name}" for name in dict.fromkeys(names)}
    return results_table(results, columns).rstrip("\n")


def _novelty(results: list[EvaluationResult]) -> list[tuple[str, str, dict[str, Any]]]:
    """Data, group and metrics of the mentions whose gold entity training has, and of the others."""
    groups = (("seen", "in training"), ("unseen", "not in training"))
    rows = [(result.dataset, label, getattr(result, name)) for result in results for name, label in groups]
    return [(dataset, label, metrics) for dataset, label, metrics in rows if metrics and metrics.get("num_mentions")]


def _calibration_rows(run: RunFolder) -> list[tuple[str, list[str]]]:
    """A row for each metric, with a cell for each kind of measurement."""
    metrics = list(run.calibration.metrics.values()) if run.calibration else []
    metrics = [
        {"observations": each.get("mentions")} | each for each in metrics
    ]  # each mention once, on another split
    rows = {
        "observations": "observations",
        "of them NIL": "nil",
        "ECE": "ece",
        "Brier score": "brier",
        "negative log-likelihood": "nll",
        "NIL precision": "nil_precision",
        "NIL recall": "nil_recall",
        "NIL F1": "nil_f1",
        "accuracy with NIL": "accuracy",
    }
    return [
        (label, [_number(each.get(key)) for each in metrics])
        for label, key in rows.items()
        if any(each.get(key) is not None for each in metrics)
    ]


def _costs(results: list[EvaluationResult]) -> dict[str, Any]:
    """What the last training run cost, and with what it was measured; empty without a result."""
    if not results:
        return {}
    environment, extra = results[0].environment, results[0].extra
    return {
        "machine": environment.machine,
        "threads": environment.torch_threads,
        "python": environment.python,
        "packages": environment.packages,
        "minutes": extra["train_seconds"] / 60 if extra.get("train_seconds") else None,
    }


def _number(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _cell(value: Any) -> str:
    """A value of a recipe, in a cell of a table."""
    return str(value).replace("|", "\\|").replace("\n", " ")
