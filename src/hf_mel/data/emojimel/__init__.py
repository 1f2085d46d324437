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
        "language": Value("string"),
        "glyphs": List(Value("string")),
    }
)
"""Columns of EmojiMEL's mentions: `MENTION_FEATURES` and five columns, four of them to group results by.

`kind`: where the clue is, in the `text`, in the `image` or in `both`. `image_quality`: `good`, `medium`, `two_entities` (the
picture shows two that the mention could name), `low_quality` (blurred), `low_value` (a mood emoji), `low_relevance` (one of
several things) or `missing`. `source`: `written`, or `template` in the training split. `language`: of the mention; the
sentence around it is English. `glyphs`: the drawings in the picture by vendor and code points, such as `noto/1F525`; they
name the answer and are no input.
"""


def load_emojimel(*, cache_dir: str | None = None) -> MELData:
    """Loads EmojiMEL from the installed package, without the network.

    Entities are things with a definition, aliases, a type and a picture; most share a name with others (a bat is an animal
    or a piece of sports equipment). Mentions stand in sentences that were written for it, with a picture by another vendor
    than the knowledge base. Some are NIL, some in another language. Scores are not comparable with those on news and
    encyclopedia text.

    Args:
        cache_dir (`str`, *optional*): where `datasets` keeps the memory-mapped form of the Parquet files; its usual
            cache by default. The package's own folder is only read.

    Returns:
        [`MELData`]: mentions with [`EMOJIMEL_FEATURES`], entities, and a report whose `splits` count the mentions of
        each split by kind, image quality, image status, source and language. `returning` is how many of them have an entity
        that training has too.

    Example:

    ```python
    >>> from hf_mel.data import load_emojimel

    >>> data = load_emojimel()
    >>> mention = data.mentions["test"][0]
    >>> mention["text"][mention["start"] : mention["end"]] == mention["mention"]
    True
    >>> data.entities.names([data.entities.row("bat-animal"), data.entities.row("bat-cricket")])
    ['bat', 'bat']
    >>> data.report["splits"]["test"]["nil"]
    43
    ```
    """
    files = {split: str(_file("mentions", split)) for split in SPLITS}
    mentions = DatasetDict.from_parquet(files, features=EMOJIMEL_FEATURES, cache_dir=cache_dir)
    entities = KnowledgeBase.load(_file("entities", "train"), cache_dir=cache_dir)
    known = set(mentions["train"]["entity_id"][:]) - {None}
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
    for name in ("kind", "image_quality", "source", "language"):
        counts[name] = dict(sorted(Counter(table[name][:]).items()))
    counts["image_status"] = {status: statuses[status] for status in IMAGE_STATUS if statuses[status]}
    return counts
