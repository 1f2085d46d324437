"""The card of a folder from Wikidata, so that `load_dataset` knows its two tables."""

from pathlib import Path

from datasets import DatasetInfo, Features, SplitDict, SplitInfo
from huggingface_hub import DatasetCard, DatasetCardData

from ...compat.datasets import add_configs
from ..shards import described


_TEXT = """
# {name}

{entities:,} entities of Wikidata, read by `hf-mel data wikidata`. An entity's id is its QID. `wikidata_report.json` counts what
was read and left out.

```python
from datasets import load_dataset
from hf_mel import KnowledgeBase

kb = KnowledgeBase.load("{name}")
more = load_dataset("./{name}", "wikidata", split="train")  # sitelinks, types, file name and URL of the picture
```

Names in {languages}. Wikidata's data are in the public domain (CC0 1.0). Pictures on Wikimedia Commons are not part of this
folder and have licences of their own.
"""


def write_card(folder: Path, name: str, report: dict, tables: dict[str, Features]) -> None:
    """Writes `README.md` with the configs of the tables.

    Args:
        folder (`Path`): where the tables are, as `<table>/train-*.parquet`.
        name (`str`): the name of the folder at its final place.
        report (`dict`): the report of the run.
        tables (`dict[str, Features]`): columns by table; the first is the default config.
    """
    infos = {}
    for table, features in tables.items():
        files = [file for file in report["files"] if file["file"].startswith(f"{table}/")]
        infos[table] = DatasetInfo(
            description=described(table, [file["sha256"] for file in files]),
            features=features,
            splits=SplitDict({"train": SplitInfo("train", num_examples=report["entities"])}),
        )
    languages = report["options"]["languages"]
    data = DatasetCardData(
        language=[language for language in languages if language.isalpha()] or None,
        license="cc0-1.0",
        pretty_name=name,
        tags=["entity-linking", "knowledge-base", "wikidata", "hf_mel"],
    )
    add_configs(data, infos, default=next(iter(tables)))
    text = _TEXT.format(name=name, entities=report["entities"], languages=", ".join(languages))
    card = str(DatasetCard(f"---\n{data.to_yaml()}\n---\n{text}"))
    (folder / "README.md").write_text(card, encoding="utf-8")
