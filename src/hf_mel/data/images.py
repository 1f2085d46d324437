"""Opening pictures: upright, RGB, and with a status in place of silent black pixels."""

import io
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from datasets import Dataset
from datasets import Image as ImageFeature
from PIL import Image, UnidentifiedImageError

from .pixels import UNREADABLE, upright_rgb
from .url_names import is_url, shown_url


logger = logging.getLogger(__name__)

_CURE = "Restore the file, or allow broken pictures (`strict=False`): the record is then used without a picture."
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_CURES = {
    "an SVG drawing": "which has no pixels: render it as PNG",
    "a HEIC picture": "which Pillow reads with a plugin only: save it as JPEG or PNG, or install pillow-heif and call "
    "`pillow_heif.register_heif_opener()`",
    "an AVIF picture": "which this Pillow cannot read: save it as JPEG or PNG",
}
# A JPEG beyond this many pixels a side is decoded at half, a quarter or an eighth of its size, which no tower can tell.
_REDUCED_SIDE = 2_048
_NAMED = 20
_SHOWN = 500
_named: set[str] = set()


class ReadPicture(NamedTuple):
    """
    A picture as models take it, or why there is none.

    Args:
        image (`PIL.Image.Image`, *optional*): upright and RGB; only a picture with the status `ok` has one.
        status (`str`): one of `IMAGE_STATUS`.
        reason (`str`, *optional*): what is wrong with which file, where the status is `missing_file` or `unreadable`.
    """

    image: Image.Image | None
    status: str
    reason: str | None = None


def read_picture(source, *, base_dir: str | os.PathLike | None = None, called: str | None = None) -> ReadPicture:
    """
    Reads one picture. Every way of passing a picture to the package ends here, so that all of them give the same pixels,
    those of [`~hf_mel.data.pixels.upright_rgb`].

    Args:
        source (`str`, `os.PathLike`, `bytes`, `dict`, `PIL.Image.Image` or `None`):
            A path, encoded bytes, the `{"bytes", "path"}` of `datasets.Image(decode=False)`, or an open picture, which is
            returned itself if it needs no change. Of an animation the first frame counts.
        base_dir (`str` or `os.PathLike`, *optional*): where relative paths start.
        called (`str`, *optional*): name of the picture in `reason`; that of the file by default.

    Example:

    ```python
    >>> from PIL import Image
    >>> from hf_mel.data.images import read_picture

    >>> read_picture(b"<html>Not found</html>").reason
    'embedded picture (unnamed) is a web page, not a picture'
    >>> read_picture(Image.new("RGB", (2, 2))).status
    'blank'
    ```
    """
    stream, name = _locate(source, base_dir)
    name = called or name
    fault = _no_source(stream, name)
    if stream is None or fault is not None:
        return ReadPicture(None, *(fault or ("none", None)))
    try:
        if isinstance(stream, Image.Image):
            image = upright_rgb(stream)
        else:
            if isinstance(stream, Path) and os.path.exists(stream) and not os.path.isfile(stream):
                return ReadPicture(None, *_no_file(stream, name))
            with Image.open(stream) as opened:
                # JPEG alone can do this; other formats ignore it.
                opened.draft(None, (_REDUCED_SIDE, _REDUCED_SIDE))
                image = upright_rgb(opened)
                image = image.copy() if image is opened else image  # `opened` is bound to its file
    except FileNotFoundError:
        return ReadPicture(None, "missing_file", f"{name} is not there")
    except UNREADABLE as error:
        return ReadPicture(None, "unreadable", f"{name} {_what_it_is(stream, error)}")
    if all(low == high for low, high in image.getextrema()):
        return ReadPicture(None, "blank")
    return ReadPicture(image, "ok")


def open_image(
    source, *, strict: bool = False, record: str | None = None, base_dir: str | os.PathLike | None = None
) -> tuple[Image.Image | None, str]:
    """Opens one picture as [`read_picture`] does: upright and RGB.

    A picture which cannot be used is `None` with its status, never a black one.

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
    image, status, reason = read_picture(source, base_dir=base_dir)
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
        return read_picture(source, base_dir=base_dir)[1:]
    stream, name = _locate(source, base_dir)
    fault = _no_source(stream, name)
    if stream is None or fault is not None:
        return fault or ("none", None)
    return _no_file(stream, name) if isinstance(stream, Path) and not os.path.isfile(stream) else ("ok", None)


def load_images(
    dataset: Dataset, rows: Sequence[int] | None = None, *, strict: bool = False
) -> list[Image.Image | None]:
    """Pictures of some rows of a mention or entity table; no other row is decoded.

    `dataset[row]["image"]` raises at the first broken file; this gives `None` there, and a line in the log.

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
    return usable_images(pairs, strict=strict)


def usable_images(pairs: Iterable[tuple[str, object]], *, strict: bool = False) -> list[Image.Image | None]:
    """
    Pictures of records, `None` where there is no usable one. A warning names the first of those that are broken.

    Args:
        pairs (`Iterable[tuple[str, object]]`): id and picture of each record.
        strict (`bool`, *optional*, defaults to `False`): raise for a broken picture, with its record and file.
    """
    images = []
    for record, source in pairs:
        image, status, reason = read_picture(source)
        if reason is not None:
            _refuse(status, reason, strict, record)
            _warn(f"picture of record {record!r}: {reason}; used without a picture")
        images.append(image)
    return images


