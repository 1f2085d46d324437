"""`hf-mel link CHECKPOINT`"""

import json
from dataclasses import dataclass, field

from ..data import EMBEDDED, KnowledgeBase, load_data, open_image
from ..linking import Linker
from ..runs import load_checkpoint, pick_device
from .options import parse, print_error


@dataclass
class LinkOptions:
    """Options of `hf-mel link`."""

    kb: str = field(
        metadata={"help": "Knowledge base: a folder of Parquet, a Parquet or JSONL file, emojimel or miniature."}
    )
    text: str = field(metadata={"help": "The sentence."})
    mention: str = field(metadata={"help": "The words in it that name an entity."})
    image: str | None = field(default=None, metadata={"help": "A picture file."})
    top_k: int = field(default=5, metadata={"help": "Candidates to print."})
    json: bool = field(default=False, metadata={"help": "Print JSON."})


def run(argv: list[str]) -> None:
    """Links one mention and prints the candidates."""
    about = "Link one mention."
    options, folder = parse("link", about, LinkOptions, argv, ("checkpoint", "Folder or Hub id of a model."))
    kb = load_data(options.kb).entities if options.kb in EMBEDDED else KnowledgeBase.load(options.kb)
    image, status = (None, "none") if options.image is None else open_image(options.image, strict=True)
    if status == "blank":
        print_error(f"{options.image} shows one colour: the mention is linked without it")
    model, processor = load_checkpoint(folder)
    linker = Linker(model.to(pick_device()), processor, kb, progress=not options.json)
    found = linker.link(options.text, options.mention, image, top_k=options.top_k)
    if options.json:
        print(json.dumps([candidate.to_dict() for candidate in found], ensure_ascii=False))
        return
    for candidate in found:
        print(f"{candidate.score:6.3f}  {candidate.entity_id}  {candidate.name}  ({candidate.text})")
