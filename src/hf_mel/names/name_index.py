"""Names of a knowledge base, looked up by token: which entities have a name that shares anything with a mention."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..models.pair_features import PAIR_FEATURES
from .normal_form import acronym_of, initials_of, name_tokens, normal_name
from .pair_features import PairFeatures


if TYPE_CHECKING:
    from scipy import sparse

    from ..models import MatchingModel

# Mentions whose features are held at once, while only what they add to the scores is kept.
_AT_ONCE = 2048
_NOTHING = np.empty(0, dtype=np.int64)


class NameIndex:
    """
    Names and aliases of entities, and what they share with the words of a mention. The features of a pair are those of
    [`PAIR_FEATURES`], each the best over the entity's names; they depend on the two alone, not on the other entities.

    Args:
        names (`Sequence[str]`):
            Name of each entity.
        aliases (`Sequence[Sequence[str]]`, *optional*):
            Further names of each entity.

    Example:

    ```python
    >>> from hf_mel.names import NameIndex

    >>> index = NameIndex(["Robin Williams", "Serena Williams", "Robin Hood"], [[], ["Williams"], []])
    >>> features = index.features(["Williams"])
    >>> features.keys  # of three entities the first two have a name with the word
    tensor([0, 1])
    >>> features.values[1]
    tensor([0., 1., 1., 1., 1., 0.])
    ```
    """

    def __init__(self, names: Sequence[str], aliases: Sequence[Sequence[str]] | None = None):
        self.num_entities = len(names)
        entries = list(_entries(names, aliases))  # of an entity the name, then its aliases; entities in order
        self._owners = np.array([row for row, _, _ in entries], dtype=np.int64)
        self._is_alias = np.array([alias for _, _, alias in entries], dtype=bool)
        self._normals = [normal_name(name) for _, name, _ in entries]
        tokens = [set(name_tokens(normal)) for normal in self._normals]
        self._sizes = np.array([len(own) for own in tokens], dtype=np.float32)
        self._tokens = _Postings(tokens)
        self._initials = _Postings([initials_of(name) for _, name, _ in entries])
        own = [acronym_of(name) for _, name, _ in entries]
        self._acronyms = _Postings([set() if each is None else {each} for each in own])

    def features(self, mentions: Sequence[str]) -> PairFeatures:
        """
        Features of mentions with all entities.

        Args:
            mentions (`Sequence[str]`): The words of each mention.

        Returns:
            [`PairFeatures`]: on the CPU. What a mention gets does not depend on the other mentions.
        """
        known: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for mention in mentions:
            if mention not in known:
                known[mention] = self._of(mention)
        found = [known[mention] for mention in mentions]
        keys = [rows + number * self.num_entities for number, (rows, _) in enumerate(found)]
        keys = np.concatenate([_NOTHING, *keys])
        empty = np.empty((0, len(PAIR_FEATURES)), dtype=np.float32)
        values = np.concatenate([empty, *(each for _, each in found)])
        return PairFeatures(torch.from_numpy(keys), torch.from_numpy(values), len(found), self.num_entities)

    def _of(self, mention: str) -> tuple[np.ndarray, np.ndarray]:
        """Rows with a feature, ascending, and their features."""
        normal = normal_name(mention)
        tokens = set(name_tokens(normal))
        shared = [self._tokens.of(token) for token in sorted(tokens)]
        own = acronym_of(mention)
        short = [] if own is None else [self._initials.of(own)]
        short += [self._acronyms.of(each) for each in sorted(initials_of(mention))]
        entries = np.unique(np.concatenate([_NOTHING, *shared, *short]))
        if not len(entries):
            return entries, np.empty((0, len(PAIR_FEATURES)), dtype=np.float32)
        counts = np.zeros(len(entries), dtype=np.float32)
        for posting in shared:
            counts[np.searchsorted(entries, posting)] += 1
        contained = counts == len(tokens)
        same = contained & (self._sizes[entries] == counts)
        same[same] = [self._normals[entry] == normal for entry in entries[same]]
        acronym = np.isin(entries, np.concatenate([_NOTHING, *short]))
        values = np.empty((len(entries), len(PAIR_FEATURES)), dtype=np.float32)
        columns = {
            "name_exact": same & ~self._is_alias[entries],
            "alias_exact": same & self._is_alias[entries],
            "mention_share": counts / np.float32(max(len(tokens), 1)),
            "name_share": counts / np.maximum(self._sizes[entries], 1),
            "mention_contained": contained,
            "acronym": acronym,
        }
        for place, name in enumerate(PAIR_FEATURES):
            values[:, place] = columns[name]
        owners = self._owners[entries]
        first = np.flatnonzero(np.diff(owners, prepend=-1))
        return owners[first], np.maximum.reduceat(values, first, axis=0)


class _Postings:
    """Entries that hold a string: the entries of all strings in one array, those of a string next to each other."""

    def __init__(self, strings_of: Sequence[set[str]]):
        self._number: dict[str, int] = {}
        numbers, entries = [], []
        for entry, strings in enumerate(strings_of):
            for string in strings:
                numbers.append(self._number.setdefault(string, len(self._number)))
                entries.append(entry)
        numbers = np.array(numbers, dtype=np.int64)
        order = np.argsort(numbers, kind="stable")  # entries stay ascending
        self._entries = np.array(entries, dtype=np.int64)[order]
        self._starts = np.searchsorted(numbers[order], np.arange(len(self._number) + 1))

    def of(self, string: str) -> np.ndarray:
        """Entries, ascending."""
        number = self._number.get(string)
        return _NOTHING if number is None else self._entries[self._starts[number] : self._starts[number + 1]]


def _entries(names: Sequence[str], aliases: Sequence[Sequence[str]] | None) -> Iterator[tuple[int, str, bool]]:
    """Row, name, and whether it is an alias."""
    for row, name in enumerate(names):
        yield row, name, False
        for alias in () if aliases is None else aliases[row]:
            yield row, alias, True


# ---- With a model ----


def name_index_of(model: "MatchingModel", entities) -> NameIndex | None:
    """
    The names of the entities, if the model's score has a part for them.

    Args:
        model ([`MatchingModel`]): The model.
        entities ([`KnowledgeBase`] or [`EntityIndex`]): What has `names()` and `aliases()`.
    """
    return NameIndex(entities.names(), entities.aliases()) if model.config.name_features else None


def added_scores(
    model: "MatchingModel", names: NameIndex | None, mentions: Sequence[str]
) -> "sparse.csr_array | None":
    """
    Scores that the names add for mentions and all entities.

    Args:
        model ([`MatchingModel`]): Has the weights.
        names ([`NameIndex`], *optional*): Names of the entities; `None` for a model that does not read them.
        mentions (`Sequence[str]`): The words of each mention.

    Returns:
        `scipy.sparse.csr_array` of shape `(num_mentions, num_entities)` and type `float32`, or `None`.
    """
    if names is None:
        return None
    from scipy import sparse

    parts = [
        names.features(mentions[begin : begin + _AT_ONCE]).weighted(model.weigh)
        for begin in range(0, max(len(mentions), 1), _AT_ONCE)
    ]
    return parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr")
