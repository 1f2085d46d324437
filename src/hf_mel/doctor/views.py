"""Rows of the report's tables, the same in a terminal and on a page."""

from ..data.releases import Release
from .leakage import explained


def percent(share: float | None) -> str:
    """`"19.6 %"`; something that is not nothing never reads `0.0 %`."""
    if share is None:
        return "–"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def number(value) -> str:
    """Digits in groups; a list says that sources differ."""
    if value is None:
        return "–"
    return " or ".join(map(number, value)) if isinstance(value, (list, tuple)) else f"{value:,}"


def split_rows(statistics: dict) -> list[list[str]]:
    """Heading and a row for each split, then all together; nothing for a knowledge base alone."""
    if not statistics.get("splits"):
        return []
    names = ("mentions", "captions", "sentences", "nil", "gold_entities", "with_picture")
    rows = [["split", "mentions", "captions", "distinct sentences", "NIL", "gold entities", "with picture"]]
    for split, counts in statistics["splits"].items():
        rows.append([split, *(number(counts[name]) for name in names)])
    if len(rows) > 2:
        pictured = [counts["with_picture"] for counts in statistics["splits"].values()]
        with_picture = None if None in pictured else sum(pictured)
        rows.append(["all", *(number(statistics[name]) for name in names[:-1]), number(with_picture)])
    # A column that no layout but a few can fill is left out where it says nothing.
    empty = {column for column in range(1, len(rows[0])) if all(row[column] == "–" for row in rows[1:])}
    return [[cell for column, cell in enumerate(row) if column not in empty] for row in rows]


def published_heading(release: Release | None) -> str:
    """Heading of the table of `published_rows`."""
    return "Next to the expected numbers" if release is None else f"Next to the complete release ({release.title})"


def published_rows(published: list[dict]) -> list[list[str]]:
    """Each expected number next to the one found."""
    rows = [["", "here", "expected", "difference"]]
    for row in published:
        verdict = "equal" if row["explanation"] is None else row["explanation"]
        rows.append([row["name"], number(row["here"]), number(row["published"]), verdict])
    return rows


def leakage_rows(leakage: list[dict]) -> list[list[str]]:
    """One row a pair of splits: shares of the later split's captions, mentions and entities."""
    rows = [["pair", "captions", "normalised", "mentions", "if dealt by mention", "entities", "mentions of these"]]
    for pair in leakage:
        expected = pair["expected_if_dealt_by_mention"]
        rows.append(
            [
                f"{pair['later']} in {pair['earlier']}",
                percent(pair["captions"]["share"]),
                percent(pair["captions_normalised"]["share"]),
                percent(pair["captions"]["mentions_share"]),
                f"{percent(expected['captions_share'])} / {percent(expected['mentions_share'])}",
                percent(pair["entities"]["share"]),
                percent(pair["entities"]["mentions_share"]),
            ]
        )
    return rows


def leakage_notes(leakage: list[dict]) -> list[str]:
    """Returns notes on the causes of leakage, each with the pairs of splits that it concerns."""
    pairs: dict[str, list[str]] = {}
    for pair in leakage:
        pairs.setdefault(explained(pair), []).append(f"{pair['later']} in {pair['earlier']}")
    return [f"{', '.join(names)}: {reason}" for reason, names in pairs.items()]


def ambiguity_rows(ambiguity: dict) -> list[list[str]]:
    """Mentions by the number of entities of that name, and by that of entities with it within a name."""
    total = sum(ambiguity["same_name"].values())
    rows = [["entities", "mention is a name", "share", "within a name", "share"]]
    for bucket, mentions in ambiguity["same_name"].items():
        row = [bucket]
        for count in (mentions, ambiguity["within_name"][bucket]):
            row += [number(count), percent(count / total if total else None)]
        rows.append(row)
    return rows


def ambiguity_notes(ambiguity: dict) -> list[str]:
    """Returns notes on what the rows count, and on how often the gold entity is among them."""
    linked = ambiguity["linked"]
    same, within = (
        percent(ambiguity[f"gold_{kind}"] / linked if linked else None) for kind in ("same_name", "within_name")
    )
    notes = [
        "Mentions by the number of entities whose name or alias is the mention, or has all its words.",
        f"The gold entity is among them for {same} and {within} of the linked mentions.",
    ]
    if most := ambiguity["most_ambiguous"]:
        some = ", ".join(f"{entry['mention']} ({entry['entities']:,})" for entry in most[:5])
        notes.append(f"Within the most names: {some}.")
    return notes


def candidate_rows(candidates: dict) -> list[list[str]]:
    """Recall by split."""
    rows = [["split", "linked mentions", "recall@10", "recall@100"]]
    for split, recall in candidates["recall"].items():
        rows.append([split, number(recall["linked"]), percent(recall["recall@10"]), percent(recall["recall@100"])])
    return rows


def candidate_note(candidates: dict) -> str:
    return f"Candidates among {candidates['entities']:,} entities: {candidates['index']}."


def details(found) -> str:
    """The parts of a count, for example `train 12, test 3`."""
    return ", ".join(f"{name} {number(value)}" for name, value in found.details.items())
