"""`hf-mel calibrate CHECKPOINT`"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.problems import counted
from .linkers import LinkerOptions, make_linker, open_entities
from .options import command_line, parse
from .reading import KB_HELP, MentionTableOptions


if TYPE_CHECKING:
    from datasets import Dataset

    from ..data import KnowledgeBase, MELData
    from ..linking import Calibration, Linker
    from ..linking.fit_calibration import CalibrationReport


REPORT_FILE = "calibration_report.json"
DATA, SPLIT = "emojimel", "validation"


@dataclass(kw_only=True)
class CalibrateOptions(LinkerOptions, MentionTableOptions):
    """Options of `hf-mel calibrate`."""

    data: str | None = field(
        default=None,
        metadata={
            "help": "emojimel (what is taken by default), miniature, a built folder, or one with released files."
        },
    )
    mentions: str | None = field(
        default=None,
        metadata={
            "help": "Or a table of labelled mentions, such as what `hf-mel review import` writes. All of them are used to "
            "fit; the entities are those of --index or --kb."
        },
    )
    kb: str | None = field(default=None, metadata={"help": f"The entities for --mentions: {KB_HELP}"})
    index: str | None = field(
        default=None,
        metadata={"help": "Folder or Hub id of the index to link to; by default the entities of the data."},
    )
    split: str | None = field(
        default=None, metadata={"help": "Split to fit on, by default validation; not one the model was trained on."}
    )
    report: str | None = field(
        default=None, metadata={"help": "Split to measure on; by default test, if there is one."}
    )
    nil_share: float = field(
        default=0.2,
        metadata={"help": "Share of the gold entities to hide, where a split has fewer than 20 NIL mentions."},
    )
    criterion: str = field(
        default="probability",
        metadata={
            "help": "What the NIL threshold is chosen by: probability, nil_f1, nil_balanced or accuracy. By default a mention is "
            "NIL where that is more probable than not."
        },
    )
    seed: int = field(default=0, metadata={"help": "Decides which entities are hidden."})
    output_dir: str | None = field(
        default=None, metadata={"help": f"Folder for {REPORT_FILE}, with the coverage-accuracy curve."}
    )
    overwrite: bool = field(
        default=False, metadata={"help": "Replace a saved calibration that was fitted for another set-up."}
    )


def run(argv: list[str]) -> None:
    """Fits, measures, prints and saves."""
    about = (
        "Fit probabilities and the NIL decision on labelled mentions, and save them: in the folder of the index, or without "
        "--index in that of the checkpoint."
    )
    options, checkpoint = parse(
        "calibrate", about, CalibrateOptions, argv, ("checkpoint", "Folder of a model, or its Hub id.")
    )
    if options.calibration is not None:
        raise ValueError("--calibration: not with `hf-mel calibrate`, which fits one")
    reading = _check_usage(options)
    from ..linking import calibrate
    from ..linking.fit_calibration import measure_calibration

    folder = _folder(options, checkpoint)
    labelled, measured, entities = _labelled(options, reading)
    linker = make_linker(checkpoint, entities, options, calibrated=False, progress=True)
    before = _before(folder, linker, options.overwrite)
    hiding = {"nil_share": options.nil_share, "seed": options.seed, "progress": True}
    calibration = calibrate(
        linker,
        labelled.mentions,
        criterion=options.criterion,
        data=labelled.data,
        split=labelled.split,
        **hiding,
    )
    report = None
    if measured is not None:
        report = measure_calibration(calibration, linker, measured.mentions, split=measured.split, **hiding)
        calibration = replace(calibration, metrics=calibration.metrics | {"measured": report.metrics})
    print(table(calibration))
    if options.output_dir is not None:
        _write_report(calibration, report, Path(options.output_dir), command_line("calibrate", argv))
    print(f"saved in {calibration.save(folder, overwrite=options.overwrite)}{before}")


@dataclass(frozen=True)
class _Labelled:
    """Labelled mentions, and what they are called."""

    mentions: "Dataset"
    data: str
    split: str


def _check_usage(options: CalibrateOptions) -> dict:
    """Checks the options, and returns those for reading a table of mentions."""
    if options.mentions is None:
        given = {
            "kb": options.kb,
            "columns": options.columns,
            "delimiter": options.delimiter,
            "images": options.images,
        }
        wrong = [f"--{name}" for name, value in given.items() if value]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: only with --mentions")
        return {}
    given = {"data": options.data, "split": options.split, "report": options.report}
    wrong = [f"--{name}" for name, value in given.items() if value is not None]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: not with --mentions, a table without splits")
    if (options.index is None) == (options.kb is None):
        raise ValueError("--mentions needs the entities, either by --index or by --kb")
    return options.reading()


def _labelled(options: CalibrateOptions, reading: dict) -> "tuple[_Labelled, _Labelled | None, KnowledgeBase | str]":
    """The mentions to fit on, those to measure on, if there are any, and the entities or their index."""
    from ..data import load_data, load_mentions

    if options.mentions is not None:
        name = Path(options.mentions).name
        mentions = _Labelled(load_mentions(options.mentions, **reading), name, "mentions")
        return mentions, None, options.index or open_entities(options.kb)
    data = load_data(options.data or DATA)
    split, report = _splits(options, data)
    name = Path(options.data or DATA).name
    measured = None if report is None else _Labelled(data.mentions[report], name, report)
    return _Labelled(data.mentions[split], name, split), measured, options.index or data.entities


def _folder(options: CalibrateOptions, checkpoint: str) -> Path:
    """Folder in which the calibration is saved. Raises a `ValueError` if it cannot be written to."""
    from ..linking.calibration import CALIBRATION_FILE
    from ..linking.index.folder import cached_repository

    belongs = Path(checkpoint if options.index is None else options.index)
    if belongs.is_dir() and (options.index is None or cached_repository(belongs) is None):
        return belongs
    if options.output_dir is None:
        raise ValueError(f"{belongs} is no folder to save {CALIBRATION_FILE} in: name one with --output_dir")
    Path(options.output_dir).mkdir(parents=True, exist_ok=True)
    return Path(options.output_dir)


def _before(folder: Path, linker: "Linker", overwrite: bool) -> str:
    """Message about the calibration that is replaced. Raises a `FileExistsError`, before any work, if it must be kept."""
    from ..linking.calibration import CALIBRATION_FILE, Calibration, check_replaceable

    if not overwrite:
        check_replaceable(folder, linker.setup)
    if not (folder / CALIBRATION_FILE).is_file():
        return ""
    try:
        fitted_on = Calibration.load(folder).fitted_on
    except ValueError:
        return ", in place of a damaged one"
    return f", in place of the one fitted on {fitted_on.get('data')} ({fitted_on.get('date')})"


def _splits(options: CalibrateOptions, data: "MELData") -> tuple[str, str | None]:
    """The splits to fit and to measure on, the second `None` for none; a ValueError where one is not there."""
    fitted = options.split or SPLIT
    report = options.report if options.report is not None else "test" if "test" in data.mentions else None
    for split in (fitted, report):
        if split is not None and split not in data.mentions:
            near = (
                "; --split names one that the model was not trained on"
                if options.split is None and split == SPLIT
                else ""
            )
            raise ValueError(f"there is no split {split!r}, only {', '.join(data.mentions)}{near}")
    if report == fitted:
        if options.report is not None:
            raise ValueError(f"--report {report}: what was fitted on a split cannot be judged on it; name another")
        return fitted, None
    return fitted, report


def _write_report(calibration: "Calibration", report: "CalibrationReport | None", folder: Path, command: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    values = {"command": command, "calibration": calibration.to_dict()}
    values |= {"report": None if report is None else report.to_dict()}
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / REPORT_FILE).write_text(text + "\n", encoding="utf-8")
    print(f"written to {folder / REPORT_FILE}")


# ---- Table ----


def table(calibration: "Calibration") -> str:
    """Table of the fitted numbers and of the measures on each split."""
    fitted_on, columns = calibration.fitted_on, calibration.metrics
    lines = [
        f"temperature {calibration.temperature:.4g}, NIL score {calibration.nil_score:.4g}, "
        f"NIL slope {calibration.nil_slope:.3g}, NIL margin {calibration.nil_margin:.3g}, threshold "
        f"{calibration.threshold:.3f}",
    ]
    if calibration.kind == "shrunk":
        lines.append(
            f"fitted on only {counted(fitted_on['mentions'], 'mention')}: with fewer than 50 the numbers stay near the prior, which "
            "was fitted on other data"
        )
    if calibration.sets is not None:
        lines.append(
            f"prediction sets from {counted(len(calibration.sets.truth), 'mention')}: error rates from {calibration.sets.lowest_alpha:.3g}"
        )
    if fitted_on["hidden_sets"]:
        lines.append(
            f"NIL made by hiding {100 * fitted_on['nil_share']:g} % of the gold entities: {counted(fitted_on['hidden_sets'], 'set')} to "
            "fit with, another to measure with"
        )
    rows = [["", *(f"{name} ({each['split']})" for name, each in columns.items())]]
    rows += [[label, *(show(each) for each in columns.values())] for label, show in _rows().items()]
    rows += _set_rows(columns)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _set_rows(columns: dict) -> list[list[str]]:
    """Rows on the prediction sets, for each error rate that was measured."""
    measured = [each.get("prediction_sets", {}) for each in columns.values()]
    rows = []
    for alpha in dict.fromkeys(alpha for sets in measured for alpha in sets):
        for label, show in (("coverage", "{:.1%}"), ("mean size", "{:.1f}")):
            name = label.replace(" ", "_")
            cells = [show.format(sets[alpha][name]).replace("%", " %") if alpha in sets else "-" for sets in measured]
            rows.append([f"sets at {alpha}: {label}", *cells])
    return rows


def _percent(name: str):
    return lambda metrics: "-" if metrics[name] is None else f"{100 * metrics[name]:.1f} %"


def _coverage(coverage: float):
    return lambda metrics: f"{100 * metrics['accuracy_at'][str(coverage)]:.1f} %"


_ROWS = {
    "mentions": lambda metrics: f"{metrics['mentions']:,}",
    "  with each hidden set": lambda metrics: f"{metrics.get('observations', metrics['mentions']):,}",
    "of these NIL": lambda metrics: f"{metrics['nil']:,}",
    "gold not retrieved": lambda metrics: f"{metrics['not_retrieved']:,}",
    "right answers": _percent("accuracy"),
    "calibration error (ECE)": _percent("ece"),
    "  bins of equal mass": _percent("ece_equal_mass"),
    "  chance alone": _percent("ece_noise"),
    "ECE of the best entity": _percent("best_ece"),
    "Brier score": lambda metrics: f"{metrics['brier']:.4f}",
    "negative log likelihood": lambda metrics: f"{metrics['nll']:.4f}",
    "NIL precision": _percent("nil_precision"),
    "NIL recall": _percent("nil_recall"),
    "NIL F1": _percent("nil_f1"),
    "accuracy over coverage": _percent("coverage_area"),
}


def _rows() -> dict:
    from ..evaluation.reliability import COVERAGES

    return _ROWS | {f"  most confident {100 * each:.0f} %": _coverage(each) for each in COVERAGES[:-1]}
