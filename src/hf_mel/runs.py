"""Runs a recipe: trains, evaluates and writes the results."""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

from transformers import set_seed

from .checkpoint import RECIPE_FILE
from .data import MELData, check_mentions
from .evaluation import EvaluationResult
from .evaluation.models import describe_ranks, write_result
from .recipes import Recipe
from .training import PGMELTrainer, PGMELTrainingArguments


logger = logging.getLogger(__name__)

_ON_VALIDATION = {"eval_strategy": "no", "load_best_model_at_end": False}
"""Training arguments without a validation split."""


@dataclass
class TrainingRun:
    """
    Result of a run.

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


def run_recipe(recipe: Recipe, command: str, resume: bool | str = False) -> TrainingRun:
    """
    Trains, evaluates and saves; `recipe.yaml` in the output folder says what was done.

    Data without a validation split are trained on without evaluation, and the model of the last epoch is kept. Data without
    a test split are not evaluated on, unless the recipe names the splits. The log says either.

    Args:
        recipe ([`Recipe`]):
            What to do.
        command (`str`):
            The command line, which is written beside the results.
        resume (`bool` or `str`, *optional*, defaults to `False`):
            Go on from the last checkpoint in the output folder, or from that in a folder or a repository on the Hub.
    """
    args = recipe.check()  # before the data are read
    set_seed(args.seed)  # the heads of the model are drawn before the Trainer sets it
    data = recipe.data.load()
    if "train" not in data.mentions:
        raise ValueError(f"there is no split 'train' to train on, only {', '.join(data.mentions) or 'entities'}")
    splits = _evaluated_splits(recipe, data)  # found out now, not after the training
    args = _without_validation(recipe, args) if "validation" not in data.mentions else args
    check_mentions(data.mentions, data.entities)
    model, processor = recipe.model.load(data)
    trainer = PGMELTrainer(
        model,
        args,
        train_dataset=data.mentions["train"],
        eval_dataset=data.mentions.get("validation"),
        knowledge_base=data.entities,
        processing_class=processor,
        peft_config=recipe.model.peft_config(),
    )
    if trainer.is_world_process_zero():
        recipe.save(Path(args.output_dir) / RECIPE_FILE)
    trainer.train(resume_from_checkpoint=resume or None)
    trainer.save_model(_internal_call=True)  # else it would be pushed now, without results
    trainer.save_state()
    results = []
    for split in splits:
        ranks = trainer.predict(data.mentions[split]).predictions
        result = describe_ranks(
            ranks,
            data,
            split,
            model_name=recipe.evaluation.model_name,
            data_name=recipe.data.shown_name,
            seeds=[args.seed],
            command=command,
            extra=run_costs(trainer),
            model=trainer.model,
        )
        if trainer.is_world_process_zero():
            write_result(result, ranks, Path(args.output_dir), split)
        results.append(result)
    return TrainingRun(trainer, data, results, summary_of(trainer))


def _evaluated_splits(recipe: Recipe, data: MELData) -> list[str]:
    """The splits to evaluate on. One that is named but missing is an error; the default is left out where it is missing."""
    missing = [split for split in recipe.evaluation.splits if split not in data.mentions]
    if not missing:
        return recipe.evaluation.splits
    if "splits" in recipe.given.get("evaluation", {}):
        raise ValueError(f"`evaluation.splits` names {missing[0]!r}, but there is only {', '.join(data.mentions)}")
    logger.warning("the data have no split %s: the model is not evaluated on it", ", ".join(map(repr, missing)))
    return [split for split in recipe.evaluation.splits if split not in missing]


def _without_validation(recipe: Recipe, args: PGMELTrainingArguments) -> PGMELTrainingArguments:
    """The training arguments for data without a validation split: no evaluation, and no choice of the best model."""
    if args.save_strategy == "best":
        raise ValueError(
            "`save_strategy: best` needs a validation split, which the data do not have: use epoch or steps"
        )
    replaced = [name for name, value in _ON_VALIDATION.items() if recipe.training.get(name, value) != value]
    changed = f" ({' and '.join(f'`{name}`' for name in replaced)} of the recipe do not apply)" if replaced else ""
    logger.warning(
        "the data have no validation split: there is no evaluation during the training, and the model after the last "
        "step is kept, not the best one%s",
        changed,
    )
    return dataclasses.replace(recipe, training=recipe.training | _ON_VALIDATION).arguments()


def run_costs(trainer: PGMELTrainer) -> dict[str, float | str]:
    """Cost of the run, in the units in which strategies are compared."""
    args, costs = trainer.args, trainer.sampler.costs
    visits = max(trainer.total_mentions, 1) * trainer.processes.count  # of this process, since it began or resumed
    epochs = visits / len(trainer.train_mentions.gold_rows)
    train = next((log for log in reversed(trainer.state.log_history) if "train_runtime" in log), {})
    spent = {
        "negatives": args.to_dict()["negatives"],
        "encodings_per_mention": (trainer.total_encodings * trainer.processes.count + costs["refresh_encodings"])
        / visits,
        "refresh_seconds": costs["refresh_seconds"],
        "lists_seconds": costs["lists_seconds"],
        "train_seconds": trainer.seconds["train"],
        "eval_seconds": trainer.seconds["evaluate"],
        "seconds_per_epoch": (trainer.seconds["train"] - trainer.seconds["evaluate"]) / epochs,
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
