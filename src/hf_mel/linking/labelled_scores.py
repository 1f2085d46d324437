"""Scores of the candidates of labelled mentions, also where some entities are hidden: what a calibration is fitted on."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from transformers.utils.logging import tqdm

from ..data import as_mentions, load_images
from ..data.problems import Problems
from ..evaluation import gold_columns
from ..evaluation.reliability import NIL
from .linked_mention import MentionQuery
from .linker import Linker


@dataclass(frozen=True)
class LabelledScores:
    """
    Candidates' scores of labelled mentions, with the place of the gold: all that a calibration is fitted on.

    Args:
        scores (`np.ndarray` of shape `(num_observations, K)`):
            Scores, best first; `-inf` where there are fewer candidates. With several sets of hidden entities, each mention
            is observed with each.
        gold (`np.ndarray` of `int64` of shape `(num_observations,)`):
            Column of the gold candidate; -1 for NIL, -2 for a gold that was not retrieved.
        num_entities (`np.ndarray` of `int64` of shape `(num_observations,)`):
            Entities that were compared with the mention: those that were not hidden.
    """

    scores: np.ndarray
    gold: np.ndarray
    num_entities: np.ndarray

    def taken(self, rows: np.ndarray) -> "LabelledScores":
        """Some of the observations."""
        return LabelledScores(self.scores[rows], self.gold[rows], self.num_entities[rows])


# ---- Hidden entities ----


def hidden_sets(entity_ids: Collection[str], share: float, seed: int, places: Sequence[int]) -> list[frozenset[str]]:
    """
    Entities to be taken out of the knowledge base, so that their mentions become NIL.

    Each id has a number in [0, 1) which depends on it and on the seed alone. Set number `p` holds those whose number lies
    between `p * share` and `(p + 1) * share`: sets do not overlap, and an entity stays in its set whatever others there are.

    Args:
        entity_ids (`Collection[str]`):
            Ids, in any order.
        share (`float`):
            Share of them in each set, from 0 to 0.5.
        seed (`int`):
            Another seed gives other sets.
        places (`Sequence[int]`):
            Which sets, from 0; `(max(places) + 1) * share` may not exceed 1.

    Example:

    ```python
    >>> from hf_mel.linking.labelled_scores import hidden_sets

    >>> sets = hidden_sets([f"Q{number}" for number in range(1000)], share=0.2, seed=0, places=range(5))
    >>> sum(len(each) for each in sets), sets[0] & sets[1], 150 < len(sets[0]) < 250
    (1000, frozenset(), True)
    ```
    """
    if not 0 <= share <= 0.5:
        raise ValueError(f"nil_share must lie between 0 and 0.5, got {share}")
    if min(places, default=0) < 0 or (max(places, default=0) + 1) * share > 1 + 1e-9:
        raise ValueError(
            f"there are no {max(places) + 1} sets with {share:g} of the entities each; hide in fewer sets"
        )
    numbers = {each: uniform_number(each, seed) for each in entity_ids}
    return [
        frozenset(each for each, number in numbers.items() if place * share <= number < (place + 1) * share)
        for place in places
    ]


def uniform_number(entity_id: str, seed: int | str) -> float:
    """A number in [0, 1) that depends on the id and the seed alone, uniform over ids."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{entity_id}".encode()).digest()[:6], "big") / 2**48


# ---- Scores of labelled mentions ----


def labelled_scores(
    linker: Linker,
    mentions: Dataset,
    hidden: Sequence[Collection[str]] = ((),),
    batch_size: int = 256,
    progress: bool = False,
) -> list[LabelledScores]:
    """
    Retrieves candidates for labelled mentions, once for each set of hidden entities; each mention is encoded once.

    Args:
        linker ([`Linker`]):
            The linker; a calibration that it has is not used.
        mentions (`datasets.Dataset`):
            Has the columns of [`MENTION_FEATURES`]; `entity_id` is null for NIL.
        hidden (`Sequence[Collection[str]]`, *optional*, defaults to one empty set):
            Ids of entities that are taken out: they are no candidates, and their mentions are NIL.
        batch_size (`int`, *optional*, defaults to 256):
            Mentions at a time.
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar.

    Returns:
        `list[LabelledScores]`, one for each set.

    Raises:
        `ValueError`: no mention, or gold ids that the index does not have; all are listed.
    """
    mentions = as_mentions(mentions, "mentions", needs_gold=True)
    gold_rows = _gold_rows(linker, mentions)
    allowed, golds = [], []
    for ids in hidden:
        rows = np.array([linker.index.row(each) for each in ids], dtype=np.int64)
        mask = linker.index.alive.copy()
        mask[rows] = False
        allowed.append(mask)
        golds.append(np.where(np.isin(gold_rows, rows), NIL, gold_rows))
    found: list[list[LabelledScores]] = [[] for _ in hidden]
    starts = range(0, len(mentions), batch_size)
    for begin in tqdm(starts, desc="Retrieving", disable=not progress):
        queries = _queries(linker, mentions, range(begin, min(begin + batch_size, len(mentions))))
        encoded = linker.encode_queries(queries)
        for place, mask in enumerate(allowed):
            retrieved = linker.retrieve(queries, mask, encoded=encoded)
            part = golds[place][begin : begin + len(queries)]
            entities = np.full(len(queries), int(mask.sum()))
            found[place].append(LabelledScores(retrieved.scores, gold_columns(retrieved.rows, part), entities))
    return [joined(parts) for parts in found]


def joined(parts: Sequence[LabelledScores]) -> LabelledScores:
    """All observations in one; a mention with fewer candidates than others is filled with `-inf`."""
    width = max(part.scores.shape[1] for part in parts)
    scores = [
        np.pad(part.scores, ((0, 0), (0, width - part.scores.shape[1])), constant_values=-np.inf) for part in parts
    ]
    gold, entities = (np.concatenate([getattr(part, name) for part in parts]) for name in ("gold", "num_entities"))
    return LabelledScores(np.concatenate(scores), gold, entities)


def _queries(linker: Linker, mentions: Dataset, rows: Sequence[int]) -> list[MentionQuery]:
    columns = {name: mentions.select_columns([name])[list(rows)][name] for name in ("mention", "text", "start")}
    pictures = load_images(mentions, rows) if linker.model.sees_pictures else [None] * len(rows)
    return [MentionQuery(*each) for each in zip(*columns.values(), pictures, strict=True)]


def _gold_rows(linker: Linker, mentions: Dataset) -> np.ndarray:
    """Rows of the gold entities, -1 for NIL; a ValueError lists the ids that are no entity of the index."""
    problems = Problems(
        f"mentions for an index of {len(linker.index):,} entities",
        "Add these entities to the index, or say that the mentions are NIL: an `entity_id` of null.",
    )
    rows = []
    for mention, gold in zip(mentions["id"][:], mentions["entity_id"][:], strict=True):
        known = gold is None or gold in linker.index
        if not known:
            problems.add(f"mention {mention!r}", f"gold `entity_id` {gold!r} is not in the index")
        rows.append(linker.index.row(gold) if known and gold is not None else NIL)
    problems.raise_if_any()
    return np.array(rows, dtype=np.int64)
