"""One step of the game: the discriminator's loss, the generator's loss, and what each may see of the other."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedConfig

from .. import losses
from ..compat import enable_activation_checkpointing
from ..encoding import Encoded, SideInputs, encode_modalities, to_device, tower_features
from ..models import MatchingModel, PGMELGenerator, TowerFeatures
from ..negatives import (
    CandidatePool,
    NegativeStrategy,
    Selection,
    SelectionContext,
    mix_uniform,
    row_uniforms,
)
from .arguments import PGMELTrainingArguments
from .contrast import ContrastTerms, OptimizerBatch


@dataclass
class StepPlan:
    """
    What the trainer decides about a step, and what it keeps between steps.

    Args:
        epoch (`int`), seed (`int`):
            With a mention's index they determine every draw of the step.
        strategy ([`NegativeStrategy`]):
            Picks the negatives.
        pool ([`CandidatePool`]):
            Where from.
        uniform_share (`float`):
            Share of the negatives that is replaced by uniform ones.
        train_discriminator, train_generator (`bool`):
            Whose turn it is.
        entity_inputs (`SideInputs`):
            Inputs of the discriminator, by entity row.
        generator_inputs (`SideInputs`, *optional*):
            Tower features for the generator, by entity row.
        index (`dict[str, torch.Tensor]`, *optional*):
            Encodings of all entities as of the last refresh.
        batch ([`OptimizerBatch`]):
            The optimizer batch to which this micro-batch belongs.
        loss_scale (`float`):
            What the sum over the mentions is multiplied with, so that micro-batches and processes add up to the mean
            over the optimizer batch.
    """

    epoch: int
    seed: int
    strategy: NegativeStrategy
    pool: CandidatePool
    uniform_share: float
    train_discriminator: bool
    train_generator: bool
    entity_inputs: SideInputs
    generator_inputs: SideInputs | None
    index: Encoded | None
    batch: OptimizerBatch
    loss_scale: float


@dataclass
class Judged:
    """Scores of the discriminator in a step: of the gold entities `(batch_size,)` and negatives `(batch_size, k)`."""

    gold: torch.Tensor
    negatives: torch.Tensor
    mask: torch.Tensor
    mention_encoded: Encoded
    gold_encoded: Encoded


class AdversarialStep(nn.Module):
    """
    Discriminator and generator under one roof, so that one backward pass, one optimizer and one
    `DistributedDataParallel` serve both. The loss of the discriminator reaches only its parameters, that of the generator
    only the generator's: samples and rewards carry no gradient.

    Args:
        discriminator ([`MatchingModel`]):
            The model which is trained for linking.
        generator ([`PGMELGenerator`], *optional*):
            The model which picks its negatives.
        args ([`PGMELTrainingArguments`]):
            Weights, margins, temperatures.
        identity (`torch.LongTensor` of shape `(num_entities,)`):
            Entities with the same number are the same entity.
        copy_heads (`bool`):
            Whether the generator begins as a copy of the discriminator's heads.
    """

    def __init__(
        self,
        discriminator: MatchingModel,
        generator: PGMELGenerator | None,
        args: PGMELTrainingArguments,
        identity: torch.Tensor,
        copy_heads: bool,
    ):
        super().__init__()
        if copy_heads and _shapes(generator) != _shapes(discriminator):
            raise ValueError(
                "the generator cannot begin as a copy of the discriminator's heads, whose parameters are others: set "
                "`generator_init=random`, or leave `generator_projection_size` at the discriminator's size."
            )
        self.discriminator = discriminator
        self.generator = generator
        self.args = args
        self.register_buffer("identity", identity, persistent=False)
        self.register_buffer("generator_waits", torch.tensor(copy_heads), persistent=False)
        # NaN: no reward was seen yet.
        self.register_buffer("average_reward", torch.full((), torch.nan), persistent=False)

    @property
    def config(self) -> PreTrainedConfig:
        """The discriminator's, where the Trainer looks for that of its model: model cards, loggers."""
        return self.discriminator.config

    def forward(
        self, mentions: torch.Tensor, gold_rows: torch.Tensor, inputs: dict[str, torch.Tensor], plan: StepPlan
    ) -> dict[str, torch.Tensor]:
        """
        Args:
            mentions (`torch.LongTensor` of shape `(batch_size,)`):
                Index of each mention in the training set.
            gold_rows (`torch.LongTensor` of shape `(batch_size,)`):
                Entity row of each gold entity.
            inputs (`dict[str, torch.Tensor]`):
                Model inputs of the mentions.
            plan ([`StepPlan`]):
                The rest.

        Returns:
            `dict`: `loss` of shape `()`, and detached scalars to log.
        """
        with torch.set_grad_enabled(plan.train_discriminator):
            features = tower_features(self.discriminator, inputs)
            encoded = self.encode("mention", features)
        context = self.selection_context(mentions, gold_rows, features, encoded, plan)
        selection = plan.strategy.select(context)
        mixing = context.uniforms("mix", 2 * selection.columns.shape[1])
        selection = mix_uniform(selection, plan.pool, plan.uniform_share, mixing)
        judged = self._judge(encoded, gold_rows, selection, plan)

        updates = plan.strategy.updates(context)

        outputs = {"masked_negatives": 1 - plan.pool.mask.float().mean()}
        loss = encoded[next(iter(encoded))].new_zeros(())
        if plan.train_discriminator:
            loss = loss + self._discriminator_loss(judged, gold_rows, plan, outputs)
        if plan.strategy.uses_generator:
            generator_loss = self._generator_loss(judged, selection, context, plan, outputs)
            if plan.train_generator:
                loss = loss + generator_loss
        outputs["encodings"] = torch.tensor(float(judged.negatives.numel() + len(mentions) + context.encodings))
        return {"loss": loss, "updates": updates} | {name: value.detach() for name, value in outputs.items()}

    @torch.no_grad()
    def start_generator(self) -> None:
        """Before the generator's first step: what it begins as. A generator that has begun is left alone."""
        if self.generator_waits:
            self.generator.heads.load_state_dict(self.discriminator.heads.state_dict())
            self.generator_waits.fill_(False)

    # ---- Activation checkpointing: what the Trainer calls, until transformers 5.22 and from 5.23 on ----

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict | None = None, **options) -> None:
        """Recompute the activations of the towers in the backward pass."""
        enable_activation_checkpointing(self.discriminator, gradient_checkpointing_kwargs, **options)

    def activation_checkpointing_enable(self, activation_checkpointing_kwargs: dict | None = None, **options) -> None:
        """Recompute the activations of the towers in the backward pass."""
        enable_activation_checkpointing(self.discriminator, activation_checkpointing_kwargs, **options)

    # ---- Selection ----

    def selection_context(
        self,
        mentions: torch.Tensor,
        gold_rows: torch.Tensor,
        features: TowerFeatures,
        encoded: Encoded,
        plan: StepPlan,
    ) -> SelectionContext:
        """What the strategy may look at in this step."""
        device = gold_rows.device
        numbers = mentions.cpu().numpy()
        constant = {name: value.detach() for name, value in encoded.items()}

        def uniforms(stream: str, count: int) -> torch.Tensor:
            return torch.from_numpy(row_uniforms(plan.seed, plan.epoch, numbers, stream, count)).to(device)

        @torch.no_grad()
        def scores(source: str) -> tuple[torch.Tensor, torch.Tensor]:
            rows = torch.cat([plan.pool.rows, gold_rows.unsqueeze(1)], dim=1)
            if source == "index":
                entities = {name: value[rows.cpu()].to(device) for name, value in plan.index.items()}
            else:
                unique, positions = rows.unique(return_inverse=True)
                entities = gathered(self.encode_entities(unique, plan.entity_inputs), positions)
            both = self.discriminator.match_candidates(constant, entities).float()
            return both[:, :-1], both[:, -1]

        def log_probs() -> torch.Tensor:
            unique, positions = plan.pool.rows.unique(return_inverse=True)
            entities = TowerFeatures(**to_device(plan.generator_inputs(unique.cpu().numpy()), device))
            with torch.set_grad_enabled(plan.train_generator):
                logits = self.generator(features, entities, positions, plan.pool.mask)
            return losses.policy_log_probs(logits, plan.pool.mask)

        needs_generator = plan.strategy.uses_generator and self.generator is not None
        return SelectionContext(numbers, plan.pool, uniforms, scores, log_probs if needs_generator else None)

    # ---- Discriminator ----

    def _judge(self, encoded: Encoded, gold_rows: torch.Tensor, selection: Selection, plan: StepPlan) -> Judged:
        negatives = selection.rows(plan.pool)
        candidates = torch.cat([gold_rows.unsqueeze(1), negatives], dim=1)
        # The gold entities and negatives of a batch overlap: each entity is encoded once.
        rows, positions = candidates.unique(return_inverse=True)
        with torch.set_grad_enabled(plan.train_discriminator):
            entities = self.encode_entities(rows, plan.entity_inputs)
            gold = gathered(entities, positions[:, 0])
            if negatives.shape[1]:
                scores = self.discriminator.match_candidates(encoded, gathered(entities, positions))
            else:  # the contrast scores them all, and nothing else looks at the score of the gold entity
                scores = torch.zeros(candidates.shape, device=gold_rows.device)
        gold_scores, scores = scores[:, 0], scores[:, 1:]
        mask = selection.mask
        if self.args.false_negative_margin is not None:
            mask = mask & (scores.detach() <= gold_scores.detach().unsqueeze(-1) + self.args.false_negative_margin)
        return Judged(gold_scores, scores, mask, encoded, gold)

    def encode_entities(self, rows: torch.Tensor, entity_inputs: SideInputs) -> Encoded:
        """The discriminator's encodings of these entity rows."""
        inputs = to_device(entity_inputs(rows.cpu().numpy()), rows.device)
        return self.encode("entity", tower_features(self.discriminator, inputs))

    def encode_gold(self, gold_rows: torch.Tensor, entity_inputs: SideInputs) -> Encoded:
        """Those of the gold entity of each mention; an entity of several mentions is encoded once."""
        rows, positions = gold_rows.unique(return_inverse=True)
        return gathered(self.encode_entities(rows, entity_inputs), positions)

    def encode(self, side: str, features: TowerFeatures) -> Encoded:
        """The discriminator's encodings of one side, with those of each modality alone if they have a loss."""
        if self.args.modality_weight:
            return encode_modalities(self.discriminator, side, features)
        return self.discriminator.encode(side, features)

    def _discriminator_loss(self, judged: Judged, gold_rows: torch.Tensor, plan: StepPlan, outputs: dict):
        triplet = losses.triplet_loss(judged.gold, judged.negatives, self.args.margin, judged.mask)
        outputs["triplet_loss"] = triplet.mean()
        active = (judged.negatives > judged.gold.unsqueeze(-1) - self.args.margin) & judged.mask
        outputs["active_triplets"] = active.sum() / judged.mask.sum().clamp(min=1)
        loss = self.args.triplet_weight * triplet.sum() * plan.loss_scale
        weights = (self.args.contrast_weight, self.args.modality_weight, self.args.unit_weight)
        if any(weights) or self.discriminator.has_extra_losses:
            loss = loss + self._contrast(judged, gold_rows, plan, outputs) * plan.loss_scale
        outputs["discriminator_loss"] = loss / (plan.loss_scale * len(gold_rows))
        return loss

    def _contrast(self, judged: Judged, gold_rows: torch.Tensor, plan: StepPlan, outputs: dict) -> torch.Tensor:
        """
        Contrast over the whole optimizer batch: see [`ContrastBank`] for how micro-batches share it.
        """
        mentions, entities, rows = judged.mention_encoded, judged.gold_encoded, gold_rows
        own = slice(0, len(gold_rows))
        bank = plan.batch.bank(mentions, entities, gold_rows)
        if bank is not None:
            own = slice(bank.offset, bank.offset + len(gold_rows))
            mentions, entities = bank.with_live(mentions, entities)
            rows = bank.gold_rows
        same = self._same_entity(rows)
        loss = mentions[next(iter(mentions))].new_zeros(())
        terms = ContrastTerms(self.discriminator, self.args)
        for name, weight, each in terms.of_a_part(
            1 if bank is None else plan.batch.num_parts, mentions, entities, same
        ):
            share = each[own].sum()
            outputs[f"{name}_loss"] = share / len(gold_rows)
            # The gradient is that of all rows; the value is that of the own ones, so that logged losses add up.
            loss = loss + weight * (each.sum() + (share - each.sum()).detach())
        return loss

    def _same_entity(self, rows: torch.Tensor) -> torch.Tensor:
        """`(num_mentions, num_mentions)`: whose gold entity is no negative for whom."""
        if getattr(self.discriminator.config, "legacy_masking", False):
            return torch.eye(len(rows), dtype=torch.bool, device=rows.device)
        identity = self.identity[rows]
        return identity.unsqueeze(1) == identity

    # ---- Generator ----

    def _generator_loss(
        self, judged: Judged, selection: Selection, context: SelectionContext, plan: StepPlan, outputs: dict
    ) -> torch.Tensor:
        log_probs = context.log_probs
        candidates = plan.pool.mask.sum(dim=-1).float()
        entropy = losses.policy_entropy(log_probs)
        floor = losses.entropy_floor_loss(entropy, candidates, self.args.entropy_floor)
        pool_rewards = self._rewards(
            context.pool_scores(self.args.pool_rewards), context.gold_scores(self.args.pool_rewards)
        )
        sampled = judged.mask & selection.by_strategy
        rewards = self._rewards(judged.negatives.detach(), judged.gold.detach())
        if self.args.estimator == "expected":
            spread = losses.reward_spread(pool_rewards, plan.pool.mask) if self.args.scale_advantage else 1.0
            policy = losses.expected_policy_loss(log_probs, pool_rewards) / spread
        else:
            advantages = self._advantages(rewards, pool_rewards, sampled, context)
            weights = torch.zeros_like(rewards) if selection.weights is None else selection.weights
            policy = losses.reinforce_loss(log_probs.gather(1, selection.columns), advantages, weights * sampled)
        loss = (policy + self.args.entropy_weight * floor).sum() * plan.loss_scale

        total = torch.stack([rewards.masked_fill(~sampled, 0).sum(), sampled.sum()])
        ranks = 1 + (
            context.pool_scores(self.args.pool_rewards).unsqueeze(1) > _picked(context, selection, self.args)
        ).sum(-1)
        outputs["reward_total"] = total
        outputs["reward"] = total[0] / total[1].clamp(min=1)
        outputs["generator_loss"] = (policy + self.args.entropy_weight * floor).mean()
        outputs["generator_entropy"] = losses.relative_entropy(entropy, candidates).mean()
        outputs["sampled_rank"] = (ranks * sampled).sum() / sampled.sum().clamp(min=1)
        return loss

    def _rewards(self, negatives: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
        reward = losses.REWARDS[self.args.reward]
        return reward(negatives.float(), gold.float(), self.args.margin, self.args.reward_temperature)

    def _advantages(
        self, rewards: torch.Tensor, pool_rewards: torch.Tensor, sampled: torch.Tensor, context: SelectionContext
    ) -> torch.Tensor:
        """Reward minus baseline, `(batch_size, k)`, divided by the spread of the reward over the pool if wanted."""
        if self.args.baseline == "expected":
            baseline = losses.expected_reward(context.log_probs, pool_rewards).unsqueeze(-1)
        elif self.args.baseline == "self_critical":  # the reward of what the generator holds most likely
            baseline = pool_rewards.gather(1, context.log_probs.argmax(dim=-1, keepdim=True))
        elif self.args.baseline == "leave_one_out":
            baseline = losses.leave_one_out_baseline(rewards, sampled)
        else:
            baseline = torch.where(self.average_reward.isnan(), rewards, self.average_reward)
        advantages = rewards - baseline
        if self.args.scale_advantage:
            advantages = advantages / losses.reward_spread(pool_rewards, context.pool.mask).unsqueeze(-1)
        return advantages

    def observe_rewards(self, total: torch.Tensor) -> None:
        """
        Moves the `ema` baseline towards the mean reward of an optimizer batch; `total` of shape `(2,)` holds the sum of
        the rewards and how many they were.
        """
        reward = total[0] / total[1].clamp(min=1)
        moved = torch.lerp(reward, self.average_reward, self.args.ema_decay)
        self.average_reward.copy_(torch.where(self.average_reward.isnan(), reward, moved))


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    heads = getattr(model, "heads", None)
    return {} if heads is None else {name: value.shape for name, value in heads.state_dict().items()}


def gathered(encoded: Encoded, positions: torch.Tensor) -> Encoded:
    """Rows of every tensor, shaped like `positions`."""
    return {name: value[positions] for name, value in encoded.items()}


def _picked(context: SelectionContext, selection: Selection, args: PGMELTrainingArguments) -> torch.Tensor:
    """Pool scores of the selected negatives, `(batch_size, k, 1)`."""
    return context.pool_scores(args.pool_rewards).gather(1, selection.columns).unsqueeze(-1)