def _warn(message: str) -> None:
    """Logs each message once in a process, and no more than some of them: an epoch repeats them all."""
    if message not in _named and len(_named) < _NAMED:
        _named.add(message)
        more = "" if len(_named) < _NAMED else "; further broken pictures are logged at the level DEBUG only"
        logger.warning(f"{message}{more}")


def undecoded(dataset: Dataset) -> Dataset:
    """The same table with every picture column left as `{"bytes", "path"}`."""
    for name, feature in dataset.features.items():
        if isinstance(feature, ImageFeature) and feature.decode:
            dataset = dataset.cast_column(name, ImageFeature(decode=False))
    return dataset


def named_place(source) -> str | None:
    """Returns the path or URL that a source names; `None` where it holds the picture itself, or there is none."""
    if isinstance(source, dict):
        source = None if source.get("bytes") is not None else source.get("path")
    return str(source) if isinstance(source, (str, os.PathLike)) and source != "" else None


def foreign_kind(head: bytes) -> str | None:
    """Returns the kind of a content that Pillow cannot read, such as `"a web page"`, from its first 256 bytes."""
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if b"<svg" in head:
        return "an SVG drawing"
    if head[4:8] == b"ftyp":
        return "a HEIC picture" if head[8:12] in _HEIC else "an AVIF picture" if head[8:12] == b"avif" else "a video"
    return None


def _locate(source, base_dir) -> tuple[Path | io.BytesIO | Image.Image | None, str]:
    """Something that Pillow can open (or `None`), and what to call it in a message. Anything else is returned itself."""
    if isinstance(source, dict):
        if source.get("bytes") is not None:
            name = str(source.get("path") or "(unnamed)")
            return io.BytesIO(source["bytes"]), name if os.path.isabs(name) else f"embedded picture {name}"
        source = source.get("path")
    if source is None or (isinstance(source, str) and source == ""):
        return None, ""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source), "embedded picture (unnamed)"
    if isinstance(source, Image.Image):
        return source, "picture in memory"
    if is_url(source):
        return source, shown_url(source)
    if isinstance(source, str) and source[:5].lower() == "data:":
        return source, "data URI"
    if not isinstance(source, (str, os.PathLike)):
        return source, "picture in memory"
    path = Path(source)
    path = Path(base_dir) / path if base_dir is not None else path
    return path, str(path) if len(str(path)) <= _SHOWN else f"{str(path)[:_SHOWN]}..."


def _no_source(stream, name: str) -> tuple[str, str] | None:
    """Status and reason of what is neither a path nor a picture."""
    if isinstance(stream, str) and name == "data URI":
        return "unreadable", "picture is a data URI: decode it, and pass the bytes"
    if isinstance(stream, str):
        return "missing_file", f"{name} is a URL, which is not fetched: download it, and pass the file"
    if stream is not None and not isinstance(stream, (Path, io.BytesIO, Image.Image)):
        return (
            "unreadable",
            f"{name} is a {type(stream).__name__}: pass a path, bytes or a PIL image{array_cure(stream)}",
        )
    return None


def array_cure(value) -> str:
    """Returns the end of a message about something that is no picture, if it is an array or tensor."""
    return " (`PIL.Image.fromarray` makes one of an array)" if hasattr(value, "__array__") else ""


def _no_file(path: Path, file: str) -> tuple[str, str]:
    """Status and reason of what is no file, told without opening it: a named pipe would wait for someone to write."""
    if not os.path.exists(path):
        return "missing_file", f"{file} is not there"
    return "unreadable", f"{file} is {'a folder' if os.path.isdir(path) else 'no regular file'}, not a picture"


def _what_it_is(stream: Path | io.BytesIO | Image.Image, error: Exception) -> str:
    """In place of a picture. The kinds that a failed download leaves behind are named."""
    head = None
    if isinstance(stream, Path):
        try:
            with open(stream, "rb") as file:
                head = file.read(256)
        except (OSError, ValueError):
            pass  # such as a file without permission, of which the error tells
    elif isinstance(stream, io.BytesIO):
        head = stream.getvalue()[:256]
    if head == b"":
        return "is empty"
    kind = foreign_kind(head or b"")
    if kind is not None:
        return f"is {kind}, {_CURES.get(kind, 'not a picture')}"
    if isinstance(error, UnidentifiedImageError):  # whose text names an object in memory
        return "cannot be read as a picture (its format is not known)"
    said = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"cannot be read as a picture ({said})"


def _refuse(status: str, reason: str, strict: bool, record: str | None) -> None:
    message = f"picture of record {record!r}: {reason}" if record is not None else reason
    if strict:
        kind = FileNotFoundError if status == "missing_file" else ValueError
        raise kind(f"{message}. {_CURE}")
    logger.debug("%s; used without a picture", message)
