"""What a smaller index or an approximate search costs: how many of the exact best rows it still finds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...data.problems import listed
from ...encoding import Encoded, whole
from ...evaluation.blocks import MatchFunction
from .backends.base import SearchBackend
from .scoring import score_rows


if TYPE_CHECKING:
    from .entity_index import EntityIndex

SAMPLE = 512
# Scores closer than this, relative to scores above 1, are equal, as in evaluation.
TIE_TOLERANCE = 1e-6
MENTIONS = "mentions"
ENTITIES = "entities without themselves"


def measure_recall(
    reference: "EntityIndex",
    reduced: "EntityIndex | SearchBackend",
    queries: Encoded | None = None,
    ks: Sequence[int] = (1, 10, 100),
    *,
    match: MatchFunction | None = None,
    seed: int = 0,
) -> dict:
    """
    Which share of the exact best entities is found.

    An entity that scores as high as the k-th best counts as one of these: which of several equal ones is named first is
    no loss.

    Args:
        reference ([`EntityIndex`]):
            The index whose exact search says what is right, usually one in `float32`.
        reduced ([`EntityIndex`] or [`SearchBackend`]):
            An index of the same entities in another precision, or another search of an index.
        queries (`dict[str, torch.Tensor]`, *optional*):
            Encoded mentions. By default the vectors of up to 512 entities, drawn from `seed`, take their place, each of
            which looks for the others; the answer says so.
        ks (`Sequence[int]`, *optional*, defaults to `(1, 10, 100)`):
            How many are asked for; all entities where there are fewer.
        match (`Callable`, *optional*):
            `MatchingModel.match`, for a model whose score is no dot product.
        seed (`int`, *optional*, defaults to 0):
            Of the draw.

    Returns:
        `dict`: `"recall@k"` for each k (`float`), `"queries"` (`"mentions"` or `"entities without themselves"`),
        `"num_queries"`, and `"bytes_per_entity"` (`float`) of the vectors of the reduced index or of what its backend
        keeps; `None` for a backend that does not tell.

    Raises:
        `ValueError`: a k below 1, or the two do not hold the same entities.

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
    kind, own, own_there = MENTIONS, None, None
    if queries is None:
        kind, own = ENTITIES, _sample(reference, seed)
        queries = whole(reference.encodings(own))
        own_there = np.array([index.row(reference.ids[row]) for row in own])
    available = len(reference) - (own is not None)
    count = len(next(iter(queries.values()))) if available else 0
    shares = dict.fromkeys(ks, 1.0)  # where there is nothing to miss
    if count:
        exact, _ = _best(reference, queries, min(max(ks), available), match, None, own)
        found: dict[int, np.ndarray] = {}
        for k in ks:
            # A search for few is not the beginning of a search for many, unless it is exact.
            asked = min(max(ks) if backend is None or backend.exact else k, available)
            if asked not in found:
                _, rows = _best(index, queries, asked, match, backend, own_there)
                found[asked] = score_rows(reference, queries, np.where(rows < 0, -1, to_reference[rows]), match)
            shares[k] = _share(exact[:, min(k, available) - 1], found[asked][:, :k])
    return {f"recall@{k}": share for k, share in shares.items()} | {
        "queries": kind,
        "num_queries": count,
        "bytes_per_entity": _bytes(index, backend),
    }


def _share(kth_best: np.ndarray, found: np.ndarray) -> float:
    """Of places that hold an entity as good as the k-th best."""
    slack = TIE_TOLERANCE * np.maximum(1, np.abs(kth_best))
    return float((found >= (kth_best - slack)[:, None]).mean())


def _sample(index: "EntityIndex", seed: int) -> np.ndarray:
    rows = np.flatnonzero(index.alive)
    if len(rows) > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(rows, SAMPLE, replace=False))
    return rows


def _best(
    index: "EntityIndex",
    queries: Encoded,
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


def _rows_in(reference: "EntityIndex", index: "EntityIndex") -> np.ndarray:
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


def _bytes(index: "EntityIndex", backend: SearchBackend | None) -> float | None:
    if backend is None:
        return index.manifest.vector_bytes / index.num_rows
    size = getattr(backend, "size_bytes", None)
    return None if size is None else size / index.num_rows
