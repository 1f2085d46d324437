"""Counts of a benchmark next to the expected ones, with the reason for a difference where it is known."""

from ..data.releases import counts_of
from .findings import Findings, Tally
from .mentions import Columns, mention_count


# Keys of expected statistics that are a part or the sum of others here.
_TOTAL = "mentions"


def measure_statistics(splits: dict[str, Columns], entities: int, report: dict) -> dict:
    """Counts of mentions, sentences and entities, in all and by split.

    `sentences` are distinct ones. `captions` are the records of a release that has several mentions in one; they are
    known only from the converter's report, and there are more of them than sentences where a sentence repeats.
    """
    reported = report.get("splits") or {}
    sentences = {split: {text for text in columns["text"] if text} for split, columns in splits.items()}
    by_split = {}
    for split, columns in splits.items():
        golds = {gold for gold in columns["entity_id"] if gold is not None}
        by_split[split] = {
            "mentions": len(columns["id"]),
            "sentences": len(sentences[split]),
            "captions": (reported.get(split) or {}).get("captions"),
            "nil": columns["entity_id"].count(None),
            "gold_entities": len(golds),
            "with_picture": None if report.get("no_pictures") else columns["image_status"].count("ok"),
        }
    everything = [gold for columns in splits.values() for gold in columns["entity_id"]]
    return {
        "mentions": mention_count(splits),
        "sentences": len(set().union(*sentences.values())),
        "captions": _captions(splits, [counts["captions"] for counts in by_split.values()]),
        "nil": everything.count(None),
        "gold_entities": len(set(everything) - {None}),
        "entities": entities,
        "splits": by_split,
    }


def _captions(splits: dict[str, Columns], reported: list[int | None]) -> int | None:
    """All captions. Where mentions were dealt out one by one a caption is in several splits, but counts once."""
    if not reported or None in reported:
        return None
    # Converters of captions call a mention `<caption id>-<position>`; their own counts tell whether this is one.
    ids = [{(mention_id or "").rpartition("-")[0] for mention_id in columns["id"]} for columns in splits.values()]
    return len(set().union(*ids)) if [len(found) for found in ids] == reported else sum(reported)


def compare(statistics: dict, published: dict, report: dict, findings: Findings) -> list[dict]:
    """Each expected number next to the one found.

    Args:
        statistics (`dict`): from `measure_statistics`.
        published (`dict`): expected numbers by name: `train`, `validation`, `test` (mentions), `mentions`, `sentences`,
            `captions`, `entities`, or `<split>_sentences` and the like. Any value of a list or tuple is right. What is
            not a number is passed over.
        report (`dict`): of the converter, for the reasons.
        findings ([`Findings`]): takes `statistics_differ` and `statistics_unexplained`.

    Returns:
        `list[dict]`: `name`, `here` (`None` if it cannot be counted in these data), `published`, `explanation`
        (`None` where the numbers are equal, `"unexplained"` where no reason is known).
    """
    differ, unexplained = Tally("statistics_differ", "statistics"), Tally("statistics_unexplained", "statistics")
    rows = []
    here = _flat(statistics)
    numbers = {name: values for name, value in published.items() if (values := counts_of(value))}
    if _TOTAL not in numbers and {"train", "validation", "test"} <= numbers.keys():
        numbers[_TOTAL] = [sum(numbers[split][0] for split in ("train", "validation", "test"))]
    for name, values in numbers.items():
        found = here.get(name)
        row = {"name": name, "here": found, "published": values[0] if len(values) == 1 else values}
        if found is None:
            row["explanation"] = "cannot be counted in these data"
        elif found in values:
            row["explanation"] = None
        else:
            reason = _reason(name, found, values, here, numbers, report)
            row["explanation"] = reason or "unexplained"
            tally = differ if reason else unexplained
            told = " or ".join(f"{value:,}" for value in values)
            tally.hit("published", None, name, f"{found:,} here, {told} expected: {row['explanation']}")
        rows.append(row)
    findings.close_all((differ, unexplained), len(rows))
    return rows


def _flat(statistics: dict) -> dict:
    flat = {name: value for name, value in statistics.items() if name != "splits"}
    for split, counts in statistics["splits"].items():
        flat[split] = counts["mentions"]
        flat.update({f"{split}_{name}": value for name, value in counts.items()})
    return flat


def _reason(name: str, found: int, values: list[int], here: dict, published: dict, report: dict) -> str | None:
    removed = _left_out(name, report)
    if any(0 < value - found <= removed if name == "sentences" else found + removed == value for value in values):
        return f"the reader left out {removed:,} mention{'s' * (removed > 1)}"
    if name == "entities":
        lost = (report.get("other_records_left_out") or {}).get("entities", 0)
        if lost and found + lost in values:
            return f"the reader left out {lost:,} record{'s' * (lost > 1)}"
        if report.get("knowledge_base") == "gold entities":
            return "this release has no knowledge base; these are the gold entities alone, which makes linking easier"
        return None
    if name == "sentences" and here.get("captions") in values:
        return f"the expected number counts captions; {values[0] - found:,} of them repeat a sentence"
    if name == "captions" and here.get("sentences") in values:
        return f"the expected number counts distinct sentences; {found - values[0]:,} captions repeat one"
    total = published.get(_TOTAL)
    if name in ("train", "validation", "test") and total and here[_TOTAL] in total:
        rule = report.get("split_rule")
        return "the same mentions in all, split otherwise" + (f" ({rule})" if rule else "")
    part = report.get("part_of_release")
    if part and found < values[0]:
        return f"only {part} were read"
    lost = report.get("captions_in_no_split")
    if lost and found < values[0]:
        return f"{lost:,} captions are in no split"
    return None


def _left_out(name: str, report: dict) -> int:
    """Mentions that the reader of the files left out: of a split, else of all."""
    splits = report.get("splits") or {}
    chosen = [splits[name]] if name in splits else splits.values() if name in (_TOTAL, "sentences") else ()
    return sum(counts.get("left_out", 0) + counts.get("leaked", 0) for counts in chosen)
