"""Odd inputs, and what every door makes of them."""

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image


JSON = {"content-type": "application/json"}


# ---- What comes out ----


@dataclass(frozen=True)
class Linked:
    """The offsets of a linked mention, and of its picture the size, and the colours of the first and last pixel."""

    start: int | None = 0
    end: int | None = 3
    picture: tuple | None = None


@dataclass(frozen=True)
class Refused:
    """Words of an error; `in_service` where HTTP has its own."""

    words: str
    in_service: str | None = None


class BadPicture(Refused):
    """A picture that cannot be read. While training it is left out and named in the log: it stops no run of hours."""


@dataclass(frozen=True)
class Encoded:
    """A picture file."""

    content: bytes
    suffix: str = ".png"


# ---- Pictures: the left half is red, the right half is blue ----


RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves(mode="RGB", size=(16, 8), left=RED, right=BLUE) -> Image.Image:
    image = Image.new(mode, size, right)
    image.paste(left, (0, 0, size[0] // 2, size[1]))
    return image


def encoded(image: Image.Image, kind="PNG", **options) -> Encoded:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Encoded(buffer.getvalue(), f".{kind.lower()}")


def ramp(kind: str, *values) -> Encoded:
    """Grey: the values from left to right."""
    return encoded(Image.fromarray(np.tile(np.array(values, dtype=kind), (2, 1))), "TIFF")


def turned() -> Encoded:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: to be turned clockwise by 90 degrees
    return encoded(halves(size=(32, 16)), "JPEG", exif=exif, quality=100, subsampling=0)


def bomb() -> Encoded:
    """A small file that claims 400 million pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return Encoded(b"\x89PNG\r\n\x1a\n" + chunk + encoded(halves()).content[33:])


def grey(value: int) -> tuple:
    return (value,) * 3


HALVES = (16, 8), RED, BLUE
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
HEIC = Encoded(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64), ".heic")
UNKNOWN = "no picture of a kind that is read here"


# ---- The table ----


ADA = {"mention": "Ada", "text": "Ada slept."}
NO_WORD = Refused("`mention` is missing or empty", "mention")
ROWS = {
    # Texts
    "emoji": ({"mention": "Ada", "text": "😀👨‍👩‍👧 Ada"}, Linked(7, 10)),
    "emoji with start": ({"mention": "Ada", "text": "😀👨‍👩‍👧 Ada", "start": 7}, Linked(7, 10)),
    "combining characters": ({"mention": "Zoe\u0308", "text": "A Zoe\u0308!"}, Linked(2, 6)),
    "right to left": ({"mention": "עדה", "text": "כאן עדה."}, Linked(4, 7)),
    "half a surrogate pair": ({"mention": "Ada", "text": "Ada \ud83d"}, Refused("`text` holds half of a surrogate", "text: holds half of a surrogate")),
    "half a pair in the mention": ({"mention": "A\udc00", "text": "Ada"}, Refused("`mention` holds half of a", "mention: holds half of a")),
    "null character": ({"mention": "Ada", "text": "Ada\0"}, Refused("`text` holds a null character", "text: holds a null")),
    "null in the mention": ({"mention": "A\0", "text": "Ada"}, Refused("`mention` holds a null character", "mention: holds a null")),
    "blank text": ({"mention": "Ada", "text": " \n"}, Refused("`text` is missing or empty")),
    "blank mention": ({"mention": " ", "text": "Ada"}, NO_WORD),
    "number as mention": ({"mention": 3, "text": "Ada"}, Refused("must be text, not 3|both be strings|has the type", "mention")),
    "not in the text": ({"mention": "Eve", "text": "Ada slept."}, Linked(None, None)),
    # Offsets
    "whole word first": ({"mention": "Ann", "text": "Anna, Ann"}, Linked(6, 9)),
    "another case": ({"mention": "jug", "text": "The JUG."}, Linked(4, 7)),
    "another case with start": ({"mention": "jug", "text": "Jug, JUG", "start": 5}, Linked(5, 8)),
    "another case twice": ({"mention": "jug", "text": "Jug, JUG"}, Linked(None, None)),
    "start at the second": ({"mention": "Ada", "text": "Ada, Ada", "start": 5}, Linked(5, 8)),
    "start elsewhere": (
        {"mention": "Ada", "text": "As Ada", "start": 0},
        Refused("at `start` 0 stands 'As ', not the mention 'Ada'; the mention stands at 3"),
    ),
    "start past the end": (ADA | {"start": 99}, Refused("`start` 99 is outside the text of 10 characters")),
    "start in UTF-16 units": (
        {"mention": "Ada", "text": "😀 Ada slept", "start": 3},
        Refused("stands 'da ', .* these count UTF-16 units"),
    ),
    "start in bytes": ({"mention": "Ada", "text": "é Ada slept", "start": 3}, Refused("these count bytes")),
    "negative start": (ADA | {"start": -1}, Refused("`start` -1 is outside", "start")),
    "text as start": (ADA | {"start": "0"}, Refused("`start` must be a whole number|has the type", "start")),
    "half a start": (ADA | {"start": 0.5}, Refused("`start` must be a whole number, not 0.5", "start")),
    # Pictures
    "turned by EXIF": (ADA | {"image": turned()}, Linked(picture=((16, 32), RED, BLUE))),
    "transparent": (ADA | {"image": encoded(halves("RGBA", right=(0, 0, 0, 0)))}, Linked(picture=((16, 8), RED, grey(255)))),
    "palette": (ADA | {"image": encoded(halves().quantize(2))}, Linked(picture=HALVES)),
    "16-bit grey": (ADA | {"image": ramp("uint16", 256, 32_768, 65_535)}, Linked(picture=((3, 2), grey(1), grey(255)))),
    "floats up to 1": (ADA | {"image": ramp("float32", 0.2, 1.0)}, Linked(picture=((2, 2), grey(51), grey(255)))),
    "floats up to 255": (ADA | {"image": ramp("float32", 3, 254)}, Linked(picture=((2, 2), grey(3), grey(254)))),
    "floats of another range": (ADA | {"image": ramp("float32", -1, 1)}, BadPicture("grey values go from -1 to 1")),
    "floats with NaN": (ADA | {"image": ramp("float32", 0.2, float("nan"))}, BadPicture(r"some of its grey values are missing \(NaN\): save it")),
    "CMYK": (ADA | {"image": encoded(halves().convert("CMYK"), "JPEG", quality=100)}, Linked(picture=HALVES)),
    "animation": (
        ADA | {"image": encoded(halves(), "GIF", save_all=True, append_images=[halves(left=BLUE, right=RED)])},
        Linked(picture=HALVES),
    ),
    "one colour": (ADA | {"image": encoded(halves(left=BLUE))}, Linked()),
    "HEIC": (ADA | {"image": HEIC}, BadPicture("is a HEIC picture, which Pillow reads with a plugin", "it is a HEIC picture")),
    "web page": (ADA | {"image": Encoded(b"<html>404</html>")}, BadPicture("is a web page, not a picture")),
    "cut off": (ADA | {"image": Encoded(encoded(NOISE, "JPEG").content[:900], ".jpg")}, BadPicture("cannot be read as a picture")),
    "no bytes": (ADA | {"image": Encoded(b"")}, BadPicture("is empty")),
    "claims 400 million pixels": (ADA | {"image": bomb()}, BadPicture("decompression bomb", "more than 25,000,000 pixels")),
    "no such file": (ADA | {"image": "absent.png"}, BadPicture(r"absent\.png is not there", "neither base64 data nor a URL")),
    "URL": (
        ADA | {"image": "https://me:secret@example.org/a.png"},
        Refused("https://example.org/a.png is a URL, which is not fetched", "fetches no URLs"),
    ),
    "array": (ADA | {"image": np.zeros((2, 2))}, Refused("must be a path or a picture, not|not a picture or a path", "image")),
}  # fmt: skip
