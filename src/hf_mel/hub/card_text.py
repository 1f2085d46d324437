"""The text of a model card, by a template; tables are made here."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from ..data import BENCHMARKS, EMBEDDED
from ..data.releases import Release, counts_of, release_in_papers, releases_of
from ..evaluation import AMBIGUITY, EvaluationResult, Interval, results_table
from .comparisons import Comparison, Difference
from .paper_results import published_results
from .papers import PAPERS, citation
from .run_folder import RunFolder, split_dataset
from .units_text import UnitsText, units_rows


TEMPLATE = Path(__file__).parent / "templates" / "model_card.md"

_SHARES = re.compile(r"(hits@\d+|mrr|T@\d+( \(gold added\))?|retrieved)$")
HEADINGS = {"hits@1": "H@1", "hits@3": "H@3", "hits@5": "H@5", "hits@10": "H@10", "mrr": "MRR", "mr": "MR"}
_GROUPS = {
    "image_quality": ("Mentions by the quality of their picture", "picture"),
    "image_status": ("Mentions by whether they have a picture", "picture"),
    AMBIGUITY: (
        "Mentions by their number of namesakes: entities of which the name or an alias is the mention, or holds all its words",
        "namesakes",
    ),
}
_RULES = {
    "full-kb": "Every mention is ranked against the whole knowledge base.",
    "candidate-k": "Every mention is ranked among its retrieved candidates; a gold entity that is not one of them is wrong.",
    "candidate-k, gold added": (
        "Every mention is ranked among its retrieved candidates, to which the gold entity was added where it was missed: "
        "such numbers are too good."
    ),
}


def card_text(
    run: RunFolder,
    comparisons: list[Comparison],
    title: str,
    repo_id: str | None,
    license: str,
    base_models: list[str],
) -> str:
    """The card below its YAML."""
    # Not `ModelCard.from_template`: it leaves an empty line for each tag, which breaks tables.
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    environment.filters["number"] = _number
    environment.filters["cell"] = _cell
    in_papers = release_in_papers(run.benchmark_name)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        run=run,
        title=title,
        info=run.benchmark,
        source=repo_id or "path/to/checkpoint",
        loading=_loading(run),
        license=license,
        base_models=base_models,
        model_rows=_model_rows(run),
        table=_table(run.results),
        rules=[text for kind, text in _RULES.items() if any(each.protocol.kind == kind for each in run.results)],
        novelty=_novelty(run.results),
        leakage=_leakage(run.results),
        groups=_groups(run.results),
        comparisons=_comparisons(run, comparisons),
        published=published_results(run.benchmark_name) if _is_of(run, in_papers) else [],
        not_beside_papers=_not_beside_papers(run, in_papers),
        defects=_defects(run),
        calibration=_calibration_rows(run),
        costs=_costs(run.training_results or run.results),
        paper=PAPERS.get(run.model_type),
        units=UnitsText.of(run),
        untrained_shares=run.is_untrained and _shares_space(run.config),
        citation=citation(run.model_type, with_generator=run.has_generator),
    )


def shown_metrics(result: EvaluationResult) -> dict[str, Any]:
    """Those of a result that a card shows."""
    return {name: value for name, value in result.metrics.items() if name == "mr" or _SHARES.match(name)}


def title(run: RunFolder, link: str = " on ") -> str:
    return run.model_name if run.data_name is None else f"{run.model_name}{link}{data_title(run.data_name)}"


def data_title(data: str) -> str:
    """Returns the name that papers use for the data, if the data are a benchmark as such and no variant of it."""
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


def _shares_space(config: dict[str, Any]) -> bool:
    """True if an untrained model compares texts with pictures: its embedding then has the size of its text features alone."""
    views = 2 if config.get("text_views") == "both" else 1
    return config.get("projection_size") == views * (config.get("vision_projection_dim") or 0)


def _model_rows(run: RunFolder) -> list[tuple[str, str]]:
    config = run.config
    rows = {
        "text tower": _tower(config, "text"),
        "vision tower": _tower(config, "vision"),
        "tower of text and picture": _tower(config, "tower"),
        "pooling of the text": config.get("pooling"),
        "views of the text": config.get("text_views"),
        "fusion of text and image": config.get("fusion"),
        "size of the embeddings": config.get("projection_size"),
        **units_rows(run),
        "parameters of heads and adapters" if run.has_adapters else "parameters": run.num_parameters,
    }
    if not run.sees_pictures:
        rows["vision tower"] = "none: a text-only model"
    return [(label, _number(value)) for label, value in rows.items() if value is not None]


def _tower(model_config: dict[str, Any], kind: str) -> str | None:
    config = model_config.get(f"{kind}_config")
    if not config:
        return None
    lora = (model_config.get("adapters") or {}).get("lora")
    trained = "trained" if lora is None else f"LoRA adapters of rank {lora.get('r', 8)}"
    trained = "frozen" if model_config.get(f"freeze_{kind}") else trained
    size = config.get("hidden_size") or (config.get("hidden_sizes") or [None])[-1]
    parts = [f"`{config.get('model_type', 'unknown')}`", f"hidden size {_number(size)}" if size else ""]
    return ", ".join(part for part in [*parts, trained] if part)


def _table(results: list[EvaluationResult]) -> str:
    """The table with intervals, and under it how the numbers came about."""
    if not results:
        return ""
    names = [name for name in HEADINGS if any(name in result.metrics for result in results)]
    names += [name for result in results for name in shown_metrics(result) if name not in names]
    columns = {"data": "dataset"} | {HEADINGS.get(name, name): f"metrics.{name}" for name in dict.fromkeys(names)}
    return results_table(results, columns).rstrip("\n")


def _novelty(results: list[EvaluationResult]) -> list[tuple[str, str, dict[str, Any]]]:
    """Data, group and metrics of the mentions whose gold entity training has, and of the others."""
    groups = (("seen", "in training"), ("unseen", "not in training"))
    rows = [(result.dataset, label, getattr(result, name)) for result in results for name, label in groups]
    return [(dataset, label, metrics) for dataset, label, metrics in rows if metrics and metrics.get("num_mentions")]


def _leakage(results: list[EvaluationResult]) -> list[str]:
    """One sentence for each result on the mentions whose caption training has, and the metrics without them."""
    lines = []
    for result in results:
        leaked, others = result.leaked or {}, result.without_leaked or {}
        if not leaked.get("num_mentions"):
            continue
        number, total = leaked["num_mentions"], result.metrics.get("num_mentions", result.protocol.num_mentions)
        text = f"{result.dataset}: the captions of {number:,} of {total:,} mentions also occur in training"
        if others.get("num_mentions"):
            shown = {HEADINGS.get(name, name): name for name in ("hits@1", "mrr")}
            parts = [
                f"{label} {_percent(others[name])} instead of {_percent(result.metrics[name])}"
                for label, name in shown.items()
                if name in others and name in result.metrics
            ]
            text += f"; without them {', '.join(parts)}"
        lines.append(f"{text}.")
    return lines


def _groups(results: list[EvaluationResult]) -> list[tuple[str, str, list[list[str]]]]:
    """For each way to group the mentions: what is said of it, the heading of its column, and the rows."""
    found = []
    for column in dict.fromkeys(name for result in results for name in result.groups):
        rows = [
            [result.dataset, group.name, _number(group.count), _percent(group.metrics["hits@1"], group.interval)]
            + [_percent(group.metrics[name]) for name in ("hits@5", "mrr")]
            for result in results
            for group in result.groups.get(column, ())
        ]
        found.append((*_GROUPS.get(column, (f"Mentions by `{column}`", column.replace("_", " "))), rows))
    return found


def _comparisons(run: RunFolder, comparisons: list[Comparison]) -> str:
    """Rows of other runs below those of the model, and under the table how they came about."""
    rows = []
    splits = list(dict.fromkeys(each.split for each in comparisons))
    for split in splits:
        label = {"split": split} if len(splits) > 1 else {}
        rows += [
            replace(result, extra=label, model_name=f"{result.model_name} (this model)")
            for result in run.results
            if split_dataset(result.dataset)[1] == split
        ]
        for each in comparisons:
            if each.split == split:
                shown = {name.replace("@", ""): _difference(value) for name, value in each.differences.items()}
                rows.append(replace(each.result, extra=label | shown | {"changes": "; ".join(each.changes) or None}))
    if not rows:
        return ""
    columns = {
        "model": "model_name",
        "split": "extra.split",
        "what differs": "extra.changes",
        "H@1": "metrics.hits@1",
        "MRR": "metrics.mrr",
    }
    columns |= {"H@1 of this model minus it": "extra.hits1", "MRR of this model minus it": "extra.mrr"}
    named = [path for path in columns.values() if not path.startswith("extra.")]
    named += [f"extra.{name}" for row in rows for name, value in row.extra.items() if value is not None]
    return results_table(rows, {heading: path for heading, path in columns.items() if path in named}).rstrip("\n")


def _difference(found: Difference) -> str:
    points = f"{100 * found.difference:+.1f}"
    return points if found.low is None else f"{points} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _percent(share: float, interval: Interval | None = None) -> str:
    cell = f"{100 * share:.1f}"
    return cell if interval is None else f"{cell} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


# ---- Release of the data ----


def _is_of(run: RunFolder, release: Release | None) -> bool:
    """Returns `True` if a result of the run is on the test split and the knowledge base of a release."""
    return release is not None and any(
        release.fits(result.protocol.num_mentions + result.protocol.num_nil, result.protocol.kb_size)
        for result in _on_test(run)
    )


def _on_test(run: RunFolder) -> list[EvaluationResult]:
    """Results on the test split of the run's data, against the whole knowledge base."""
    return [
        result
        for result in run.results
        if run.is_own(result) and split_dataset(result.dataset)[1] == "test" and result.protocol.kind == "full-kb"
    ]


def _not_beside_papers(run: RunFolder, release: Release | None) -> str:
    """One sentence on why results of papers are not next to those of the run; empty where they are, or where there are none."""
    if release is None or _is_of(run, release) or not published_results(run.benchmark_name):
        return ""
    test, entities = (counts_of(release.statistics[name])[0] for name in ("test", "entities"))
    text = (
        f"Results of papers are not shown: they are on the {release.title}, with {test:,} test mentions and {entities:,} "
        "entities, and "
    )
    found = _on_test(run)
    if not found:
        return text + "there is no result here on the test split against the whole knowledge base."
    here = found[0].protocol
    return text + f"those above on {here.num_mentions + here.num_nil:,} and {here.kb_size:,}."


def _defects(run: RunFolder) -> list[str]:
    """Known defects of the benchmark, and of the release that the results are on."""
    release = next((each for each in releases_of(run.benchmark_name) if _is_of(run, each)), None)
    known = [*(run.benchmark.defects if run.benchmark else ()), *(release.defects if release else ())]
    return list(dict.fromkeys(known))


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
    """Returns the cost of the last training run and the hardware it was measured on; empty without a result."""
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
