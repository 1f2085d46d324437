"""A run with every file that a run can leave, tiny; and a linker whose scores a test gives."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from transformers import CLIPImageProcessorPil

from hf_mel import PGMELConfig, PGMELModel, PGMELProcessor, make_miniature_tokenizer
from hf_mel.data import MELData
from hf_mel.evaluation.models import evaluate_model, write_result
from hf_mel.linking.candidates import Retrieved
from hf_mel.models.encodings import unflatten
from tests.conftest import TINY_TEXT, TINY_VISION


LOG = [
    {"epoch": 1.0, "step": 4, "loss": 0.9, "discriminator_loss": 0.8, "active_triplets": 0.5},
    {"epoch": 1.0, "step": 4, "eval_mrr": 0.25},
    {
        "epoch": 2.0, "step": 8, "loss": 0.1, "discriminator_loss": 0.6, "generator_loss": -0.5, "active_triplets": 0.25,
        "reward": -0.75, "generator_entropy": 0.875, "sampled_rank": 3.5,
    },
    {"epoch": 2.0, "step": 8, "eval_mrr": 0.5},
    {
        "epoch": 3.0, "step": 12, "loss": 0.2, "discriminator_loss": 0.7, "generator_loss": -0.25, "active_triplets": 0.125,
        "reward": -0.5, "generator_entropy": 0.75, "sampled_rank": 2.5,
    },
    {"epoch": 3.0, "step": 12, "eval_mrr": 0.375},
    {"epoch": 3.0, "step": 12, "train_loss": 0.4},
]  # fmt: skip


def write_log(folder: Path, log: list[dict] = LOG) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": log}))


def write_calibration_report(folder: Path) -> None:
    curve = {
        "coverage": [0.25, 0.5, 0.75, 1.0],
        "accuracy": [1.0, 0.5, 0.75, 0.625],
        "confidence": [0.9, 0.8, 0.5, 0.1],
    }
    metrics = {"split": "test", "mentions": 8, "nil": 2, "accuracy": 0.625, "nil_f1": None, "brier": 0.25}
    values = {
        "command": "hf-mel calibrate",
        "calibration": {},
        "report": {"metrics": metrics, "coverage_curve": curve},
    }
    (folder / "calibration_report.json").write_text(json.dumps(values))


def tiny_parts(pictures: bool = True) -> tuple[PGMELModel, PGMELProcessor]:
    tokenizer = make_miniature_tokenizer()
    torch.manual_seed(0)
    text = {**TINY_TEXT, "vocab_size": len(tokenizer), "initializer_range": 1.0}
    vision = dict(TINY_VISION) if pictures else None
    model = PGMELModel(PGMELConfig(text_config=text, vision_config=vision, projection_size=8)).eval()
    images = (
        CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}) if pictures else None
    )
    return model, PGMELProcessor(images, tokenizer, max_length=32)


def write_run(folder: Path, data: MELData, pictures: bool = True) -> Path:
    """Model, log, result and ranks of test, and a report of a calibration."""
    model, processor = tiny_parts(pictures)
    for part in (model, processor):
        part.save_pretrained(folder)
    write_log(folder)
    about = {"model_name": "tiny", "data_name": "miniature", "command": "hf-mel evaluate"}
    result, ranks = evaluate_model(model, processor, data, "test", **about, progress=False)
    write_result(result, ranks, folder, "test")
    write_calibration_report(folder)
    return folder


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    VOID = ("meta", "img", "br", "source")

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words += data


# ---- A linker with given scores ----


@dataclass
class GivenIndex:
    ids: list[str]
    weights: list[float]
    thumbnail: bytes | None = None
    removed: list[int] = field(default_factory=list)
    tensors: tuple[str, ...] = ("embeds", "image_weight", "alone.has_image")

    def __post_init__(self):
        self.manifest = SimpleNamespace(tensors=list(self.tensors))
        self.alive = np.array([row not in self.removed for row in range(len(self.ids))])

    def __contains__(self, entity_id) -> bool:
        return entity_id in self.ids and self.alive[self.ids.index(entity_id)]

    def row(self, entity_id: str) -> int:
        return self.ids.index(entity_id)

    def entities(self, rows) -> list[SimpleNamespace]:
        made = []
        for row in rows:
            entity_id = self.ids[row]
            values = {"id": entity_id, "name": f"name {entity_id}", "aliases": [], "text": "a text", "types": []}
            made.append(SimpleNamespace(**values, thumbnail=self.thumbnail))
        return made

    def blocks(self, names):
        weights = torch.tensor(self.weights)
        stored = {"image_weight": weights, "alone.has_image": weights > 0}
        for first in (0, 2):
            rows = slice(first, first + 2 if first == 0 else None)
            yield first, unflatten({name: stored[name][rows] for name in names})


class GivenLinker:
    """`scores`: for each mention those of all entities. `weights`: of the picture of each mention."""

    def __init__(self, index: GivenIndex, scores: dict[str, list[float]], weights: dict[str, float] | None, sees=True):
        self.index, self.scores, self.weights = index, scores, weights
        self.model = SimpleNamespace(sees_pictures=sees)
        self.finder = self

    def encode_queries(self, queries):
        encoded = {"scores": torch.tensor([self.scores[query.mention] for query in queries])}
        if self.weights is not None:
            encoded["image_weight"] = torch.tensor([self.weights[query.mention] for query in queries])
        return encoded

    def retrieve(self, queries, *, top_k, encoded):
        scores = encoded["scores"].numpy().copy()
        scores[:, ~self.index.alive] = -np.inf
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        scores = np.take_along_axis(scores, rows, axis=1)
        return Retrieved(np.where(np.isinf(scores), -1, rows), scores, scores, encoded)

    def score(self, queries, encoded, rows):
        scores = np.take_along_axis(encoded["scores"].numpy(), np.maximum(rows, 0), axis=1)
        return np.where(rows < 0, np.float32(-np.inf), scores)
