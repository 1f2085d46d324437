"""Entities and pictures of the original WikiDiverse: links to Wikipedia, tables of text, md5 sums as file names."""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..problems import Problems, listed
from .names import unquoted


logger = logging.getLogger(__name__)

# Releases have `nhttps`, `hhttps`, `]https` and `ttps`; and `//wiki/` in links that were joined carelessly.
_LINK = re.compile(
    r"(?P<typo>.{0,5}?)(?P<scheme>h?ttps?)://((?P<language>[\w-]+)\.(m\.)?)?wikipedia\.org/+wiki/(?P<title>.+)"
)
_FIELDS = "@@@@"
_IMAGES = "[AND]"
_CURE = "Fetch the file again, or correct these lines."


def title_of(link: str) -> tuple[str, bool]:
    """The id of the entity that a link or a title names, and whether the link had to be repaired.

    The id is the title in the URL without quoting, with `_` in place of blanks and without `#section`. Titles of other
    languages than English begin with their code, as `de:Berlin`. A link that does not lead to Wikipedia is its own id.
    """
    link = link.strip()
    match = _LINK.fullmatch(link)
    if match is None:
        return (link if "://" in link else "_".join(unquoted(link).split())), False
    title = "_".join(unquoted(match["title"].partition("#")[0]).split())
    prefix = f"{match['language']}:" if match["language"] not in (None, "en", "www") else ""
    return prefix + title, bool(match["typo"]) or match["scheme"].startswith("t")


def name_of(entity_id: str) -> str:
    """`Detroit Lions` for the title `Detroit_Lions`."""
    return entity_id.replace("_", " ")


class WikimediaPictures:
    """Finds the file of an image URL in folders, each of which is listed once."""

    def __init__(self, *folders: Path):
        self.folders = folders
        self._usual = next((folder for folder in folders if folder.is_dir()), folders[0])
        self._names = {folder: set(os.listdir(folder)) if folder.is_dir() else set() for folder in folders}

    def path(self, url: str) -> Path:
        """The file of the URL; the name by the rule of the release if there is none."""
        names = _file_names(url.rsplit("/", 1)[-1])
        places = (folder / name for folder in self.folders for name in names if name in self._names[folder])
        return next(places, self._usual / names[0])

    def first(self, urls: list[str]) -> Path:
        """The file of the first URL that has one, else what the first should have."""
        paths = [self.path(url) for url in urls]
        return next((path for path in paths if path.name in self._names[path.parent]), paths[0])


