"""`hf-mel explain CHECKPOINT`"""

from dataclasses import dataclass, field
from pathlib import Path

from .linkers import LinkerOptions, make_linker, open_entities, open_picture
from .options import parse


@dataclass(kw_only=True)
class ExplainOptions(LinkerOptions):
    """Options of `hf-mel explain`."""

    text: str = field(metadata={"help": "The sentence."})
    mention: str = field(metadata={"help": "The words in it that name an entity."})
    index: str | None = field(
        default=None, metadata={"help": "The entities: folder or Hub id of an index (`hf-mel index build`)."}
    )
    kb: str | None = field(
        default=None,
        metadata={
            "help": "Or a knowledge base, encoded now: emojimel, miniature, a folder, a Parquet or JSONL file. Beside "
            "--index, pictures are taken from it."
        },
    )
    start: int | None = field(
        default=None, metadata={"help": "The character at which the mention begins; its first occurrence by default."}
    )
    image: str | None = field(default=None, metadata={"help": "A picture file."})
    top_k: int = field(default=5, metadata={"help": "Candidates to show."})
    gold: str | None = field(
        default=None, metadata={"help": "Id of the entity that should win: tell why it does not."}
    )
    threshold: float | None = field(
        default=None,
        metadata={
            "help": "NIL if the probability that the entity is a candidate is lower; by default that of the calibration."
        },
    )
    score_threshold: float | None = field(default=None, metadata={"help": "NIL below this score."})
    types: list[str] = field(default_factory=list, metadata={"help": "Only entities with one of these types."})
    max_words: int = field(default=48, metadata={"help": "Words to leave out, one at a time; 0: none."})
    html: str | None = field(default=None, metadata={"help": "Also write a page with the pictures."})
    json: str | None = field(default=None, metadata={"help": "Also write JSON."})


def run(argv: list[str]) -> None:
    """Links one mention, says why it was linked so, and writes that down."""
    about = "Say why an entity won."
    options, folder = parse("explain", about, ExplainOptions, argv, ("checkpoint", "Folder or Hub id of a model."))
    if options.index is None and options.kb is None:
        raise ValueError("which entities? Give --index, folder or Hub id of an index, or --kb, a knowledge base")
    for name in ("html", "json"):
        path = getattr(options, name)
        if path is not None and not Path(path).parent.is_dir():
            raise FileNotFoundError(f"--{name} {path}: there is no folder {Path(path).parent}")
    from ..linking import MentionQuery, explain

    image = open_picture(options.image)
    kb = None if options.kb is None else open_entities(options.kb)
    linker = make_linker(folder, kb if options.index is None else options.index, options)
    explanation = explain(
        linker,
        MentionQuery(options.mention, options.text, options.start, image),
        options.top_k,
        kb,
        gold=options.gold,
        threshold=options.threshold,
        score_threshold=options.score_threshold,
        types=options.types or None,
        max_words=options.max_words,
    )
    print(explanation.to_text())
    if options.html is not None:
        Path(options.html).write_text(explanation.to_html(), encoding="utf-8")
    if options.json is not None:
        Path(options.json).write_text(explanation.to_json(indent=2) + "\n", encoding="utf-8")
