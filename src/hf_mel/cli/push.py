"""`hf-mel push KIND DIR org/name`"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..data.problems import counted
from .options import parse


if TYPE_CHECKING:
    from ..mteb import MTEBExport


@dataclass
class PushOptions:
    """Options of `hf-mel push`."""

    private: bool = field(default=False, metadata={"help": "Make a private repository."})
    revision: str | None = field(default=None, metadata={"help": "A branch, which is made if it is not there."})
    message: str | None = field(default=None, metadata={"help": "Of the commit."})
    license: str | None = field(default=None, metadata={"help": "Of an index that has no card, such as cc-by-4.0."})
    mteb: bool = field(
        default=False,
        metadata={
            "help": "Of a dataset: first write corpus, queries, qrels, mteb_tasks.py and eval.yaml into the folder, for a "
            "retrieval task of mteb. With --dry_run they are written, and nothing is sent."
        },
    )
    dry_run: bool = field(default=False, metadata={"help": "Check the folder and list its files; send nothing."})


def run(argv: list[str]) -> None:
    """Publishes a folder in one commit."""
    about = "Publish a folder on the Hub: it is checked, sent in one commit, and looked at afterwards."
    positional = [
        ("kind", "model, dataset, index or space."),
        ("folder", "What is published."),
        ("repo_id", "The repository: org/name."),
    ]
    options, (kind, folder, repo_id) = parse("push", about, PushOptions, argv, positional)
    if options.mteb and kind != "dataset":
        raise ValueError(f"--mteb is for `hf-mel push dataset`, not for {kind!r}: leave it out")
    from ..hub import publish

    found = publish(folder, repo_id, kind, **vars(options))
    for file in found.files:
        print(f"{file.size:>15,}  {file.path}")
    for path in found.removed:
        print(f"{'removed':>15}  {path}")
    if found.mteb is not None:
        print("mteb: " + show_export(found.mteb))
    print(f"{found.size:>15,}  bytes in {counted(len(found.files), 'file')}")
    print(f"nothing was sent to {repo_id}" if found.commit is None else f"{found.url} at {found.commit}")


def show_export(export: "MTEBExport") -> str:
    """One line about the tasks that were written: names, documents, and queries and NIL mentions of each split."""
    splits = (f"{split} {count:,} ({export.nil[split]:,} NIL left out)" for split, count in export.queries.items())
    return f"{', '.join(export.tasks)}; {counted(export.corpus, 'document')}; queries: {', '.join(splits)}"