def _file_names(base_name: str) -> list[str]:
    """md5 of the base name of the URL and its suffix, `.svg` as `.png`; then what the same files are called in practice.

    The script of the release knows JPEG, PNG and SVG alone; behind the sum of any other file stands its whole name.
    """
    names = []
    for base in (base_name, unquoted(base_name)):
        digest = hashlib.md5(base.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
        suffix = os.path.splitext(base)[1]
        suffix = ".png" if suffix.lower() == ".svg" else suffix
        names += [digest + suffix, digest + suffix.lower(), digest + base]
    return list(dict.fromkeys(names))


# ---- Tables ----


def read_entities(
    texts: Path | None,
    images: Path | None,
    pictures: WikimediaPictures,
    golds: Iterable[str],
    candidates: Iterable[str],
) -> tuple[Callable[[], Iterator[dict]], dict]:
    """The knowledge base: the rows of the tables, then what only the annotations name, so that no gold is without entity.

    Args:
        texts (`Path`, *optional*): `entity2desc`: a link or title, and a description.
        images (`Path`, *optional*): `entity2imgs`: a link or title, and image URLs.
        pictures ([`WikimediaPictures`]): where their files are.
        golds (`Iterable[str]`), candidates (`Iterable[str]`): ids in the annotations.

    Returns:
        a function that gives an iterator over the rows, and a `dict` of counts. Ids and file names are kept in memory,
        descriptions are not.

    Raises:
        `ValueError`: lists every line that cannot be read.
    """
    table = texts or images
    known, repeated = _ids(table) if table is not None else ({}, [])
    if repeated:
        logger.warning("%s: duplicate ids %s; the first line of each is used", table, listed(sorted(set(repeated))))
    further = dict.fromkeys(golds)
    counts = {"repeated_entities": len(repeated), "gold_only_in_annotations": sum(key not in known for key in further)}
    further |= dict.fromkeys(candidates)
    only = [key for key in further if key not in known]
    counts["candidates_only_in_annotations"] = len(only) - counts["gold_only_in_annotations"]
    files: dict[str, Path] = {}
    if images is not None:
        files, more = _files(images, pictures, known.keys() | further.keys())
        counts |= more
    lines = set(known.values())

    def entities() -> Iterator[dict]:
        if table is not None:
            for row, (_, entity_id, text) in enumerate(_lines(table, Problems(str(table), _CURE))):
                if row in lines:
                    yield _row(entity_id, text if table is texts else None, files.get(entity_id), row)
        for entity_id in only:
            yield _row(entity_id, None, files.get(entity_id), None)

    return entities, counts


def _row(entity_id: str, text: str | None, image: Path | None, row: int | None) -> dict:
    name = name_of(entity_id)
    return {"id": entity_id, "name": name, "description": text or None, "image": image, "source_row": row}


def _ids(table: Path) -> tuple[dict[str, int], list[str]]:
    """Row of each id, and the ids of the rows that are left out because theirs has one already."""
    problems = Problems(str(table), _CURE)
    rows: dict[str, int] = {}
    repeated = []
    for row, (_, entity_id, _) in enumerate(_lines(table, problems)):
        if entity_id in rows:
            repeated.append(entity_id)
        rows.setdefault(entity_id, row)
    problems.raise_if_any()
    return rows, repeated


def _files(table: Path, pictures: WikimediaPictures, wanted: Iterable[str]) -> tuple[dict[str, Path], dict]:
    """The picture of each wanted entity, and counts."""
    problems = Problems(str(table), _CURE)
    files: dict[str, Path] = {}
    counts = {"entities_with_a_picture_name": 0, "further_entity_pictures": 0, "picture_lines_of_no_entity": 0}
    for number, entity_id, text in _lines(table, problems):
        urls = [url.strip() for url in text.split(_IMAGES) if url.strip()]
        if any("/" not in url for url in urls):
            problems.add(f"line {number}", f"{text!r:.60} are no image URLs joined by {_IMAGES!r}")
        elif entity_id not in wanted:
            counts["picture_lines_of_no_entity"] += 1
        elif urls and entity_id not in files:
            files[entity_id] = pictures.first(urls)
            counts["entities_with_a_picture_name"] += 1
            counts["further_entity_pictures"] += len(urls) - 1
    problems.raise_if_any()
    return files, counts


def _lines(table: Path, problems: Problems) -> Iterator[tuple[int, str, str]]:
    """Number, id and text of the lines; a header and empty lines are left out."""
    with open(table, "rb") as file:
        for number, encoded in enumerate(file, 1):
            try:
                line = encoded.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                problems.add(f"line {number}", f"is not UTF-8 ({error.reason} at byte {error.start})")
                continue
            key, found, text = line.partition(_FIELDS)
            if not line.strip() or (number == 1 and _is_header(key, text)):
                continue
            entity_id = title_of(key)[0]
            if not found:
                problems.add(f"line {number}", f"{line!r:.60} has no {_FIELDS!r} between entity and text")
            elif not entity_id:
                problems.add(f"line {number}", "names no entity")
            else:
                yield number, entity_id, text.strip()


def _is_header(key: str, text: str) -> bool:
    """`entity@@@@wiki_imgs`; no description is such a word."""
    return bool(re.match(r"(entity|title|name|url|wiki)\w*$", key, re.I) and re.match(r"\w+$", text))
