"""The report of a run: what there is to show of it, and what is missing and why."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..checkpoint import load_checkpoint, pick_device
from ..data import MELData, check_mentions
from ..evaluation import AMBIGUITY, EvaluationResult, Group
from ..linking import EntityIndex, Linker
from . import plots
from .calibration_sections import calibration_sections
from .curves import curve_table, curves_of
from .groups import group_table
from .mistakes import LinkedSplit, Mistake, link_split, worst_mistakes
from .page import html_page
from .run_files import STATE_FILE, RunFiles, read_run
from .sections import Absent, Section


PAGE = "report.html"
_NO_DATA = "no data were given: `--data` names them"


@dataclass
class Report:
    """
    A run to be looked at.

    Args:
        name (`str`): The run.
        results (`dict[str, EvaluationResult]`): By split.
        sections (`list[Section]`): What there is to show, in order.
        absent (`list[Absent]`): What there is not, and why.
        split (`str`, *optional*): The split that was looked at.

    Example:

    ```python
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> from hf_mel.reporting import make_report

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = [{"epoch": 1.0, "step": 5, "eval_mrr": 0.5}, {"epoch": 2.0, "step": 10, "eval_mrr": 0.7}]
    ...     _ = Path(folder, "trainer_state.json").write_text(json.dumps({"log_history": log}))
    ...     report = make_report(folder)
    ...     page = report.save(Path(folder, "report"))
    ...     sorted(path.name for path in page.parent.iterdir())
    ['report.html', 'validation_mrr.png']
    >>> report.section("validation_mrr").table
    [['epoch', 'step', 'MRR'], ['1', '5', '0.5000'], ['2', '10', '0.7000']]
    ```
    """

    name: str
    results: dict[str, EvaluationResult] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    split: str | None = None

    def section(self, key: str) -> Section | None:
        """The section of that key, if there is something to show."""
        return next((section for section in self.sections if section.key == key), None)

    def add(self, part: Section | Absent) -> None:
        """Puts a section, or that it is missing, at the end."""
        (self.sections if isinstance(part, Section) else self.absent).append(part)

    def to_html(self) -> str:
        """A page that needs no other file."""
        return html_page(self.name, self.results, self.sections, self.absent)

    def save(self, folder: str | os.PathLike) -> Path:
        """
        Writes `report.html` and a PNG for each plot. PNGs of an earlier report which this one does not have are removed.

        Returns:
            `Path` of the page.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        made = {f"{section.key}.png": section.plot.light for section in self.sections if section.plot is not None}
        for name, png in made.items():
            _write(folder / name, png)
        for absent in self.absent:
            (folder / f"{absent.key}.png").unlink(missing_ok=True)
        _write(folder / PAGE, self.to_html().encode("utf-8"))
        return folder / PAGE


def _write(path: Path, content: bytes) -> None:
    """A file that stands there is replaced whole or not at all."""
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def make_report(
    run_dir: str | os.PathLike,
    data: MELData | None = None,
    *,
    split: str | None = None,
    index: EntityIndex | str | os.PathLike | None = None,
    num_mistakes: int = 12,
    progress: bool = False,
) -> Report:
    """
    Collects what a run left. Nothing is trained, and no number is made up: what is missing is named in `absent`.

    Args:
        run_dir (`str` or `os.PathLike`):
            The output folder of a training.
        data ([`MELData`], *optional*):
            What the run was evaluated on. With it come the weights of the pictures and the worst mistakes, for which the
            split is linked once more.
        split (`str`, *optional*):
            Split to look at. Defaults to test where there is one, else to the last, of the data or of the results.
        index ([`EntityIndex`], `str` or `os.PathLike`, *optional*):
            The entities, encoded by the model of the run; by default those of the data are encoded now.
        num_mistakes (`int`, *optional*, defaults to 12):
            Mistakes to show.
        progress (`bool`, *optional*, defaults to `False`):
            Show progress bars.

    Returns:
        [`Report`].

    Raises:
        `FileNotFoundError`: there is no such folder.
        `ValueError`: there is nothing of a run in it, a file of it is damaged, the data have no such split, or the index is of
            another model.
        `ImportError`: matplotlib is not installed.
    """
    plots.figure_class()  # found out now, not after the linking
    if num_mistakes < 1:
        raise ValueError(f"num_mistakes must be at least 1, got {num_mistakes}")
    if index is not None and data is None:
        raise ValueError("an index is linked to for the mentions of data: give these too")
    run = read_run(run_dir)
    split = _split(list(run.results if data is None else data.mentions), split, data is not None)
    if data is not None:
        check_mentions(data.mentions, data.entities)
    report = Report(run.folder.resolve().name, run.results, split=split)
    _add_curves(report, run)
    _add_groups(report, run, split)
    _add_linked(report, run, data, split, index, num_mistakes, progress)
    for part in calibration_sections(run):
        report.add(part)
    return report


def _split(splits: list[str], split: str | None, of_data: bool) -> str | None:
    if not splits and of_data:
        raise ValueError("the data have entities, but no mentions")
    if split is None:
        return "test" if "test" in splits else splits[-1] if splits else None
    if split not in splits:
        where = "" if of_data else " among the results"
        raise ValueError(f"there is no split {split!r}{where}, only {', '.join(splits) or 'none'}")
    return split


# ---- Training ----


