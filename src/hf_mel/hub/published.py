"""What papers report on the benchmarks of the field. It is quoted, not measured."""

from dataclasses import dataclass
from pathlib import Path

import yaml


PUBLISHED = Path(__file__).parent / "published.yaml"


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
    >>> from hf_mel.hub.published import published_results

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
