"""The metric that chooses the best model, and its direction."""

import copy
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from transformers import TrainingArguments

from ..evaluation.metrics import higher_is_better, ranking_metrics


COMPUTED = tuple(name for name in ranking_metrics([1]) if higher_is_better(name) is not None)
"""Metrics of an evaluation by the Trainer which have a direction."""


def direction_of(metric: str, greater_is_better: bool | None) -> bool:
    """`True` if the greatest value of a metric is the best; refuses a metric without a direction, or a choice against it."""
    name = metric.removeprefix("eval_")
    exact = higher_is_better(name)
    if exact is not None and greater_is_better not in (None, exact):
        better = "higher" if exact else "lower"
        raise ValueError(
            f"`greater_is_better={greater_is_better}` contradicts `metric_for_best_model={metric!r}`, which is better "
            f"when it is {better}: leave `greater_is_better` out, or `None`."
        )
    if exact is None and greater_is_better is not None and name not in ("num_mentions", "num_nil"):
        return greater_is_better
    known = [higher_is_better(name[place:]) for place in range(len(name)) if place == 0 or name[place - 1] == "_"]
    found = next((direction for direction in known if direction is not None), None)
    if found is None:
        raise ValueError(
            f"`metric_for_best_model={metric!r}` has no direction. Choose one of {', '.join(COMPUTED)} (with the name of "
            "the evaluation set in front, if there are several), or, for a metric of your `compute_metrics`, set "
            "`greater_is_better`."
        )
    return found


def for_evaluation_sets(
    args: TrainingArguments, eval_dataset: Any, compute_metrics: Callable | None
) -> TrainingArguments:
    """
    The arguments, whose best model is chosen by the first of several evaluation sets unless they name one; refuses a
    `metric_for_best_model` that no evaluation computes.
    """
    if not eval_dataset:
        return args
    name = args.metric_for_best_model.removeprefix("eval_")
    sets = list(eval_dataset) if isinstance(eval_dataset, dict) else []
    metrics = [name.removeprefix(f"{key}_") for key in sets if name.startswith(f"{key}_")]
    if not metrics:
        metrics = [name]
        if sets:
            args = copy.copy(args)  # the user's own arguments stay as they are
            args.metric_for_best_model = f"{sets[0]}_{name}"
    if compute_metrics is None and not set(metrics) & set(COMPUTED):
        of_sets = f" of one of the sets {', '.join(sets)}" if sets else ""
        raise ValueError(
            f"`metric_for_best_model={name!r}` is not computed by an evaluation: choose one of {', '.join(COMPUTED)}"
            f"{of_sets}, or pass `compute_metrics`."
        )
    for metric in set(metrics) & set(COMPUTED):
        direction_of(metric, args.greater_is_better)
    return args


def scheduler_options(args: TrainingArguments) -> dict | None:
    """`lr_scheduler_kwargs`, with the direction of the metric for schedules that follow it."""
    if args.lr_scheduler_type not in ("reduce_lr_on_plateau", "greedy"):
        return args.lr_scheduler_kwargs
    options, mode = args.lr_scheduler_kwargs or {}, "max" if args.greater_is_better else "min"
    if options.get("mode", mode) != mode:
        raise ValueError(
            f"`mode` in `lr_scheduler_kwargs` must be {mode!r} for the metric {args.metric_for_best_model!r}."
        )
    return options | {"mode": mode}


def objective_of(args: TrainingArguments, objective: Callable | None, direction: Any) -> tuple[Callable, Any]:
    """Objective and direction of a hyperparameter search: by default `metric_for_best_model`, in its direction."""
    if objective is not None:
        return objective, direction or "minimize"
    name = f"eval_{args.metric_for_best_model.removeprefix('eval_')}"
    return itemgetter(name), direction or ("maximize" if args.greater_is_better else "minimize")
