"""`hf-mel link CHECKPOINT`"""

import json
import sys
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING

from ..data.problems import counted
from .linkers import LinkerOptions, make_linker, open_entities, open_picture
from .options import parse, print_error
from .reading import DELIMITER_HELP, MENTION_FIELDS, check_places, parse_columns, parse_delimiter


if TYPE_CHECKING:
    from PIL import Image

    from ..linking import LinkedMention, Linker
    from ..linking.batch import BatchReport, RdfNames, TableInput


_TABLE = "a .csv, .tsv, .jsonl, .json, .parquet or .xlsx file, a folder of pictures with metadata.csv, .jsonl or .parquet, or a data set"


@dataclass(kw_only=True)
class LinkOptions(LinkerOptions):
    """Options of `hf-mel link`."""

    index: str | None = field(
        default=None, metadata={"help": "The entities: folder or Hub id of an index (`hf-mel index build`)."}
    )
    kb: str | None = field(
        default=None,
        metadata={"help": "Or a knowledge base, encoded now: emojimel, miniature, a folder, a Parquet or JSONL file."},
    )
    text: str | None = field(default=None, metadata={"help": "One sentence."})
    mention: str | None = field(default=None, metadata={"help": "The words in it that name an entity."})
    start: int | None = field(
        default=None, metadata={"help": "The character at which they begin; their first occurrence by default."}
    )
    image: str | None = field(default=None, metadata={"help": "A picture file."})
    json: bool = field(default=False, metadata={"help": "Print JSON."})
    input: str | None = field(default=None, metadata={"help": f"Or many sentences: {_TABLE}."})
    output: str | None = field(
        default=None, metadata={"help": "The file of their results: .jsonl, .csv, .tsv, .parquet, .nt or .jsonld."}
    )
    rejects: str | None = field(
        default=None,
        metadata={"help": "The file of rejected rows, if there are any; OUTPUT.rejects.jsonl by default."},
    )
    format: str | None = field(default=None, metadata={"help": "The form of OUTPUT, whatever its suffix."})
    split: str | None = field(default=None, metadata={"help": "The split of a data set."})
    columns: list[str] = field(
        default_factory=list,
        metadata={"help": "Columns of INPUT, such as mention=label text=caption; id= for none."},
    )
    delimiter: str | None = field(default=None, metadata={"help": DELIMITER_HELP})
    images: str | None = field(
        default=None, metadata={"help": "Folder in which the paths of pictures start; by default that of INPUT."}
    )
    allow_missing_images: bool = field(
        default=False, metadata={"help": "Link rows whose picture is missing or unreadable without it."}
    )
    ner: str | None = field(
        default=None,
        metadata={"help": "Folder or Hub id of a token-classification model: finds the mentions where none is given."},
    )
    top_k: int = field(default=5, metadata={"help": "Candidates of each mention."})
    threshold: float | None = field(
        default=None,
        metadata={
            "help": "NIL if the probability that the entity is a candidate is lower; by default that of the calibration."
        },
    )
    score_threshold: float | None = field(default=None, metadata={"help": "NIL below this score."})
    types: list[str] = field(default_factory=list, metadata={"help": "Only entities of these types."})
    prediction_set: float | None = field(
        default=None,
        metadata={
            "help": "Also answer with the set that holds the right answer but for this error rate, such as 0.1."
        },
    )
    chunk_size: int = field(default=1_000, metadata={"help": "Rows after which what is done is noted."})
    overwrite: bool = field(default=False, metadata={"help": "Replace OUTPUT and the file of rejected rows."})
    restart: bool = field(default=False, metadata={"help": "Do not go on from what an interrupted run left."})
    base_iri: str | None = field(
        default=None, metadata={"help": "For linked data: where the names of annotations begin, an IRI of your own."}
    )
    entity_iri: str | None = field(
        default=None, metadata={"help": "The IRI of an entity, such as http://www.wikidata.org/entity/{id}."}
    )
    source_iri: str | None = field(
        default=None, metadata={"help": "The IRI of a text, with {id} for that of its row."}
    )


