"""From rows to mentions to be linked, a part of the input at a time; a row that cannot be linked becomes a line of its own."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from PIL import Image

from ...data.images import named_place, read_picture
from ...data.own.reading import Checked
from ...data.problems import Problem
from ..linked_mention import MentionQuery
from .inputs import QueryReader, Span, TableInput


_MOST_PIXELS = 64 * 2**20
"""Pixels that a part holds, unless one picture alone has more: a batch of large pictures must not fill the memory."""
_SHOWN = 10_000


@dataclass
class Row:
    """
    A row of the input with its picture.

    Args:
        values (`dict`): its fields; none if it is rejected.
        image (`PIL.Image.Image`, *optional*), image_status (`str`): its picture, or why there is none.
        reject (`str`, *optional*): the line for the file of rejected rows.
    """

    values: dict = field(default_factory=dict)
    image: Image.Image | None = None
    image_status: str = "none"
    reject: str | None = None

    def queries(self, spans: Sequence[Span] | None) -> list[MentionQuery]:
        """Its mention, or those that were found in it."""
        text, name = self.values["text"], self.values["id"]
        if spans is None:
            return [MentionQuery(self.values["mention"], text, self.values["start"], self.image, name)]
        return [
            MentionQuery(text[span.start : span.end], text, span.start, self.image, f"{name}#{number}")
            for number, span in enumerate(spans)
        ]


@dataclass
class Part:
    """Rows that are linked together."""

    rows: list[Row] = field(default_factory=list)
    pixels: int = 0

    def rejects(self) -> list[str]:
        """Lines for the file of rejected rows."""
        return [row.reject for row in self.rows if row.reject is not None]

    def queries(self, source: TableInput, counts: Counter) -> list[MentionQuery]:
        """The mentions of all rows, in their order, counted."""
        good = [row for row in self.rows if row.reject is None]
        bare = [number for number, row in enumerate(good) if row.values["mention"] is None]
        spans: dict[int, Sequence[Span]] = {}
        if bare and source.find_mentions is not None:
            found = source.find_mentions([good[number].values["text"] for number in bare])
            spans = dict(zip(bare, found, strict=True))
        queries: list[MentionQuery] = []
        for number, row in enumerate(good):
            own = row.queries(spans.get(number))
            queries += own
            counts["without_mention"] += not own
            counts["not_in_text"] += sum(query.start is None for query in own)
            counts[f"image_{row.image_status}"] += 1
        counts["rows"] += len(self.rows)
        counts["rejected"] += len(self.rows) - len(good)
        return queries


class RowPreparer:
    """
    Opens pictures and writes down what is wrong.

    Args:
        reader ([`QueryReader`]): reads the rows.
        allow_missing_images (`bool`): whether a row is linked without its picture if that cannot be opened.
    """

    def __init__(self, reader: QueryReader, allow_missing_images: bool):
        self.reader, self.allow_missing_images = reader, allow_missing_images
        # The mentions of a caption follow each other and share its picture.
        self._last: tuple = (None, None)

    def parts(self, records: Iterable[Checked], size: int) -> Iterator[Part]:
        """
        Rows in parts of this size, or smaller ones where pictures are large. Where a part ends depends on the rows since
        the end of the one before, so that a run which goes on from there links the same rows together.
        """
        part = Part()
        for record in records:
            row = self._row(record)
            shared = any(row.image is other.image for other in part.rows[-1:])
            part.rows.append(row)
            if row.image is not None and not shared:
                part.pixels += row.image.width * row.image.height
            if len(part.rows) == size or part.pixels >= _MOST_PIXELS:
                yield part
                part = Part()
        if part.rows:
            yield part

    def _row(self, record: Checked) -> Row:
        if record.problems or record.row is None:
            return Row(reject=self._reject(record, record.problems))
        image, status, reason = self._picture(record.row)
        if reason is not None and not self.allow_missing_images:
            problem = Problem(record.place, reason, field="image")
            return Row(reject=self._reject(record, (problem,)))
        return Row(record.row, image, status)

    def _picture(self, row: dict) -> tuple[Image.Image | None, str, str | None]:
        """The picture, its status, and what is wrong with a picture that is named."""
        source = row["image"]
        if source is None:
            return None, row.get("image_status") or "none", None
        key = named_place(source)
        if key is None or self._last[0] != key:
            self._last = (key, read_picture(source))
        return self._last[1]

    def _reject(self, record: Checked, problems: Sequence[Problem]) -> str:
        entry = {
            "file": self.reader.source.subject,
            "place": record.place,
            "id": record.row["id"] if record.row is not None else self.reader.id_of(record.given),
            "problems": [{"field": problem.field, "reason": problem.reason} for problem in problems],
        }
        return _dumped(entry, record.given)


def _dumped(entry: dict, given) -> str:
    """A line with the row as it was given, without the bytes of pictures; what JSON cannot say is said in words."""
    if isinstance(given, dict):  # pandas leaves NaN in empty cells
        given = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in given.items()
        }
    try:
        json.dumps(given, allow_nan=False, default=_in_words)
    except (ValueError, RecursionError) as error:
        given = f"not shown: {error}"
    line = json.dumps(entry | {"row": given}, ensure_ascii=False, default=_in_words)
    try:
        line.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which may be what is wrong
        return json.dumps(entry | {"row": given}, default=_in_words)
    return line


def _in_words(value) -> str | None:
    return None if isinstance(value, (bytes, bytearray, memoryview)) else str(value)[:_SHOWN]
