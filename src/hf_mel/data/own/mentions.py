"""Tables of mentions of one's own."""

import logging
import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from datasets import Dataset, DatasetDict

from ..mention_checks import place_mention
from ..problems import Problems
from .columns import MENTIONS, TableKind, refuse_answers
from .reading import Checked, ReadOptions, TableReader
from .sources import PicturesSource, Source, open_source


logger = logging.getLogger(__name__)


def load_mentions(
    source: str | os.PathLike | Dataset | Mapping,
    columns: Mapping[str, str | None] | None = None,
    *,
    kb: Container[str] | None = None,
    nil_values: Sequence[str] = ("NIL",),
    delimiter: str | None = None,
    **options,
) -> Dataset | DatasetDict:
    """Reads mentions from a table of one's own: CSV, JSON lines, Parquet, a `Dataset`, or a folder of pictures.

    `start` and `end` are checked where the table has them and found where it has not: the n-th of equal mentions in
    consecutive records with the same sentence and picture is the n-th occurrence; null where a mention does not stand
    in its sentence ([`~hf_mel.data.mention_checks.find_mention`]). `start` may stand alone. A table without ids gets `<name of the file>-<number>`. The log tells how many mentions
    are NIL and how many were not found.

    Args:
        source (`str`, `os.PathLike`, `datasets.Dataset` or `Mapping`): a `.csv`, `.tsv`, `.jsonl`, `.json`, `.parquet` or `.xlsx` file, a
            folder with pictures and `metadata.csv`, `.jsonl` or `.parquet` (as the `imagefolder` of `datasets`), a
            `Dataset`; or several of them by split, such as `{"train": "train.csv", "test": "test.csv"}`.
        columns (`Mapping[str, str]`, *optional*): the column of a field, such as `{"entity_id": "sku"}`. `{"entity_id":
            None}` says that no gold entity is known.
        kb ([`KnowledgeBase`], *optional*): the entities; a gold id which is not among them is an error.
        nil_values (`Sequence[str]`, *optional*, defaults to `("NIL",)`): what else than null or nothing stands for an
            entity that the knowledge base lacks, in this or another case.
        delimiter (`str`, *optional*): what separates the cells of CSV; a tab in `.tsv` and a comma elsewhere by default.
        options: `images`, `fetch_urls`, `check_images`, `strict_images` and `strict_columns` of
            [`~hf_mel.data.own.reading.ReadOptions`].

    Returns:
        `datasets.Dataset`: one row a mention, with the columns of `MENTION_FEATURES`; a `datasets.DatasetDict` where
        `source` has splits.

    Raises:
        `ValueError`: lists everything that is wrong, with file, line and field.
        `FileNotFoundError`: no such file, or (`strict_images`) no such pictures.

    Example:

    ```python
    >>> from pathlib import Path
    >>> from hf_mel.data.own.mentions import load_mentions

    >>> _ = Path("mentions.csv").write_text("Mention,text,qid\\nAda,Ada wrote a program.,Q7259\\nBob,Bob slept.,\\n")
    >>> mentions = load_mentions("mentions.csv")
    >>> mentions[0]["id"], mentions[0]["start"], mentions[0]["end"], mentions["entity_id"][:]
    ('mentions-1', 0, 3, ['Q7259', None])
    ```
    """
    if isinstance(nil_values, str):
        raise TypeError(f"nil_values={nil_values!r}: pass a list of values, such as [{nil_values!r}]")
    reading = ReadOptions(columns=columns, **options)
    if not isinstance(source, Mapping):
        return mention_reader(source, None, delimiter, reading, kb, nil_values).read()
    if not source:
        raise ValueError("there is no split of mentions: pass at least one")
    tables, found = {}, []
    for split, part in source.items():
        try:
            tables[split] = mention_reader(part, split, delimiter, reading, kb, nil_values).read()
        except ValueError as error:
            found.append(str(error))
    if found:
        raise ValueError("\n".join(found))
    check_splits({split: table["id"][:] for split, table in tables.items()})
    return DatasetDict(tables)


def mention_reader(
    source, split: str | None, delimiter: str | None, reading: ReadOptions, kb: Container[str] | None,
    nil_values: Sequence[str],
) -> "MentionReader":  # fmt: skip
    """The reader of one table; see [`load_mentions`]."""
    opened = open_source(source, "mentions", delimiter=delimiter, prefix=split)
    if isinstance(opened, PicturesSource):
        raise FileNotFoundError(
            f"{opened.subject} holds no metadata.csv, metadata.jsonl or metadata.parquet: mentions need a table"
        )
    return MentionReader(opened, reading, kb=kb, nil_values=nil_values)