ABOUT = (
    "Link one mention (--text, --mention), or all rows of a file (--input, --output). Exit status 0: all are linked; "
    "1: some rows were rejected; 2: the command cannot be run. After an interruption the same command goes on."
)
# True of every way to have no probabilities: no calibration, fewer than four entities, equal scores.
_UNDECIDED = "there are no probabilities. Calibrate with 50 or more labelled mentions, or give --score_threshold"
_ONE = ("text", "mention", "start", "image", "json")
_MANY = (
    *("input", "output", "rejects", "format", "split", "columns", "delimiter", "images", "allow_missing_images"),
    *("chunk_size", "overwrite", "restart", "base_iri", "entity_iri", "source_iri"),
)


def run(argv: list[str]) -> int:
    """Links, and prints the candidates or a summary."""
    options, folder = parse("link", ABOUT, LinkOptions, argv, ("checkpoint", "Folder or Hub id of a model."))
    _check_usage(options)
    if options.input is None:
        image = open_picture(options.image)
        for linked in _link_one(_linker(folder, options), options, image):
            _print("\n".join(shown(linked)))
        return 0
    from ..linking.batch import BatchOptions, link_file

    try:
        report = link_file(
            lambda: _linker(folder, options),
            _source(options),
            options.output,
            options=BatchOptions(**_how(options)),
            rejects=options.rejects,
            format=options.format,
            rdf=_names(options),
            chunk_size=options.chunk_size,
            overwrite=options.overwrite,
            restart=options.restart,
            progress=True,
        )
    except KeyboardInterrupt:
        print_error(f"\ninterrupted; the same command goes on from where it was noted for {options.output}")
        return 130
    for line in summary(report):
        _print(line)
    return int(report.rejected > 0)


def _check_usage(options: LinkOptions) -> None:
    if (options.index is None) == (options.kb is None):
        raise ValueError("give the entities, either by --index or by --kb")
    if (options.input is None) == (options.text is None):
        raise ValueError("give either one sentence (--text, --mention) or a file (--input, --output)")
    given = {
        each.name
        for each in fields(options)
        if getattr(options, each.name) != (each.default if each.default is not MISSING else each.default_factory())  # type: ignore[misc]
    }
    one = options.text is not None
    wrong = [f"--{name}" for name in (_MANY if one else _ONE) if name in given]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: not with {'--text' if one else '--input'}")
    if one and (options.mention is None) == (options.ner is None):
        raise ValueError("--text needs either --mention, or --ner to find the mentions")
    if one and options.ner is not None and options.start is not None:
        raise ValueError("--start: not with --ner")
    if not one and options.output is None:
        raise ValueError("--input needs --output, the file of the results")
    parse_columns("--columns", options.columns, MENTION_FIELDS)
    parse_delimiter(options.delimiter)
    check_places(options.images)


def _linker(folder: str, options: LinkOptions) -> "Linker":
    entities = open_entities(options.kb) if options.index is None else options.index
    return make_linker(folder, entities, options, progress=not options.json)


def _how(options: LinkOptions) -> dict:
    return {
        "top_k": options.top_k,
        "threshold": options.threshold,
        "score_threshold": options.score_threshold,
        "types": options.types or None,
        "prediction_set": options.prediction_set,
    }


# ---- One mention ----


def _link_one(linker: "Linker", options: LinkOptions, image: "Image.Image | None") -> "list[LinkedMention]":
    if options.ner is None:
        found = [linker.link(options.mention, options.text, image=image, start=options.start, **_how(options))]
    else:
        found = linker.link_text(options.text, ner=options.ner, image=image, **_how(options))
    if options.json:
        values = [linked.to_dict() for linked in found]
        _print(json.dumps(values if options.ner is not None else values[0], ensure_ascii=False))
        return []
    if not found:
        print_error("no mention was found in the text")
    return found


