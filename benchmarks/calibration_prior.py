"""
Fits the prior of `hf_mel.linking.prior`, and measures probabilities and prediction sets with few labelled mentions, or none.

    HF_MEL_DATA=... MINILM=... python benchmarks/calibration_prior.py [--feature_cache DIR]

The model is an untrained MiniLM: the score of a pair is the cosine of its sentence embeddings, of the mention in its sentence
and the entity with its attributes (context), of the two names (name), or of both, weighed as `load_towers` does (both); alone
and with the features of the names. For each of these two there is a prior. It is fitted on the
validation mentions of WikiMEL, linked to knowledge bases of 10 to 18,880 entities with 20 % of the gold entities taken
out. It is then tried on RichpediaMEL and EmojiMEL, which it was not fitted on, alone and with a few labelled mentions. Prediction
sets are measured on WikiMEL: calibrated on validation mentions, with `hf_mel.linking.calibrate`, and tried on test mentions.
The numbers go to docs/results/calibration_prior.json, the tables to docs/results.md. The constants in the code are a copy.
"""

import argparse
import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from calibration_prior_tables import FEW, KINDS, NAMES, tables
from scipy import sparse
from scipy.optimize import minimize

from hf_mel import PGMELModel, PGMELProcessor, load_data
from hf_mel.data import content_fingerprint
from hf_mel.encoding import EntityInputs, MentionInputs
from hf_mel.evaluation import (
    ProbabilityModel,
    fit_probabilities,
    gold_columns,
    linking_measures,
    render_into,
    standard_scores,
)
from hf_mel.evaluation.environment import Environment
from hf_mel.evaluation.shrinkage import ModelPrior, _negative_log_likelihood, fit_towards_prior
from hf_mel.linking import calibrate
from hf_mel.linking.fit_calibration import measure_calibration
from hf_mel.linking.labelled_scores import uniform_number
from hf_mel.models.cosine_fusion import VIEW_WEIGHTS
from hf_mel.names import added_scores, name_index_of
from hf_mel.training import FeatureCache
from hf_mel.zero_shot import load_towers


ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "results" / "calibration_prior.json"
PAGE = ROOT / "docs" / "results.md"
THIS = "benchmarks/calibration_prior.py"
VIEWS = {"both": VIEW_WEIGHTS, "context": (1.0, 0.0), "name": (0.0, 1.0)}
NIL_SHARE, NUM_CANDIDATES, MOST_MENTIONS = 0.2, 64, 600
# Entities of the knowledge bases -> how many are drawn, each with other entities. The last is the whole.
SIZES = {"wikimel": {10: 40, 30: 30, 150: 8, 1000: 2, 18880: 1}, "richpedia": {10: 40, 30: 30, 150: 8, 1260: 1}}
SIZES["emojimel"] = {30: 30, 150: 8, 416: 1}
DRAWS = 20


# ---- Features ----


def unit(array: np.ndarray) -> np.ndarray:
    array = np.asarray(array, dtype=np.float32)
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


class Features:
    """
    Both views of all mentions of some splits, and of all entities: `(rows, 2, size)`, of length 1. `added` is what the names
    add to the scores of the mentions of a split with all entities.
    """

    def __init__(self, data, splits: list[str], model: PGMELModel, processor: PGMELProcessor, cache: Path):
        def computed(inputs, fingerprint: str) -> np.ndarray:
            folder = FeatureCache.build(cache, model, inputs, fingerprint).folder
            return unit(np.load(folder / "text_features.npy"))

        self.ids = list(data.entities.ids)
        self.entities = computed(EntityInputs(data.entities, processor), data.entities.fingerprint)
        row = {name: place for place, name in enumerate(self.ids)}
        self.data, self.mentions, self.gold, self.added = data, {}, {}, {}
        names = name_index_of(model, data.entities)
        for split in splits:
            table = data.mentions[split]
            self.mentions[split] = computed(MentionInputs(table, processor), content_fingerprint(table))
            self.added[split] = added_scores(model, names, table["mention"][:])
            self.gold[split] = np.array([row.get(name, -1) for name in table["entity_id"][:]])