def check_splits(ids: Mapping[str, Iterable[str]]) -> None:
    """Refuses ids of mentions that stand in two splits."""
    problems = Problems("splits of mentions", "Give each mention an id of its own, or leave the column of ids out.")
    place: dict[str, str] = {}
    for split, own in ids.items():
        for mention_id in own:
            if place.setdefault(mention_id, split) != split:
                problems.add(f"split {split!r}", f"`id` {mention_id!r} is already used in split {place[mention_id]!r}")
    problems.raise_if_any()


class MentionReader(TableReader):
    """Reads mentions: gold ids held against the knowledge base, offsets held against the sentence or found in it.

    Args:
        source ([`~hf_mel.data.own.sources.Source`]): where the records come from.
        options ([`~hf_mel.data.own.reading.ReadOptions`], *optional*): columns and pictures.
        kb ([`KnowledgeBase`], *optional*): the entities.
        nil_values (`Sequence[str]`, *optional*, defaults to `("NIL",)`): what else than null stands for NIL.
        kind ([`~hf_mel.data.own.columns.TableKind`], *optional*): mentions of which other fields are needed.
    """

    def __init__(
        self,
        source: Source,
        options: ReadOptions | None = None,
        *,
        kb: Container[str] | None = None,
        nil_values: Sequence[str] = ("NIL",),
        kind: TableKind = MENTIONS,
    ):
        super().__init__(source, kind, options)
        if self._columns.get("entity_id") == "entity_id" and "entity_id" in kind.needed_columns:
            refuse_answers(source.column_names(self.problems), source.subject)
        self.kb = kb
        self.nil_values = frozenset(value.strip().casefold() for value in nil_values)
        taken = [value for value in nil_values if kb is not None and value in kb]
        if taken:
            raise ValueError(f"{taken[0]!r} is the id of an entity, so it cannot stand for NIL: set `nil_values`")
        self.counts = {"mentions": 0, "nil": 0, "not_in_text": 0}
        self._group: tuple | None = None
        self._seen: Counter[str] = Counter()

    def checked(self, *, whole: bool = False) -> Iterator[Checked]:
        self._group = None
        yield from super().checked(whole=whole)

    def rows(self) -> Iterator[dict]:
        self.counts = dict.fromkeys(self.counts, 0)
        for row in super().rows():
            self.counts["mentions"] += 1
            self.counts["nil"] += row["entity_id"] is None
            self.counts["not_in_text"] += row["start"] is None
            yield row

    def read(self, *, in_memory: bool = False) -> Dataset:
        dataset = super().read(in_memory=in_memory)
        level = logging.WARNING if self.counts["not_in_text"] else logging.INFO
        logger.log(
            level, "%s: %d mentions, %d of them NIL, %d not in their sentence",
            self.source.subject, *self.counts.values(),
        )  # fmt: skip
        return dataset

    def _complete(self, row: dict, problems: Problems) -> None:
        self._resolve_gold(row, problems)
        self._place_in_sentence(row, problems)

    def _resolve_gold(self, row: dict, problems: Problems) -> None:
        gold = row.get("entity_id")
        if gold is None or not gold.strip() or gold.strip().casefold() in self.nil_values:
            row["entity_id"] = None
        elif self.kb is not None and gold not in self.kb:
            problems.add(
                row["place"],
                f"{self._called('entity_id')} {gold!r} is not the id of an entity (NIL is an empty one)",
                field="entity_id",
            )

    def _place_in_sentence(self, row: dict, problems: Problems) -> None:
        sentence, mention = row["text"], row["mention"]
        group = (sentence, row["image"] if isinstance(row["image"], str) else None)
        if group != self._group:
            self._group, self._seen = group, Counter()
        self._seen[mention] += 1
        start, end = row.get("start"), row.get("end")
        # Beyond the last occurrence nothing changes, so that no long list is needed there.
        turn = min(self._seen[mention], sentence.count(mention) + 1)
        try:
            span = place_mention(mention, sentence, start, end, turn=turn, called=self._called)
            row["start"], row["end"] = span or (None, None)
        except ValueError as error:
            problems.add(row["place"], str(error), field="end" if start is None else "start")
