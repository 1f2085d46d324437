"""Arguments of the training: everything that changes how a model is trained and nothing that changes what it is."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from transformers import TrainingArguments

from ..losses import REWARDS
from ..negatives import STRATEGIES


BASELINES = ("expected", "ema", "self_critical", "leave_one_out")

# What the numbers must be; `None` is left alone.
POSITIVE = (
    "pool_size",
    "pool_dense_neighbours",
    "pool_lexical_neighbours",
    "num_negatives",
    "contrast_temperature",
    "policy_temperature",
    "reward_temperature",
    "cache_temperature",
    "discriminator_steps",
    "generator_projection_size",
    "refresh_steps",
)
AT_LEAST_ZERO = (
    "generator_steps",
    "margin",
    "contrast_weight",
    "modality_weight",
    "unit_weight",
    "triplet_weight",
    "entropy_weight",
    "discriminator_max_grad_norm",
    "generator_max_grad_norm",
    "discriminator_warmup_epochs",
    "generator_warmup_epochs",
)
SHARES = (
    "uniform_share",
    "entropy_floor",
    "ema_decay",
    "pool_dense_share",
    "pool_lexical_share",
    "pool_attribute_share",
    "pool_uniform_share",
)


@dataclass
class PGMELTrainingArguments(TrainingArguments):
    r"""
    Arguments of a [`PGMELTrainer`]: those of [`~transformers.TrainingArguments`], and those below.

    Args:
        > Defaults that differ from `TrainingArguments`

        learning_rate (`float`, *optional*, defaults to `1e-3`):
            Learning rate of the discriminator's heads and, without `tower_learning_rate`, of its towers.
        per_device_train_batch_size (`int`, *optional*, defaults to 128):
            Mentions in a batch.
        max_grad_norm (`float`, *optional*, defaults to `0.0`):
            Must stay 0: each side is clipped by its own norm, see below.
        metric_for_best_model (`str`, *optional*, defaults to `"mrr"`):
            The discriminator's mean reciprocal rank on the evaluation set.
        logging_nan_inf_filter (`bool`, *optional*, defaults to `False`):
            A loss which is not finite stops the training instead of leaving the logs.
        remove_unused_columns (`bool`, *optional*, defaults to `False`):
            The collator needs the columns of the mentions.
        ddp_find_unused_parameters (`bool`, *optional*, defaults to `True`):
            The side whose turn it is not has no gradient.

        batch_sampler (`str`, *optional*, defaults to `"random"`):
            Which mentions stand together in an optimizer step: `random`, or `attribute`: those whose gold entities share
            many attributes, which makes the negatives of the in-batch contrast hard; see [`AttributeBatches`].

        > Sides and schedule

        feature_dtype (`str`, *optional*, defaults to `"float32"`):
            Precision in which the features of frozen towers are kept: `float32` or `bfloat16`.
        tower_learning_rate (`float`, *optional*):
            Learning rate of towers which are not frozen. Defaults to `learning_rate`.
        generator_learning_rate (`float`, *optional*, defaults to `1e-3`):
            Learning rate of the generator.
        discriminator_max_grad_norm, generator_max_grad_norm (`float`, *optional*, defaults to `1.0`):
            Largest gradient norm of each side; 0 does not clip.
        discriminator_warmup_epochs (`float`, *optional*, defaults to 1.0):
            Epochs in which the discriminator learns alone, from uniform negatives and the batch.
        generator_warmup_epochs (`float`, *optional*, defaults to 0.0):
            Epochs after these in which the generator learns alone.
        discriminator_steps, generator_steps (`int`, *optional*, defaults to 1):
            Afterwards, in a cycle of `max(discriminator_steps, generator_steps)` optimizer steps each side learns in so
            many of the first ones: 1 and 1 is both in every step. `generator_steps=0` never trains the generator.

        > Discriminator

        margin (`float`, *optional*, defaults to 0.3):
            By how much the gold entity shall be nearer than a negative, in cosine distance.
        triplet_weight (`float`, *optional*, defaults to 1.0):
            Weight of the triplet loss.
        contrast_weight (`float`, *optional*, defaults to 0.3):
            Weight of the contrastive loss over the gold entities of the batch. 0 is the paper's pure form.
        contrast_temperature (`float`, *optional*, defaults to 0.05):
            Its temperature.
        modality_weight (`float`, *optional*, defaults to 0.0):
            Weight of the same loss for the text alone and for the image alone of both sides, as MIMIC (Luo et al., KDD
            2023) has them. Without it a modality that learns faster leaves nothing for the other to learn from.
        unit_weight (`float`, *optional*, defaults to 0.0):
            Weight of the same loss for the scores of each unit, of a model that is made of units, as MIMIC, M3EL and MELOV
            are trained with weight 1. Losses of a model's own come without any weight of these.
        false_negative_margin (`float`, *optional*):
            Ignores negatives whose score is above the gold entity's by more than this (a guard for noisy KBs).

        > Negatives

        negatives (`str`, *optional*, defaults to `"pg"`):
            `in_batch`, `random`, `lexical`, `attribute`, `topk`, `semi_hard`, `cache` or `pg`.
        num_negatives (`int`, *optional*, defaults to 4):
            Negatives of a mention in a step.
        uniform_share (`float`, *optional*, defaults to 0.3):
            Share of the negatives which is replaced by uniform ones of the pool.
        negative_scores (`str`, *optional*, defaults to `"index"`):
            Where `topk`, `semi_hard` and `cache` have their scores from: `index` (as of the last refresh) or `fresh` (the
            pool is encoded in each step).
        topk_choose_from (`int`, *optional*):
            `topk` chooses among that many of the hardest. Defaults to `num_negatives`.
        cache_temperature (`float`, *optional*, defaults to 0.1):
            Temperature with which `cache` renews what it keeps.

        > Pools

        pool_size (`int`, *optional*, defaults to 64):
            Candidates of a mention.
        pool_dense_share, pool_lexical_share, pool_attribute_share, pool_uniform_share (`float`, *optional*, defaults to 0.5, 0.25, 0.0, 0.25):
            What the pool is mixed from.
        pool_dense_neighbours, pool_lexical_neighbours (`int`, *optional*, defaults to 200, 100):
            Length of the lists from which these shares are drawn (attributes: as lexical).
        refresh_steps (`int`, *optional*):
            Optimizer steps between two refreshes of the discriminator's index. Defaults to one refresh an epoch.

        > Generator

        policy_temperature (`float`, *optional*, defaults to 0.05):
            Temperature of the generator's distribution over the pool.
        generator_projection_size (`int`, *optional*):
            Size of the generator's embeddings. Defaults to the discriminator's.
        generator_init (`str`, *optional*, defaults to `"discriminator"`):
            What the generator is when it takes over from the warm-up: a copy of the discriminator's heads, so that it
            begins by sampling what the discriminator finds near, or `random`. A copy needs equal sizes.
        sample_with_replacement (`bool`, *optional*, defaults to `True`):
            Independent draws of the generator: what it is sure of is drawn, and weighs, several times. `False` draws
            different negatives, with weights that keep the generator's gradient unbiased.
        reward (`str`, *optional*, defaults to `"neg_distance"`):
            `neg_distance`, `hinge` or `logsigmoid`.
        reward_temperature (`float`, *optional*, defaults to 0.05):
            Temperature of the `logsigmoid` reward.
        baseline (`str`, *optional*, defaults to `"expected"`):
            `expected`, `ema`, `self_critical` or `leave_one_out`.
        ema_decay (`float`, *optional*, defaults to 0.99):
            Decay of the `ema` baseline.
        scale_advantage (`bool`, *optional*, defaults to `True`):
            Divide the advantage by the spread of the reward over the pool.
        estimator (`str`, *optional*, defaults to `"reinforce"`):
            `reinforce`, or `expected`: the exact gradient, from the rewards of the whole pool.
        pool_rewards (`str`, *optional*, defaults to `"index"`):
            Where baselines, spread and the `expected` estimator have the rewards of the whole pool from: `index` or
            `fresh`. The rewards of sampled negatives are always fresh.
        entropy_weight (`float`, *optional*, defaults to 0.01):
            Weight of the entropy floor.
        entropy_floor (`float`, *optional*, defaults to 0.5):
            The floor, as a share of the entropy of the uniform distribution.
    """

    learning_rate: float = field(default=1e-3, metadata={"help": "Learning rate of the discriminator."})
    per_device_train_batch_size: int = field(default=128, metadata={"help": "Mentions in a batch."})
    max_grad_norm: float = field(default=0.0, metadata={"help": "Must stay 0; each side has its own."})
    metric_for_best_model: str | None = field(default="mrr", metadata={"help": "Metric of the best model."})
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "Hide losses which are not finite."})
    remove_unused_columns: bool | None = field(default=False, metadata={"help": "Keep False."})
    ddp_find_unused_parameters: bool | None = field(default=True, metadata={"help": "Keep True."})

    batch_sampler: Literal["random", "attribute"] = field(default="random", metadata={"help": "Who stands together."})
    feature_dtype: Literal["float32", "bfloat16"] = field(default="float32", metadata={"help": "Kept features."})
    tower_learning_rate: float | None = field(default=None, metadata={"help": "Learning rate of unfrozen towers."})
    generator_learning_rate: float = field(default=1e-3, metadata={"help": "Learning rate of the generator."})
    discriminator_max_grad_norm: float = field(default=1.0, metadata={"help": "Gradient norm; 0 does not clip."})
    generator_max_grad_norm: float = field(default=1.0, metadata={"help": "Gradient norm; 0 does not clip."})
    discriminator_warmup_epochs: float = field(default=1.0, metadata={"help": "Epochs of the discriminator alone."})
    generator_warmup_epochs: float = field(default=0.0, metadata={"help": "Then epochs of the generator alone."})
    discriminator_steps: int = field(default=1, metadata={"help": "Discriminator steps in a cycle."})
    generator_steps: int = field(default=1, metadata={"help": "Generator steps in a cycle."})

    margin: float = field(default=0.3, metadata={"help": "Margin of the triplet loss."})
    triplet_weight: float = field(default=1.0, metadata={"help": "Weight of the triplet loss."})
    contrast_weight: float = field(default=0.3, metadata={"help": "Weight of the in-batch contrast."})
    contrast_temperature: float = field(default=0.05, metadata={"help": "Temperature of the in-batch contrast."})
    modality_weight: float = field(default=0.0, metadata={"help": "Weight of text and image alone in the contrast."})
    unit_weight: float = field(default=0.0, metadata={"help": "Weight of each unit's scores in the contrast."})
    false_negative_margin: float | None = field(
        default=None, metadata={"help": "Ignore negatives that far above gold."}
    )

    negatives: str = field(default="pg", metadata={"help": f"One of {', '.join(STRATEGIES)}."})
    num_negatives: int = field(default=4, metadata={"help": "Negatives of a mention."})
    uniform_share: float = field(default=0.3, metadata={"help": "Share of uniform negatives."})
    negative_scores: Literal["index", "fresh"] = field(
        default="index", metadata={"help": "Scores for hard negatives."}
    )
    topk_choose_from: int | None = field(default=None, metadata={"help": "Choose among that many of the hardest."})
    cache_temperature: float = field(default=0.1, metadata={"help": "Temperature of the cache's renewal."})

    pool_size: int = field(default=64, metadata={"help": "Candidates of a mention."})
    pool_dense_share: float = field(default=0.5, metadata={"help": "Share of the discriminator's neighbours."})
    pool_lexical_share: float = field(default=0.25, metadata={"help": "Share of lexical neighbours."})
    pool_attribute_share: float = field(default=0.0, metadata={"help": "Share of attribute neighbours."})
    pool_uniform_share: float = field(default=0.25, metadata={"help": "Share of uniform entities."})
    pool_dense_neighbours: int = field(default=200, metadata={"help": "Length of the dense lists."})
    pool_lexical_neighbours: int = field(default=100, metadata={"help": "Length of the lexical lists."})
    refresh_steps: int | None = field(default=None, metadata={"help": "Steps between index refreshes."})

    policy_temperature: float = field(default=0.05, metadata={"help": "Temperature of the generator."})
    generator_projection_size: int | None = field(default=None, metadata={"help": "Size of its embeddings."})
    generator_init: Literal["discriminator", "random"] = field(
        default="discriminator", metadata={"help": "What the generator is after the warm-up."}
    )
    sample_with_replacement: bool = field(default=True, metadata={"help": "Independent draws of the generator."})
    reward: str = field(default="neg_distance", metadata={"help": f"One of {', '.join(REWARDS)}."})
    reward_temperature: float = field(default=0.05, metadata={"help": "Temperature of the logsigmoid reward."})
    baseline: str = field(default="expected", metadata={"help": f"One of {', '.join(BASELINES)}."})
    ema_decay: float = field(default=0.99, metadata={"help": "Decay of the ema baseline."})
    scale_advantage: bool = field(default=True, metadata={"help": "Divide the advantage by the reward's spread."})
    estimator: Literal["reinforce", "expected"] = field(default="reinforce", metadata={"help": "Gradient estimator."})
    pool_rewards: Literal["index", "fresh"] = field(default="index", metadata={"help": "Rewards of the whole pool."})
    entropy_weight: float = field(default=0.01, metadata={"help": "Weight of the entropy floor."})
    entropy_floor: float = field(default=0.5, metadata={"help": "Entropy floor, as a share of log N."})

    def __post_init__(self):
        if self.use_cpu or not torch.accelerator.is_available():
            self.dataloader_pin_memory = False  # there is nothing to copy to, and torch would warn in each epoch
        super().__post_init__()
        self._check_precision()
        self._check_choices()
        self._check_numbers()

    # ---- Derived ----

    @property
    def pool_shares(self) -> dict[str, float]:
        """Mixture of the pools, by source."""
        return {
            "dense": self.pool_dense_share,
            "lexical": self.pool_lexical_share,
            "attribute": self.pool_attribute_share,
            "uniform": self.pool_uniform_share,
        }

    @property
    def strategy_options(self) -> dict:
        """Arguments of the strategy's class."""
        options = {"num_negatives": 0 if self.negatives == "in_batch" else self.num_negatives}
        if self.negatives in ("topk", "semi_hard", "cache"):
            options["scores"] = self.negative_scores
        if self.negatives == "topk":
            options["choose_from"] = self.topk_choose_from
        if self.negatives == "semi_hard":
            options["margin"] = self.margin
        if self.negatives == "pg":
            options["with_replacement"] = self.sample_with_replacement
        if self.negatives == "cache":
            options["cache_temperature"] = self.cache_temperature
        return options

    # ---- Checks ----

    def _check_precision(self) -> None:
        if self.fp16:
            raise ValueError(
                "fp16 is not supported: its gradient scaler has one scale for both sides, and one overflow of the "
                "generator would skip the discriminator's step. Use `bf16=True` or full precision."
            )
        if self.max_grad_norm:
            raise ValueError(
                "`max_grad_norm` would clip both sides by their joint norm: set `discriminator_max_grad_norm` and "
                "`generator_max_grad_norm`."
            )

    def _check_choices(self) -> None:
        choices = {
            "negatives": tuple(STRATEGIES),
            "reward": tuple(REWARDS),
            "baseline": BASELINES,
            "estimator": ("reinforce", "expected"),
            "negative_scores": ("index", "fresh"),
            "pool_rewards": ("index", "fresh"),
            "feature_dtype": ("float32", "bfloat16"),
            "batch_sampler": ("random", "attribute"),
            "generator_init": ("discriminator", "random"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"`{name}` must be one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        if self.negatives == "in_batch" and not self.contrast_weight:
            raise ValueError("`negatives=in_batch` has no loss without `contrast_weight` > 0.")

    def _check_numbers(self) -> None:
        self._check_range(POSITIVE, lambda value: value > 0, "positive")
        self._check_range(AT_LEAST_ZERO, lambda value: value >= 0, "at least 0")
        self._check_range(SHARES, lambda value: 0 <= value <= 1, "between 0 and 1")
        if abs(sum(self.pool_shares.values()) - 1) > 1e-6:
            raise ValueError(f"the `pool_*_share` arguments must sum to 1, got {self.pool_shares}.")
        if self.topk_choose_from is not None and self.topk_choose_from < self.num_negatives:
            raise ValueError(
                f"`topk_choose_from` must be at least `num_negatives`, got {self.topk_choose_from} and {self.num_negatives}."
            )

    def _check_range(self, names: tuple[str, ...], holds, range_name: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and not holds(value):
                raise ValueError(f"`{name}` must be {range_name}, got {value}.")
