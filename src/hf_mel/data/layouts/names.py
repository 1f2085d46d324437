"""Names in the releases: spelled in several ways, quoted, used twice."""

import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from ..problems import listed
from .base import SPLIT_NAMES


logger = logging.getLogger(__name__)

BENCHMARKS = ("wikimel", "richpediamel", "wikidiverse")


def plain(name: str) -> str:
    """Letters and digits alone, so that `WikiDiverse` and `wiki_diverse` are one name."""
    return re.sub(r"[\W_]", "", name).casefold()


def entries(folder: Path) -> list[str]:
    """Names in a folder, in order, without hidden ones (archives bring `._WIKIMEL_train.json`); none if it is not there."""
    return sorted(name for name in os.listdir(folder) if not name.startswith(".")) if folder.is_dir() else []


def named(folder: Path, name: str) -> Path:
    """A file whatever its case; the name itself if there is none."""
    return next((folder / other for other in entries(folder) if other.lower() == name), folder / name)


def split_files(folder: Path, end: str) -> dict[str, dict[str, list[Path]]]:
    """Files such as `WIKIMEL_train.json` by benchmark and split.

    Args:
        folder (`Path`): where they are.
        end (`str`): what their names end with, without the dot, such as `"json"`.
    """
    pattern = re.compile(rf"({'|'.join(BENCHMARKS)})({'|'.join(SPLIT_NAMES)}){end}")
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for name in entries(folder):
        match = pattern.fullmatch(plain(name))
        if match is not None and (folder / name).is_file():
            found[match[1]][SPLIT_NAMES[match[2]]].append(folder / name)
    return found


def benchmark_folders(folder: Path, entity_file: str, end: str) -> dict[str, list[Path]]:
    """Folders of each benchmark: the folder itself if the file of the entities is in it, or else those in it that have one."""
    inner = [folder / name for name in entries(folder) if (folder / name).is_dir()]
    found: dict[str, list[Path]] = defaultdict(list)
    for place in [folder] if named(folder, entity_file).is_file() else inner:
        if named(place, entity_file).is_file():
            for benchmark in split_files(place, end):
                found[benchmark].append(place)
    return found


def one_file_a_split(files: dict[str, list[Path]]) -> dict[str, Path]:
    """The file of each split.

    Raises:
        `ValueError`: lists the files of those splits that have several, as under two spellings.
    """
    doubled = [path for paths in files.values() if len(paths) > 1 for path in paths]
    if doubled:
        raise ValueError(f"several files of one split, keep one of each: {listed(doubled)}")
    return {split: paths[0] for split, paths in files.items()}


def choose_benchmark(layout: str, folder: Path, there: Iterable[str], asked: str | None) -> str:
    """Chooses the benchmark to read among those in a folder: the one that is asked for, or the only one.

    Raises:
        `ValueError`: says which are there.
    """
    there = sorted(there)
    if asked is not None and plain(asked) in there:
        return plain(asked)
    if asked is not None:
        raise ValueError(f"benchmark={asked!r}: {folder} holds {listed(there)} in the layout {layout!r}")
    if len(there) > 1:
        raise ValueError(f"{folder} holds {listed(there)}: choose one by `benchmark=`")
    return there[0]


def unquoted(text: str) -> str:
    """A name without URL quoting (`Virgin%20Mary`); untouched where `%` quotes nothing that is text."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return text


# ---- Picture folders ----


def picture_folder(parent: Path, spellings: tuple[str, ...]) -> Path:
    """The subfolder that has one of these names, whatever its case; the first name if there is none.

    Raises:
        `ValueError`: several are there, and nothing tells which holds the pictures.
    """
    wanted = {plain(name) for name in spellings}
    found = [parent / name for name in entries(parent) if plain(name) in wanted and (parent / name).is_dir()]
    if len(found) > 1:
        raise ValueError(
            f"{parent} holds {listed(path.name for path in found)}: keep the folder with the pictures, or name it by `images=`"
        )
    return found[0] if found else parent / spellings[0]


def leads_out(name: str) -> bool:
    """Returns `True` if a name in a file would reach beyond its folder: no release has a reason to."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts


# ---- Ids of mentions ----


def make_ids_unique(mentions: dict[str, list[dict]]) -> dict:
    """Changes ids that are used twice, by one rule for all rows of a benchmark, so that an id tells where it is from.

    Where ids repeat within a split (they are those of captions), each gets its number among the equal ones: `17-0`,
    `17-1`. Where they then still repeat between splits, each begins with its split: `train-17-0`.

    Returns:
        `dict`: counts for the report.
    """
    within = sum(len(rows) - len({row["id"] for row in rows}) for rows in mentions.values())
    if within:
        for rows in mentions.values():
            seen: Counter[str] = Counter()
            for row in rows:
                number = seen[row["id"]]
                seen[row["id"]] += 1
                row["id"] = f"{row['id']}-{number}"
    total = sum(len(rows) for rows in mentions.values())
    between = total - len({row["id"] for rows in mentions.values() for row in rows})
    if between:
        for split, rows in mentions.items():
            for row in rows:
                row["id"] = f"{split}-{row['id']}"
    return {"ids_repeated_within_splits": within, "ids_repeated_between_splits": between}
