"""Results that papers report on the benchmarks of the field. They are quoted, not measured."""

from dataclasses import dataclass
from pathlib import Path

import yaml


PUBLISHED = Path(__file__).parent / "paper_results.yaml"


@dataclass(frozen=True)
class PublishedResult:
    """
    A system's numbers on a benchmark, as papers print them.

    Args:
        system (`str`): Its name.
        paper (`str`, *optional*): Where it was published, if that is known here.
        kb_text (`str`): What the system reads of an entity: attributes, description or triples.
        metrics (`dict[str, float]`): `hits@1` and `mrr`, in percent.
    """

    system: str
    paper: str | None
    kb_text: str
    metrics: dict[str, float]


def published_results(benchmark: str | None) -> list[PublishedResult]:
    """
    The numbers of a benchmark, in the order of the field's tables; none for one that papers do not use.

    Example:

    ```python
    >>> from hf_mel.hub.paper_results import published_results

    >>> {each.system: each.metrics["hits@1"] for each in published_results("wikidiverse")}["MIMIC"]
    63.51
    >>> published_results("emojimel")
    []
    ```
    """
    rows = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    return [
        PublishedResult(row["system"], row.get("paper"), row["kb_text"], row[benchmark])
        for row in rows
        if benchmark in row and isinstance(row[benchmark], dict)
    ]


def published_table() -> str:
    """
    All of them as a Markdown table, a row a system.

    Example:

    ```python
    >>> from hf_mel.hub.paper_results import published_table

    >>> print(published_table().splitlines()[5])
    | MIMIC | 87.98 / 91.82 | 81.02 / 86.95 | 63.51 / 73.44 | attributes | Luo et al., KDD 2023 |
    ```
    """
    benchmarks = {"wikimel": "WikiMEL", "richpediamel": "RichpediaMEL", "wikidiverse": "WikiDiverse"}
    lines = [f"| H@1 / MRR | {' | '.join(benchmarks.values())} | text of an entity | paper |", "|---" * 6 + "|"]
    for row in yaml.safe_load(PUBLISHED.read_text(encoding="utf-8")):
        numbers = [f"{row[name]['hits@1']:.2f} / {row[name]['mrr']:.2f}" for name in benchmarks]
        lines.append(f"| {row['system']} | {' | '.join(numbers)} | {row['kb_text']} | {row.get('paper', '')} |")
    return "\n".join(lines)