def scores_of(view: str, mentions: np.ndarray, entities: np.ndarray) -> np.ndarray:
    return sum(w * mentions[:, place] @ entities[:, place].T for place, w in enumerate(VIEWS[view]) if w)


def load(name: str):
    root = Path(os.environ["HF_MEL_DATA"])
    if name == "emojimel":
        return load_data("emojimel")
    return load_data(root / {"wikimel": "wikimel", "richpedia": "richpediamel_sample"}[name] / "ghmfc", layout="ghmfc")


# ---- Settings: a view and a knowledge base of some size ----


def setting(
    features: Features, splits: list[str], view: str, size: int, draws: int, names: bool
) -> dict[str, np.ndarray]:
    """Candidates' scores, golds and numbers of entities, over several knowledge bases of this size."""
    added = sparse.vstack([features.added[split] for split in splits], format="csr") if names else None
    mentions = np.concatenate([features.mentions[split] for split in splits])
    gold = np.concatenate([features.gold[split] for split in splits])
    known = np.unique(gold[gold >= 0])
    parts = []
    for draw in range(draws):
        rng = np.random.default_rng([size, draw])
        entities = np.arange(len(features.ids))
        if size < len(entities):
            entities = rng.permutation(known)[:size]
            more = np.setdiff1d(np.arange(len(features.ids)), known)
            entities = np.sort(np.concatenate([entities, rng.permutation(more)[: size - len(entities)]]))
        chosen = np.flatnonzero(np.isin(gold, entities))
        chosen = np.sort(rng.permutation(chosen)[:MOST_MENTIONS])
        hidden = rng.random(len(entities)) < NIL_SHARE
        if not len(chosen) or hidden.all():
            continue
        place = np.searchsorted(entities, gold[chosen])
        scores = scores_of(view, mentions[chosen], features.entities[entities])
        if added is not None:
            scores += added[chosen][:, entities].toarray()
        scores[:, hidden] = -np.inf
        rows = np.argsort(-scores, axis=1, kind="stable")[:, : min(NUM_CANDIDATES, len(entities))]
        best = np.take_along_axis(scores, rows, axis=1).astype(np.float64)
        filler = ((0, 0), (0, NUM_CANDIDATES - best.shape[1]))
        parts.append({
            "scores": np.pad(best, filler, constant_values=-np.inf),
            "gold": gold_columns(np.where(np.isneginf(best), -1, rows), np.where(hidden[place], -1, place)),
            "entities": np.full(len(chosen), int((~hidden).sum())),
        })  # fmt: skip
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def settings_of(name: str, features: Features, splits: list[str], names: bool) -> dict[str, dict]:
    found = {}
    for view in VIEWS:
        for size, draws in SIZES[name].items():
            each = setting(features, splits, view, size, draws, names)
            each["standard"] = standard_scores(each["scores"], each["entities"], NUM_CANDIDATES)
            known = ~np.isnan(each["standard"]).any(axis=1)
            found[f"{view}, {size:,} entities"] = {key: value[known] for key, value in each.items()}
    return found


# ---- The prior ----


def fit_prior(settings: list[dict]) -> ModelPrior:
    """The parameters that are best on average over the settings, and how much those that are best for each differ."""

    def model(values: np.ndarray) -> ProbabilityModel:
        return ProbabilityModel(
            float(np.exp(values[0])), float(values[1]), float(np.exp(values[2])), max(float(values[3]), 0.0)
        )

    def loss(values: np.ndarray) -> float:
        each = [_negative_log_likelihood(model(values), one["standard"], one["gold"]).mean() for one in settings]
        return float(np.mean(each))

    best = minimize(
        loss,
        [np.log(0.2), 1.3, np.log(0.4), 0.3],
        method="Nelder-Mead",
        options={"maxiter": 400, "xatol": 1e-3, "fatol": 1e-5},
    )
    mean = model(best.x)
    wide = ModelPrior(mean, 1.0, 1.0, 1.0, 1.0)
    own = [fit_towards_prior(one["standard"], one["gold"], wide) for one in settings]
    values = np.array([[np.log(m.temperature), m.nil_score, np.log(m.nil_slope), m.nil_margin] for m in own])

    about = np.array([np.log(mean.temperature), mean.nil_score, np.log(mean.nil_slope), mean.nil_margin])
    return ModelPrior(mean, *(float(each) for each in np.sqrt(((values - about) ** 2).mean(axis=0))))


