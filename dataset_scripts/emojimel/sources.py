"""The drawings of EmojiMEL, pinned by version and checksum, and how each is read."""

import hashlib
import io
import json
import lzma
import re
import tarfile
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import resvg_py
from fontTools.ttLib import TTFont
from PIL import Image


NPM = "https://registry.npmjs.org"
DEBIAN = "https://deb.debian.org/debian/pool/main"


@dataclass(frozen=True)
class Source:
    """A file to download: its name in the folder of sources, where it comes from, and its checksum."""

    file: str
    url: str
    sha256: str


SOURCES = {
    "twemoji": Source(
        "twemoji-1.2.5.tgz",
        f"{NPM}/@iconify-json/twemoji/-/twemoji-1.2.5.tgz",
        "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
    ),
    "openmoji": Source(
        "openmoji-17.0.0.tgz",
        f"{NPM}/openmoji/-/openmoji-17.0.0.tgz",
        "55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68",
    ),
    "noto": Source(
        "fonts-noto-color-emoji_2.042-0+deb12u1_all.deb",
        f"{DEBIAN}/f/fonts-noto-color-emoji/fonts-noto-color-emoji_2.042-0+deb12u1_all.deb",
        "a5ab0f69c7938423862320d9aca5dd187b3fd879d6a9a57dd52e17c3fa8d2751",
    ),
    "fluent": Source(
        "fluent-emoji-flat-1.2.6.tgz",
        f"{NPM}/@iconify-json/fluent-emoji-flat/-/fluent-emoji-flat-1.2.6.tgz",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    ),
}


def fetch(folder: Path) -> dict[str, Path]:
    """Downloads what is not in `folder` yet; a file with another checksum than the pinned one is refused."""
    folder.mkdir(parents=True, exist_ok=True)
    paths, wrong = {}, []
    for name, source in SOURCES.items():
        path = folder / source.file
        if not path.exists():
            with urllib.request.urlopen(source.url, timeout=120) as answer:
                path.write_bytes(answer.read())
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != source.sha256:
            wrong.append(f"  {path}: sha256 {found}, pinned is {source.sha256}")
        paths[name] = path
    if wrong:
        raise ValueError("\n".join(["inputs differ from the pinned ones; delete them to download again:", *wrong]))
    return paths


# ---- Archives ----


def read_tar(path: Path) -> dict[str, bytes]:
    """All files of a `.tgz`, or of the data part of a `.deb`, by name."""
    if path.suffix == ".deb":
        stream = io.BytesIO(lzma.decompress(_deb_member(path.read_bytes(), "data.tar.xz")))
    else:
        stream = io.BytesIO(path.read_bytes())
    with tarfile.open(fileobj=stream) as archive:
        return {item.name: archive.extractfile(item).read() for item in archive if item.isfile()}


def _deb_member(data: bytes, wanted: str) -> bytes:
    """A `.deb` is an `ar` archive: a header of 60 bytes (name, size) before each member, padded to even length."""
    offset = len(b"!<arch>\n")
    while offset < len(data):
        name = data[offset : offset + 16].decode().strip().rstrip("/")
        size = int(data[offset + 48 : offset + 58])
        offset += 60
        if name == wanted:
            return data[offset : offset + size]
        offset += size + size % 2
    raise ValueError(f"no {wanted} in the Debian package")


# ---- Art ----


