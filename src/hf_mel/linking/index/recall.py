"""Recall of a smaller index or an approximate search: the share of the exact best rows that it still finds."""

from collections.abc import Sequence

import numpy as np

from ...data.problems import listed
from ...encoding import Encodings
from ...evaluation.blocks import MatchFunction
from ...models.encodings import num_rows, whole
from .backends.base import SearchBackend
from .rescore import score_rows
from .search import SearchableIndex


SAMPLE = 512
# Scores closer than this, relative to scores above 1, are equal, as in evaluation.
TIE_TOLERANCE = 1e-6
MENTIONS = "mentions"
ENTITIES = "entities without themselves"
AS_MENTIONS = "entities read as mentions, without themselves"


def measure_recall(
    reference: SearchableIndex,
    reduced: SearchableIndex | SearchBackend,
    queries: Encodings | None = None,
    ks: Sequence[int] = (1, 10, 100),
    *,
    match: MatchFunction | None = None,
    seed: int = 0,
    own: np.ndarray | None = None,
) -> dict:
    """
    Measures which share of the exact best entities is found.

    An entity that scores as high as the k-th best counts as one of these: which of several equal ones is named first is
    no loss.

    Args:
        reference ([`EntityIndex`]):
            The index whose exact search says what is right, usually one in `float32`.
        reduced ([`EntityIndex`] or [`SearchBackend`]):
            An index of the same entities in another precision, or another search of an index.
        queries (`dict[str, torch.Tensor]`, *optional*):
            Encodings mentions. By default the vectors of up to 512 entities, drawn from `seed`, take their place, each of
            which looks for the others; the answer says so. Where the score is no dot product, mentions and entities are
            encoded differently, and they are needed.
        ks (`Sequence[int]`, *optional*, defaults to `(1, 10, 100)`):
            How many are asked for; all entities where there are fewer.
        match (`Callable`, *optional*):
            `MatchingModel.match`, for a model whose score is no dot product.
        seed (`int`, *optional*, defaults to 0):
            Of the draw.
        own (`np.ndarray` of shape `(num_queries,)` and type `int64`, *optional*):
            Where the queries are entities that were encoded as mentions: their rows in the reference, which they are not
            to find.

    Returns:
        `dict`: `"recall@k"` for each k (`float`), `"queries"` (`"mentions"`, `"entities without themselves"` or `"entities
        read as mentions, without themselves"`),
        `"num_queries"`, and `"bytes_per_entity"` (`float`) of the vectors of the reduced index or of what its backend
        keeps; `None` for a backend that does not tell.

    Raises:
        `ValueError`: a k below 1, the two do not hold the same entities, or there are no queries where they are needed.

    Example:

    ```python
    small = EntityIndex.build(model, processor, kb, "index-int8", precision="int8")
    measure_recall(index, small)["recall@10"]
    ```
    """
    if not ks or min(ks) < 1:
        raise ValueError(f"ks must be numbers from 1 on, got {list(ks)}")
    backend = reduced if isinstance(reduced, SearchBackend) else None
    index = reduced if backend is None else backend.index
    to_reference = _rows_in(reference, index)
    kind = MENTIONS if own is None else AS_MENTIONS
    if queries is None:
        if reference.manifest.vector_name is None:
            raise ValueError(
                f"{reference.name}: stored entities cannot stand for mentions, which a model of type "
                f"{reference.manifest.model['type']!r} encodes differently: pass `queries`, encoded mentions"
            )
        kind, own = ENTITIES, sample_rows(reference, seed)
        queries = whole(reference.encodings(own))
    own_there = None if own is None else np.array([index.row(reference.ids[row]) for row in own], dtype=np.int64)
    available = len(reference) - (own is not None)
    count = num_rows(queries) if available else 0
    shares = dict.fromkeys(ks, 1.0)  # where there is nothing to miss
    if count:
        exact, best = _best(reference, queries, min(max(ks), available), match, None, own)
        found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for k in ks:
            # A search for few is the beginning of one for many only where it is exact, or where as many are proposed.
            asked = min(max(ks) if backend is None or backend.exact else _asked(backend, k, ks), available)
            if asked not in found:
                scores, rows = _best(index, queries, asked, match, backend, own_there)
                if index is not reference:
                    rows = np.where(rows < 0, -1, to_reference[rows])
                    scores = score_rows(reference, queries, rows, match)
                found[asked] = scores, rows
            scores, rows = (each[:, :k] for each in found[asked])
            among = (rows[:, :, None] == best[:, None, :k]).any(axis=2) & (rows >= 0)
            shares[k] = _share(exact[:, min(k, available) - 1], scores, among)
    return {f"recall@{k}": share for k, share in shares.items()} | {
        "queries": kind,
        "num_queries": count,
        "bytes_per_entity": _bytes(index, backend),
    }


def _asked(backend: SearchBackend, k: int, ks: Sequence[int]) -> int:
    """The largest k for which as many rows are proposed."""
    return max(other for other in ks if backend.proposals(other) == backend.proposals(k))


def _share(kth_best: np.ndarray, found: np.ndarray, among: np.ndarray) -> float:
    """Of places that hold one of the best entities (however it was rounded here), or one as good as the k-th of them."""
    slack = TIE_TOLERANCE * np.maximum(1, np.abs(kth_best))
    return float((among | (found >= (kth_best - slack)[:, None])).mean())


def sample_rows(index: SearchableIndex, seed: int, size: int = SAMPLE) -> np.ndarray:
    """Up to `size` living rows, ascending."""
    rows = np.flatnonzero(index.alive)
    if len(rows) > size:
        rows = np.sort(np.random.default_rng(seed).choice(rows, size, replace=False))
    return rows


def _best(
    index: SearchableIndex,
    queries: Encodings,
    k: int,
    match: MatchFunction | None,
    backend: SearchBackend | None,
    own: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """The best `k` of each query, without the row `own` of it."""
    if own is None:
        return index.search(queries, k, match=match, backend=backend)
    scores, rows = index.search(queries, k + 1, match=match, backend=backend)
    others = rows != own[:, None]
    others[others.all(axis=1), -1] = False  # not in its own list, behind copies of itself: the last one goes
    return scores[others].reshape(-1, k), rows[others].reshape(-1, k)


def _rows_in(reference: SearchableIndex, index: SearchableIndex) -> np.ndarray:
    """The row in the reference of each row of the index; -1 for removed ones."""
    if index is reference:
        return np.arange(index.num_rows)
    places = np.full(index.num_rows, -1, dtype=np.int64)
    ids, living = index.ids, np.flatnonzero(index.alive)
    here, there = {ids[row] for row in living}, {reference.ids[row] for row in np.flatnonzero(reference.alive)}
    if here != there:
        different = sorted(here ^ there)
        raise ValueError(
            f"the two indexes do not hold the same entities: {len(different):,} are in one alone, {listed(different, 5)}"
        )
    places[living] = [reference.row(ids[row]) for row in living]
    return places


def _bytes(index: SearchableIndex, backend: SearchBackend | None) -> float | None:
    if backend is None:
        return index.manifest.vector_bytes / index.num_rows
    size = getattr(backend, "size_bytes", None)
    return None if size is None else size / index.num_rows
