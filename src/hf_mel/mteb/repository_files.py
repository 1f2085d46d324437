"""Text files of a retrieval task of mteb: the task file, `eval.yaml`, and a section of the card."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import DatasetCard
from jinja2 import Environment, StrictUndefined


TASK_FILE = "mteb_tasks.py"
EVAL_FILE = "eval.yaml"
TEMPLATE = Path(__file__).with_name("mteb_tasks.py.jinja")
TASK_METRICS = ("hits@1", "hits@3", "hits@5", "hits@10", "mrr")
"""Metrics of which `eval.yaml` declares a task for each split. Model repositories name them in `.eval_results/`."""

MARK = "Written by hf_mel"
"""Stands in the files that are replaced when they are written again. Without it a file belongs to somebody else."""

_UNKNOWN_LANGUAGE = "und"
_LANGUAGES = {
    "ar": "ara-Arab", "bn": "ben-Beng", "bg": "bul-Cyrl", "ca": "cat-Latn", "cs": "ces-Latn", "da": "dan-Latn",
    "de": "deu-Latn", "el": "ell-Grek", "en": "eng-Latn", "es": "spa-Latn", "et": "est-Latn", "fa": "fas-Arab",
    "fi": "fin-Latn", "fr": "fra-Latn", "he": "heb-Hebr", "hi": "hin-Deva", "hr": "hrv-Latn", "hu": "hun-Latn",
    "id": "ind-Latn", "it": "ita-Latn", "ja": "jpn-Jpan", "ko": "kor-Kore", "lt": "lit-Latn", "lv": "lav-Latn",
    "nl": "nld-Latn", "no": "nor-Latn", "pl": "pol-Latn", "pt": "por-Latn", "ro": "ron-Latn", "ru": "rus-Cyrl",
    "sk": "slk-Latn", "sl": "slv-Latn", "sr": "srp-Cyrl", "sv": "swe-Latn", "th": "tha-Thai", "tr": "tur-Latn",
    "uk": "ukr-Cyrl", "vi": "vie-Latn", "zh": "zho-Hans",
}  # fmt: skip


@dataclass(frozen=True)
class TaskFacts:
    """
    Facts about a data set that its task file holds.

    Args:
        repo_id (`str`): The repository.
        title (`str`): Name of the data set.
        class_name (`str`): The same as the beginning of a Python name.
        splits (`list[str]`): Splits with queries.
        pictures (`bool`): Mentions and entities have pictures.
        content (`str`): Changes when the data do.
        languages (`list[str]`): As mteb writes them, such as `eng-Latn`.
        license (`str`, *optional*): As the Hub writes it.
    """

    repo_id: str
    title: str
    class_name: str
    splits: list[str]
    pictures: bool
    content: str
    languages: list[str]
    license: str | None

    @classmethod
    def of_card(cls, card: DatasetCard, repo_id: str, splits: list[str], pictures: bool, content: str) -> "TaskFacts":
        """Reads title, languages and licence from the front matter of a card; what it does not say is left open."""
        given = card.data.to_dict()
        title = str(given.get("pretty_name") or repo_id.split("/")[-1])
        words = re.findall(r"[A-Za-z0-9]+", title)
        class_name = "".join(word[0].upper() + word[1:] for word in words)
        if not class_name[:1].isalpha():
            class_name = f"MEL{class_name}"
        languages = given.get("language") or []
        languages = [languages] if isinstance(languages, str) else languages
        codes = dict.fromkeys(_LANGUAGES.get(str(code), _UNKNOWN_LANGUAGE) for code in languages)
        license = given.get("license")
        license = license[0] if isinstance(license, list) and license else license
        return cls(
            repo_id, title, class_name, splits, pictures, content, list(codes) or [_UNKNOWN_LANGUAGE], license or None
        )

    @property
    def tasks(self) -> dict[str, str]:
        """Category (`t2t` or `it2it`) of each class of the task file."""
        categories = ["t2t", "it2it"] if self.pictures else ["t2t"]
        return {f"{self.class_name}{category.upper()}Retrieval": category for category in categories}

    @property
    def eval_splits(self) -> list[str]:
        """The split that mteb evaluates by default: `test`, or else the last one."""
        return ["test"] if "test" in self.splits else self.splits[-1:]


def task_id(split: str, metric: str) -> str:
    """Id of the task of a split and a metric, the same in `eval.yaml` and in `.eval_results/` of a model."""
    return f"{split}_{metric}"


def task_file(facts: TaskFacts) -> str:
    """The Python file with the tasks of a data set. It needs mteb, and not this package."""
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    environment.filters["py"] = repr
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(facts=facts, mark=MARK)


def is_written_here(path: Path) -> bool:
    """Returns `True` if a text file has the mark of generated ones."""
    return path.is_file() and MARK in path.read_text(encoding="utf-8", errors="replace")


def eval_yaml(facts: TaskFacts) -> str:
    """
    The `eval.yaml` of a data set. It has the documented fields only: `name`, `description`, `evaluation_framework`, and
    `id`, `config` and `split` of each task.
    """
    tasks = []
    for name in facts.tasks:
        # mteb names the results of a task in these two ways; a task has one split by default, so both are the same.
        ids = [(each, split) for split in facts.eval_splits for each in (name, f"{name}_default_{split}")]
        tasks += [{"id": each, "config": "queries", "split": split} for each, split in ids]
    for split in facts.splits:
        if split != "train":
            tasks += [{"id": task_id(split, metric), "config": "queries", "split": split} for metric in TASK_METRICS]
    content = {
        "name": facts.title,
        "description": f"Multimodal entity linking on {facts.title}: each mention is ranked against all entities of the "
        "knowledge base. Scores are shares from 0 to 1.",
        "evaluation_framework": "mteb",
        "tasks": tasks,
    }
    return f"# {MARK}; without this line it is kept.\n" + yaml.safe_dump(
        content, sort_keys=False, allow_unicode=True, width=1_000
    )


def section(facts: TaskFacts) -> str:
    """A section of the card about the task file."""
    names = ", ".join(f"`{name}` ({category})" for name, category in facts.tasks.items())
    return f"""## As a retrieval task of mteb

The configs `corpus`, `queries` and `qrels` hold the same data as mteb reads them: entities are documents, mentions are
queries; NIL mentions are left out. `{TASK_FILE}` has the tasks {names}.

```python
import sys

import mteb
from huggingface_hub import snapshot_download

sys.path.insert(0, snapshot_download("{facts.repo_id}", repo_type="dataset"))
from mteb_tasks import {next(iter(facts.tasks))}

mteb.evaluate(mteb.get_model("sentence-transformers/all-MiniLM-L6-v2"), {next(iter(facts.tasks))}())
```"""
