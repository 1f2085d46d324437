"""
Write docs/errors.md: what kinds of mistakes trained runs make on the test split, by rules, with examples of each.

    HF_MEL_DATA=... [MINILM=...] python benchmarks/errors.py [--examples 20]

Reads the stage of each checkpoint of `benchmarks/checkpoints.py` that is better on the validation split. A mistake is counted under the first rule that fits. The page and
docs/results/errors.json are made of what the checkpoint answers to each mention of the test split.
"""

import argparse
import json
import re
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path

import numpy as np
import torch
from checkpoints import best_stage, folder_of
from strategies import DATA, ROOT, SHORT, load_data
from transformers import AutoModel, AutoProcessor
from transformers.utils import logging

from hf_mel import FeatureCache, MELData
from hf_mel.encoding import EntityInputs, MentionInputs, encode_all
from hf_mel.evaluation import Environment
from hf_mel.evaluation.models import linkable_mentions
from hf_mel.names import added_scores, name_index_of, name_tokens, normal_name


OUTPUT = ROOT / "docs" / "results" / "errors.json"
PAGE = ROOT / "docs" / "errors.md"
DEPTH = 10  # answers that are looked at
HEAD = """# Errors

Mistakes of a trained model on the test split of text benchmarks, sorted by rules: a mistake is counted under the first rule
that fits. The rules read names and texts alone, so a kind is a hint at the reason, not a judgement. *H@1 at best*: what a model could
reach that decides right wherever the gold entity's name and text are not those of another entity too.
"""
OCCUPATION = re.compile(r"Occupation: ([^.]*)\.")


def words(text: str | None) -> set[str]:
    """Words of the normal form."""
    return set(name_tokens(normal_name(text or "")))


def occupations(text: str | None) -> set[str]:
    """What an entity's attributes give as its occupations."""
    return {part.strip() for found in OCCUPATION.findall(text or "") for part in found.split(",")}


def identity(entity: dict) -> tuple[str, str]:
    """What a model can know of an entity."""
    return entity["name"].casefold(), entity["body"]


# ---- Rules ----

# Each reads the mention's row, the gold entity and the answer, both with `name`, `aliases` and `body`, their text.
RULES = {
    "gold and answer have the same name and text": lambda m, gold, answer: identity(gold) == identity(answer),
    "gold and answer have the same name": lambda m, gold, answer: (
        normal_name(gold["name"]) == normal_name(answer["name"])
    ),
    "the answer has the mention's name, the gold entity another": lambda m, gold, answer: (
        normal_name(m["mention"]) == normal_name(answer["name"])
    ),
    "the mention shares no word with the gold entity's names": lambda m, gold, answer: (
        not (words(m["mention"]) & set().union(words(gold["name"]), *map(words, gold["aliases"] or [])))
    ),
    "the mention is not in its sentence": lambda m, gold, answer: m["start"] is None,
    "the gold entity has no text, the answer has one": lambda m, gold, answer: bool(
        not gold["body"] and answer["body"]
    ),
    "the answer has another occupation": lambda m, gold, answer: (
        bool(occupations(gold["body"]) and occupations(answer["body"]))
        and not occupations(gold["body"]) & occupations(answer["body"])
    ),
    "both names share a word with the mention": lambda m, gold, answer: bool(
        words(m["mention"]) & words(answer["name"])
    ),
    "other": lambda m, gold, answer: True,
}


def kind_of(mention: dict, gold: dict, answer: dict) -> str:
    """The first rule that fits."""
    return next(name for name, fits in RULES.items() if fits(mention, gold, answer))


# ---- A benchmark ----


@torch.no_grad()
def best_rows(folder: Path, data: MELData, linkable) -> np.ndarray:
    """Rows `(num_mentions, DEPTH)` of the entities that the run's checkpoint scores highest, best first."""
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    keep, fingerprint = folder / "feature_cache", linkable.fingerprint  # the features of the run itself
    sides = (
        (MentionInputs(linkable.dataset, processor), fingerprint),
        (EntityInputs(data.entities, processor), data.entities.fingerprint),
    )
    features = [FeatureCache.build(keep, model, *side, batch_size=256, progress=False) for side in sides]
    mentions, entities = (encode_all(model, side, 1024)[0] for side in features)
    added = added_scores(model, name_index_of(model, data.entities), linkable.dataset["mention"][:])
    found = []
    for start in range(0, len(linkable.dataset), 256):
        rows = slice(start, start + 256)
        scores = model.match({name: value[rows] for name, value in mentions.items()}, entities)
        scores = scores if added is None else scores + torch.from_numpy(added[rows].toarray())
        found.append(scores.topk(DEPTH).indices)
    return torch.cat(found).numpy()


