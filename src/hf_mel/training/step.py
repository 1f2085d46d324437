"""One training step, from the mentions of a batch to the losses of discriminator and generator."""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .. import losses, policy
from ..encoding import Encodings, SideInputs, encode_modalities
from ..models import MatchingModel, PGMELGenerator, TowerFeatures
from ..models.encodings import cat_rows, map_tensors, num_rows, select_rows, whole
from ..models.tower_features import STATES
from ..names import PairFeatures
from ..negatives import Candidates, NegativeStrategy, Selection, mix_uniform
from .arguments import MELTrainingArguments
from .collator import Batch
from .processes import Processes, gather_with_gradient
from .sampling import NegativeSampler


class Mentions(NamedTuple):
    """
    The mentions of a batch: entity rows of their gold entities, of shape `(batch_size,)`; pooled tower features; encodings; and,
    of a model with `config.name_features`, features of their names with those of all entities.
    """

    gold_rows: Tensor
    features: TowerFeatures
    encoded: Encodings
    pairs: PairFeatures | None


class TrainingStep(nn.Module):
    """
    Discriminator and generator in one module, so that one backward pass, one optimizer and one `DistributedDataParallel`
    serve both. The loss of the discriminator reaches only its parameters, that of the generator only the generator's:
    samples and rewards carry no gradient. `read_entities` gives the inputs of the entities, or their features where the
    towers are frozen; it is called once, by the first step.
    """

    def __init__(
        self,
        discriminator: MatchingModel,
        generator: PGMELGenerator | None,
        sampler: NegativeSampler,
        processes: Processes,
        read_entities: Callable[[], SideInputs],
        args: MELTrainingArguments,
    ):
        super().__init__()
        self.discriminator, self.generator = discriminator, generator
        self.args, self.sampler, self.processes, self.read_entities = args, sampler, processes, read_entities
        self.generator_waits = False  # True until it begins as a copy of the discriminator's heads, after the warm-up
        self.reward = self.baseline = None
        if generator is not None:
            self.reward = policy.REWARDS.build(args.reward, args.reward_kwargs)
            self.baseline = policy.BASELINES.build(args.baseline, args.baseline_kwargs)
        identity = torch.from_numpy(np.asarray(sampler.knowledge_base.identity, dtype=np.int64))
        self.register_buffer("identity", identity, persistent=False)

    def forward(self, batch: Batch, epoch: int, turns: tuple[bool, bool] = (True, True)) -> dict:
        """
        Losses of a batch from [`MELCollator`], for the sides whose turn it is to learn: discriminator, generator.

        Returns:
            `dict`: `loss` of shape `()`; `updates` for the strategy, or `None`; `logs`, detached scalars by name.
        """
        gold_rows, (train_discriminator, train_generator), logs = batch["gold_rows"], turns, {}
        strategy = self.sampler.warmup_strategy if batch["warmup"] else self.sampler.strategy
        # 1. Mentions
        pairs = PairFeatures(**batch["pair_features"]) if "pair_features" in batch else None
        with torch.set_grad_enabled(train_discriminator):
            mentions = Mentions(gold_rows, *self.encode("mention", batch["inputs"]), pairs)

        # 2. Negatives
        numbers = batch["mentions"].cpu().numpy()
        candidates = Candidates(numbers, seed=self.args.seed, epoch=epoch, **batch["candidates"])
        if "negatives" in batch:
            selection, updates = Selection(**batch["negatives"]), batch.get("updates")
        else:
            selection = self.choose(candidates, strategy, mentions, logs)
            updates = strategy.updates(candidates)

        # 3. Gold entities and negatives: each entity of the batch is encoded once
        rows, positions = candidates.entities(gold_rows, selection.columns)
        with torch.set_grad_enabled(train_discriminator):
            entities = self.encode_entities(rows, logs, batch.get("entities"))
            if candidates.size:
                scores = self.score(mentions, entities, rows, positions)
            else:  # the contrast scores gold entities itself, and nothing else reads their score
                scores = torch.zeros(positions.shape, device=positions.device)
        mask = self.mask_negatives(candidates, selection, scores.detach(), logs)

        # 4. Losses
        loss = scores.new_zeros(())
        if train_discriminator:
            gold = select_rows(entities, positions[:, 0])
            loss = self.discriminator_loss(mentions, gold, scores, mask, logs)
        if strategy.reads == "policy":
            generator_loss = self.generator_loss(candidates, selection, scores.detach().float(), mask, logs)
            loss = loss + generator_loss if train_generator else loss
        return {"loss": loss, "updates": updates, "logs": {name: value.detach() for name, value in logs.items()}}

    # ---- Encoding ----

    def encode(self, side: str, inputs: dict[str, Tensor]) -> tuple[TowerFeatures, Encodings]:
        """
        The discriminator's encodings of one side, and the pooled tower features, without gradient.

        With `mini_batch_size`, the backward pass computes the activations of one chunk after the other again, with the same
        random numbers: GradCache (Gao et al. 2021).
        """
        size = self.args.mini_batch_size
        if size is None or size >= num_rows(inputs) or not torch.is_grad_enabled():
            return self._encode_chunk(side, inputs)
        parts = [select_rows(inputs, slice(begin, begin + size)) for begin in range(0, num_rows(inputs), size)]
        found = [checkpoint(self._encode_chunk, side, part, use_reentrant=False) for part in parts]
        features, encoded = (cat_rows(each) for each in zip(*found, strict=True))
        return TowerFeatures(**features), encoded

    def _encode_chunk(self, side: str, inputs: dict[str, Tensor]) -> tuple[TowerFeatures, Encodings]:
        model, alone = self.discriminator, self.args.modality_weight > 0
        features = model.tower_features(inputs)
        encoded = encode_modalities(model, side, features) if alone else model.encode(side, features)
        pooled = {name: value.detach() for name, value in features.items() if name not in STATES}
        return TowerFeatures(**pooled), encoded

    @cached_property
    def entity_inputs(self) -> SideInputs:
        """Inputs of the entities by row."""
        return self.read_entities()

    def encode_entities(self, rows: Tensor, logs: dict[str, Tensor], inputs: dict | None = None) -> Encodings:
        """Encodings of these entity rows, whose inputs came with the batch or are read now."""
        if inputs is None:
            inputs = map_tensors(lambda value: value.to(rows.device), self.entity_inputs(rows.cpu().numpy()))
        logs["encodings"] = logs.get("encodings", 0) + torch.tensor(float(len(rows)))
        return self.encode("entity", inputs)[1]

    def score(self, mentions: Mentions, entities: Encodings, rows: Tensor, positions: Tensor) -> Tensor:
        """
        Scores of each mention with entities of its own.

        Args:
            entities (`Encodings`): Of the entity rows `rows`.
            positions (`torch.LongTensor` of shape `(batch_size, count)`): Where those of each mention are among them.

        Returns:
            `torch.Tensor` of the shape of `positions`.
        """
        own = select_rows(whole(entities), positions)
        features = None if mentions.pairs is None else mentions.pairs.at(rows[positions])
        return self.discriminator.score_candidates(whole(mentions.encoded), own, features)

    # ---- Negatives ----

    def choose(
        self, candidates: Candidates, strategy: NegativeStrategy, mentions: Mentions, logs: dict[str, Tensor]
    ) -> Selection:
        """Negatives of a strategy that the data loader did not draw; the scores it reads are set on the candidates."""
        if strategy.reads == "fresh" or (strategy.reads == "policy" and self.args.pool_rewards == "fresh"):
            rows, positions = candidates.entities(mentions.gold_rows)
            with torch.no_grad():
                entities = self.encode_entities(rows, logs)
                scores = self.score(mentions, entities, rows, positions).float()
            candidates.gold_scores, candidates.scores = scores[:, 0], scores[:, 1:]
        if strategy.reads == "policy":
            logits = self.generator(mentions.features, *self._policy_inputs(candidates))
            candidates.log_probs = policy.policy_log_probs(logits, candidates.mask)
        return mix_uniform(strategy.select(candidates), candidates, self.args.uniform_share)

    def _policy_inputs(self, candidates: Candidates) -> tuple:
        """Entities, candidates and mask, as the kind of generator reads them."""
        device = candidates.rows.device
        if self.args.generator_type == "query":
            return self.sampler.entity_vectors[candidates.rows.cpu()].to(device), None, candidates.mask
        rows, positions = candidates.rows.unique(return_inverse=True)
        if self.sampler.features is not None:
            entities = self.sampler.features.select(rows.cpu())
        else:
            entities = TowerFeatures(**self.entity_inputs(rows.cpu().numpy())).pooled()
        return entities.to(device), positions, candidates.mask

    def mask_negatives(
        self, candidates: Candidates, selection: Selection, scores: Tensor, logs: dict[str, Tensor]
    ) -> Tensor:
        """The negatives that count, of shape `(batch_size, num_negatives)`; logs how many candidates were dropped."""
        mask, margin = selection.mask, self.args.false_negative_margin
        if margin is not None:
            mask = mask & (scores[:, 1:] <= scores[:, :1] + margin)
            logs["dropped_by_false_negative_margin"] = (selection.mask & ~mask).float().mean()
        if candidates.size:
            logs["masked_candidates"] = 1 - candidates.mask.float().mean()
        logs |= {f"dropped_by_{guard}": share for guard, share in candidates.dropped.items()}
        return mask

    # ---- Losses ----

    def discriminator_loss(
        self, mentions: Mentions, gold: Encodings, scores: Tensor, mask: Tensor, logs: dict[str, Tensor]
    ) -> Tensor:
        """Triplet loss over the negatives, and contrastive losses over the gold entities of the batch."""
        args, (gold_scores, scores) = self.args, (scores[:, 0], scores[:, 1:])
        gold_rows, _, encoded, pairs = mentions
        triplet = losses.triplet_loss(gold_scores, scores, args.margin, mask).mean()
        active = (scores > gold_scores.unsqueeze(-1) - args.margin) & mask
        logs |= {"triplet_loss": triplet, "active_triplets": active.sum() / mask.sum().clamp(min=1)}
        loss = args.triplet_weight * triplet
        if args.contrast_weight or args.modality_weight or args.unit_weight or self.discriminator.has_extra_losses:
            own = slice(0, len(gold_rows))
            if args.gather_across_devices and self.processes.count > 1:
                own = slice(self.processes.index * len(gold_rows), (self.processes.index + 1) * len(gold_rows))
                encoded, gold = (gather_with_gradient(side, self.processes) for side in (encoded, gold))
                gold_rows = self.processes.gather(gold_rows)
            features = None if pairs is None else pairs.with_all(gold_rows)
            if features is not None and len(features) < len(gold_rows):
                features = self.processes.gather(features)
            identity = self.identity[gold_rows]
            if getattr(self.discriminator.config, "legacy_masking", False):
                identity = torch.arange(len(gold_rows), device=gold_rows.device)
            same_entity = identity.unsqueeze(1) == identity
            terms = losses.contrastive_losses(self.discriminator, encoded, gold, same_entity, args, features)
            for name, (weight, each) in terms.items():
                logs[f"{name}_loss"] = each[own].mean()
                loss = loss + weight * logs[f"{name}_loss"]
        logs["discriminator_loss"] = loss
        return loss

    def generator_loss(
        self, candidates: Candidates, selection: Selection, scores: Tensor, mask: Tensor, logs: dict[str, Tensor]
    ) -> Tensor:
        """Policy gradient: the rewards of the negatives come from their current scores."""
        sampled, pool_scores = mask & selection.by_strategy, candidates.masked_scores
        rewards = policy.checked_rewards(self.reward, scores[:, 1:], scores[:, 0], sampled)
        pool_rewards = policy.checked_rewards(self.reward, pool_scores, candidates.gold_scores, candidates.mask)
        pool_rewards = pool_rewards.masked_fill(~candidates.mask, -torch.inf)
        loss, found = policy.policy_loss(
            *(candidates.log_probs, candidates.mask, selection.columns, selection.weights),
            *(rewards, sampled, pool_rewards, self.baseline),
            estimator=self.args.estimator,
            scale_advantage=self.args.scale_advantage,
            entropy_weight=self.args.entropy_weight,
            entropy_floor=self.args.entropy_floor,
        )
        logs |= found
        picked = pool_scores.gather(1, selection.columns).unsqueeze(-1)
        ranks = 1 + (pool_scores.unsqueeze(1) > picked).sum(-1)
        logs["sampled_rank"] = (ranks * sampled).sum() / sampled.sum().clamp(min=1)
        if hasattr(self.baseline, "observe"):
            total = torch.stack([rewards.masked_fill(~sampled, 0).sum(), sampled.sum()])
            self.baseline.observe(*self.processes.sum(total))
        return loss.mean()

    # ---- As a module ----

    def turns(self, epoch: float, step: int) -> tuple[bool, bool]:
        """The sides that learn in this optimizer step: discriminator, generator."""
        args, warm = self.args, self.args.discriminator_warmup_epochs
        if self.generator is None or epoch < warm:
            return True, False
        if epoch < warm + args.generator_warmup_epochs:
            return False, True
        position = step % max(args.discriminator_steps, args.generator_steps)
        return position < args.discriminator_steps, position < args.generator_steps

    def train(self, mode: bool = True) -> "TrainingStep":
        """As in `torch.nn.Module`; called in every step, in which there is usually nothing to change."""
        return self if self.training == self.discriminator.training == mode else super().train(mode)

    def clip_gradients(self) -> dict[str, Tensor]:
        """Clips the gradients of each side by its own norm; returns these norms as they were."""
        norms = {}
        for name, side in (("discriminator", self.discriminator), ("generator", self.generator)):
            if side is not None:
                limit = getattr(self.args, f"{name}_max_grad_norm")
                limit = self.args.max_grad_norm if limit is None else limit
                norms[name] = nn.utils.clip_grad_norm_(side.parameters(), limit if limit > 0 else torch.inf)
        return norms
