"""`hf-mel calibrate CHECKPOINT`"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .linkers import LinkerOptions, make_linker
from .options import command_line, parse


if TYPE_CHECKING:
    from ..data import MELData
    from ..linking import Calibration
    from ..linking.fit_calibration import CalibrationReport


REPORT_FILE = "calibration_report.json"


@dataclass(kw_only=True)
class CalibrateOptions(LinkerOptions):
    """Options of `hf-mel calibrate`."""

    data: str = field(
        default="emojimel", metadata={"help": "emojimel, miniature, a built folder, or one with released files."}
    )
    index: str | None = field(
        default=None,
        metadata={"help": "Folder or Hub id of the index to link to; by default the entities of the data."},
    )
    split: str = field(default="validation", metadata={"help": "Split to fit on; not one the model was trained on."})
    report: str | None = field(
        default=None, metadata={"help": "Split to measure on; by default test, if there is one."}
    )
    nil_share: float = field(
        default=0.2,
        metadata={"help": "Share of the gold entities to hide, where a split has fewer than 20 NIL mentions."},
    )
    criterion: str = field(
        default="nil_f1", metadata={"help": "What the NIL threshold is chosen by: nil_f1, nil_balanced or accuracy."}
    )
    seed: int = field(default=0, metadata={"help": "Decides which entities are hidden."})
    output_dir: str | None = field(
        default=None, metadata={"help": f"Folder for {REPORT_FILE}, with the coverage-accuracy curve."}
    )


def run(argv: list[str]) -> None:
    """Fits, measures, prints and saves."""
    about = "Fit probabilities and the NIL decision on labelled mentions, and save them in the checkpoint folder."
    options, checkpoint = parse(
        "calibrate", about, CalibrateOptions, argv, ("checkpoint", "Folder of a model, or its Hub id.")
    )
    from ..data import load_data
    from ..linking import calibrate
    from ..linking.calibration import CALIBRATION_FILE
    from ..linking.fit_calibration import measure_calibration

    in_checkpoint = Path(checkpoint).is_dir()
    if not in_checkpoint and options.output_dir is None:
        raise ValueError(f"{checkpoint} is no folder to save {CALIBRATION_FILE} in: name one with --output_dir")
    data = load_data(options.data)
    report_split = _report_split(options, data)
    entities = data.entities if options.index is None else options.index
    linker = make_linker(checkpoint, entities, options, calibrated=False, progress=True)
    hiding = {"nil_share": options.nil_share, "seed": options.seed, "progress": True}
    calibration = calibrate(
        linker,
        data.mentions[options.split],
        criterion=options.criterion,
        data=Path(options.data).name,
        split=options.split,
        **hiding,
    )
    report = None
    if report_split is not None:
        report = measure_calibration(calibration, linker, data.mentions[report_split], split=report_split, **hiding)
        calibration = replace(calibration, metrics=calibration.metrics | {"measured": report.metrics})
    print(table(calibration))
    _save(calibration, report, options, checkpoint, command_line("calibrate", argv))


def _report_split(options: CalibrateOptions, data: "MELData") -> str | None:
    """The split to measure on, `None` for none; a ValueError where one is asked for that is not there."""
    report = options.report if options.report is not None else "test" if "test" in data.mentions else None
    for split in (options.split, report):
        if split is not None and split not in data.mentions:
            raise ValueError(f"there is no split {split!r}, only {', '.join(data.mentions)}")
    if report == options.split:
        if options.report is not None:
            raise ValueError(f"--report {report}: what was fitted on a split cannot be judged on it; name another")
        return None
    return report


def _save(
    calibration: "Calibration",
    report: "CalibrationReport | None",
    options: CalibrateOptions,
    checkpoint: str,
    command: str,
) -> None:
    folders = [checkpoint] if Path(checkpoint).is_dir() else []
    if options.output_dir is not None:
        folder = Path(options.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        values = {"command": command, "calibration": calibration.to_dict()}
        values |= {"report": None if report is None else report.to_dict()}
        text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / REPORT_FILE).write_text(text + "\n", encoding="utf-8")
        print(f"written to {folder / REPORT_FILE}")
        folders = folders or [folder]
    print(f"saved in {calibration.save(folders[0])}")


# ---- Table ----


def table(calibration: "Calibration") -> str:
    """What was fitted, and what it is worth on each split, in columns."""
    fitted_on, columns = calibration.fitted_on, calibration.metrics
    lines = [
        f"temperature {calibration.temperature:.4g}, NIL score {calibration.nil_score:.4g}, "
        f"NIL slope {calibration.nil_slope:.3g}, threshold {calibration.threshold:.3f}",
    ]
    if fitted_on["hidden_sets"]:
        lines.append(
            f"NIL made by hiding {100 * fitted_on['nil_share']:g} % of the gold entities: {fitted_on['hidden_sets']} sets to "
            "fit with, another to measure with"
        )
    rows = [["", *(f"{name} ({each['split']})" for name, each in columns.items())]]
    rows += [[label, *(show(each) for each in columns.values())] for label, show in _rows().items()]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


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
