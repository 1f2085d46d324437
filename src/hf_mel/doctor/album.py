"""Thumbnails of the pictures that someone should look at."""

import io
from collections import Counter
from dataclasses import dataclass

from PIL import Image

from ..data import open_image
from ..data.thumbnails import SIDE, data_uri, small_jpeg


PER_KIND = 12


@dataclass(frozen=True)
class Thumbnail:
    """One suspicious picture.

    Args:
        kind (`str`): the finding that it belongs to.
        label (`str`): whose picture it is.
        note (`str`): the file's name, its size, or how often it occurs.
        jpeg (`bytes` or `None`): a small JPEG; `None` where the picture cannot be decoded.
    """

    kind: str
    label: str
    note: str
    jpeg: bytes | None

    @property
    def uri(self) -> str | None:
        """The picture inside its own address, so that a page needs no other file."""
        return data_uri(self.jpeg)


class Album:
    """Keeps up to twelve thumbnails of each kind; they are made at once, so that no picture stays open."""

    def __init__(self):
        self.thumbnails: list[Thumbnail] = []
        self._number: Counter[str] = Counter()

    def has_room(self, kind: str) -> bool:
        return self._number[kind] < PER_KIND

    def add(self, kind: str, source, label: str, note: str) -> None:
        """Adds one, or does nothing where there are enough; `source` is anything that `open_image` takes."""
        if self.has_room(kind):
            self._number[kind] += 1
            self.thumbnails.append(Thumbnail(kind, label, note, _small_jpeg(source)))


def _small_jpeg(source) -> bytes | None:
    image, status = open_image(source)
    if status == "blank":
        image = _one_colour(source)
    return None if image is None else small_jpeg(image)


def _one_colour(source) -> Image.Image:
    """The colour of a picture that `open_image` has just decoded and found to have no other."""
    encoded = source.get("bytes") if isinstance(source, dict) else None
    path = source.get("path") if isinstance(source, dict) else source
    with Image.open(io.BytesIO(encoded) if encoded is not None else path) as opened:
        pixel = opened.convert("RGBA").getpixel((0, 0))
    canvas = Image.new("RGBA", (SIDE, SIDE), "white")
    return Image.alpha_composite(canvas, Image.new("RGBA", canvas.size, pixel)).convert("RGB")
