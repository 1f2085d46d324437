"""`hf-mel index add INDEX`"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..data.problems import counted
from .linkers import open_model
from .options import parse, print_error
from .reading import KB_HELP, EntityTableOptions


if TYPE_CHECKING:
    from ..linking import EntityIndex
    from ..models import MatchingModel, MELProcessor


@dataclass(kw_only=True)
class AddOptions(EntityTableOptions):
    """Options of `hf-mel index add`."""

    kb: str = field(metadata={"help": f"The entities: {KB_HELP}"})
    model: str | None = field(
        default=None, metadata={"help": "Folder or Hub id of the model; by default where it was for the build."}
    )
    update: bool = field(default=False, metadata={"help": "Replace entities that are there with another content."})


def run(argv: list[str]) -> int:
    """Adds or replaces entities and prints how many."""
    about = (
        "Add entities to an index; the others are not encoded again. Entities that are there with the same content are "
        "left alone, so that the command can be repeated."
    )
    options, folder = parse("index add", about, AddOptions, argv, ("index", "Folder of an index."))
    reading = options.reading()
    from ..data import open_knowledge_base
    from ..linking import EntityIndex

    index = EntityIndex.load(folder)
    knowledge_base = open_knowledge_base(options.kb, **reading)
    if knowledge_base.text_field != index.manifest.text_field and any(knowledge_base.texts()):
        knowledge_base = open_knowledge_base(options.kb, **reading, text_field=index.manifest.text_field)
    model, processor = model_of(options.model, index)
    try:
        if options.update:
            change = index.update(model, processor, knowledge_base, add_missing=True, progress=True)
        else:
            change = index.add(model, processor, knowledge_base, progress=True)
    except KeyboardInterrupt:
        print_error("\ninterrupted; the index is what it was, and the same command goes on from there")
        return 130
    print(
        f"{counted(change.added, 'entity', 'entities')} added, {change.replaced:,} replaced, {change.unchanged:,} there already; "
        f"{folder} holds {len(index):,}"
    )
    return 0


def model_of(source: str | None, index: "EntityIndex") -> "tuple[MatchingModel, MELProcessor]":
    """The checkpoint that was named, or the one that the index remembers, on the device to run on."""
    source = source or index.model_source
    if source is None:
        raise ValueError(f"{index.folder} does not tell where its model is: name it by --model")
    return open_model(source)
