"""Tables of `calibration_prior.py`, from its JSON."""

import numpy as np


NAMES = {"wikimel": "WikiMEL", "richpedia": "RichpediaMEL", "emojimel": "EmojiMEL"}
KINDS = {"without_names": "Without names", "with_names": "With names in the score"}
FEW = (5, 10, 20, 49)


def tables(result: dict) -> str:
    lines = []
    for kind, title in KINDS.items():
        lines += [f"{title}:", "", *_alone(result[kind]["alone"]), ""]
    lines += [
        "Negative log likelihood, mean over the views and sizes, with so many labelled mentions:",
        "",
        f"| | none: the prior | {' | '.join(map(str, FEW))} |",
        "|---|---:|" + "---:|" * len(FEW),
    ]
    for kind, title in KINDS.items():
        for name, rows in result[kind]["few_labels"].items():
            alone = np.mean([row["nll"] for row in result[kind]["alone"][name].values()])
            cells = [np.mean([row[str(number)]["shrunk"]["nll"] for row in rows.values()]) for number in FEW]
            shown = " | ".join(f"{cell:.3f}" for cell in cells)
            lines.append(f"| {NAMES[name]}, {title.lower()} | {alone:.3f} | {shown} |")
    lines += [
        "",
        "Prediction sets on WikiMEL's test mentions, in percent of them and in answers:",
        "",
        "| labelled mentions | error rate | coverage | lowest | highest | mean size | sets of one |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for number, tries in result["coverage"].items():
        for alpha in ("0.05", "0.1", "0.2"):
            sets = [each["prediction_sets"][alpha] for each in tries if alpha in each["prediction_sets"]]
            if sets:
                covered = 100 * np.array([each["coverage"] for each in sets])
                size, single = (np.mean([each[key] for each in sets]) for key in ("mean_size", "single"))
                lines.append(
                    f"| {int(number):,} ({len(sets)} draws) | {alpha} | {covered.mean():.1f} | {covered.min():.1f} | "
                    f"{covered.max():.1f} | {size:.1f} | {100 * single:.1f} |"
                )
    made = f"`{result['command']}`; commit {result['environment']['git_commit']}, {result['environment']['machine']}, {result['date']}"
    priors = [
        f"{title.lower()}: temperature {mean['temperature']:.3g}, NIL score {mean['nil_score']:.3g}, NIL slope "
        f"{mean['nil_slope']:.3g}, NIL margin {mean['nil_margin']:.3g}"
        for title, mean in ((title, result[kind]["prior"]["mean"]) for kind, title in KINDS.items())
    ]
    return "\n".join([*lines, "", (
        f"The priors, for standard scores, fitted on WikiMEL's validation mentions: {'; '.join(priors)}. 20 % of the gold "
        f"entities are taken out everywhere. MiniLM is untrained here, with both views of the text. {made}."
    )])  # fmt: skip


def _alone(results: dict) -> list[str]:
    """A table of the prior alone, with both views."""
    lines = [
        "| | NIL of | right answers | ECE of the best entity | ECE by chance | NIL precision | NIL recall | NIL F1 |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    keys = ("accuracy", "best_ece", "best_ece_noise", "nil_precision", "nil_recall", "nil_f1")
    for name, rows in results.items():
        for where, row in rows.items():
            if where.startswith("both"):
                cells = " | ".join("-" if row[key] is None else f"{100 * row[key]:.1f}" for key in keys)
                place = f"{NAMES[name]}, {where.removeprefix('both, ')}"
                lines.append(f"| {place} | {row['nil']:,} of {row['mentions']:,} | {cells} |")
    return lines
