"""Opening pictures: upright, RGB, and with a status in place of silent black pixels."""

import io
import logging
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset
from datasets import Image as ImageFeature
from PIL import Image, ImageOps


logger = logging.getLogger(__name__)

# What Pillow raises for bytes that are no picture, end too early or claim an absurd size.
_UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, EOFError, Image.DecompressionBombError)
# A JPEG beyond this many pixels a side is decoded at half, a quarter or an eighth of its size, which no tower can tell.
_REDUCED_SIDE = 2_048
MAX_PIXELS = 100_000_000
"""A picture that claims more pixels than this, after such a reduction, is `unreadable`: it would fill the memory."""

_CURE = "Restore the file, or allow broken pictures (`strict=False`): the record is then used without a picture."


def open_image(
    source, *, strict: bool = False, record: str | None = None, base_dir: str | os.PathLike | None = None
) -> tuple[Image.Image | None, str]:
    """Opens one picture, turned upright by its EXIF orientation and converted to RGB.

    Transparent pixels become white. A picture which cannot be used is `None` with the reason beside it, never a
    black one.

    Args:
        source (`str`, `os.PathLike`, `bytes`, `dict`, `PIL.Image.Image` or `None`): a path, encoded bytes, the
            `{"bytes", "path"}` of `datasets.Image(decode=False)`, or an open picture.
        strict (`bool`, *optional*, defaults to `False`): raise for a missing or unreadable file.
        record (`str`, *optional*): the record's id, for errors and log lines.
        base_dir (`str` or `os.PathLike`, *optional*): where relative paths start.

    Returns:
        `tuple[PIL.Image.Image | None, str]`: the picture and its status, one of `IMAGE_STATUS`. Only `ok` has one.

    Raises:
        `FileNotFoundError`: `strict` and the file is not there.
        `ValueError`: `strict` and the file is not a picture, or ends too early.

    Example:

    ```python
    >>> from PIL import Image
    >>> from hf_mel.data.images import open_image

    >>> open_image(None)
    (None, 'none')
    >>> open_image(b"not a picture")
    (None, 'unreadable')
    >>> open_image(Image.new("L", (2, 2)))
    (None, 'blank')
    ```
    """
    image, status, reason = _decoded(source, base_dir)
    if reason:
        _refuse(status, reason, strict, record)
    return image, status


def image_status(
    source, *, decode: bool = False, strict: bool = False, record: str | None = None,
    base_dir: str | os.PathLike | None = None,
) -> str:  # fmt: skip
    """The status of a picture: by default only whether the file is there, with `decode` by reading all of it.

    Example:

    ```python
    >>> from hf_mel.data.images import image_status

    >>> image_status("no/such/file.jpg")
    'missing_file'
    ```
    """
    status, reason = picture_state(source, decode=decode, base_dir=base_dir)
    if reason:
        _refuse(status, reason, strict, record)
    return status


def picture_state(
    source, *, decode: bool = False, base_dir: str | os.PathLike | None = None
) -> tuple[str, str | None]:
    """The status of a picture, and for a missing or unreadable one what is wrong with which file.

    Example:

    ```python
    >>> from hf_mel.data.images import picture_state

    >>> picture_state("no/such/file.jpg")
    ('missing_file', 'no/such/file.jpg is not there')
    >>> picture_state(b"<html>Not found</html>", decode=True)
    ('unreadable', 'embedded picture (unnamed) is a web page, not a picture')
    ```
    """
    if decode:
        return _decoded(source, base_dir)[1:]
    stream, file = _locate(source, base_dir)
    if stream is None:
        return "none", None
    if isinstance(stream, Path) and not os.path.isfile(stream):
        return _no_file(stream, file)
    return "ok", None


def load_images(
    dataset: Dataset, rows: Sequence[int] | None = None, *, strict: bool = False
) -> list[Image.Image | None]:
    """Pictures of some rows of a mention or entity table; no other row is decoded.

    `dataset[row]["image"]` raises at the first broken file; this gives `None` there, and says so in the log.

    Args:
        dataset (`datasets.Dataset`): a table with the columns `id` and `image`.
        rows (`Sequence[int]`, *optional*): which rows, all by default.
        strict (`bool`, *optional*, defaults to `False`): raise for a broken picture, with its record and file.

    Returns:
        `list[PIL.Image.Image | None]`: one an asked row; `None` where there is no usable picture.
    """
    table = undecoded(dataset.select_columns(["id", "image"])).with_format("arrow")
    batch = table[:] if rows is None else table[[int(row) for row in rows]]
    pairs = zip(batch.column("id").to_pylist(), batch.column("image").to_pylist(), strict=True)
    return [open_image(image, strict=strict, record=record)[0] for record, image in pairs]


