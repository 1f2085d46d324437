"""The dataset card: what is known of the benchmark, and what the build counted."""

from pathlib import Path

from datasets import DatasetInfo, Features, Image, List, SplitDict, SplitInfo
from huggingface_hub import DatasetCard, DatasetCardData
from jinja2 import Environment, StrictUndefined, Template

from ...compat.datasets import add_configs
from ..benchmarks import Benchmark
from ..releases import Release, counts_of
from ..schema import ENTITY_FEATURES, IMAGE_STATUS, MENTION_FEATURES, SPLITS


TEMPLATE = Path(__file__).with_name("dataset_card.md.jinja")

_WHAT = {
    "id": "unique",
    "mention": "the words that name the entity",
    "text": "the text around them",
    "start": "where the mention begins in the sentence, in characters; null where it is not found literally",
    "end": "where it ends",
    "mention_type": "type of the entity; null where the release has none",
    "image": "the picture, with its original bytes; null where there is none that can be used",
    "image_status": "`ok`, `none`, `missing_file`, `unreadable` or `blank`",
    "entity_id": "the gold entity; null for a mention whose entity is not in the knowledge base (NIL)",
    "entity_name": "what the release calls it",
    "topic": "null where the release has none",
    "candidates": "ids of entities that the release gives each mention; of FissFuse sorted by id, because it has the gold "
    "entity always first",
    "language": "code of the language",
    "sentence_type": "`visual`, about what the painting shows, or `contextual`",
}
_WHAT_OF_ENTITY = {
    "id": "Wikidata id, or title in a Wikipedia URL",
    "name": "its name",
    "aliases": "other names",
    "description": "a phrase or a paragraph",
    "attributes": 'such as "Birth: 1900, Erie. Occupation: police officer."',
    "types": "classes that it belongs to",
    "image": _WHAT["image"],
    "image_status": _WHAT["image_status"],
    "source_row": "row in the released file",
}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def render_card(
    name: str,
    report: dict | None,
    infos: dict[str, DatasetInfo],
    benchmark: Benchmark | None,
    extra_features: Features,
) -> str:
    """The `README.md` of a dataset: YAML that `load_dataset` reads, and text.

    Args:
        name (`str`): what the folder is called.
        report (`dict`, *optional*): what a build counted; without, the card shows the counts of the release that papers use.
        infos (`dict[str, DatasetInfo]`): features, splits and sizes of the configs `mentions`, if there are any, and
            `entities`.
        benchmark ([`Benchmark`], *optional*): what is known of it; without, the card says what its owner has to add.
        extra_features (`Features`): columns of the mentions beside the schema's.
    """
    release = (benchmark.release(report) if report else benchmark.in_papers) if benchmark else None
    released = release.statistics if release else {}
    data = DatasetCardData(
        language=list(benchmark.languages) if benchmark else None,
        license=benchmark.license if benchmark else None,
        pretty_name=benchmark.title if benchmark else name,
        task_categories=["text-retrieval"],
        task_ids=["entity-linking-retrieval"],
        size_categories=[_size(report, released)],
        tags=["entity-linking", "multimodal", "knowledge-base", "hf_mel"],
    )
    add_configs(data, infos, default=next(iter(infos)))
    body = _template().render(
        name=name,
        title=benchmark.title if benchmark else name,
        info=benchmark,
        release=release,
        source=_source(benchmark, release),
        defects=[*(benchmark.defects if benchmark else ()), *(release.defects if release else ())],
        loading=_loading(name, benchmark),
        splits=list(infos["mentions"].splits) if "mentions" in infos else [],
        mention_columns=_columns(Features({**MENTION_FEATURES, **extra_features}), _WHAT),
        entity_columns=_columns(ENTITY_FEATURES, _WHAT_OF_ENTITY),
        statistics=_statistics(report, released) if report else _released(released),
        statuses=IMAGE_STATUS,
        pictures=_pictures(report) if report and not report.get("no_pictures") else [],
        built=_built(report) if report else "",
    )
    return str(DatasetCard(f"---\n{data.to_yaml()}\n---\n{body}"))


def card_without_build(benchmark: Benchmark, extra_features: Features) -> str:
    """The card of a benchmark of which no build is at hand: how it is loaded, and what was published about it."""
    infos = {
        config: DatasetInfo(splits=SplitDict({split: SplitInfo(split) for split in splits}))
        for config, splits in (("mentions", _splits(benchmark)), ("entities", ("train",)))
    }
    return render_card(benchmark.name, None, infos, benchmark, extra_features)


