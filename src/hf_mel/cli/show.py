"""Results as text for a terminal."""

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from datasets import Dataset

    from ..evaluation import EvaluationResult
    from ..linking import Linker


def metrics_line(result: "EvaluationResult") -> str:
    """One line with the metrics, one for the mentions whose captions are not in training if some are, one with the protocol."""
    names = [name for name in result.metrics if name.startswith(("T@", "retrieved", "hits@", "mrr"))]
    shown = "  ".join(f"{name} {100 * result.metrics[name]:.1f}" for name in names)
    lines = [f"{result.dataset}   {shown}"]
    if result.leaked and result.without_leaked:
        others = result.without_leaked
        shown = (
            "  ".join(f"{name} {100 * others[name]:.1f}" for name in names if name in others) or "no mention is left"
        )
        lines.append(f"  without {result.leaked['num_mentions']:,} mentions whose caption is also in train: {shown}")
    return "\n".join([*lines, f"  {result.protocol.describe()}"])


def show_links(linker: "Linker", mentions: "Dataset", count: int) -> None:
    """Prints some mentions of a data set with the entity that they are linked to, and the gold entity."""
    from ..data import load_images

    some = mentions.select(range(min(count, len(mentions))))
    texts, names, golds = some["text"][:], some["mention"][:], some["entity_id"][:]
    pictures = load_images(some)
    found = linker.link(names, texts, image=pictures, start=some["start"][:], top_k=1)
    for text, name, gold, picture, linked in zip(texts, names, golds, pictures, found, strict=True):
        best = linked.best
        verdict = "right" if best.entity_id == gold else f"gold entity: {gold or 'NIL'}"
        beside = "with picture" if picture is not None else "no picture"
        print(f"\n{text}  ({beside})\n  {name} -> {best.name} [{best.entity_id}], {best.text}  ({verdict})")