def shown(linked: "LinkedMention") -> list[str]:
    """Answer to a mention with its candidates, as text."""
    where = "not in the text" if linked.start is None else f"characters {linked.start} to {linked.end}"
    lines = [f"{linked.mention} ({where}): {_decision(linked)}"]
    facts = {"margin": linked.margin, "weight of the picture": linked.image_weight}
    known = [f"{name} {value:.3f}" for name, value in facts.items() if value is not None]
    lines += [f"  {', '.join(known)}"] if known else []
    columns = ("score", "probability", "text_score", "image_score", "image_weight", "name_score", "lexical_score")
    columns += ("p_value",)
    used = [name for name in columns if any(getattr(each, name) is not None for each in linked.candidates)]
    if linked.alpha is not None:
        names = {each.entity_id: each.name for each in linked.candidates}
        chosen = ["NIL" if each is None else f"{each} {names[each]}" for each in linked.prediction_set()]
        lines.append(f"  one of these, with an error rate of {linked.alpha:g}: {'; '.join(chosen)}")
    if linked.candidates:
        lines.append("  " + "  ".join(f"{name:>13}" for name in used) + "  entity")
    for each in linked.candidates:
        numbers = [getattr(each, name) for name in used]
        cells = [f"{'-' if number is None else format(number, '.3f'):>13}" for number in numbers]
        alias = f" [{each.matched_alias}]" if each.matched_alias not in (None, each.name) else ""
        lines.append(f"  {'  '.join(cells)}  {each.entity_id}  {each.name}{alias}  ({each.text})")
    return lines


def _decision(linked: "LinkedMention") -> str:
    if not linked.candidates:
        return "NIL, there is no candidate"
    if linked.is_nil:
        sure = f", probability {linked.nil_probability:.3f}{_by(linked)}" if linked.nil_probability is not None else ""
        return f"NIL{sure}: no entity fits well enough"
    sure = f", probability {linked.probability:.3f}{_by(linked)}" if linked.probability is not None else ""
    undecided = f"; not decided whether it is NIL: {_UNDECIDED}" if linked.is_nil is None else ""
    return f"{linked.entity_id} {linked.name}{sure}{undecided}"


def _by(linked: "LinkedMention") -> str:
    """Note on the origin of a probability; empty if it was fitted for this index."""
    return "" if linked.calibration == "fitted" else f" ({linked.calibration})"


# ---- Many mentions ----


def _source(options: LinkOptions) -> "TableInput":
    from ..linking.batch import TableInput
    from ..linking.spans import find_mentions, load_ner

    find = None
    if options.ner is not None:
        ner = load_ner(options.ner)

        def find(texts: list[str]):
            return find_mentions(texts, ner)

    return TableInput(
        options.input,
        split=options.split,
        columns=parse_columns("--columns", options.columns, MENTION_FIELDS),
        delimiter=parse_delimiter(options.delimiter),
        images=options.images,
        allow_missing_images=options.allow_missing_images,
        find_mentions=find,
        finder=options.ner,
    )


def _names(options: LinkOptions) -> "RdfNames | None":
    from ..linking.batch import RdfNames

    if options.base_iri is not None:
        return RdfNames(options.base_iri, options.entity_iri, options.source_iri)
    if options.entity_iri is not None or options.source_iri is not None:
        raise ValueError("--entity_iri and --source_iri need --base_iri, where the names of annotations begin")
    return None


def summary(report: "BatchReport") -> list[str]:
    """Summary of a linked file, in lines of text."""
    resumed = f", {report.resumed:,} of them by an earlier run" if report.resumed else ""
    nil = f"{report.nil:,} of them NIL"
    if report.undecided:
        nil += (
            f"\n{counted(report.undecided, 'mention')} of which it is not decided whether they are NIL: {_UNDECIDED}"
        )
    lines = [
        f"{counted(report.rows, 'row')} read{resumed}",
        f"{report.output}: {counted(report.mentions, 'mention')} linked, {nil}",
    ]
    if report.without_mention:
        lines.append(f"{counted(report.without_mention, 'row')} in which no mention was found")
    if report.not_in_text:
        lines.append(f"{counted(report.not_in_text, 'mention')} not found in the text")
    states = [f"{number:,} {name}" for name, number in sorted(report.images.items()) if number and name != "none"]
    if states:
        lines.append(f"pictures: {', '.join(states)}")
    if report.rejected:
        lines.append(f"{counted(report.rejected, 'row')} rejected: {report.rejects}")
        lines += [f"  {reason}" for reason in report.reasons]
        if report.more_rejected:
            lines.append(f"  ... and {counted(report.more_rejected, 'row')} more")
    return lines


def _print(text: str) -> None:
    """Text in any script on a terminal of any encoding."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))
