"""What a recipe does when it is run: train, evaluate, write down what came out."""

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoProcessor, set_seed
from transformers.utils import logging

from .data import MELData, check_mentions
from .encoding import EntityInputs, MentionInputs, encode_all, to_device
from .evaluation import (
    Environment,
    EvaluationResult,
    Protocol,
    bootstrap_intervals,
    rank_gold,
    ranking_metrics,
    save_ranks,
    split_metrics,
)
from .models import MatchingModel, PGMELConfig, PGMELProcessor
from .recipes import Recipe
from .training import PGMELTrainer
from .training.linkable import linkable_mentions


logger = logging.get_logger(__name__)

LINKERS = (PGMELConfig.model_type,)  # models that link, apart from generators
INTERVAL_METRICS = ("hits@1", "hits@5", "mrr")


@dataclass
class TrainingRun:
    """
    What a run leaves.

    Args:
        trainer ([`PGMELTrainer`]): The trainer, with the finished model.
        data ([`MELData`]): The data.
        results (`list[EvaluationResult]`): One for each evaluated split.
        summary (`dict`): The development MRR at the end of the warm-up, at the end and at its best.
    """

    trainer: PGMELTrainer
    data: MELData
    results: list[EvaluationResult]
    summary: dict[str, float]


def run_recipe(recipe: Recipe, command: str, resume: bool = False) -> TrainingRun:
    """
    Trains, evaluates and saves.

    Args:
        recipe ([`Recipe`]):
            What to do.
        command (`str`):
            The command line, which is written beside the results.
        resume (`bool`, *optional*, defaults to `False`):
            Go on from the last checkpoint in the output folder.
    """
    args = recipe.arguments()
    set_seed(args.seed)  # the heads of the model are drawn before the Trainer sets it
    data = recipe.data.load()
    for split in recipe.evaluation.splits:  # found out now, not after the training
        if split not in data.mentions:
            raise ValueError(f"`evaluation.splits` names {split!r}, but there is only {', '.join(data.mentions)}")
    check_mentions(data.mentions, data.entities)
    model, processor = recipe.model.load()
    trainer = PGMELTrainer(
        model,
        args,
        data.mentions["train"],
        data.entities,
        processor,
        eval_dataset=data.mentions["validation"],
    )
    trainer.train(resume_from_checkpoint=True if resume else None)
    trainer.save_model()
    trainer.save_state()
    results = []
    for split in recipe.evaluation.splits:
        ranks = trainer.predict(data.mentions[split]).predictions
        result = describe_ranks(
            ranks,
            data,
            split,
            model_name=recipe.evaluation.model_name,
            data_name=recipe.data.name or recipe.data.layout,
            seeds=[args.seed],
            command=command,
            extra=run_costs(trainer),
        )
        if trainer.is_world_process_zero():
            write_result(result, ranks, Path(args.output_dir), split)
        results.append(result)
    return TrainingRun(trainer, data, results, summary_of(trainer))


def evaluate_model(
    model: MatchingModel,
    processor: PGMELProcessor,
    data: MELData,
    split: str,
    model_name: str,
    data_name: str,
    command: str,
    batch_size: int = 256,
    progress: bool = True,
) -> tuple[EvaluationResult, np.ndarray]:
    """Ranks a split against the whole knowledge base: the result and the rank of each mention."""
    mentions = linkable_mentions(data.mentions[split], data.entities, split)
    sides = MentionInputs(mentions.dataset, processor), EntityInputs(data.entities, processor)
    encoded = [encode_all(model, side, batch_size, progress=progress)[0] for side in sides]
    mentions_encoded, entities_encoded = (to_device(side, model.device) for side in encoded)
    ranks = rank_gold(mentions_encoded, entities_encoded, mentions.gold_rows, match=model.match, progress=progress)
    return describe_ranks(ranks, data, split, model_name, data_name, seeds=[], command=command), ranks


# ---- Results ----