def _add_curves(report: Report, run: RunFiles) -> None:
    try:
        curves = curves_of(run.history)
    except ValueError as error:
        raise ValueError(f"{run.folder / (run.history_file or STATE_FILE)}: {error}") from error
    # One span for all, so that what begins late, such as the generator, is seen to do so.
    epochs = [epoch for _, series in curves for each in series for epoch in each.epochs if math.isfinite(epoch)]
    span = (min(epochs), max(epochs)) if epochs else None
    for kind, series in curves:
        shown = [each for each in series if each.finite]
        if not shown:
            reason = f"there is no {STATE_FILE}" if run.history_file is None else kind.absent
            report.add(Absent(kind.key, kind.title, "no logged value is finite" if series else reason))
            continue
        note = kind.note
        lost = sum(len(each.values) - each.finite for each in series)
        if lost:
            note += f" {lost:,} logged values are not finite: they leave a gap."
        missing = [label for name, label in kind.names.items() if name not in {each.name for each in shown}]
        if missing:
            note += f" Nothing was logged of: {', '.join(missing)}."
        plot = plots.render(plots.draw_curves(kind, shown, span), plots.curves_alt(shown), 2.2 + 1.3 * len(shown))
        report.add(Section(kind.key, kind.title, note, "training", plot, curve_table(series)))


# ---- Hits of groups ----

_GROUPS = {"image_quality": "Hits by picture", "ambiguity": "Hits by ambiguity"}


def _add_groups(report: Report, run: RunFiles, split: str | None) -> None:
    result = run.results.get(split)
    groups = {} if result is None else result.groups
    column = next((name for name in groups if name != AMBIGUITY), None)
    if result is None:
        where = "" if split is None else f" of the {split} split"
        reason = f"there is no result{where}: `hf-mel evaluate ... --output_dir {run.folder.name}` writes one"
    else:
        reason = f"the result of the {split} split has none"
    if column is None:
        report.add(Absent("image_quality", _GROUPS["image_quality"], reason))
    else:
        note = f"As measured on the {split} split, by the column `{column}`."
        report.add(_group_section("image_quality", note, groups[column], "picture"))
    if AMBIGUITY not in groups:
        report.add(Absent("ambiguity", _GROUPS["ambiguity"], reason))
        return
    note = (
        "By the number of namesakes: entities of which the name or an alias is the mention, or holds all its words; case, width "
        f"and spacing do not count. 0: no entity is called so. As measured on the {split} split."
    )
    report.add(_group_section("ambiguity", note, groups[AMBIGUITY], "namesakes"))


def _group_section(key: str, note: str, groups: Sequence[Group], heading: str) -> Section:
    alt = "; ".join(f"{group.name}: hits@1 {group.metrics['hits@1']:.1%} of {group.count:,}" for group in groups)
    plot = plots.render(plots.draw_groups(groups), alt, plots.groups_height(groups))
    return Section(key, _GROUPS[key], note, "results", plot, group_table(groups, heading))


# ---- Linked once more ----

_GATE, _MISTAKES = ("gate", "Weight of the pictures"), ("mistakes", "Worst mistakes")


def _add_linked(
    report: Report,
    run: RunFiles,
    data: MELData | None,
    split: str | None,
    index: EntityIndex | str | os.PathLike | None,
    number: int,
    progress: bool,
) -> None:
    reason = _NO_DATA if data is None else None if run.has_model else "the run has no model"
    if reason:
        for key, title in (_GATE, _MISTAKES):
            report.add(Absent(key, title, reason))
        return
    model, processor = load_checkpoint(str(run.folder))
    entities = data.entities if index is None else index
    linker = Linker(model.to(pick_device()), processor, entities, progress=progress)
    mentions = data.mentions[split]
    linked = link_split(linker, mentions, progress)
    report.add(_gate_section(linked, split))
    found = worst_mistakes(linker, mentions, data.entities, linked, number)
    report.add(_mistake_section(found, linked, split, len(linker.index)))


def _gate_section(linked: LinkedSplit, split: str) -> Section | Absent:
    weights = {f"mentions of {split}": linked.mention_weights, "entities": linked.entity_weights}
    weights = {name: values for name, values in weights.items() if len(values)}
    if not weights:
        reason = "the model does not look at pictures, or has no gate"
        if linked.weights_of_judged is not None:
            reason = "no mention and no entity has a picture"
        return Absent(*_GATE, reason)
    rows = [["", "with a picture", "mean", "lowest", "median", "highest"]]
    for name, values in weights.items():
        shares = (values.mean(), values.min(), np.median(values), values.max())
        rows.append([name, f"{len(values):,}", *(f"{100 * share:.1f} %" for share in shares)])
    alt = "; ".join(f"{row[0]}: {row[1]} with a picture, mean weight {row[2]}" for row in rows[1:])
    note = (
        "How much of an embedding comes from the picture. Without a picture it is nothing: such mentions and entities are "
        "left out."
    )
    plot = plots.render(plots.draw_gate(weights), alt, 1.6 + 1.3 * len(weights))
    return Section(*_GATE, note, "pictures", plot, rows)


def _mistake_section(found: Sequence[Mistake], linked: LinkedSplit, split: str, num_entities: int) -> Section | Absent:
    judged = len(linked.rows)
    left_out = ""
    if linked.num_nil or linked.num_lost:
        left_out = f" Left out: {linked.num_nil:,} NIL, {linked.num_lost:,} whose entity is not in the index."
    if not found:
        reason = f"none of the {judged:,} mentions of the {split} split has a better-scored wrong entity.{left_out}"
        return Absent(*_MISTAKES, reason)
    wrong = len(linked.worst(judged))
    note = (
        f"Where a wrong entity is furthest ahead of the one that is meant: {len(found):,} of {wrong:,} mistakes among "
        f"{judged:,} mentions of the {split} split, linked now against {num_entities:,} entities, largest "
        f"margin first.{left_out}"
    )
    return Section(*_MISTAKES, note, "mistakes", mistakes=list(found))
