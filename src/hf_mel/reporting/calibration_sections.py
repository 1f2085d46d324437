"""The sections of a report on calibration and coverage."""

from typing import Any

from . import plots
from .run_files import CALIBRATION_REPORT_FILE, RunFiles
from .sections import Absent, Section


_COVERAGE = ("coverage", "Accuracy and coverage")
_MEASURES = {
    "mentions": "mentions",
    "nil": "of these NIL",
    "not_retrieved": "gold not retrieved",
    "accuracy": "right answers",
    "ece": "calibration error (ECE)",
    "ece_noise": "calibration error by chance alone",
    "brier": "Brier score",
    "nil_precision": "NIL precision",
    "nil_recall": "NIL recall",
    "nil_f1": "NIL F1",
    "coverage_area": "accuracy over coverage",
}
_COUNTS = ("mentions", "nil", "not_retrieved")


def calibration_sections(run: RunFiles) -> list[Section | Absent]:
    """The coverage-accuracy curve, from the report of `hf-mel calibrate`, or from the few points that the calibration keeps."""
    if run.calibration_report is not None:
        metrics, curve = run.calibration_report["metrics"], run.calibration_report["coverage_curve"]
        return [_section(metrics, curve["coverage"], curve["accuracy"], CALIBRATION_REPORT_FILE)]
    if run.calibration is None:
        name = run.folder.name
        command = f"hf-mel calibrate {name} ... --output_dir {name}"
        return [Absent(*_COVERAGE, f"there is no {CALIBRATION_REPORT_FILE}: `{command}` writes one")]
    for name in ("measured", "fitted"):
        metrics = run.calibration.metrics.get(name)
        points = metrics.get("accuracy_at") if isinstance(metrics, dict) else None
        if points:
            coverage = sorted(points, key=float)
            source = "calibration.json"
            if name == "fitted":
                source += ", of the split that it was fitted on, which flatters it"
            return [_section(metrics, [float(at) for at in coverage], [points[at] for at in coverage], source)]
    return [Absent(*_COVERAGE, "calibration.json has no measured accuracy")]


def _section(metrics: dict[str, Any], coverage: list[float], accuracy: list[float], source: str) -> Section:
    split = f" on the {metrics['split']} split" if metrics.get("split") else ""
    note = (
        "Share of right answers if only the most confident are given; the right-hand end is all of them. An answer is an "
        f"entity or NIL. Measured{split}, from {source}."
    )
    if metrics.get("hidden_entities"):
        note += f" {metrics['hidden_entities']:,} gold entities were taken out of the knowledge base, so that their mentions are NIL."
    table = [["", "value"]]
    table += [[label, _shown(name, metrics[name])] for name, label in _MEASURES.items() if name in metrics]
    table += [
        [f"most confident {100 * at:g} %", f"{100 * value:.1f} %"]
        for at, value in zip(coverage, accuracy, strict=True)
        if len(coverage) < 20 or round(100 * at) % 10 == 0
    ]
    alt = f"{100 * accuracy[0]:.1f} % right at {100 * coverage[0]:.0f} % coverage, {100 * accuracy[-1]:.1f} % at 100 %"
    plot = plots.render(plots.draw_coverage(coverage, accuracy), alt)
    return Section(*_COVERAGE, note, "calibration", plot, table)


def _shown(name: str, value: float | int | None) -> str:
    if value is None:
        return "-"
    if name in _COUNTS:
        return f"{value:,}"
    return f"{value:.4f}" if name == "brier" else f"{100 * value:.1f} %"