class Art:
    """Glyphs of four vendors as transparent squares: `art("twemoji", "1F600")`; `None` where one is missing."""

    def __init__(self, paths: dict[str, Path]):
        self._paths = paths
        self._cache: dict[tuple[str, str], Image.Image | None] = {}
        self._icon_sets: dict[str, tuple[dict, dict[str, str]]] = {}

    def __call__(self, vendor: str, hexcode: str) -> Image.Image | None:
        key = (vendor, hexcode)
        if key not in self._cache:
            self._cache[key] = getattr(self, f"_{vendor}")(hexcode)
        return self._cache[key]

    SIZE = 128

    def _twemoji(self, hexcode: str) -> Image.Image | None:
        return self._icon("twemoji", hexcode, 36)

    def _fluent(self, hexcode: str) -> Image.Image | None:
        return self._icon("fluent", hexcode, 32)

    def _icon(self, vendor: str, hexcode: str, side: int) -> Image.Image | None:
        icons, names = self._icons(vendor)
        name = names.get(_plain(hexcode))
        if name not in icons:
            return None
        body = icons[name]["body"]
        return _render(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}">{body}</svg>')

    def _openmoji(self, hexcode: str) -> Image.Image | None:
        svg = self._openmoji_files.get(_plain(hexcode))
        return None if svg is None else _render(svg.decode())

    def _noto(self, hexcode: str) -> Image.Image | None:
        glyph = self._noto_glyph([int(part, 16) for part in _plain(hexcode).split("-")])
        bitmap = self._noto_bitmaps.get(glyph)
        if bitmap is None:
            return None
        with Image.open(io.BytesIO(bitmap.imageData)) as image:
            glyph = image.convert("RGBA")
        return _square(glyph)

    def _noto_glyph(self, codes: list[int]) -> str | None:
        font_glyphs = [self._noto_cmap.get(code) for code in codes]
        if None in font_glyphs:
            return None
        return font_glyphs[0] if len(font_glyphs) == 1 else self._noto_ligatures.get(tuple(font_glyphs))

    def _icons(self, vendor: str) -> tuple[dict, dict[str, str]]:
        if vendor not in self._icon_sets:
            files = read_tar(self._paths[vendor])
            icons = json.loads(files["package/icons.json"])["icons"]
            characters = json.loads(files["package/chars.json"])
            self._icon_sets[vendor] = icons, {_plain(code.upper()): name for code, name in characters.items()}
        return self._icon_sets[vendor]

    @cached_property
    def _openmoji_files(self) -> dict[str, bytes]:
        files = read_tar(self._paths["openmoji"])
        pattern = re.compile(r"package/color/svg/([0-9A-F-]+)\.svg")
        return {_plain(found[1]): data for name, data in files.items() if (found := pattern.fullmatch(name))}

    @cached_property
    def _noto_font(self) -> TTFont:
        return TTFont(io.BytesIO(read_tar(self._paths["noto"])["./usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"]))

    @cached_property
    def _noto_cmap(self) -> dict[int, str]:
        return self._noto_font.getBestCmap()

    @cached_property
    def _noto_bitmaps(self) -> dict:
        return {name: glyph for strike in self._noto_font["CBDT"].strikeData for name, glyph in strike.items()}

    @cached_property
    def _noto_ligatures(self) -> dict[tuple[str, ...], str]:
        found = {}
        for lookup in self._noto_font["GSUB"].table.LookupList.Lookup:
            for table in lookup.SubTable:
                table = getattr(table, "ExtSubTable", table)
                for first, ligatures in getattr(table, "ligatures", {}).items():
                    for ligature in ligatures:
                        found[(first, *ligature.Component)] = ligature.LigGlyph
        return found


def _plain(hexcode: str) -> str:
    return "-".join(part for part in hexcode.split("-") if part != "FE0F")


def _render(svg: str) -> Image.Image:
    # Larger than needed, because a vendor's margin is cut off before the glyph is brought to its size.
    side = 2 * Art.SIZE
    data = resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side, skip_system_fonts=True)
    with Image.open(io.BytesIO(bytes(data))) as image:
        return _square(image.convert("RGBA"))


def _square(glyph: Image.Image) -> Image.Image:
    """The drawing without its margin, in the middle of a transparent square."""
    glyph = glyph.crop(glyph.getchannel("A").point(lambda alpha: 255 * (alpha > 8)).getbbox())
    square = Image.new("RGBA", (max(glyph.size),) * 2)
    square.paste(glyph, ((square.width - glyph.width) // 2, (square.height - glyph.height) // 2))
    return square.resize((Art.SIZE,) * 2, Image.Resampling.LANCZOS)
