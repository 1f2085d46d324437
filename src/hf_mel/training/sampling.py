"""Negatives over a whole training: neighbour lists, the discriminator's index, pools, guards, and the strategy."""

import time

import numpy as np
import torch
from transformers.trainer_callback import TrainerCallback

from ..data import KnowledgeBase
from ..encoding import SideInputs, encode_all
from ..evaluation import top_candidates
from ..models import MatchingModel, TowerFeatures
from ..models.encodings import flatten
from ..models.pair_features import weighted_sum
from ..names import LexicalIndex, NameIndex, PairFeatures, added_scores
from ..negatives import (
    Candidates,
    NegativeStrategy,
    OwnerGuard,
    PoolBuilder,
    Selection,
    attribute_neighbours,
    below_share_of_gold,
    get_strategy,
    mix_uniform,
)
from .arguments import MELTrainingArguments


_INDEX = ("refreshed_for", "mention_vectors", "entity_vectors", "pair_weights")


class NegativeSampler:
    """
    Draws candidates and negatives. A draw is a function of (seed, epoch, mention) and of the last index refresh, so that a
    data-loading worker draws what the training step would.

    Args:
        args ([`MELTrainingArguments`]): Strategy, pools, guards, refreshes.
        mention_names (`list[str]`), gold_rows (`np.ndarray` of shape `(num_mentions,)`):
            Mention string and gold entity of each training mention.
        knowledge_base ([`KnowledgeBase`]): The entities.
        names ([`NameIndex`], *optional*): Their names, for a model with `config.name_features`.

    Attributes:
        mention_vectors, entity_vectors (`torch.Tensor`, *optional*):
            The index: vectors of all training mentions and of all entities at the last refresh, on the CPU.
        pair_weights (`torch.Tensor` of shape `(num_features,)`, *optional*):
            Weights of the features of the names at the last refresh.
        features ([`TowerFeatures`], *optional*):
            Tower features of the entities at the last refresh, for a two-sided generator next to trained towers.
    """

    def __init__(
        self,
        args: MELTrainingArguments,
        mention_names: list[str],
        gold_rows: np.ndarray,
        knowledge_base: KnowledgeBase,
        names: NameIndex | None = None,
    ):
        self.args, self.mention_names, self.gold_rows = args, mention_names, gold_rows
        self.knowledge_base, self.names = knowledge_base, names
        self._latest: tuple[bytes, PairFeatures] | None = None
        self.strategy = args.build_strategy()
        self.warmup_strategy = get_strategy("random", num_negatives=self.strategy.num_negatives)
        given = gold_rows, knowledge_base.identity, args.pool_size
        self._builders = {
            strategy: PoolBuilder(*given, strategy.pool_shares or args.pool_shares, args.seed)
            for strategy in (self.strategy, self.warmup_strategy)
        }
        self.strategy.start(self._builders[self.strategy])
        self._owners = OwnerGuard(gold_rows, len(knowledge_base)) if args.owner_guard is not None else None
        self.mention_vectors = self.entity_vectors = self.pair_weights = None
        self.features: TowerFeatures | None = None
        self.refreshed_for: int | None = None
        self.costs = {"refresh_seconds": 0.0, "refresh_encodings": 0, "lists_seconds": 0.0}

    # ---- Drawing ----

    def draws_ahead(self, epoch: int) -> bool:
        """
        True if the data collator can draw all candidates of this epoch. It cannot where index, strategy or its shared state
        change within the epoch, nor in workers that outlive an epoch, which keep their first copy of the index.
        """
        warm = self.args.discriminator_warmup_epochs
        whole = epoch + 1 <= warm or (epoch >= warm and not self.strategy.shares_state)
        return whole and self.args.refresh_steps is None and not self.args.dataloader_persistent_workers

    def strategy_at(self, epoch: float) -> NegativeStrategy:
        """The strategy at this point of the training: uniform negatives in the warm-up."""
        return self.warmup_strategy if epoch < self.args.discriminator_warmup_epochs else self.strategy

    def candidates(self, mentions: np.ndarray, epoch: int, strategy: NegativeStrategy) -> Candidates:
        """Pools of these mentions, with index scores if the strategy or a guard reads them."""
        candidates = strategy.pool(self._builders[strategy], mentions, epoch)
        if strategy is self.warmup_strategy or self.mention_vectors is None:
            return candidates
        share = self.args.false_negative_share
        if strategy.reads in ("index", "policy") or share is not None:
            candidates.scores, candidates.gold_scores = self._index_scores(mentions, candidates.rows)
        if share is not None:
            keeps = below_share_of_gold(candidates.scores, candidates.gold_scores, share)
            candidates.drop("false_negative_share", keeps)
        if self._owners is not None:
            keeps = self._owners.keeps(mentions, candidates.rows, self.mention_vectors, self.args.owner_guard)
            candidates.drop("owner_guard", keeps)
        return candidates

    def select(self, candidates: Candidates, strategy: NegativeStrategy) -> Selection:
        """Negatives of the strategy, mixed with uniform ones; the warm-up is uniform anyway."""
        share = 0.0 if strategy is self.warmup_strategy else self.args.uniform_share
        return mix_uniform(strategy.select(candidates), candidates, share)

    def _index_scores(self, mentions: np.ndarray, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        both = torch.cat([rows, torch.from_numpy(self.gold_rows[mentions]).unsqueeze(1)], dim=1)
        own = self.mention_vectors[torch.from_numpy(np.asarray(mentions))]
        scores = torch.einsum("md,mkd->mk", own, self.entity_vectors[both])
        if self.names is not None:
            scores = scores + weighted_sum(self.pair_features(mentions).at(both), self.pair_weights)
        return scores[:, :-1], scores[:, -1]

    def pair_features(self, mentions: np.ndarray) -> PairFeatures:
        """Features of training mentions with all entities; those of the latest batch are kept, since they are read twice."""
        key = np.asarray(mentions, dtype=np.int64).tobytes()
        if self._latest is None or self._latest[0] != key:
            self._latest = key, self.names.features([self.mention_names[number] for number in mentions])
        return self._latest[1]

    # ---- Lists which do not change ----

    def prepare(self, progress: bool) -> None:
        """Computes the lexical and attribute lists, once, if the pools draw from them."""
        begin, builder = time.perf_counter(), self._builders[self.strategy]
        count = self.args.pool_lexical_neighbours
        if builder.needs("lexical") and "lexical" not in builder.lists:
            index = LexicalIndex(self.knowledge_base.names(), self.knowledge_base.aliases())
            builder.set_source("lexical", index.search(self.mention_names, count, progress=progress)[0])
        if builder.needs("attribute") and "attribute" not in builder.lists:
            golds, of_mention = np.unique(self.gold_rows, return_inverse=True)
            sets = self.knowledge_base.attribute_sets()
            by_gold = attribute_neighbours(sets, golds, count, progress=progress)
            builder.set_source("attribute", by_gold[of_mention])
        self.costs["lists_seconds"] += time.perf_counter() - begin

    # ---- The discriminator's index ----

    def due(self, epoch: float, step: int) -> bool:
        """True if the index is refreshed before this step: a function of the step, so that resuming changes nothing."""
        if epoch < self.args.discriminator_warmup_epochs or self.refreshed_for == self._period(epoch, step):
            return False
        guarded = self.args.false_negative_share is not None or self.args.owner_guard is not None
        return guarded or self.strategy.reads in ("index", "policy") or self._builders[self.strategy].needs("dense")

    def _period(self, epoch: float, step: int) -> int:
        return int(epoch) if self.args.refresh_steps is None else step // self.args.refresh_steps

    def refresh(
        self,
        discriminator: MatchingModel,
        mention_inputs: SideInputs,
        entity_inputs: SideInputs,
        epoch: float,
        step: int,
        **sharing,
    ) -> None:
        """Encodes both sides and lists the neighbours of each mention; `sharing` goes to [`encode_all`]."""
        begin = time.perf_counter()
        name = discriminator.proposal_name
        if name is None:
            raise ValueError(
                f"{type(discriminator).__name__} has no vectors by which negatives can be found: use `negatives='in_batch'`, "
                "`'random'`, `'lexical'` or `'attribute'`, without guards."
            )
        reads_features = self.strategy.reads == "policy" and self.args.generator_type == "both"
        keep = reads_features and not discriminator.towers_frozen
        sharing["batch_size"] = self.args.per_device_eval_batch_size
        encoded, self.features = encode_all(discriminator, entity_inputs, with_features=keep, **sharing)
        self.entity_vectors = encoded[name].float()
        self.mention_vectors = encode_all(discriminator, mention_inputs, **sharing)[0][name].float()
        if self.names is not None:
            self.pair_weights = discriminator.pair_weights.values.float().cpu()
        if self._builders[self.strategy].needs("dense"):
            # One more than asked for: the gold entity itself is usually among them.
            count = min(self.args.pool_dense_neighbours + 1, len(self.knowledge_base))
            both = (vectors.to(discriminator.device) for vectors in (self.mention_vectors, self.entity_vectors))
            added = added_scores(discriminator, self.names, self.mention_names)
            rows = top_candidates(*both, count, added=added)[1].cpu().numpy().astype(np.int32)
            self._builders[self.strategy].set_source("dense", np.where(rows == self.gold_rows[:, None], -1, rows))
        self.refreshed_for = self._period(epoch, step)
        self.costs["refresh_seconds"] += time.perf_counter() - begin
        self.costs["refresh_encodings"] += len(entity_inputs)

    # ---- State ----

    def state_dict(self) -> dict:
        """Tensors of a checkpoint, as a tree: index, neighbour lists, and state of the strategy."""
        found = {name: getattr(self, name) for name in _INDEX}
        found["dense"] = self._builders[self.strategy].lists.get("dense")
        state = {name: torch.as_tensor(value) for name, value in found.items() if value is not None}
        return state | {"strategy": self.strategy.state_dict(), "features": self.features or {}}

    def load_state_dict(self, state: dict) -> None:
        """Counterpart of [`state_dict`]."""
        self.strategy.load_state_dict(flatten(state.get("strategy", {})))
        for name in _INDEX:
            setattr(self, name, state.get(name))
        self.refreshed_for = None if self.refreshed_for is None else int(self.refreshed_for)
        self.features = TowerFeatures(**state["features"]) if state.get("features") else None
        if "dense" in state:
            self._builders[self.strategy].set_source("dense", state["dense"].numpy())


class RefreshCallback(TrainerCallback):
    """Refreshes the index before an epoch, whose batches the data loader may draw ahead, or before a step."""

    def __init__(self, trainer):
        self.trainer = trainer

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.trainer.refresh()
        self.trainer.data_collator.start_epoch(int(state.epoch or 0.0))

    def on_step_begin(self, args, state, control, **kwargs):
        self.trainer.refresh()
