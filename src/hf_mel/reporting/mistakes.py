"""A split linked once more with the model of a run: the weight of the pictures, and where the model is most wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from datasets import Dataset
from transformers.utils.logging import tqdm

from ..data import KnowledgeBase, load_images
from ..data.thumbnails import small_jpeg
from ..linking import Linker, MentionQuery
from ..models.encodings import ALONE, flat_name


BLOCK = 256  # mentions whose pictures are in memory at a time
TIE = 1e-6  # as in the ranking: scores this near, in the unit of the larger, are the same


@dataclass(frozen=True)
class ShownEntity:
    """
    An entity as a page shows it.

    Args:
        id (`str`), name (`str`), text (`str`): Those of the knowledge base.
        score (`float`): What the model gives it for the mention.
        jpeg (`bytes`, *optional*): A small picture; `None` where it has none.
    """

    id: str
    name: str
    text: str
    score: float
    jpeg: bytes | None


@dataclass(frozen=True)
class Mistake:
    """
    A mention that was linked to a wrong entity.

    Args:
        mention_id (`str`): Its id.
        before (`str`), mention (`str`), after (`str`): The sentence.
        jpeg (`bytes`, *optional*): Its picture, small.
        gold ([`ShownEntity`]), predicted ([`ShownEntity`]): The entity meant, and the wrong one with the highest score.
        margin (`float`): Score of the wrong one less that of the gold entity.
        image_weight (`float`, *optional*): How much of the mention's embedding comes from its picture.
    """

    mention_id: str
    before: str
    mention: str
    after: str
    jpeg: bytes | None
    gold: ShownEntity
    predicted: ShownEntity
    margin: float
    image_weight: float | None


@dataclass(frozen=True)
class LinkedSplit:
    """
    Predictions of the model for a split.

    Args:
        rows (`np.ndarray` of shape `(num_judged,)`): Mentions with an entity that can be found, as rows of the data.
        gold_rows (`np.ndarray`), rival_rows (`np.ndarray`): Rows in the index of the gold entity, and of the best other
            one; -1 where there is no other.
        gold_scores (`np.ndarray`), rival_scores (`np.ndarray`): What the model gives them.
        num_nil (`int`), num_lost (`int`): Mentions left out: NIL, and those whose entity is not in the index.
        mention_weights (`np.ndarray`), entity_weights (`np.ndarray`): Weight of the picture, of all mentions and entities
            that have one; empty where the model has no gate.
        weights_of_judged (`np.ndarray`, *optional*): Weight of the picture for each of `rows`.
    """

    rows: np.ndarray
    gold_rows: np.ndarray
    rival_rows: np.ndarray
    gold_scores: np.ndarray
    rival_scores: np.ndarray
    num_nil: int = 0
    num_lost: int = 0
    mention_weights: np.ndarray = field(default_factory=lambda: np.zeros(0))
    entity_weights: np.ndarray = field(default_factory=lambda: np.zeros(0))
    weights_of_judged: np.ndarray | None = None

    @property
    def margins(self) -> np.ndarray:
        """Score of the best other entity less that of the gold one; `-inf` where there is no other."""
        return self.rival_scores - self.gold_scores

    def worst(self, number: int) -> np.ndarray:
        """Positions in `rows` of the mistakes with the largest margin; of equal ones the earlier mention comes first."""
        margins = self.margins
        wrong = np.flatnonzero(margins > TIE * np.maximum(1, np.abs(self.gold_scores)))
        return wrong[np.argsort(-margins[wrong], kind="stable")][:number]


def link_split(linker: Linker, mentions: Dataset, progress: bool = False) -> LinkedSplit:
    """
    Links all mentions of a split, each against the whole index.

    Args:
        linker ([`Linker`]):
            A linker whose candidates are `"dense"`; a calibration that it has is not used.
        mentions (`datasets.Dataset`):
            Mentions with the columns of [`MENTION_FEATURES`].
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar.

    Returns:
        [`LinkedSplit`].
    """
    index, golds = linker.index, mentions["entity_id"][:]
    gold_rows = np.array([index.row(gold) if gold in index else -1 for gold in golds], dtype=np.int64)
    parts: list[tuple[np.ndarray, ...]] = []
    for begin in tqdm(range(0, len(mentions), BLOCK), desc="Linking", disable=not progress):
        block = range(begin, min(begin + BLOCK, len(mentions)))
        parts.append(_link_block(linker, mentions, block, gold_rows[block.start : block.stop]))
    rivals, rival_scores, gold_scores, weights, pictures = (np.concatenate(part) for part in zip(*parts, strict=True))
    judged = np.flatnonzero(gold_rows >= 0)
    num_nil = sum(gold is None for gold in golds)
    has_gate = linker.model.sees_pictures and not np.isnan(weights).any()
    return LinkedSplit(
        judged,
        gold_rows[judged],
        rivals[judged],
        gold_scores[judged],
        rival_scores[judged],
        num_nil,
        len(golds) - len(judged) - num_nil,
        weights[pictures] if has_gate else np.zeros(0),
        _entity_weights(linker) if has_gate else np.zeros(0),
        weights[judged] if has_gate else None,
    )


def _link_block(linker: Linker, mentions: Dataset, block: range, gold_rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """For each mention: row and score of the best entity but the gold one, score of the gold one, weight and presence of
    its picture."""
    queries = _queries(linker, mentions, block)
    encoded = linker.encode_queries(queries)
    found = linker.retrieve(queries, top_k=2, encoded=encoded)
    first = np.arange(len(queries))
    # The gold entity is skipped wherever it stands; -2 is nobody's row, for NIL.
    others = (found.rows >= 0) & (found.rows != np.where(gold_rows < 0, -2, gold_rows)[:, None])
    place = others.argmax(axis=1)
    some = others.any(axis=1)
    rivals = np.where(some, found.rows[first, place], -1)
    scores = np.where(some, found.scores[first, place].astype(np.float64), -np.inf)
    gold_scores = linker.finder.score(queries, encoded, gold_rows[:, None])[:, 0].astype(np.float64)
    weights = np.full(len(queries), np.nan)
    if "image_weight" in encoded:
        weights = encoded["image_weight"].double().cpu().numpy()
    return rivals, scores, gold_scores, weights, np.array([query.image is not None for query in queries])


def _queries(linker: Linker, mentions: Dataset, rows: Sequence[int]) -> list[MentionQuery]:
    columns = [mentions.select_columns([name])[list(rows)][name] for name in ("mention", "text", "start")]
    pictures = load_images(mentions, rows) if linker.model.sees_pictures else [None] * len(rows)
    return [MentionQuery(*each) for each in zip(*columns, pictures, strict=True)]


def _entity_weights(linker: Linker) -> np.ndarray:
    """Weight of the picture of every living entity that has one."""
    known = ("image_weight", flat_name(ALONE, "has_image"))
    names = [name for name in known if name in linker.index.manifest.tensors]
    if "image_weight" not in names:
        return np.zeros(0)
    weights, present = [], []
    for _, block in linker.index.blocks(names=names):
        weights.append(block["image_weight"].double().numpy())
        # An index without single modalities does not say who has a picture; without one the weight is 0.
        present.append(block.get(ALONE, {}).get("has_image", block["image_weight"]).numpy() != 0)
    return np.concatenate(weights)[np.concatenate(present) & linker.index.alive]


def worst_mistakes(
    linker: Linker, mentions: Dataset, entities: KnowledgeBase, linked: LinkedSplit, number: int
) -> list[Mistake]:
    """
    The mistakes with the largest margin in favour of a wrong entity, largest first.

    Args:
        linker ([`Linker`]), mentions (`datasets.Dataset`), linked ([`LinkedSplit`]):
            Those of [`link_split`].
        entities ([`KnowledgeBase`]):
            Where the pictures of the entities are; one that is not there is shown with the thumbnail of the index.
        number (`int`):
            At most so many.
    """
    worst = linked.worst(number)
    rows = [int(row) for row in linked.rows[worst]]
    if not rows:
        return []
    ids, pictures = mentions.select_columns(["id"])[rows]["id"], load_images(mentions, rows)
    texts = mentions.select_columns(["text", "mention", "start"])[rows]
    found = []
    for place, at in enumerate(worst):
        query = MentionQuery(texts["mention"][place], texts["text"][place], texts["start"][place])
        before, words, after = _in_context(query)
        gold = _shown(linker, entities, int(linked.gold_rows[at]), linked.gold_scores[at])
        predicted = _shown(linker, entities, int(linked.rival_rows[at]), linked.rival_scores[at])
        weight = None if linked.weights_of_judged is None else float(linked.weights_of_judged[at])
        jpeg = None if pictures[place] is None else small_jpeg(pictures[place])
        margin = float(linked.margins[at])
        found.append(Mistake(ids[place], before, words, after, jpeg, gold, predicted, margin, weight))
    return found


def _in_context(query: MentionQuery) -> tuple[str, str, str]:
    if query.place is None:
        return f"{query.text} ", query.mention, ""
    return query.text[: query.place], query.text[query.place : query.end], query.text[query.end :]


def _shown(linker: Linker, entities: KnowledgeBase, row: int, score: float) -> ShownEntity:
    (entity,) = linker.index.entities([row])
    jpeg = entity.thumbnail
    if entity.id in entities:
        (picture,) = entities.images([entities.row(entity.id)])
        jpeg = None if picture is None else small_jpeg(picture)
    return ShownEntity(entity.id, entity.name, entity.text, float(score), jpeg)