def undecoded(dataset: Dataset) -> Dataset:
    """The same table with every picture column left as `{"bytes", "path"}`."""
    for name, feature in dataset.features.items():
        if isinstance(feature, ImageFeature) and feature.decode:
            dataset = dataset.cast_column(name, ImageFeature(decode=False))
    return dataset


def _locate(source, base_dir) -> tuple[Path | io.BytesIO | Image.Image | None, str]:
    """Something that Pillow can open (or `None`), and what to call it in a message."""
    if isinstance(source, dict):
        if source.get("bytes") is not None:
            name = str(source.get("path") or "(unnamed)")
            return io.BytesIO(source["bytes"]), name if os.path.isabs(name) else f"embedded picture {name}"
        source = source.get("path")
    if source is None or source == "":
        return None, ""
    if isinstance(source, bytes):
        return io.BytesIO(source), "embedded picture (unnamed)"
    if isinstance(source, Image.Image):
        return source, "picture in memory"
    path = Path(source)
    path = Path(base_dir) / path if base_dir is not None else path
    return path, str(path)


def _decoded(source, base_dir) -> tuple[Image.Image | None, str, str | None]:
    """Picture, status, and what is wrong with which file."""
    stream, file = _locate(source, base_dir)
    if stream is None:
        return None, "none", None
    try:
        if isinstance(stream, Image.Image):
            image = _to_rgb(_upright(stream))
        else:
            if isinstance(stream, Path) and os.path.exists(stream) and not os.path.isfile(stream):
                return None, *_no_file(stream, file)
            with Image.open(stream) as opened:
                # JPEG alone can do this; other formats ignore it.
                opened.draft(None, (_REDUCED_SIDE, _REDUCED_SIDE))
                if opened.width * opened.height > MAX_PIXELS:
                    size = f"{opened.width} x {opened.height}"
                    return None, "unreadable", f"{file} claims {size} pixels, more than {MAX_PIXELS:,}"
                image = _to_rgb(_upright(opened))
    except FileNotFoundError:
        return None, "missing_file", f"{file} is not there"
    except _UNREADABLE as error:
        return None, "unreadable", f"{file} {_what_it_is(stream, error)}"
    if all(low == high for low, high in image.getextrema()):
        return None, "blank", None
    return image, "ok", None


def _no_file(path: Path, file: str) -> tuple[str, str]:
    """Status and reason of what is no file, told without opening it: a named pipe would wait for someone to write."""
    if not os.path.exists(path):
        return "missing_file", f"{file} is not there"
    return "unreadable", f"{file} is {'a folder' if os.path.isdir(path) else 'no regular file'}, not a picture"


def _what_it_is(stream: Path | io.BytesIO | Image.Image, error: Exception) -> str:
    """In place of a picture. The kinds that a failed download leaves behind are named."""
    if isinstance(stream, Path):
        try:
            with open(stream, "rb") as file:
                head = file.read(256)
        except OSError:
            head = None  # such as a file without permission, of which the error tells
    else:
        head = stream.getvalue()[:256] if isinstance(stream, io.BytesIO) else None
    if head == b"":
        return "is empty"
    if head is not None and head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, not a picture"
    if head is not None and b"<svg" in head:
        return "is an SVG drawing, which has no pixels: render it as PNG"
    return f"cannot be read as a picture ({error})"


def _refuse(status: str, reason: str, strict: bool, record: str | None) -> None:
    message = f"picture of record {record!r}: {reason}" if record is not None else reason
    if strict:
        kind = FileNotFoundError if status == "missing_file" else ValueError
        raise kind(f"{message}. {_CURE}")
    logger.debug("%s; used without a picture", message)


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except (*_UNREADABLE, KeyError, TypeError) as error:
        # The pixels were read: a damaged EXIF block costs the orientation, not the picture.
        logger.debug("EXIF orientation not readable (%s)", error)
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow clips 16-bit grey to 255, which turns nearly all of it white.
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        # Dropping the alpha channel would show the colour below it, black in most logos.
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