def measured(model: ProbabilityModel, scores: np.ndarray, gold: np.ndarray) -> dict:
    metrics, _, _ = linking_measures(*model.probabilities(scores), gold, 0.5)
    names = (
        "mentions",
        "nil",
        "not_retrieved",
        "accuracy",
        "best_ece",
        "best_ece_noise",
        "nll",
        "nil_precision",
        "nil_recall",
        "nil_f1",
    )
    return {name: metrics[name] for name in names}


def few_labels(prior: ModelPrior, settings: dict[str, dict]) -> dict:
    """Mean negative log likelihood and F1 of NIL with so many labelled mentions: towards the prior, and of these alone."""
    found = {}
    for name, one in settings.items():
        rows = {}
        for number in FEW:
            shrunk, alone = [], []
            for draw in range(DRAWS):
                order = np.random.default_rng([number, draw]).permutation(len(one["gold"]))
                some, rest = order[:number], order[max(FEW) :]
                model = fit_towards_prior(one["standard"][some], one["gold"][some], prior)
                shrunk.append(measured(model, one["standard"][rest], one["gold"][rest]))
                try:
                    model = fit_probabilities(one["scores"][some], one["gold"][some])
                    alone.append(measured(model, one["scores"][rest], one["gold"][rest]))
                except ValueError:
                    pass  # of one kind only, or scores of the wrong order
            rows[str(number)] = {
                "shrunk": _means(shrunk),
                "alone": _means(alone) if len(alone) == DRAWS else None,
                "alone_fitted": len(alone),
            }
        found[name] = rows
    return found


def _means(rows: list[dict]) -> dict:
    return {
        name: float(np.mean([row[name] or 0.0 for row in rows])) for name in ("nll", "best_ece", "nil_f1", "accuracy")
    }


# ---- Prediction sets ----


class FeatureLinker:
    """What `calibrate` needs of a linker, on features: the best-scored entities by one view."""

    def __init__(self, features: Features, view: str):
        self.features, self.view = features, view
        alive = np.ones(len(features.ids), dtype=bool)
        row = {name: place for place, name in enumerate(features.ids)}
        self.index = Index(alive, row)
        self.model = SimpleNamespace(sees_pictures=False, config=SimpleNamespace(name_features=False))
        self.setup = {
            "knowledge_base": features.data.entities.fingerprint,
            "model": f"MiniLM, {view}",
            "candidates": "dense",
        }
        self.setup |= {"num_candidates": NUM_CANDIDATES, "reranker": None, "exact": True}
        self.places = {}
        for split, table in features.data.mentions.items():
            if split in features.mentions:
                keys = zip(table["mention"][:], table["text"][:], table["start"][:], strict=True)
                self.places |= {key: (split, place) for place, key in enumerate(keys)}

    def encode_queries(self, queries):
        found = [self.places[query.mention, query.text, query.start] for query in queries]
        mentions = np.stack([self.features.mentions[split][place] for split, place in found])
        return scores_of(self.view, mentions, self.features.entities)

    def retrieve(self, queries, allowed, encoded):
        scores = np.where(allowed, encoded, -np.inf)
        rows = np.argpartition(-scores, NUM_CANDIDATES, axis=1)[:, :NUM_CANDIDATES]
        rows = np.take_along_axis(rows, np.argsort(-np.take_along_axis(scores, rows, 1), axis=1, kind="stable"), 1)
        return SimpleNamespace(rows=rows, scores=np.take_along_axis(scores, rows, axis=1))


