"""The model card: YAML that the Hub reads and text for people, both from what a run left in its folder."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from huggingface_hub import (
    EvalResult,
    EvalResultEntry,
    ModelCard,
    ModelCardData,
    RepoCard,
    eval_result_entries_to_yaml,
)
from huggingface_hub.utils import validate_repo_id

from ..evaluation import EvaluationResult
from ..linking.pipeline import TASK
from ..mteb.repository_files import TASK_METRICS, task_id
from .card_text import HEADINGS, card_text, data_title, shown_metrics, title
from .comparisons import load_comparisons
from .run_folder import RunFolder, known_name, split_dataset


CARD_FILE = "README.md"
EVAL_RESULTS_FILE = ".eval_results/hf_mel.yaml"
LICENSE = "apache-2.0"
MARK = (
    "<!-- This model card has been generated automatically by hf_mel from the files of the run, and is written anew with them. "
    "Remove this line to keep what you change. -->"
)
# The Trainer of transformers says as much of its own.
_GENERATED = "<!-- This model card has been generated automatically"


@dataclass(frozen=True)
class _Named:
    """Values named by the caller. `None`: taken from the folder."""

    repo_id: str | None = None
    license: str | None = None
    model_name: str | None = None
    base_models: list[str] | None = None
    datasets: list[str] | None = None
    language: list[str] | None = None
    tags: list[str] | None = None


def render_model_card(
    folder: str | Path,
    *,
    repo_id: str | None = None,
    license: str | None = None,
    model_name: str | None = None,
    base_models: str | Sequence[str] | None = None,
    datasets: str | Sequence[str] | None = None,
    language: str | Sequence[str] | None = None,
    tags: str | Sequence[str] | None = None,
) -> ModelCard:
    """
    The card of a checkpoint, from the files of its run alone: the same files give the same bytes. Where there is no
    result, there is no section of results; absolute paths are left out.

    Args:
        folder (`str` or `Path`):
            The checkpoint: `config.json` and, as far as they are there, `recipe.yaml`, `training_args.json`,
            `trainer_state.json`, `eval_results.json`, `comparisons.json` (of [`compare`]), `calibration.json`, `generator/`
            and the weights.
        repo_id (`str`, *optional*):
            Where the checkpoint will be on the Hub; the example loads it from there.
        license (`str`, *optional*):
            Of the weights, as the Hub writes it. Defaults to `"apache-2.0"`.
        model_name (`str`, *optional*):
            Title of the card. Defaults to the names of model and data in the folder.
        base_models (`str` or `Sequence[str]`, *optional*):
            Repositories whose weights it began with. Defaults to those of the configuration.
        datasets (`str` or `Sequence[str]`, *optional*):
            Repositories of the training data. Defaults to that of the recipe, or the benchmark's name.
        language (`str` or `Sequence[str]`, *optional*):
            Codes of languages. Defaults to those of the benchmark.
        tags (`str` or `Sequence[str]`, *optional*):
            Further tags.

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
    several = {"base_models": base_models, "datasets": datasets, "language": language, "tags": tags}
    lists = {name: [each] if isinstance(each, str) else each for name, each in several.items()}
    lists = {name: None if each is None else list(each) for name, each in lists.items()}
    named = _Named(repo_id, license or LICENSE, model_name, **lists)
    run = RunFolder.read(folder)
    if named.base_models is None:
        named = replace(named, base_models=run.base_models)
    data = _metadata(run, named)
    shown = model_name or title(run)
    body = card_text(run, load_comparisons(folder), shown, repo_id, named.license, named.base_models)
    # The client parses it again, and refuses what the Hub's model-index could not be read from.
    return ModelCard(f"---\n{data.to_yaml()}\n---\n{body.rstrip()}\n\n{MARK}\n", ignore_metadata_errors=False)


