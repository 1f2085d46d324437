"""Arguments of the training: everything that changes how a model is trained and nothing that changes what it is."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from transformers import TrainingArguments

from ..negatives import STRATEGIES, NegativeStrategy, get_strategy
from ..policy import BASELINES, REWARDS, get_baseline
from .argument_checks import direction_of, refuse_arguments, scheduler_options


# The smallest and largest value of each number; `None` is left alone.
POSITIVE = (
    "pool_size",
    "pool_dense_neighbours",
    "pool_lexical_neighbours",
    "num_negatives",
    "contrast_temperature",
    "policy_temperature",
    "discriminator_steps",
    "generator_projection_size",
    "refresh_steps",
    "mini_batch_size",
)
AT_LEAST_ZERO = (
    "generator_steps",
    "margin",
    "contrast_weight",
    "modality_weight",
    "unit_weight",
    "triplet_weight",
    "entropy_weight",
    "max_grad_norm",
    "discriminator_max_grad_norm",
    "generator_max_grad_norm",
    "discriminator_warmup_epochs",
    "generator_warmup_epochs",
)
SHARES = (
    "uniform_share",
    "entropy_floor",
    "false_negative_share",
    "pool_dense_share",
    "pool_lexical_share",
    "pool_attribute_share",
    "pool_uniform_share",
)
CHOICES = {
    "estimator": ("reinforce", "expected"),
    "pool_rewards": ("index", "fresh"),
    "feature_dtype": ("float32", "bfloat16"),
    "batch_sampler": ("random", "attribute"),
    "generator_type": ("query", "both"),
    "generator_init": ("discriminator", "random"),
}
OPEN_CHOICES = {"negatives": STRATEGIES, "reward": REWARDS, "baseline": BASELINES}


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
            The collator needs the columns of the mentions.
        ddp_find_unused_parameters (`bool`, *optional*, defaults to `True`):
            The side whose turn it is not has no gradient.

        > Batches

        batch_sampler (`str`, *optional*, defaults to `"random"`):
            How mentions are grouped into batches: `random`, or `attribute`: those whose gold entities share many attributes,
            which makes the negatives of the in-batch contrast hard; see [`AttributeBatches`].
        mini_batch_size (`int`, *optional*):
            Mentions, and entities, that are encoded at once, for a large contrastive batch in little memory (GradCache, Gao
            et al. 2021): the activations of one mini-batch at a time are kept, and each is computed twice. Defaults to the
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
        discriminator_max_grad_norm, generator_max_grad_norm (`float`, *optional*):
            Largest gradient norm of each side; 0 does not clip. Defaults to `max_grad_norm`. Each side is clipped by its own
            norm.
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
        contrast_weight (`float`, *optional*, defaults to 1.0):
            Weight of the contrastive loss over the gold entities of the batch.
        contrast_temperature (`float`, *optional*, defaults to 0.05):
            Its temperature.
        modality_weight (`float`, *optional*, defaults to 0.0):
            Weight of the same loss for the text alone and for the image alone of both sides, as MIMIC (Luo et al., KDD
            2023) has them. Without it a modality that learns faster leaves nothing for the other to learn from.
        unit_weight (`float`, *optional*, defaults to 0.0):
            Weight of the same loss for the scores of each unit, of a model that is made of units, as MIMIC, M3EL and MELOV
            are trained with weight 1. Losses of a model's own come without any weight of these.

        > Negatives

        negatives (`str`, `type` or [`NegativeStrategy`], *optional*, defaults to `"in_batch"`):
            `in_batch`, `random`, `lexical`, `attribute`, `topk`, `semi_hard`, `cache` or `pg`, a name that was registered with
            [`register_strategy`], a subclass of [`NegativeStrategy`], or an instance.
        negatives_kwargs (`dict`, *optional*):
            Options of the strategy, such as `{"scores": "fresh"}` or `{"choose_from": 10}` of `topk`: arguments of its class,
            without `num_negatives`.
        num_negatives (`int`, *optional*, defaults to 4):
            Negatives of a mention in a step.
        uniform_share (`float`, *optional*, defaults to 0.3):
            Share of the negatives which is replaced by uniform ones of the pool.

        > Guards against false negatives (off by default; what each dropped is logged)

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
            What the pool is mixed from.
        pool_dense_neighbours, pool_lexical_neighbours (`int`, *optional*, defaults to 200, 100):
            Length of the lists from which these shares are drawn (attributes: as lexical).
        refresh_steps (`int`, *optional*):
            Optimizer steps between two refreshes of the discriminator's index; negatives are then drawn in the training step
            instead of by data-loading workers. Defaults to one refresh an epoch.

        > Generator

        generator_type (`str`, *optional*, defaults to `"query"`):
            `query`: the generator has a head for mentions alone, and compares them with the entity vectors of the
            discriminator's last index. `both`: it has heads for mentions and entities over the towers' features.
        policy_temperature (`float`, *optional*, defaults to 0.05):
            Temperature of the generator's distribution over the pool.
        generator_projection_size (`int`, *optional*):
            Size of the generator's embeddings. Defaults to the discriminator's.
        generator_init (`str`, *optional*, defaults to `"discriminator"`):
            What the generator is after the warm-up: a copy of the discriminator's heads, so that it begins by sampling what
            the discriminator finds near, or `random`. A copy needs equal sizes.
        reward (`str` or `Callable`, *optional*, defaults to `"neg_distance"`):
            `neg_distance`, `hinge` or `logsigmoid`, a name that was registered with [`register_reward`], or a function of the
            scores of negatives `(batch_size, k)` and gold entities `(batch_size,)`.
        reward_kwargs (`dict`, *optional*):
            Options of the reward: `margin` of `hinge`, `temperature` of `logsigmoid`.
        baseline (`str` or `Callable`, *optional*, defaults to `"expected"`):
            `expected`, `ema`, `self_critical` or `leave_one_out`, a name that was registered with [`register_baseline`], or a
            function `baseline(rewards, sampled, pool_rewards, log_probs)`.
        baseline_kwargs (`dict`, *optional*):
            Options of the baseline: `decay` of `ema`.
        scale_advantage (`bool`, *optional*, defaults to `True`):
            Divide the advantage by the spread of the reward over the pool.
        estimator (`str`, *optional*, defaults to `"reinforce"`):
            `reinforce`, or `expected`: the exact gradient, from the rewards of the whole pool.
        pool_rewards (`str`, *optional*, defaults to `"index"`):
            Scores from which baselines, spread and the `expected` estimator compute the rewards of the whole pool: `index` or
            `fresh`. The rewards of sampled negatives are always fresh.
        entropy_weight (`float`, *optional*, defaults to 0.01):
            Weight of the entropy floor.
        entropy_floor (`float`, *optional*, defaults to 0.5):
            The floor, as a share of the entropy of the uniform distribution.
    """

    learning_rate: float = field(default=1e-3, metadata={"help": "Learning rate of the discriminator."})
    per_device_train_batch_size: int = field(default=128, metadata={"help": "Mentions in a batch."})
    metric_for_best_model: str | None = field(default="mrr", metadata={"help": "Metric of the best model."})
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "Hide losses which are not finite."})
    remove_unused_columns: bool | None = field(
        default=False, metadata={"help": "Must be False: the collator needs all columns."}
    )
    ddp_find_unused_parameters: bool | None = field(
        default=True, metadata={"help": "Must be True: a side may have no gradient."}
    )

    batch_sampler: Literal["random", "attribute"] = field(
        default="random", metadata={"help": "How mentions are grouped."}
    )
    mini_batch_size: int | None = field(default=None, metadata={"help": "Rows encoded at once (GradCache)."})
    gather_across_devices: bool = field(default=True, metadata={"help": "Contrast over all processes."})
    feature_dtype: Literal["float32", "bfloat16"] = field(default="float32", metadata={"help": "Kept features."})
    tower_learning_rate: float | None = field(default=None, metadata={"help": "Learning rate of unfrozen towers."})
    generator_learning_rate: float = field(default=1e-3, metadata={"help": "Learning rate of the generator."})
    discriminator_max_grad_norm: float | None = field(
        default=None, metadata={"help": "Gradient norm of the discriminator."}
    )
    generator_max_grad_norm: float | None = field(default=None, metadata={"help": "Gradient norm of the generator."})
    discriminator_warmup_epochs: float = field(default=1.0, metadata={"help": "Epochs of the discriminator alone."})
    generator_warmup_epochs: float = field(default=0.0, metadata={"help": "Then epochs of the generator alone."})
    discriminator_steps: int = field(default=1, metadata={"help": "Discriminator steps in a cycle."})
    generator_steps: int = field(default=1, metadata={"help": "Generator steps in a cycle."})

    margin: float = field(default=0.3, metadata={"help": "Margin of the triplet loss."})
    triplet_weight: float = field(default=1.0, metadata={"help": "Weight of the triplet loss."})
    contrast_weight: float = field(default=1.0, metadata={"help": "Weight of the in-batch contrast."})
    contrast_temperature: float = field(default=0.05, metadata={"help": "Temperature of the in-batch contrast."})
    modality_weight: float = field(default=0.0, metadata={"help": "Weight of text and image alone in the contrast."})
    unit_weight: float = field(default=0.0, metadata={"help": "Weight of each unit's scores in the contrast."})

    negatives: str = field(default="in_batch", metadata={"help": f"One of {', '.join(STRATEGIES)}."})
    negatives_kwargs: dict | str | None = field(default=None, metadata={"help": "Options of the strategy."})
    num_negatives: int = field(default=4, metadata={"help": "Negatives of a mention."})
    uniform_share: float = field(default=0.3, metadata={"help": "Share of uniform negatives."})

    false_negative_margin: float | None = field(
        default=None, metadata={"help": "Ignore negatives that far above gold."}
    )
    false_negative_share: float | None = field(default=None, metadata={"help": "Drop candidates above it, of gold."})
    owner_guard: float | None = field(default=None, metadata={"help": "Drop gold entities of mentions that similar."})

    pool_size: int = field(default=64, metadata={"help": "Candidates of a mention."})
    pool_dense_share: float = field(default=0.5, metadata={"help": "Share of the discriminator's neighbours."})
    pool_lexical_share: float = field(default=0.25, metadata={"help": "Share of lexical neighbours."})
    pool_attribute_share: float = field(default=0.0, metadata={"help": "Share of attribute neighbours."})
    pool_uniform_share: float = field(default=0.25, metadata={"help": "Share of uniform entities."})
    pool_dense_neighbours: int = field(default=200, metadata={"help": "Length of the dense lists."})
    pool_lexical_neighbours: int = field(default=100, metadata={"help": "Length of the lexical lists."})
    refresh_steps: int | None = field(default=None, metadata={"help": "Steps between index refreshes."})

    generator_type: Literal["query", "both"] = field(default="query", metadata={"help": "Heads of the generator."})
    policy_temperature: float = field(default=0.05, metadata={"help": "Temperature of the generator."})
    generator_projection_size: int | None = field(default=None, metadata={"help": "Size of its embeddings."})
    generator_init: Literal["discriminator", "random"] = field(
        default="discriminator", metadata={"help": "What the generator is after the warm-up."}
    )
    reward: str = field(default="neg_distance", metadata={"help": f"One of {', '.join(REWARDS)}."})
    reward_kwargs: dict | str | None = field(default=None, metadata={"help": "Options of the reward."})
    baseline: str = field(default="expected", metadata={"help": f"One of {', '.join(BASELINES)}."})
    baseline_kwargs: dict | str | None = field(default=None, metadata={"help": "Options of the baseline."})
    scale_advantage: bool = field(default=True, metadata={"help": "Divide the advantage by the reward's spread."})
    estimator: Literal["reinforce", "expected"] = field(default="reinforce", metadata={"help": "Gradient estimator."})
    pool_rewards: Literal["index", "fresh"] = field(default="index", metadata={"help": "Rewards of the whole pool."})
    entropy_weight: float = field(default=0.01, metadata={"help": "Weight of the entropy floor."})
    entropy_floor: float = field(default=0.5, metadata={"help": "Entropy floor, as a share of log N."})

    def __post_init__(self):
        if self.use_cpu or not torch.accelerator.is_available():
            self.dataloader_pin_memory = False  # there is nothing to copy to, and torch would warn in each epoch
        if self.ddp_find_unused_parameters is None:
            self.ddp_find_unused_parameters = True
        for name in ("negatives_kwargs", "reward_kwargs", "baseline_kwargs"):
            value = getattr(self, name)
            setattr(self, name, json.loads(value) if isinstance(value, str) else value or {})
        refuse_arguments(self)  # before a package is imported for an argument that is refused
        self.metric_for_best_model = self.metric_for_best_model or "mrr"
        self.greater_is_better = direction_of(self.metric_for_best_model, self.greater_is_better)
        super().__post_init__()
        self.lr_scheduler_kwargs = scheduler_options(self)
        self.check()

    def check(self) -> None:
        """
        Checks the arguments again, as when they were made.

        Raises:
            `ValueError`: arguments which are out of range, do not fit together, or cannot be used.
        """
        refuse_arguments(self)
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
    def strategy_options(self) -> dict[str, Any]:
        """Arguments of the strategy's class; of an instance there are none."""
        if isinstance(self.negatives, NegativeStrategy):
            return {}
        return {"num_negatives": self.num_negatives} | self.negatives_kwargs

    @property
    def reads_entity_features(self) -> bool:
        """Whether the generator reads tower features of the entities."""
        return self.uses_generator and self.generator_type == "both"

    @property
    def uses_generator(self) -> bool:
        """Whether the negatives are drawn from a generator."""
        return getattr(STRATEGIES.find(self.negatives), "reads", None) == "policy"

    def side_max_grad_norm(self, side: str) -> float:
        """Largest gradient norm of the `"discriminator"` or the `"generator"`."""
        own = getattr(self, f"{side}_max_grad_norm")
        return self.max_grad_norm if own is None else own

    def to_dict(self) -> dict[str, Any]:
        """As in [`~transformers.TrainingArguments`]; objects of one's own by their name."""
        values = super().to_dict()
        return values | {name: _name_of(values[name]) for name in OPEN_CHOICES}

    # ---- Checks ----

    def _check_choices(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"`{name}` must be one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        for name, registry in OPEN_CHOICES.items():
            registry.find(getattr(self, name))
        get_strategy(self.negatives, **self.strategy_options), get_baseline(self.baseline, **self.baseline_kwargs)
        if self.negatives == "in_batch" and not self.contrast_weight:
            raise ValueError("`negatives='in_batch'` has no loss without `contrast_weight` > 0.")
        if self.batch_sampler != "random" and self.train_sampling_strategy != "random":
            raise ValueError("`batch_sampler` and `train_sampling_strategy` both order the mentions: set one of them.")
        if isinstance(self.negatives, NegativeStrategy) and self.negatives_kwargs:
            raise ValueError("`negatives_kwargs` has no effect on an instance: pass the class, or leave it out.")

    def _check_numbers(self) -> None:
        for name in ("discriminator_max_grad_norm", "generator_max_grad_norm"):
            if self.max_grad_norm == 0 and getattr(self, name):
                raise ValueError(f"`max_grad_norm=0` turns clipping off, but `{name}` is {getattr(self, name)}.")
        self._check_range(POSITIVE, lambda value: value > 0, "positive")
        self._check_range(AT_LEAST_ZERO, lambda value: value >= 0, "at least 0")
        self._check_range(SHARES, lambda value: 0 <= value <= 1, "between 0 and 1")
        if abs(sum(self.pool_shares.values()) - 1) > 1e-6:
            raise ValueError(f"the `pool_*_share` arguments must sum to 1, got {self.pool_shares}.")

    def _check_range(self, names: tuple[str, ...], holds, range_name: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and not holds(value):
                raise ValueError(f"`{name}` must be {range_name}, got {value}.")


def _name_of(choice: Any) -> str:
    return choice if isinstance(choice, str) else getattr(choice, "__qualname__", type(choice).__qualname__)


@dataclass
class PGMELTrainingArguments(MELTrainingArguments):
    r"""
    Arguments of a [`PGMELTrainer`]: those of [`MELTrainingArguments`] with PGMEL's defaults.

    Args:
        > Defaults that differ from `MELTrainingArguments`

        negatives (`str`, `type` or [`NegativeStrategy`], *optional*, defaults to `"pg"`):
            The generator's.
        contrast_weight (`float`, *optional*, defaults to 0.3):
            0 is the paper's pure form.
    """

    contrast_weight: float = field(default=0.3, metadata={"help": "Weight of the in-batch contrast."})
    negatives: str = field(default="pg", metadata={"help": f"One of {', '.join(STRATEGIES)}."})