class Index(SimpleNamespace):
    """Entities of a `FeatureLinker`."""

    def __init__(self, alive: np.ndarray, rows: dict[str, int]):
        super().__init__(alive=alive, rows=rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, name: str) -> bool:
        return name in self.rows

    def row(self, name: str) -> int:
        return self.rows[name]


def coverage(features: Features, numbers: list[int], draws: int) -> dict:
    """Sets calibrated on so many validation mentions, drawn anew each time, and tried on all test mentions."""
    linker, found = FeatureLinker(features, "both"), {}
    pool, test = features.data.mentions["validation"], features.data.mentions["test"]
    order = sorted(range(len(pool)), key=lambda place: uniform_number(pool["id"][place], "coverage"))
    for number in numbers:
        tries = []
        for draw in range(1 if number >= len(pool) else draws):
            some = order[draw * number : (draw + 1) * number]
            calibration = calibrate(linker, pool.select(sorted(some)), nil_share=NIL_SHARE, seed=draw)
            report = measure_calibration(calibration, linker, test, nil_share=NIL_SHARE, seed=draw)
            tries.append({"kind": calibration.kind, "held_out": len(calibration.sets.truth), **_short(report.metrics)})
            print(number, draw, tries[-1], flush=True)
        found[str(number)] = tries
    return found


def _short(metrics: dict) -> dict:
    shown = ("accuracy", "best_ece", "nil_f1", "nil_precision", "nil_recall", "prediction_sets")
    return {name: metrics[name] for name in shown}


def compute(options: argparse.Namespace) -> dict:
    torch.set_num_threads(1)
    model, processor = load_towers(os.environ["MINILM"], False)
    both = ["validation", "test"]
    splits = {"wikimel": both, "richpedia": ["train", *both], "emojimel": ["validation"]}
    features = {name: Features(load(name), splits[name], model, processor, options.feature_cache) for name in NAMES}
    fitted_on = {"wikimel": ["validation"], **{name: splits[name] for name in ("richpedia", "emojimel")}}
    kinds = {}
    for kind in KINDS:
        names = kind == "with_names"
        settings = {name: settings_of(name, features[name], fitted_on[name], names) for name in NAMES}
        prior = fit_prior(list(settings["wikimel"].values()))
        print(kind, prior, flush=True)
        alone = {
            name: {where: measured(prior.mean, one["standard"], one["gold"]) for where, one in rows.items()}
            for name, rows in settings.items()
        }
        few = {name: few_labels(prior, settings[name]) for name in ("richpedia", "emojimel")}
        kinds[kind] = {"prior": asdict(prior), "alone": alone, "few_labels": few}
    packages = ("hf-mel", "torch", "transformers", "numpy", "scipy")
    return {
        "command": f"python {THIS}",
        "date": datetime.now(UTC).date().isoformat(),
        "environment": vars(Environment.collect(packages=packages, repository=ROOT)),
        "seed": "numpy.random.default_rng of the size and the draw",
        **kinds,
        "coverage": coverage(features["wikimel"], [40, 100, 500, 2627], options.draws),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = ROOT / "runs" / "feature_cache"
    parser.add_argument("--feature_cache", type=Path, default=cache, help="where features are kept")
    parser.add_argument("--draws", type=int, default=5, help="draws of labelled mentions for the prediction sets")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--report", action="store_true", help="only write the tables, from the JSON that is there")
    options = parser.parse_args()
    if not options.report:
        result = json.loads(json.dumps(compute(options)), parse_float=lambda text: float(f"{float(text):.6g}"))
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        print(f"written to {options.output}")
    if options.output == OUTPUT:
        render_into(PAGE, "calibration-prior", tables(json.loads(OUTPUT.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
