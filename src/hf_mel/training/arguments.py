"""Arguments of the training: everything that changes how a model is trained and nothing that changes what it is."""

import json
import re
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

import torch
from transformers import TrainingArguments

from ..negatives import STRATEGIES, NegativeStrategy, get_strategy
from ..negatives.pools import SOURCES
from ..policy import BASELINES, REWARDS
from .best_model import direction_of, scheduler_options
from .refused import refuse_arguments


POSITIVE = (
    "pool_size pool_dense_neighbours pool_lexical_neighbours num_negatives contrast_temperature policy_temperature "
    "discriminator_steps refresh_steps mini_batch_size"
).split()
AT_LEAST_ZERO = (
    "generator_steps margin contrast_weight modality_weight unit_weight triplet_weight entropy_weight max_grad_norm "
    "discriminator_max_grad_norm generator_max_grad_norm discriminator_warmup_epochs generator_warmup_epochs"
).split()
SHARES = (
    "uniform_share entropy_floor false_negative_share pool_dense_share pool_lexical_share pool_attribute_share "
    "pool_uniform_share"
).split()
RANGES = (
    (POSITIVE, "positive", lambda value: value > 0),
    (AT_LEAST_ZERO, "at least 0", lambda value: value >= 0),
    (SHARES, "between 0 and 1", lambda value: 0 <= value <= 1),
)
"""Range of each number; `None` is left alone."""

OPEN_CHOICES = {"negatives": STRATEGIES, "reward": REWARDS, "baseline": BASELINES}
GUARDS = ("false_negative_margin", "false_negative_share", "owner_guard")

NUM_NEGATIVES = 4
"""Negatives of a mention where neither the arguments nor an instance say."""


def with_help(arguments: type) -> type:
    """Gives each field the first sentence of its entry in the docstring as its `help`."""
    entries = re.findall(r"^ {8}([\w, ]+) \(.+\):\n((?: {12}.+\n)+)", arguments.__doc__ or "", re.MULTILINE)
    texts = {name: " ".join(text.split()) for names, text in entries for name in names.split(", ")}
    for each in fields(arguments):
        if each.name in texts:
            sentence = re.match(r".+?\.(?= |$)", texts[each.name]).group()
            each.metadata = MappingProxyType({"help": sentence.replace("%", "%%")})
    return arguments