def _splits(benchmark: Benchmark) -> list[str]:
    """The splits of the release that papers use; all where it is not known."""
    known = benchmark.in_papers.statistics if benchmark.in_papers is not None else {}
    return [split for split in SPLITS if split in known] or list(SPLITS)


def _source(benchmark: Benchmark | None, release: Release | None) -> str:
    """Returns the source of the release that was built; if it is not known, the sources of all releases."""
    if release is not None or benchmark is None:
        return release.source if release else ""
    return f"{benchmark.source} <{benchmark.homepage}>" if benchmark.homepage else benchmark.source


def _size(report: dict | None, released: dict) -> str:
    if report is None:
        rows = sum(counts_of(released.get(key, 0))[0] for key in (*SPLITS, "entities"))
    else:
        rows = report["entities"] + sum(counts["mentions"] for counts in report["splits"].values())
    return next((label for limit, label in _SIZES if rows < limit), "1M<n<10M")


def _template() -> Template:
    # Not `DatasetCard.from_template`: it leaves an empty line for each tag, which breaks tables.
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _loading(name: str, benchmark: Benchmark | None) -> str:
    return f'load_benchmark("{name}", path="path/to/{name}")' if benchmark else f'load_data("path/to/{name}")'


def _columns(features: Features, what: dict[str, str]) -> list[tuple[str, str, str]]:
    return [(name, _kind(feature), what.get(name, "")) for name, feature in features.items()]


def _kind(feature) -> str:
    if isinstance(feature, Image):
        return "image"
    if isinstance(feature, List):
        return f"list of {_kind(feature.feature)}"
    return getattr(feature, "dtype", type(feature).__name__)


def _statistics(report: dict, released: dict) -> list[tuple[str, str, str]]:
    """Label, the number here and that of the release."""
    here = {split: counts["mentions"] for split, counts in report["splits"].items()}
    here |= {"sentences": report["sentences"]} if here else {}
    here["entities"] = report["entities"]
    rows = [(_label(key), _number(here[key]), _numbers(released.get(key))) for key in here]
    splits = report["splits"].values()
    if not splits:
        return rows
    further = {
        "mentions that cannot be used, left out": sum(counts.get("left_out", 0) for counts in splits) or None,
        "entities that cannot be used, left out": report.get("other_records_left_out", {}).get("entities"),
        "mentions of train whose caption is in another split, dropped": report["splits"]
        .get("train", {})
        .get("leaked"),
        "NIL mentions": sum(counts["nil"] for counts in splits),
        "mentions that do not stand in their sentence literally": sum(counts["not_in_text"] for counts in splits),
        "test sentences that also stand in train": report.get("test_sentences_in_train"),
        "test entities that train does not have": report.get("test_entities_unseen"),
    }
    return rows + [(label, _number(number), "") for label, number in further.items() if number is not None]


def _released(released: dict) -> list[tuple[str, str]]:
    return [(_label(key), _numbers(number)) for key, number in released.items()]


def _label(key: str) -> str:
    names = {"sentences": "distinct sentences", "entities": "entities", "mentions": "mentions"}
    return names.get(key, f"mentions, {key}")


def _pictures(report: dict) -> list[list[str]]:
    rows = {f"mentions, {split}": counts["images"] for split, counts in report["splits"].items()}
    rows["entities"] = report["entity_images"]
    return [[label, *(_number(counts.get(status, 0)) for status in IMAGE_STATUS)] for label, counts in rows.items()]


def _numbers(value) -> str:
    """A statistic of a release, which may have several values."""
    return " or ".join(_number(each) for each in counts_of(value))


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _built(report: dict) -> str:
    """Layout, split rule and options in words."""
    origin = report.get("origin", {})
    parts = [f"By `hf_mel` {report['built_with']['hf-mel']}"]
    if "layout" in origin:
        parts.append(f" from files in the layout `{origin['layout']}`")
    if origin.get("options"):
        parts.append(" with " + ", ".join(f"`{key}={value}`" for key, value in origin["options"].items()))
    parts.append(".")
    if "split_rule" in report:
        parts.append(f" Splits: {report['split_rule']}.")
    if "seed" in report:
        parts.append(f" Seed: {report['seed']}.")
    if report.get("no_pictures"):
        parts.append(" No picture was read.")
    side = report["build_options"]["max_image_side"]
    if side is not None:
        parts.append(f" Pictures with a side of more than {side} pixels were scaled down to it.")
    parts.append(" What was read, left out and found broken is counted in `build_report.json`.")
    return "".join(parts)
