"""EmojiMEL: a small multimodal benchmark that is part of the package, so that there is always something to run on."""

from collections import Counter
from pathlib import Path

from datasets import Dataset, DatasetDict, Features, List, Value

from ..knowledge_base import KnowledgeBase
from ..mel_data import MELData
from ..schema import IMAGE_STATUS, MENTION_FEATURES, SPLITS


EMOJIMEL_PATH = Path(__file__).parent / "dataset"
"""The folder that `datasets.load_dataset` reads, with the configs `mentions` and `entities`."""

EMOJIMEL_FEATURES = Features(
    {
        **MENTION_FEATURES,
        "kind": Value("string"),
        "image_quality": Value("string"),
        "source": Value("string"),
        "glyphs": List(Value("string")),
    }
)
"""Columns of EmojiMEL's mentions: `MENTION_FEATURES` and four columns by which results are grouped.

`kind`: where the clue is, in the `text`, in the `image` or in `both`. `image_quality`: `good`, `medium`, `low_quality`
(blurred), `low_value` (a mood emoji), `low_relevance` (one of several things) or `missing`. `source`: `generated`, or
`written` by hand. `glyphs`: the drawings in the picture by vendor and code points, such as `noto/1F525`; they name the
answer and are no input.
"""


def load_emojimel(*, cache_dir: str | None = None) -> MELData:
    """Loads EmojiMEL from the installed package, without the network.

    Posts mention an emoji by a word that it shares with 2 to 59 others; the picture shows the emoji as drawn by another
    vendor than the knowledge base. Scores on it are never comparable with those on the benchmarks made of news and
    encyclopedia text. No mention is NIL.

    Args:
        cache_dir (`str`, *optional*): where `datasets` keeps the memory-mapped form of the Parquet files; its usual
            cache by default. The package's own folder is only read.

    Returns:
        [`MELData`]: mentions with [`EMOJIMEL_FEATURES`], entities, and a report whose `splits` count the mentions of
        each split by kind, image quality, image status and source. `returning` is how many of them have an entity
        that training has too.

    Example:

    ```python
    >>> from hf_mel.data import load_emojimel

    >>> data = load_emojimel()
    >>> mention = data.mentions["test"][0]
    >>> mention["text"][mention["start"] : mention["end"]] == mention["mention"]
    True
    >>> mention["entity_id"] in data.entities
    True
    >>> data.report["splits"]["test"]["source"]
    {'generated': 1180, 'written': 120}
    ```
    """
    files = {split: str(_file("mentions", split)) for split in SPLITS}
    mentions = DatasetDict.from_parquet(files, features=EMOJIMEL_FEATURES, cache_dir=cache_dir)
    entities = KnowledgeBase.load(_file("entities", "train"), cache_dir=cache_dir)
    known = set(mentions["train"]["entity_id"][:])
    report = {
        "name": "emojimel",
        "path": str(EMOJIMEL_PATH),
        "entities": len(entities),
        "splits": {split: _counts(table, known) for split, table in mentions.items()},
        "pictures": [],
    }
    return MELData(mentions, entities, report)


def _file(config: str, split: str) -> Path:
    return EMOJIMEL_PATH / config / f"{split}-00000-of-00001.parquet"


def _counts(table: Dataset, known: set[str]) -> dict:
    gold = table["entity_id"][:]
    statuses = Counter(table["image_status"][:])
    counts = {"mentions": len(table), "nil": gold.count(None), "returning": sum(entity in known for entity in gold)}
    for name in ("kind", "image_quality", "source"):
        counts[name] = dict(sorted(Counter(table[name][:]).items()))
    counts["image_status"] = {status: statuses[status] for status in IMAGE_STATUS if statuses[status]}
    return counts