@with_help
@dataclass
class MELTrainingArguments(TrainingArguments):
    r"""
    Arguments of a [`MELTrainer`]: those of [`~transformers.TrainingArguments`], and those below.

    Args:
        > Defaults that differ from `TrainingArguments`

        learning_rate (`float`, *optional*, defaults to `1e-3`):
            Learning rate of the discriminator's heads and, without `tower_learning_rate`, of its towers.
        per_device_train_batch_size (`int`, *optional*, defaults to 128):
            Mentions in a batch.
        metric_for_best_model (`str`, *optional*, defaults to `"mrr"`):
            Metric of the best model, which gives `greater_is_better` too: `mrr`, `mr`, or `hits@k` for k of 1, 3, 5, 10. With
            several evaluation sets that of the first, or of the one in front of the name, as `validation_mrr`. A metric of
            your `compute_metrics` needs `greater_is_better`.
        logging_nan_inf_filter (`bool`, *optional*, defaults to `False`):
            A loss which is not finite stops the training instead of leaving the logs.
        remove_unused_columns (`bool`, *optional*, defaults to `False`):
            Must be `False`: the data collator needs all columns of the mentions.
        ddp_find_unused_parameters (`bool`, *optional*, defaults to `True`):
            Must be `True`: a side that does not learn in a step has no gradient.

        > Batches

        batch_sampler (`str`, *optional*, defaults to `"random"`):
            Grouping of mentions into batches. `random`, or `attribute`: mentions whose gold entities share many attributes,
            which makes the negatives of the in-batch contrast hard; see [`AttributeBatches`].
        mini_batch_size (`int`, *optional*):
            Mentions, and entities, that are encoded at once, for a large contrastive batch in little memory. The activations
            of one mini-batch at a time are kept, and each is computed twice (GradCache, Gao et al. 2021). Defaults to the
            whole batch.
        gather_across_devices (`bool`, *optional*, defaults to `True`):
            With several processes, contrast each mention with the gold entities of all of them.

        > Sides and schedule

        feature_dtype (`str`, *optional*, defaults to `"float32"`):
            Precision in which the features of frozen towers are kept: `float32` or `bfloat16`.
        tower_learning_rate (`float`, *optional*):
            Learning rate of towers which are not frozen. Defaults to `learning_rate`.
        generator_learning_rate (`float`, *optional*, defaults to `1e-3`):
            Learning rate of the generator.
        name_learning_rate (`float`, *optional*, defaults to `1e-2`):
            Learning rate of the weights of the names, of a model with `config.name_features`; they do not decay.
        discriminator_max_grad_norm, generator_max_grad_norm (`float`, *optional*):
            Largest gradient norm of each side; 0 does not clip. Defaults to `max_grad_norm`. Each side is clipped by its own
            norm.
        discriminator_warmup_epochs (`float`, *optional*, defaults to 1.0):
            Epochs in which the discriminator learns alone, from uniform negatives and the batch.
        generator_warmup_epochs (`float`, *optional*, defaults to 0.0):
            Epochs after these in which the generator learns alone.
        discriminator_steps, generator_steps (`int`, *optional*, defaults to 1):
            Steps in which each side learns, in a cycle of `max(discriminator_steps, generator_steps)` optimizer steps after
            the warm-up. 1 and 1 trains both in every step, `generator_steps=0` never trains the generator.

        > Discriminator

        margin (`float`, *optional*, defaults to 0.3):
            Margin of the triplet loss: the gold entity must be nearer than a negative by this cosine distance.
        triplet_weight (`float`, *optional*, defaults to 1.0):
            Weight of the triplet loss.
        contrast_weight (`float`, *optional*, defaults to 1.0):
            Weight of the contrastive loss over the gold entities of the batch.
        contrast_temperature (`float`, *optional*, defaults to 0.05):
            Temperature of this loss.
        modality_weight (`float`, *optional*, defaults to 0.0):
            Weight of the same loss for the text alone and for the image alone of both sides (MIMIC, Luo et al., KDD
            2023). Without it a modality that learns faster leaves nothing for the other to learn from.
        unit_weight (`float`, *optional*, defaults to 0.0):
            Weight of the same loss for the scores of each unit of a model with units; MIMIC, M3EL and MELOV have weight 1.
            These weights do not apply to losses that a model adds itself.

        > Negatives

        negatives (`str`, `type` or [`NegativeStrategy`], *optional*, defaults to `"in_batch"`):
            Negative strategy: `in_batch`, `random`, `lexical`, `attribute`, `topk`, `semi_hard`, `cache` or `pg`, a name that
            was registered with [`register_strategy`], a subclass of [`NegativeStrategy`], or an instance. Each training copies
            an instance, so that two of them share no state.
        negatives_kwargs (`dict`, *optional*):
            Options of the strategy: arguments of its class without `num_negatives`, such as `{"scores": "fresh"}` or
            `{"choose_from": 10}` of `topk`.
        num_negatives (`int`, *optional*):
            Negatives of a mention in a step. Defaults to those of `negatives`, if it is an instance, or else to 4.
        uniform_share (`float`, *optional*, defaults to 0.3):
            Share of the negatives which is replaced by uniform ones of the pool.

        > Guards against false negatives (off by default; the share that each drops is logged)

        false_negative_margin (`float`, *optional*):
            Ignores negatives whose current score is above the gold entity's by more than this.
        false_negative_share (`float`, *optional*):
            Drops candidates whose index score is above this share of the gold entity's, such as 0.95; see
            [`below_share_of_gold`].
        owner_guard (`float`, *optional*):
            Drops a candidate which is the gold entity of a training mention whose cosine with this mention is above this
            limit, such as 0.9; see [`OwnerGuard`].

        > Pools

        pool_size (`int`, *optional*, defaults to 64):
            Candidates of a mention.
        pool_dense_share, pool_lexical_share, pool_attribute_share, pool_uniform_share (`float`, *optional*, defaults to 0.5, 0.25, 0.0, 0.25):
            Shares of the pool: neighbours in the discriminator's index, similar names, shared attributes, uniform entities.
        pool_dense_neighbours, pool_lexical_neighbours (`int`, *optional*, defaults to 200, 100):
            Length of the lists from which these shares are drawn (attributes: as lexical).
        refresh_steps (`int`, *optional*):
            Optimizer steps between two refreshes of the discriminator's index; negatives are then drawn in the training step
            instead of by data-loading workers. Defaults to one refresh an epoch.

        > Generator

        generator_type (`str`, *optional*, defaults to `"query"`):
            Heads of the generator. `query`: for mentions alone, which are compared with the entity vectors of the
            discriminator's last index. `both`: for mentions and entities, over the towers' features.
        policy_temperature (`float`, *optional*, defaults to 0.05):
            Temperature of the generator's distribution over the pool.
        generator_init (`str`, *optional*, defaults to `"discriminator"`):
            Weights of the generator after the warm-up: a copy of the discriminator's heads, which begins by sampling near
            entities, or `random`. A copy needs equal sizes.
        reward (`str` or `Callable`, *optional*, defaults to `"neg_distance"`):
            Reward of the generator: `neg_distance`, `hinge` or `logsigmoid`, a name that was registered with
            [`register_reward`], or a function of the scores of negatives `(batch_size, k)` and gold entities `(batch_size,)`.
        reward_kwargs (`dict`, *optional*):
            Options of the reward: `margin` of `hinge`, `temperature` of `logsigmoid`.
        baseline (`str` or `Callable`, *optional*, defaults to `"expected"`):
            Baseline of the rewards: `expected`, `ema`, `self_critical` or `leave_one_out`, a name that was registered with
            [`register_baseline`], or a function `baseline(rewards, sampled, pool_rewards, log_probs)`. Each training copies an
            instance. The `expected` estimator has no baseline.
        baseline_kwargs (`dict`, *optional*):
            Options of the baseline: `decay` of `ema`.
        scale_advantage (`bool`, *optional*, defaults to `True`):
            Divides the advantage by the spread of the reward over the pool.
        estimator (`str`, *optional*, defaults to `"reinforce"`):
            Gradient estimator: `reinforce`, or `expected`, the exact gradient from the rewards of the whole pool.
        pool_rewards (`str`, *optional*, defaults to `"index"`):
            Scores from which baselines, spread and the `expected` estimator compute the rewards of the whole pool: `index` or
            `fresh`. The rewards of sampled negatives are always fresh.
        entropy_weight (`float`, *optional*, defaults to 0.01):
            Weight of the entropy floor.
        entropy_floor (`float`, *optional*, defaults to 0.5):
            The floor, as a share of the entropy of the uniform distribution.
    """

    learning_rate: float = 1e-3
    per_device_train_batch_size: int = 128
    metric_for_best_model: str | None = "mrr"
    logging_nan_inf_filter: bool = False
    remove_unused_columns: bool | None = False
    ddp_find_unused_parameters: bool | None = True

    batch_sampler: Literal["random", "attribute"] = "random"
    mini_batch_size: int | None = None
    gather_across_devices: bool = True
    feature_dtype: Literal["float32", "bfloat16"] = "float32"
    tower_learning_rate: float | None = None
    generator_learning_rate: float = 1e-3
    name_learning_rate: float = 1e-2
    discriminator_max_grad_norm: float | None = None
    generator_max_grad_norm: float | None = None
    discriminator_warmup_epochs: float = 1.0
    generator_warmup_epochs: float = 0.0
    discriminator_steps: int = 1
    generator_steps: int = 1

    margin: float = 0.3
    triplet_weight: float = 1.0
    contrast_weight: float = 1.0
    contrast_temperature: float = 0.05
    modality_weight: float = 0.0
    unit_weight: float = 0.0

    negatives: str = "in_batch"
    negatives_kwargs: dict | str | None = None
    num_negatives: int | None = None
    uniform_share: float = 0.3

    false_negative_margin: float | None = None
    false_negative_share: float | None = None
    owner_guard: float | None = None

    pool_size: int = 64
    pool_dense_share: float = 0.5
    pool_lexical_share: float = 0.25
    pool_attribute_share: float = 0.0
    pool_uniform_share: float = 0.25
    pool_dense_neighbours: int = 200
    pool_lexical_neighbours: int = 100
    refresh_steps: int | None = None

    generator_type: Literal["query", "both"] = "query"
    policy_temperature: float = 0.05
    generator_init: Literal["discriminator", "random"] = "discriminator"
    reward: str = "neg_distance"
    reward_kwargs: dict | str | None = None
    baseline: str = "expected"
    baseline_kwargs: dict | str | None = None
    scale_advantage: bool = True
    estimator: Literal["reinforce", "expected"] = "reinforce"
    pool_rewards: Literal["index", "fresh"] = "index"
    entropy_weight: float = 0.01
    entropy_floor: float = 0.5

    def __post_init__(self):
        if self.use_cpu or not torch.accelerator.is_available():
            self.dataloader_pin_memory = False  # there is nothing to copy to, and torch would warn in each epoch
        if self.ddp_find_unused_parameters is None:
            self.ddp_find_unused_parameters = True
        for name in ("negatives_kwargs", "reward_kwargs", "baseline_kwargs"):
            value = getattr(self, name)
            setattr(self, name, json.loads(value) if isinstance(value, str) else value or {})
        if self.num_negatives is None:
            given = isinstance(self.negatives, NegativeStrategy)
            self.num_negatives = self.negatives.num_negatives if given else NUM_NEGATIVES
        refuse_arguments(self)  # before a package is imported for an argument that is refused
        self.metric_for_best_model = self.metric_for_best_model or "mrr"
        self.greater_is_better = direction_of(self.metric_for_best_model, self.greater_is_better)
        super().__post_init__()
        self.lr_scheduler_kwargs = scheduler_options(self)
        self.check()

    # ---- Derived ----

    @property
    def pool_shares(self) -> dict[str, float]:
        """Mixture of the pools, by source."""
        return {source: getattr(self, f"pool_{source}_share") for source in SOURCES}

    def build_strategy(self) -> NegativeStrategy:
        """A new strategy, or a copy of the given one, with `num_negatives` and `negatives_kwargs`."""
        if not isinstance(self.negatives, NegativeStrategy):
            return get_strategy(self.negatives, num_negatives=self.num_negatives, **self.negatives_kwargs)
        if self.num_negatives != self.negatives.num_negatives:
            raise ValueError(
                f"`num_negatives={self.num_negatives}` has no effect on an instance with {self.negatives.num_negatives}: leave "
                "it out, or pass the class."
            )
        return get_strategy(self.negatives, **self.negatives_kwargs)

    def to_dict(self) -> dict[str, Any]:
        """As in [`~transformers.TrainingArguments`]; objects of one's own by their name."""
        values = super().to_dict()
        return values | {name: _name_of(values[name]) for name in OPEN_CHOICES}

    # ---- Checks ----

    def check(self) -> None:
        """
        Checks the arguments again, as when they were made.

        Raises:
            `ValueError`: arguments which are out of range, do not fit together, or cannot be used.
            `TypeError`: options that the strategy, the reward or the baseline does not take.
        """
        refuse_arguments(self)
        self._check_values()
        strategy = self.build_strategy()
        REWARDS.build(self.reward, self.reward_kwargs), BASELINES.build(self.baseline, self.baseline_kwargs)
        if strategy.num_negatives == 0:  # the gold entities of the batch are its only negatives
            if not self.contrast_weight:
                raise ValueError(
                    f"`negatives={_name_of(self.negatives)!r}` has no loss without `contrast_weight` > 0."
                )
            for name in GUARDS:
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"`{name}` has no effect with `negatives={_name_of(self.negatives)!r}`: guards drop candidates of a "
                        "pool, and this strategy has none. Leave it out, or choose another strategy."
                    )
        if self.estimator == "expected" and (self.baseline != "expected" or self.baseline_kwargs):
            raise ValueError(
                "`baseline` and `baseline_kwargs` have no effect with `estimator='expected'`, whose gradient has no variance "
                "to reduce: leave them out, or choose `estimator='reinforce'`."
            )
        if self.batch_sampler != "random" and self.train_sampling_strategy != "random":
            raise ValueError("`batch_sampler` and `train_sampling_strategy` both order the mentions: set one of them.")

    def _check_values(self) -> None:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        if isinstance(self.negatives, NegativeStrategy):
            values["num_negatives"] = None  # the instance's own, which may be 0
        for each in fields(MELTrainingArguments):
            allowed = get_args(each.type)
            if get_origin(each.type) is Literal and values[each.name] not in allowed:
                raise ValueError(f"`{each.name}` must be one of {', '.join(allowed)}, got {values[each.name]!r}.")
        for names, expected, holds in RANGES:
            for name in names:
                if values[name] is not None and not holds(values[name]):
                    raise ValueError(f"`{name}` must be {expected}, got {values[name]}.")
        for name in ("discriminator_max_grad_norm", "generator_max_grad_norm"):
            if self.max_grad_norm == 0 and values[name]:
                raise ValueError(f"`max_grad_norm=0` turns clipping off, but `{name}` is {values[name]}.")
        if abs(sum(self.pool_shares.values()) - 1) > 1e-6:
            raise ValueError(f"the `pool_*_share` arguments must sum to 1, got {self.pool_shares}.")


def _name_of(choice: Any) -> str:
    return choice if isinstance(choice, str) else getattr(choice, "__qualname__", type(choice).__qualname__)


@with_help
@dataclass
class PGMELTrainingArguments(MELTrainingArguments):
    r"""
    Arguments of a [`PGMELTrainer`]: those of [`MELTrainingArguments`] with PGMEL's defaults.

    Args:
        > Defaults that differ from `MELTrainingArguments`

        negatives (`str`, `type` or [`NegativeStrategy`], *optional*, defaults to `"pg"`):
            Negative strategy: `pg` draws from the generator.
        contrast_weight (`float`, *optional*, defaults to 0.3):
            Weight of the contrastive loss over the gold entities of the batch. 0 is the paper's pure form.
    """

    contrast_weight: float = 0.3
    negatives: str = "pg"
