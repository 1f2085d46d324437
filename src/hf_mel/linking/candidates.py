"""Candidates of mentions: the nearest in the index, those with a similar name, or both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..data.problems import nearest
from ..encoding import Encodings, to_device
from ..models import MatchingModel
from ..models.encodings import ALONE, flat_name, map_tensors, select_rows, whole
from ..names import LexicalIndex, added_scores, name_tokens, normal_name
from .index import EntityIndex, SearchBackend
from .index.rescore import added_at, by_score_and_row, score_vectors
from .linked_mention import MentionQuery


if TYPE_CHECKING:
    from scipy import sparse


MODES = ("dense", "lexical", "merged")
# Mentions whose candidates are gathered at once: 64 with 64 candidates of 1,024 numbers are 17 MB.
SCORED_AT_ONCE = 64


@dataclass(frozen=True)
class Retrieved:
    """
    Candidates of mentions, best first.

    Args:
        rows (`np.ndarray` of shape `(num_mentions, K)` and type `int64`):
            Rows of the index; -1 where there are fewer candidates.
        scores (`np.ndarray` of shape `(num_mentions, K)` and type `float32`):
            What they are ranked by; `-inf` where there are fewer.
        retrieval_scores (`np.ndarray` of the same shape and type):
            Scores of the model that the index was made with: `scores`, unless a reranker gave those.
        encoded (`Encodings`):
            The encoded mentions.
        lexical_scores (`np.ndarray` of the same shape and type, *optional*):
            Similarity of the names; NaN for a candidate that was not found by its name.
        name_scores (`np.ndarray` of the same shape and type, *optional*):
            The part of `retrieval_scores` that comes from the names, of a model with `config.name_features`.
    """

    rows: np.ndarray
    scores: np.ndarray
    retrieval_scores: np.ndarray
    encoded: Encodings
    lexical_scores: np.ndarray | None = None
    name_scores: np.ndarray | None = None

    def ordered_by(self, scores: np.ndarray) -> "Retrieved":
        """The same candidates by other scores, best first; of equal ones the lower row comes first."""
        order = by_score_and_row(scores, self.rows)
        held = ("rows", "retrieval_scores", "lexical_scores", "name_scores")
        values = {name: getattr(self, name) for name in held if getattr(self, name) is not None}
        taken = {name: np.take_along_axis(value, order, axis=1) for name, value in values.items()}
        return replace(self, scores=np.take_along_axis(scores, order, axis=1), **taken)


class CandidateFinder:
    """
    Finds candidates in an index and scores them with its model.

    Args:
        index ([`EntityIndex`]):
            The entities.
        model ([`MatchingModel`]):
            The model that encoded them.
        mode (`str`):
            `"dense"`: the best-scored entities of the index. `"lexical"`: entities whose name or alias resembles the
            mention, ranked by the model. `"merged"`: both, so that there are up to twice as many.
        num_candidates (`int`):
            How many each way gives.
        backend (`SearchBackend`, *optional*):
            Searches the index; exactly by default.
    """

    def __init__(self, index: EntityIndex, model: MatchingModel, mode: str, num_candidates: int, backend=None):
        if mode not in MODES:
            raise ValueError(f"candidates={mode!r}{nearest(mode, MODES) or '.'} Use one of {', '.join(MODES)}")
        if num_candidates < 1:
            raise ValueError(f"num_candidates must be at least 1, got {num_candidates}")
        self.index, self.model, self.mode, self.num_candidates = index, model, mode, num_candidates
        self.backend = backend
        self._names: LexicalIndex | None = None
        self._names_generation = None

    def find(
        self, queries: Sequence[MentionQuery], encoded: Encodings, k: int, allowed: np.ndarray | None = None
    ) -> Retrieved:
        """Up to `max(k, num_candidates)` candidates of each mention; `allowed` says which rows may be among them."""
        k, added = max(k, self.num_candidates), self._added(queries)
        if self.mode == "lexical":
            found = self._lexical(queries, encoded, k, allowed, added)
        else:
            found = self._dense(encoded, k, allowed, added, self.backend)
            if self.mode == "merged":
                found = _merged(found, self._lexical(queries, encoded, k, allowed, added))
        return found if added is None else replace(found, name_scores=added_at(added, found.rows))

    def find_exact(
        self, queries: Sequence[MentionQuery], encoded: Encodings, k: int, allowed: np.ndarray | None = None
    ) -> Retrieved:
        """The `k` best-scored entities of each mention, whatever the mode and the backend."""
        return self._dense(encoded, k, allowed, self._added(queries), None)

    def _added(self, queries: Sequence[MentionQuery]) -> "sparse.csr_array | None":
        """Scores that the names add for the queries and all rows; `None` for a model without `name_features`."""
        names = self.index.name_index if self.model.config.name_features else None
        return added_scores(self.model, names, [query.mention for query in queries])

    def _dense(
        self,
        encoded: Encodings,
        k: int,
        allowed: np.ndarray | None,
        added: "sparse.csr_array | None",
        backend: str | SearchBackend | None,
    ) -> Retrieved:
        options = {"allowed": allowed, "match": self.model.match, "added": added, "backend": backend}
        scores, rows = self.index.search(whole(encoded), k, **options)
        return Retrieved(rows, scores, scores, encoded)

    def _lexical(
        self,
        queries: Sequence[MentionQuery],
        encoded: Encodings,
        k: int,
        allowed: np.ndarray | None,
        added: "sparse.csr_array | None",
    ) -> Retrieved:
        if self._names is None or self._names_generation != self.index.generation:
            self._names = LexicalIndex(self.index.names(), self.index.aliases())
            self._names_generation = self.index.generation
        alive = self.index.alive if allowed is None else self.index.alive & allowed
        rows, similarities = self._names.search([query.mention for query in queries], k, alive)
        rows = rows.astype(np.int64)
        scores = self.score_encodings(encoded, rows) + added_at(added, rows)
        found = Retrieved(rows, scores, scores, encoded, np.where(rows < 0, np.nan, similarities))
        return found.ordered_by(scores)

    def score(self, queries: Sequence[MentionQuery], encoded: Encodings, rows: np.ndarray) -> np.ndarray:
        """Scores of mentions with candidates of their own, `float32`, `-inf` where the row is -1."""
        return self.score_encodings(encoded, rows) + added_at(self._added(queries), rows)

    @torch.no_grad()
    def score_encodings(self, encoded: Encodings, rows: np.ndarray, modality: str | None = None) -> np.ndarray:
        """
        Scores of mentions with candidates of their own by the encodings alone, without the part of the names.

        Args:
            modality (`str`, *optional*):
                `"text"` or `"image"`: score this modality alone.
        """
        above = () if modality is None else (ALONE, modality)
        mentions, vector = _part(encoded, modality), self.index.manifest.vector_name
        if vector is not None:
            return score_vectors(self.index, mentions[vector], rows, flat_name(*above, vector))
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)
        for begin in range(0, len(rows), SCORED_AT_ONCE):
            block = slice(begin, begin + SCORED_AT_ONCE)
            present = np.unique(rows[block][rows[block] >= 0])
            if not len(present):
                continue
            # Each entity is read once, however many of the mentions have it among their candidates.
            position = torch.from_numpy(np.searchsorted(present, np.where(rows[block] < 0, present[0], rows[block])))
            stored = to_device(_part(self.index.encodings(present), modality), self.model.device)
            entities = select_rows(stored, position.to(self.model.device))
            own = map_tensors(_full, select_rows(mentions, block))
            found = self.model.match_candidates(own, entities).float().cpu().numpy()
            scores[block] = np.where(rows[block] < 0, np.float32(-np.inf), found)
        return scores


def _part(encoded: Encodings, modality: str | None) -> Encodings:
    """The encodings of the whole (`None`) or of one modality."""
    return whole(encoded) if modality is None else encoded[ALONE][modality]


def _full(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.is_floating_point() else value


def _merged(dense: Retrieved, lexical: Retrieved) -> Retrieved:
    """The union, each candidate once; where both have it, with the score that the search gave."""
    twice = (lexical.rows[:, :, None] == dense.rows[:, None, :]) & (lexical.rows >= 0)[:, :, None]
    similarities = np.full(dense.rows.shape, np.nan, dtype=np.float32)
    mention, from_lexical, from_dense = twice.nonzero()
    similarities[mention, from_dense] = lexical.lexical_scores[mention, from_lexical]
    new = twice.any(axis=2)
    rows = np.concatenate([dense.rows, np.where(new, -1, lexical.rows)], axis=1)
    scores = np.concatenate([dense.scores, np.where(new, np.float32(-np.inf), lexical.scores)], axis=1)
    lexical_scores = np.concatenate([similarities, np.where(new, np.nan, lexical.lexical_scores)], axis=1)
    return Retrieved(rows, scores, scores, dense.encoded, lexical_scores).ordered_by(scores)


# ---- Names ----


def matched_alias(mention: str, names: Sequence[str]) -> str | None:
    """
    The first of an entity's names that is the mention by its normal form ([`normal_name`]); else the shortest that contains
    the mention, or that the mention contains, as whole words. `None` where there is none.

    Example:

    ```python
    >>> from hf_mel.linking.candidates import matched_alias

    >>> matched_alias("big blue", ["IBM", "Big Blue"]), matched_alias("Williams", ["Robin Williams"])
    ('Big Blue', 'Robin Williams')
    ```
    """
    wanted = normal_name(mention)
    if not wanted:
        return None
    named = [(name, normal_name(name)) for name in names]
    for name, words in named:
        if words == wanted:
            return name
    tokens = name_tokens(wanted)
    within = [
        name for name, words in named if _holds(name_tokens(words), tokens) or _holds(tokens, name_tokens(words))
    ]
    return min(within, key=len, default=None)


def _holds(tokens: list[str], part: list[str]) -> bool:
    """`True` if the tokens of `part` follow each other in `tokens`."""
    places = range(len(tokens) - len(part) + 1) if part else ()
    return any(tokens[place : place + len(part)] == part for place in places)