def write_model_card(folder: str | Path, *, path: str | Path | None = None, **named) -> Path:
    """
    Writes the card of a checkpoint, `README.md` in its folder; one that stands there is replaced whole or not at all.
    Where the data are a repository on the Hub, `.eval_results/hf_mel.yaml` holds the results in the form that its
    leaderboard reads. Otherwise a file of that name is removed.

    Args:
        folder (`str` or `Path`):
            The checkpoint.
        path (`str` or `Path`, *optional*):
            Another file for the card; nothing is then written into the folder.
        named:
            Those of [`render_model_card`]: `repo_id`, `license`, `model_name`, `base_models`, `datasets`, `language`, `tags`.

    Returns:
        `Path` of the card.
    """
    card = render_model_card(folder, **named)
    if path is None:
        entries = eval_result_entries(RunFolder.read(folder))
        if entries:
            text = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)
            _replace(Path(folder) / EVAL_RESULTS_FILE, text)
        else:  # results of an earlier card would be published as those of this run
            (Path(folder) / EVAL_RESULTS_FILE).unlink(missing_ok=True)
    target = Path(folder) / CARD_FILE if path is None else Path(path)
    _replace(target, str(card))
    return target


def update_model_card(folder: str | Path, **named) -> Path:
    """
    [`write_model_card`], but a card that somebody wrote by hand stays: one without the comment by which generated cards are
    known. Of one that is nothing but metadata, as the Hub's website begins a repository, the licence is kept.

    Args:
        folder (`str` or `Path`), named:
            Those of [`write_model_card`].

    Returns:
        `Path` of the card.
    """
    path = Path(folder) / CARD_FILE
    if is_written_by_hand(path):
        return path
    if path.is_file():
        card = RepoCard(path.read_text(encoding="utf-8"), ignore_metadata_errors=True)
        if not card.text.strip() and not named.get("license"):
            named["license"] = card.data.to_dict().get("license")
    return write_model_card(folder, **named)


def is_written_by_hand(path: str | Path) -> bool:
    """Returns `True` if the file is a card with text that no program wrote."""
    if not Path(path).is_file():
        return False
    text = Path(path).read_text(encoding="utf-8")
    return _GENERATED not in text and bool(RepoCard(text, ignore_metadata_errors=True).text.strip())


def eval_result_entries(run: RunFolder) -> list[EvalResultEntry]:
    """
    Results as entries of `.eval_results/*.yaml`: those that the `eval.yaml` of a data set declares. There are none where the
    data are no repository on the Hub.
    """
    if run.dataset_id is None:
        return []
    return [
        EvalResultEntry(
            dataset_id=run.dataset_id,
            task_id=task_id(split_dataset(result.dataset)[1], metric),
            value=value,
            date=result.date,
            notes=result.protocol.describe(),
        )
        for result in run.results
        if run.is_own(result)
        for metric, value in shown_metrics(result).items()
        if metric in TASK_METRICS
    ]


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    os.replace(unfinished, path)


# ---- YAML ----


def _metadata(run: RunFolder, named: _Named) -> ModelCardData:
    info = run.benchmark
    results = [entry for result in run.results for entry in _model_index(run, result)]
    model_type = str(run.config.get("model_type", "pgmel"))
    known = run.dataset_id or (info.name if info else None)
    name = named.model_name or (named.repo_id.split("/")[-1] if named.repo_id else _slug(title(run, " ")))
    tags = ["entity-linking", TASK, "multimodal", "knowledge-base", "hf_mel", model_type, *(named.tags or ())]
    return ModelCardData(
        language=named.language or (list(info.languages) if info else None),
        license=named.license,
        # `pipeline(model=...)` asks the Hub for these two: the task, and that transformers loads the model.
        library_name="transformers",
        pipeline_tag=TASK,
        tags=list(dict.fromkeys(tags)),
        base_model=named.base_models or None,
        **({"base_model_relation": "adapter"} if named.base_models and run.has_adapters else {}),
        datasets=named.datasets or ([known] if known else None),
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=name if results else None,
        eval_results=results or None,
    )


def _model_index(run: RunFolder, result: EvaluationResult) -> list[EvalResult]:
    data, split = split_dataset(result.dataset)
    return [
        EvalResult(
            task_type=TASK,
            task_name="Multimodal entity linking",
            dataset_type=(run.dataset_id if run.is_own(result) else None) or known_name(data) or _slug(data),
            dataset_name=data_title(data),
            dataset_split=split,
            metric_type=metric,
            metric_name=HEADINGS.get(metric, metric),
            metric_value=value,
            metric_args={"protocol": result.protocol.describe()},
        )
        for metric, value in shown_metrics(result).items()
    ]


def _slug(text: str) -> str:
    return re.sub(r"[^\w.]+", "-", text.lower()).strip("-.") or "data"
