"""What negatives are drawn from over a whole training: neighbour lists, the discriminator's index, the strategy."""

import time
from collections.abc import Callable

import numpy as np
import torch

from ..data import KnowledgeBase
from ..encoding import Encoded, SideInputs, encode_all, to_device
from ..evaluation import top_candidates
from ..models import MatchingModel, TowerFeatures
from ..negatives import (
    CandidatePool,
    NegativeStrategy,
    PoolBuilder,
    attribute_neighbours,
    get_strategy,
    lexical_neighbours,
)
from .arguments import PGMELTrainingArguments


class KeptFeatures:
    """Tower features held in memory, for a generator beside towers which are still being trained."""

    side = "entity"

    def __init__(self, features: TowerFeatures):
        self.features = features

    def __len__(self) -> int:
        return len(self.features.text_features)

    def lengths(self) -> None:
        return None

    def __call__(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        rows = torch.as_tensor(rows)
        return {name: value[rows] for name, value in self.features.items()}


class NegativeSampler:
    """
    Owns everything about negatives that outlives a step. Its state is what a resumed run needs to draw the same ones.

    Args:
        args ([`PGMELTrainingArguments`]):
            Strategy, pools, refreshes.
        mention_names (`list[str]`):
            Mention string of each training mention.
        gold_rows (`np.ndarray` of shape `(num_mentions,)`):
            Their gold entities.
        knowledge_base ([`KnowledgeBase`]):
            The entities.
    """

    def __init__(
        self,
        args: PGMELTrainingArguments,
        mention_names: list[str],
        gold_rows: np.ndarray,
        knowledge_base: KnowledgeBase,
    ):
        self.args = args
        self.gold_rows = gold_rows
        self.mention_names = mention_names
        self.knowledge_base = knowledge_base
        self.strategy = get_strategy(args.negatives, **args.strategy_options)
        warmup = 0 if args.negatives == "in_batch" else args.num_negatives
        self.warmup_strategy = get_strategy("random", num_negatives=warmup)
        self._builders = {
            strategy: self._builder(strategy.pool_shares or args.pool_shares)
            for strategy in (self.strategy, self.warmup_strategy)
        }
        self.index: Encoded | None = None
        self.kept_features: KeptFeatures | None = None
        self.dense: np.ndarray | None = None
        self.refreshed_for: int | None = None
        self.costs = {"refresh_seconds": 0.0, "refresh_encodings": 0, "lists_seconds": 0.0}

    def _builder(self, shares: dict[str, float]) -> PoolBuilder:
        return PoolBuilder(self.gold_rows, self.knowledge_base.identity, self.args.pool_size, shares, self.args.seed)

    # ---- Lists which do not change ----

    def prepare(self, progress: bool) -> None:
        """Computes the lexical and attribute lists, if the pools draw from them."""
        begin = time.perf_counter()
        builder = self._builders[self.strategy]
        count = self.args.pool_lexical_neighbours
        if builder.needs("lexical"):
            names, aliases = self.knowledge_base.names(), self.knowledge_base.aliases()
            lists = lexical_neighbours(self.mention_names, names, aliases, count, progress=progress)
            builder.set_source("lexical", lambda mentions: lists[mentions])
        if builder.needs("attribute"):
            golds, of_mention = np.unique(self.gold_rows, return_inverse=True)
            sets = self.knowledge_base.attribute_sets()
            by_gold = attribute_neighbours(sets, golds, count, progress=progress)
            builder.set_source("attribute", lambda mentions: by_gold[of_mention[mentions]])
        self.costs["lists_seconds"] = time.perf_counter() - begin

    # ---- The discriminator's index ----

    @property
    def needs_index(self) -> bool:
        """Whether the strategy looks at scores, neighbours or kept features of the last refresh."""
        dense = self._builders[self.strategy].needs("dense")
        return dense or self.strategy.uses_index_scores or self.strategy.uses_generator

    def due(self, epoch: int, step: int) -> bool:
        """Whether the index has to be made anew before this step: a function of the step, so resuming changes nothing."""
        return self.needs_index and self.refreshed_for != self._period(epoch, step)

    def _period(self, epoch: int, step: int) -> int:
        return epoch if self.args.refresh_steps is None else step // self.args.refresh_steps

    def refresh(
        self,
        discriminator: MatchingModel,
        mention_inputs: SideInputs,
        entity_inputs: SideInputs,
        epoch: int,
        step: int,
        process: tuple[int, int] = (0, 1),
        reduce: Callable[[torch.Tensor], torch.Tensor] | None = None,
        num_workers: int = 0,
    ) -> None:
        """Encodes the knowledge base with the discriminator as it is, and lists the neighbours of each mention."""
        begin = time.perf_counter()
        keep = self.strategy.uses_generator and not discriminator.towers_frozen
        sharing = {"process": process, "reduce": reduce, "num_workers": num_workers}
        sharing["batch_size"] = self.args.per_device_eval_batch_size
        self.index, features = encode_all(discriminator, entity_inputs, with_features=keep, **sharing)
        self.kept_features = KeptFeatures(features) if keep else None
        builder = self._builders[self.strategy]
        if builder.needs("dense"):
            mentions, _ = encode_all(discriminator, mention_inputs, **sharing)
            # One more than asked for: the gold entity itself is usually among them.
            count = min(self.args.pool_dense_neighbours + 1, len(self.knowledge_base))
            device = discriminator.device
            # By vectors where the model has any: for pools, which are samples, the scores of all pairs would take hours.
            name = discriminator.proposal_name
            if name is None:
                sides, match = (to_device(each, device) for each in (mentions, self.index)), discriminator.match
            else:
                sides, match = (each[name].to(device) for each in (mentions, self.index)), None
            _, rows = top_candidates(*sides, count, match=match)
            self._set_dense(rows.cpu().numpy().astype(np.int32))
        self.refreshed_for = self._period(epoch, step)
        self.costs["refresh_seconds"] += time.perf_counter() - begin
        self.costs["refresh_encodings"] += len(entity_inputs)

    def _set_dense(self, lists: np.ndarray) -> None:
        golds = self.gold_rows[:, None]
        self.dense = np.where(lists == golds, -1, lists)
        self._builders[self.strategy].set_source("dense", lambda mentions: self.dense[mentions])

    def pool(self, strategy: NegativeStrategy, mentions: np.ndarray, epoch: int) -> CandidatePool:
        """Pools of these mentions."""
        return strategy.pool(self._builders[strategy], mentions, epoch)

    # ---- State ----

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Tensors from which [`load_state_dict`] restores what has been drawn from."""
        state = {f"strategy.{name}": value for name, value in self.strategy.state_dict().items()}
        if self.refreshed_for is not None:
            state["refreshed_for"] = torch.tensor(self.refreshed_for)
            state |= {f"index.{name}": value for name, value in self.index.items()}
        if self.kept_features is not None:
            state |= {f"features.{name}": value for name, value in self.kept_features.features.items()}
        if self.dense is not None:
            state["dense"] = torch.from_numpy(self.dense)
        return state

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Counterpart of [`state_dict`]."""
        self.strategy.load_state_dict(_under("strategy.", state))
        if "refreshed_for" in state:
            self.refreshed_for = int(state["refreshed_for"])
            self.index = _under("index.", state)
        features = _under("features.", state)
        self.kept_features = KeptFeatures(TowerFeatures(**features)) if features else None
        if "dense" in state:
            self._set_dense(state["dense"].numpy())


def _under(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
