"""Pictures of a request: data in it or, where that is allowed, a URL."""

import base64
import binascii
import io
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image

from ..data.images import foreign_kind, read_picture
from ..data.own.urls import PictureFetcher
from ..data.pixels import UNREADABLE
from ..data.url_names import is_url
from .config import ServiceConfig


# What towers are trained on. Pillow reads more, some of it by starting other programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_HEAD = re.compile(r"data:[^,;]*((?:;[^,;]*)*),", re.IGNORECASE)


@dataclass(frozen=True)
class Picture:
    """A picture of a request, or why there is none. Neither: it shows one colour, and is linked without."""

    image: Image.Image | None = None
    problem: str | None = None


class PictureReader:
    """
    Reads the pictures of requests within the limits of a service.

    Args:
        config ([`ServiceConfig`]): the limits.
    """

    def __init__(self, config: ServiceConfig):
        self.config = config

    def needs_fetching(self, values: Iterable[str]) -> bool:
        """Returns `True` if any of these is a URL that may be fetched."""
        return self.config.allow_urls and any(is_url(value) for value in values)

    def fetch(self, values: Iterable[str]) -> dict[str, bytes | str]:
        """For each URL the bytes found there, or the reason why there are none (a text). Nothing is kept on disk."""
        urls = [value for value in dict.fromkeys(values) if is_url(value)]
        found: dict[str, bytes | str] = {}
        left = self.config.max_body  # fetched pictures may be as large as those that are sent
        with tempfile.TemporaryDirectory(prefix="hf_mel-") as folder:
            files = PictureFetcher(self.config.fetch_limits(folder)).fetch(urls)
            for url, (file, reason) in files.items():
                size = 0 if file is None else file.stat().st_size
                if file is None:
                    found[url] = _for_strangers(reason)
                elif size > left:
                    found[url] = f"the pictures at the URLs have more than {self.config.max_body:,} bytes in all"
                else:
                    left -= size
                    found[url] = file.read_bytes()
        return found

    def open(self, values: Sequence[str], fetched: dict[str, bytes | str]) -> dict[str, Picture]:
        """For each value its picture. Equal values share one."""
        pictures: dict[str, Picture] = {}
        left = self.config.max_total_pixels
        for value in dict.fromkeys(values):
            content = self._content(value, fetched)
            if isinstance(content, str):
                pictures[value] = Picture(problem=content)
                continue
            pixels, problem = self._pixels(content)
            if problem is None and pixels > left:
                problem = f"the pictures of the request have more than {self.config.max_total_pixels:,} pixels in all"
            if problem is not None:
                pictures[value] = Picture(problem=problem)
                continue
            left -= pixels
            read = read_picture(content, called="it")
            pictures[value] = Picture(read.image, read.reason)
        return pictures

    def _content(self, value: str, fetched: dict[str, bytes | str]) -> bytes | str:
        """The bytes of a picture, or what is wrong (a text)."""
        if is_url(value):
            if not self.config.allow_urls:
                return "this service fetches no URLs: send the picture itself, as base64"
            return fetched[value]
        head = _HEAD.match(value)
        if head is None and value[:5].lower() == "data:":
            return "it is no data URI: `data:image/png;base64,...` is one"
        if head is not None and not head[1].lower().endswith(";base64"):
            return "a data URI must be base64: `data:image/png;base64,...`"
        data = value[head.end() if head else 0 :]
        most = self.config.max_image_bytes
        # Counted before it is decoded; four characters hold three bytes.
        if len(data) * 3 // 4 > most + 3:
            return f"it has more than {most:,} bytes"
        try:
            content = base64.b64decode(re.sub(r"[\r\n]", "", data), validate=True)
        except (binascii.Error, ValueError):
            hint = ": in a form, `+` must be sent as `%2B`" if " " in data else ""
            return f"it is neither base64 data nor a URL{hint}"
        return content if len(content) <= most else f"it has more than {most:,} bytes"

    def _pixels(self, content: bytes) -> tuple[int, str | None]:
        """Returns the number of pixels that a picture claims to have, and its fault if any. No pixel is decoded."""
        if not content:
            return 0, "it is empty"
        try:
            with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
                width, height = opened.size
        except Image.DecompressionBombError:
            return 0, f"it has more than {self.config.max_pixels:,} pixels"
        except UNREADABLE:
            kind = foreign_kind(content[:256])
            known = f"of a kind that is read here ({', '.join(_FORMATS)})"
            return 0, f"it is no picture {known}" if kind is None else f"it is {kind}, not a picture {known}"
        if width * height > self.config.max_pixels:
            return 0, f"it has {width} x {height} pixels, more than {self.config.max_pixels:,}"
        return width * height, None


def _for_strangers(reason: str) -> str:
    """Returns the reason why a URL gave no picture, without the addresses that names have in a private network."""
    if "which is not public" in reason:
        return f"{reason.split(': ', 1)[0]}: it is not on the public internet"
    return reason