def examine(name: str, folder: Path, examples: int) -> dict:
    """Counts and examples of the mistakes, and the share of mentions that can be told apart."""
    data = load_data(name)
    linkable = linkable_mentions(data.mentions["test"], data.entities, "test")
    field = data.entities.text_field
    entities = [row | {"body": row[field] or ""} for row in data.entities.dataset.remove_columns("image")]
    twins = Counter(map(identity, entities))
    counts, among, shown = Counter(), Counter(), defaultdict(list)
    rows = linkable.dataset.remove_columns("image").to_list()
    alone = 0
    for row, gold_row, best in zip(rows, linkable.gold_rows, best_rows(folder, data, linkable), strict=True):
        gold, answer = entities[gold_row], entities[best[0]]
        alone += twins[identity(gold)] == 1
        if best[0] == gold_row:
            continue
        kind = kind_of(row, gold, answer)
        counts[kind] += 1
        among[kind] += gold_row in best
        if len(shown[kind]) < examples:
            shown[kind].append(
                [row["mention"], row["text"], gold["name"], gold["body"], answer["name"], answer["body"]]
            )
    kinds = [kind for kind in RULES if counts[kind]]
    return {
        "mentions": len(rows),
        "mistakes": sum(counts.values()),
        "distinguishable": alone,
        "kinds": {
            kind: {"count": counts[kind], "gold_among_the_first": among[kind], "examples": shown[kind]}
            for kind in kinds
        },
    }


# ---- The page ----


def brief(text: str | None, size: int = 110) -> str:
    """A text in a cell of a table: its head."""
    text = " ".join((text or "").replace("|", "/").split())
    return text if len(text) <= size else f"{text[:size].rstrip()} ..."


def section(name: str, found: dict) -> str:
    """Counts and examples of a benchmark."""
    number, mistakes = found["mentions"], found["mistakes"]
    lines = [f"## {SHORT[name]}", ""]
    lines += [f"{mistakes:,} mistakes in {number:,} mentions: H@1 {100 - 100 * mistakes / number:.1f}."]
    lines += [f"H@1 at best: {100 * found['distinguishable'] / number:.1f}.", ""]
    lines += [f"| kind | mistakes | share | gold entity among the first {DEPTH} |", "|---|---:|---:|---:|"]
    for kind, each in found["kinds"].items():
        lines.append(
            f"| {kind} | {each['count']:,} | {100 * each['count'] / mistakes:.1f} | {each['gold_among_the_first']:,} |"
        )
    for kind, each in found["kinds"].items():
        lines += ["", f"<details><summary>{kind}: {len(each['examples'])} of {each['count']:,}</summary>", ""]
        lines += ["| mention | sentence | gold entity | answer |", "|---|---|---|---|"]
        for mention, text, gold, gold_text, answer, answer_text in each["examples"]:
            cells = [
                brief(mention),
                brief(text),
                f"**{brief(gold)}** {brief(gold_text)}",
                f"**{brief(answer)}** {brief(answer_text)}",
            ]
            lines.append(f"| {' | '.join(cell.strip() for cell in cells)} |")
        lines += ["", "</details>"]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=20, help="of each kind")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    stages = {name: best_stage(name) for name in DATA}
    runs = {name: ROOT / folder_of(name, stage) for name, stage in stages.items()}
    found = {name: examine(name, folder, options.examples) for name, folder in runs.items()}
    environment = Environment.collect(repository=ROOT)
    notes = {
        "command": "python benchmarks/errors.py",
        "stages": stages,
        "date": date.today().isoformat(),
    }
    counted = {
        name: each | {"kinds": {k: {**v, "examples": len(v["examples"])} for k, v in each["kinds"].items()}}
        for name, each in found.items()
    }
    OUTPUT.write_text(
        json.dumps(notes | {"environment": vars(environment), **counted}, indent=1) + "\n", encoding="utf-8"
    )
    shown = ", ".join(f"{SHORT[name]} `{folder_of(name, stage).name}`" for name, stage in stages.items())
    model = f"The models are [checkpoints](results.md#checkpoints-of-text), before their weights were stored in bfloat16: {shown}."
    footer = f"`{notes['command']}`; commit {environment.git_commit}, {environment.machine}, {notes['date']}."
    sections = [section(name, each) for name, each in found.items()]
    PAGE.write_text("\n\n".join([f"{HEAD}\n{model}", *sections, footer]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
