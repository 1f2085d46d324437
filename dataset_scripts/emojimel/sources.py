"""The inputs of EmojiMEL, pinned by version and checksum, and how each is read."""

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


# A noun is used as one at least a third as often as in its most frequent part of speech.
NOUN_SHARE = 1 / 3

NPM = "https://registry.npmjs.org"
DEBIAN = "https://deb.debian.org/debian/pool/main"


@dataclass(frozen=True)
class Source:
    """A file to download: its name in the folder of sources, where it comes from, and its checksum."""

    file: str
    url: str
    sha256: str


SOURCES = {
    "cldr": Source(
        "cldr-annotations-full-48.2.0.tgz",
        f"{NPM}/cldr-annotations-full/-/cldr-annotations-full-48.2.0.tgz",
        "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
    ),
    "emojibase": Source(
        "emojibase-data-17.0.0.tgz",
        f"{NPM}/emojibase-data/-/emojibase-data-17.0.0.tgz",
        "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
    ),
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
    "wordnet": Source(
        "wordnet-base_3.0-37_all.deb",
        f"{DEBIAN}/w/wordnet/wordnet-base_3.0-37_all.deb",
        "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
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


# ---- Texts ----


def read_cldr(path: Path) -> dict[str, tuple[str, list[str]]]:
    """Short name and keywords by emoji (without variation selectors)."""
    data = json.loads(read_tar(path)["package/annotations/en/annotations.json"])["annotations"]["annotations"]
    return {
        emoji.replace("\ufe0f", ""): (entry["tts"][0], entry["default"])
        for emoji, entry in data.items()
        if "tts" in entry and "default" in entry
    }


def read_emojibase(path: Path) -> list[dict]:
    """The emoji in their usual order: `hexcode`, `emoji`, `group` and `subgroup` in words, `gender` where it has one."""
    files = read_tar(path)
    names = json.loads(files["package/en/messages.json"])
    groups = {group["order"]: group["message"] for group in names["groups"]}
    # Two subgroups share the number 46, seafood and sweets; the data mean the sweets.
    subgroups = {subgroup["order"]: subgroup["message"] for subgroup in names["subgroups"]}
    rows = [row for row in json.loads(files["package/en/data.json"]) if "group" in row]
    for row in rows:
        row["group"], row["subgroup"] = groups[row["group"]], subgroups[row["subgroup"]]
    return sorted(rows, key=lambda row: row["order"])


def read_nouns(path: Path) -> set[str]:
    """Words that WordNet knows as nouns, and that its tagged texts do not use mainly as another part of speech."""
    files = read_tar(path)
    uses: dict[str, dict[str, int]] = {}
    for part in ("noun", "verb", "adj", "adv"):
        for line in files[f"./usr/share/wordnet/index.{part}"].decode().splitlines():
            if not line.startswith(" "):
                uses.setdefault(line.split(" ", 1)[0], {})[part] = 0
    of_type = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}
    for line in files["./usr/share/wordnet/cntlist.rev"].decode().splitlines():
        key, _, count = line.split(" ")
        lemma, sense = key.split("%")
        if lemma in uses and of_type[sense[0]] in uses[lemma]:
            uses[lemma][of_type[sense[0]]] += int(count)
    return {
        word for word, parts in uses.items() if "noun" in parts and NOUN_SHARE * max(parts.values()) <= parts["noun"]
    }


# ---- Art ----


class Art:
    """The glyphs of three vendors as transparent squares: `art("twemoji", "1F600", 96)`; `None` where one is missing."""

    def __init__(self, paths: dict[str, Path]):
        self._paths = paths
        self._cache: dict[tuple[str, str], Image.Image | None] = {}

    def __call__(self, vendor: str, hexcode: str) -> Image.Image | None:
        key = (vendor, hexcode)
        if key not in self._cache:
            self._cache[key] = getattr(self, f"_{vendor}")(hexcode)
        return self._cache[key]

    SIZE = 128

    def _twemoji(self, hexcode: str) -> Image.Image | None:
        icons, names = self._icons
        name = names.get(_plain(hexcode))
        if name not in icons:
            return None
        return _render(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36">{icons[name]["body"]}</svg>')

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

    @cached_property
    def _icons(self) -> tuple[dict, dict[str, str]]:
        files = read_tar(self._paths["twemoji"])
        icons = json.loads(files["package/icons.json"])["icons"]
        characters = json.loads(files["package/chars.json"])
        return icons, {_plain(code.upper()): name for code, name in characters.items()}

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