def describe_ranks(
    ranks: np.ndarray,
    data: MELData,
    split: str,
    model_name: str,
    data_name: str,
    seeds: list[int],
    command: str,
    extra: dict | None = None,
) -> EvaluationResult:
    """Metrics, intervals, seen and unseen apart, and the protocol of full-KB ranks."""
    mentions = linkable_mentions(data.mentions[split], data.entities, split)
    trained = set(data.mentions["train"]["entity_id"][:]) if "train" in data.mentions else set()
    seen = np.array([gold in trained for gold in mentions.dataset["entity_id"][:]])
    by_novelty = split_metrics(ranks, seen)
    kb = data.entities
    both = f"{mentions.fingerprint} {kb.fingerprint}"
    return EvaluationResult(
        model_name=model_name,
        dataset=f"{data_name}, {split}",
        metrics=ranking_metrics(ranks),
        protocol=Protocol("full-kb", len(kb), kb.text_field, num_mentions=len(ranks), num_nil=mentions.num_nil),
        data_fingerprint=hashlib.sha256(both.encode()).hexdigest(),
        seeds=seeds,
        command=command,
        date=date.today().isoformat(),
        environment=Environment.collect(repository=Path(__file__).parent),
        seen=by_novelty["seen"],
        unseen=by_novelty["unseen"],
        intervals=bootstrap_intervals(ranks, INTERVAL_METRICS),
        extra=extra or {},
        ranks_file=f"ranks_{split}.npz",
    )


def write_result(result: EvaluationResult, ranks: np.ndarray, folder: Path, split: str) -> None:
    """Writes `eval_results_<split>.json` and the ranks beside it."""
    result.save(folder / f"eval_results_{split}.json")
    save_ranks(folder / result.ranks_file, ranks)


def run_costs(trainer: PGMELTrainer) -> dict[str, float | str]:
    """What the run cost, in the units in which strategies are compared."""
    args, costs = trainer.args, trainer.sampler.costs
    visits = len(trainer.train_mentions.gold_rows) * args.num_train_epochs
    train = next((log for log in reversed(trainer.state.log_history) if "train_runtime" in log), {})
    spent = {
        "negatives": args.negatives,
        "encodings_per_mention": (trainer.total_encodings * trainer.processes.count + costs["refresh_encodings"])
        / visits,
        "refresh_seconds": costs["refresh_seconds"],
        "lists_seconds": costs["lists_seconds"],
        "train_seconds": trainer.seconds["train"],
        "eval_seconds": trainer.seconds["evaluate"],
        "seconds_per_epoch": (trainer.seconds["train"] - trainer.seconds["evaluate"]) / args.num_train_epochs,
    }
    return spent | ({"train_loss": train["train_loss"]} if "train_loss" in train else {})


def summary_of(trainer: PGMELTrainer) -> dict[str, float]:
    """Development MRR at the end of the warm-up, at the end, and at its best."""
    history = [(log["epoch"], log["eval_mrr"]) for log in trainer.state.log_history if "eval_mrr" in log]
    if not history:
        return {}
    warm = [mrr for epoch, mrr in history if epoch <= trainer.args.discriminator_warmup_epochs + 1e-6]
    summary = {"final_mrr": history[-1][1], "best_mrr": max(mrr for _, mrr in history)}
    return summary | ({"warm_start_mrr": warm[-1]} if warm else {})


def read_summary(folder: Path) -> dict:
    """The `eval_results_*.json` of an output folder, by split."""
    return {
        path.stem.removeprefix("eval_results_"): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("eval_results_*.json"))
    }


def load_checkpoint(source: str) -> tuple[MatchingModel, PGMELProcessor]:
    """
    A model and its processor, from a folder or the Hub.

    Raises:
        `FileNotFoundError`: there is no such folder, and no such model on the Hub or in its cache.
        `ValueError`: a model of another kind.
    """
    try:
        model_type = AutoConfig.from_pretrained(source).model_type
    except OSError as error:
        if Path(source).is_dir():
            raise
        reason = str(error).splitlines()[0]
        raise FileNotFoundError(
            f"there is no folder {source!r}, and as the name of a model on the Hub: {reason}"
        ) from error
    if model_type not in LINKERS:
        raise ValueError(f"{source} holds a model of type {model_type!r}, not of type {' or '.join(LINKERS)}")
    return AutoModel.from_pretrained(source), AutoProcessor.from_pretrained(source)


def pick_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator if accelerator is not None else torch.device("cpu")
