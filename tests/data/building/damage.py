"""Files that are no usable picture, and odd ones that are: how to make them, and what becomes of them."""

import gzip
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image


def two_colours(size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    """Left red, right blue."""
    image = Image.new("RGB", size, (200, 20, 20))
    image.paste((20, 20, 200), (size[0] // 2, 0, *size))
    return image.convert(mode)


def noise(size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Something that no codec makes small, so that half of a file is half of a picture."""
    return Image.frombytes("RGB", size, bytes((n * n * 37 + n * 11) >> 3 & 255 for n in range(size[0] * size[1] * 3)))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def half(kind: str) -> bytes:
    whole = encoded(noise(), kind)
    return whole[: len(whole) // 2]


def bomb() -> bytes:
    """A PNG of 50 bytes that claims 60,000 x 60,000 pixels."""

    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"\0")) + part(b"IEND", b"")


def broken_first_frame() -> bytes:
    frames = [noise(), two_colours((64, 48))]
    whole = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    return whole[:1200]


def flipped_png() -> bytes:
    whole = bytearray(encoded(noise(), "PNG"))
    place = whole.index(b"IDAT") + 40
    whole[place : place + 20] = bytes(20)
    return bytes(whole)


def content(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data)


def as_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside.txt").write_text("a folder")


# What the file is: its status, what makes it, and words of the report that tell what it is.
BROKEN: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "truncated JPEG": ("unreadable", content(half("JPEG")), "cannot be read as a picture"),
    "truncated PNG": ("unreadable", content(half("PNG")), "cannot be read as a picture"),
    "truncated GIF": ("unreadable", content(half("GIF")), "cannot be read as a picture"),
    "truncated WebP": ("unreadable", content(half("WEBP")), "cannot be read as a picture"),
    "truncated BMP": ("unreadable", content(half("BMP")), "cannot be read as a picture"),
    "truncated TIFF": ("unreadable", content(half("TIFF")), "cannot be read as a picture"),
    "animated GIF, first frame broken": ("unreadable", content(broken_first_frame()), "cannot be read as a picture"),
    "PNG with damaged data": ("unreadable", content(flipped_png()), "cannot be read as a picture"),
    "JPEG without its header": ("unreadable", content(encoded(noise(), "JPEG")[20:]), "cannot be read"),
    "header of a JPEG alone": ("unreadable", content(encoded(noise(), "JPEG")[:24]), "cannot be read"),
    "zero bytes long": ("unreadable", content(b""), "is empty"),
    "nothing but zeros": ("unreadable", content(bytes(5_000)), "cannot be read"),
    "web page": ("unreadable", content(b"\n<!DOCTYPE html><html><h1>404</h1></html>"), "is a web page"),
    "text": ("unreadable", content(b"Too many requests. Please retry later."), "cannot be read"),
    "JSON": ("unreadable", content(b'{"error": "not found"}'), "cannot be read"),
    "PDF": ("unreadable", content(b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF"), "cannot be read"),
    "SVG": ("unreadable", content(b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'), "is an SVG"),
    "compressed by the server": ("unreadable", content(gzip.compress(encoded(noise(), "JPEG"))), "cannot be read"),
    "Git LFS pointer": ("unreadable", content(b"version https://git-lfs.github.com/spec/v1\noid sha256:0"), "cannot"),
    "PNG bomb": ("unreadable", content(bomb()), "pixels"),
    "folder": ("unreadable", as_folder, "is a folder"),
    "named pipe": ("unreadable", os.mkfifo, "is no regular file"),
    "link in a circle": ("unreadable", lambda path: path.symlink_to(path.name), "cannot be read"),
    "missing": ("missing_file", lambda path: None, "is not there"),
    "broken link": ("missing_file", lambda path: path.symlink_to("nowhere.jpg"), "is not there"),
    "white": ("blank", content(encoded(Image.new("RGB", (20, 20), "white"), "JPEG")), "one colour"),
    "black": ("blank", content(encoded(Image.new("RGB", (20, 20)), "JPEG")), "one colour"),
    "transparent": ("blank", content(encoded(Image.new("RGBA", (20, 20), (9, 9, 9, 0)), "PNG")), "one colour"),
}


def no_permission(path: Path) -> None:
    path.write_bytes(encoded(noise(), "JPEG"))
    path.chmod(0)


if os.geteuid() != 0:  # root reads everything
    BROKEN["no permission"] = ("unreadable", no_permission, "ermission denied")


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    return encoded(two_colours((40, 30)), "JPEG", exif=exif)


def later_frame_broken() -> bytes:
    whole = encoded(two_colours(), "GIF", save_all=True, append_images=[noise((40, 30))])
    return whole[:-400]


# What the file is: what makes it, and the size of the picture.
ODD: dict[str, tuple[bytes, tuple[int, int]]] = {
    "rotated by EXIF": (rotated(), (30, 40)),
    "CMYK": (encoded(two_colours(mode="CMYK"), "JPEG"), (40, 30)),
    "palette": (encoded(two_colours().quantize(4), "PNG"), (40, 30)),
    "16 bit": (
        encoded(Image.frombytes("I;16", (4, 2), struct.pack("<8H", *range(0, 64_000, 8_000))), "PNG"),
        (4, 2),
    ),
    "two levels": (encoded(two_colours(mode="1"), "PNG"), (40, 30)),
    "grey with transparency": (encoded(two_colours(mode="LA"), "PNG"), (40, 30)),
    "animated GIF": (encoded(two_colours(), "GIF", save_all=True, append_images=[noise((40, 30))]), (40, 30)),
    "animated GIF, later frame broken": (later_frame_broken(), (40, 30)),
    "huge JPEG, read at half its size": (encoded(two_colours((6_000, 4_500)), "JPEG", quality=30), (3_000, 2_250)),
    "progressive JPEG": (encoded(two_colours(), "JPEG", progressive=True), (40, 30)),
    "JPEG with something behind it": (encoded(two_colours(), "JPEG") + b"trailing bytes", (40, 30)),
    "PNG that is called .jpg": (encoded(two_colours(), "PNG"), (40, 30)),
    "WebP that is called .jpg": (encoded(two_colours(), "WEBP", lossless=True), (40, 30)),
}
