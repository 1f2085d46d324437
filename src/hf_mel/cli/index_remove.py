"""`hf-mel index remove INDEX`"""

from dataclasses import dataclass, field
from pathlib import Path

from ..data.problems import counted
from .options import parse


@dataclass
class RemoveOptions:
    """Options of `hf-mel index remove`."""

    ids: list[str] = field(default_factory=list, metadata={"help": "Ids of entities."})
    ids_file: str | None = field(default=None, metadata={"help": "A text file with an id on each line."})
    missing_ok: bool = field(default=False, metadata={"help": "Pass over ids that are not in the index."})
    compact: bool = field(
        default=False, metadata={"help": "Also write the index anew without the rows of removed entities."}
    )


def run(argv: list[str]) -> None:
    """Removes entities and prints how many."""
    about = "Take entities out of an index. If any id is not in it, all such ids are listed and nothing is removed."
    options, folder = parse("index remove", about, RemoveOptions, argv, ("index", "Folder of an index."))
    ids = [*options.ids, *(_lines(Path(options.ids_file)) if options.ids_file is not None else [])]
    if not ids and not options.compact:
        raise ValueError("name the entities by --ids or --ids_file")
    from ..linking import EntityIndex

    index = EntityIndex.load(folder)
    change = index.remove(ids, missing_ok=options.missing_ok)
    if options.compact:
        index.compact()
    print(f"{counted(change.removed, 'entity', 'entities')} removed; {folder} holds {len(index):,}")


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: save it as such") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
