"""Evaluates a model on a split, under one of two protocols, and writes the result."""

import hashlib
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset

from ...data import KnowledgeBase, MELData, as_mentions
from ...data.captions import caption_key
from ...data.problems import listed, nearest
from ...doctor.groups import ambiguity_labels, namesakes, picture_labels
from ...encoding import Encodings, EntityInputs, MentionInputs
from ...linking.index.fingerprints import describe_model
from ...models import MatchingModel, MELProcessor
from ...models.encodings import select_rows
from ...names import LexicalIndex, NameIndex, added_scores, name_index_of
from .. import (
    AMBIGUITY,
    RESULTS_FILE,
    Environment,
    EvaluationResult,
    Group,
    Protocol,
    bootstrap_intervals,
    candidate_metrics,
    group_hits,
    load_results,
    rank_among_candidates,
    ranking_metrics,
    save_ranks,
    save_result,
    split_metrics,
    top_candidates,
)
from .encode_and_rank import encode_sides, rank_mentions
from .linkable import Linkable, linkable_mentions


INTERVAL_METRICS = ("hits@1", "hits@5", "mrr")
RETRIEVERS = {
    "lexical": "lexical neighbours (TF-IDF of words and character trigrams)",
    "dense": "the first of two stages (the product of the model's vectors)",
}
# Pairs whose encodings are gathered at once: of 30 KB each they take a quarter of a gigabyte.
PAIRS_AT_ONCE = 8192


def evaluate_model(
    model: MatchingModel,
    processor: MELProcessor,
    data: MELData,
    split: str,
    model_name: str,
    data_name: str,
    command: str,
    batch_size: int = 256,
    num_candidates: int | None = None,
    candidates: str = "lexical",
    progress: bool = True,
    num_workers: int = 0,
) -> tuple[EvaluationResult, np.ndarray]:
    """
    Ranks the gold entities of a split.

    Mentions without a gold entity (NIL) are left out and counted.

    Args:
        model ([`MatchingModel`]), processor ([`MELProcessor`]):
            The model and its processor.
        data ([`MELData`]):
            Entities and mentions, whose columns are those of [`as_mentions`]; the `train` split, if there is one, tells which
            entities were seen in training.
        split (`str`):
            The split to evaluate.
        model_name (`str`), data_name (`str`), command (`str`):
            Names for the result, and the command that computes it.
        batch_size (`int`, *optional*, defaults to 256):
            Mentions or entities encoded at once.
        num_candidates (`int`, *optional*):
            Rank among that many candidates instead of the whole knowledge base. A gold entity that is not a candidate has
            rank infinity and still counts in the metrics.
        candidates (`str`, *optional*, defaults to `"lexical"`):
            `"lexical"`: entities with a similar name. `"dense"`: entities that the model's vectors retrieve, as the first
            stage of a two-stage search does.
        progress (`bool`, *optional*, defaults to `True`):
            Show progress bars.
        num_workers (`int`, *optional*, defaults to 0):
            Data-loading workers, which open pictures and tokenize texts.

    Returns:
        `tuple[EvaluationResult, np.ndarray]`: the result, and the rank of each mention with a gold entity, of shape
        `(num_mentions,)`.

    Raises:
        `ValueError`: unknown `candidates`, or `"dense"` for a model without vectors to retrieve by.
    """
    check_candidates(num_candidates, candidates)
    if candidates == "dense" and model.proposal_name is None:
        raise ValueError(f"a model of type {model.config.model_type!r} has no vectors that propose candidates")
    mentions = linkable_mentions(data.mentions[split], data.entities, split, f"data.mentions[{split!r}]")
    sides = MentionInputs(mentions.dataset, processor), EntityInputs(data.entities, processor)
    about = {"model_name": model_name, "data_name": data_name, "seeds": [], "command": command, "model": model}
    reading = {"progress": progress, "num_workers": num_workers}
    names = name_index_of(model, data.entities), mentions.dataset["mention"][:]
    if num_candidates is None:
        ranks = rank_mentions(model, *sides, mentions.gold_rows, batch_size, names, **reading)
        return describe_ranks(ranks, data, split, **about), ranks
    queries, entities = encode_sides(model, *sides, batch_size, **reading)
    if candidates == "dense":
        sides = queries[model.proposal_name], entities[model.proposal_name]
        lists = (
            top_candidates(*sides, num_candidates, added=added_scores(model, *names), progress=progress)[1]
            .cpu()
            .numpy()
        )
    else:
        lists = _lexical_candidates(mentions, data.entities, num_candidates, progress)
    ranks = candidate_ranks(model, queries, entities, mentions, lists, names[0])
    about |= {"num_candidates": num_candidates, "candidates": candidates}
    return describe_ranks(ranks, data, split, **about), ranks


def check_candidates(num_candidates: int | None, candidates: str) -> None:
    """Raises a `ValueError` for an unknown kind of candidates, or if `candidates` is given without `num_candidates`."""
    if candidates not in RETRIEVERS:
        raise ValueError(
            f"candidates={candidates!r}{nearest(candidates, RETRIEVERS) or f': use one of {listed(RETRIEVERS)}'}"
        )
    if num_candidates is None and candidates != "lexical":
        raise ValueError(f"candidates={candidates!r}: give their number as well, `num_candidates`")


def _lexical_candidates(mentions: Linkable, kb: KnowledgeBase, count: int, progress: bool) -> np.ndarray:
    """Rows of the entities with the names most similar to each mention."""
    index = LexicalIndex(kb.names(), kb.aliases())
    return index.search(mentions.dataset["mention"][:], count, progress=progress)[0].astype(np.int64)


@torch.no_grad()
def candidate_ranks(
    model: MatchingModel,
    queries: Encodings,
    entities: Encodings,
    mentions: Linkable,
    lists: np.ndarray,
    names: NameIndex | None = None,
) -> np.ndarray:
    """Rank of each gold entity among the candidates of its mention (rows, or -1), infinite where it is not one of them."""
    scores, block_size = [], max(1, PAIRS_AT_ONCE // lists.shape[1])
    surfaces = mentions.dataset["mention"][:]
    for begin in range(0, len(lists), block_size):
        block = torch.from_numpy(lists[begin : begin + block_size]).clamp(min=0).to(model.device)
        query, candidates = select_rows(queries, slice(begin, begin + block_size)), select_rows(entities, block)
        features = None
        if names is not None:
            features = names.features(surfaces[begin : begin + block_size]).at(block.cpu())
        scores.append(model.score_candidates(query, candidates, features).float().cpu())
    return rank_among_candidates(torch.cat(scores), lists, mentions.gold_rows)


# ---- Results ----


def describe_ranks(
    ranks: np.ndarray,
    data: MELData,
    split: str,
    model_name: str,
    data_name: str,
    seeds: list[int],
    command: str,
    extra: dict | None = None,
    num_candidates: int | None = None,
    model: MatchingModel | None = None,
    candidates: str = "lexical",
) -> EvaluationResult:
    """
    Computes the result of a split from its ranks: metrics with intervals, for all mentions, groups, and seen and unseen entities;
    where captions of the split also occur in train, also for the mentions of these captions and for the others.
    A text-only `model` gets no groups by picture.
    The fingerprint of the `model` is stored, so that a result cannot be mistaken for that of another model in its folder.
    """
    mentions = linkable_mentions(data.mentions[split], data.entities, split, f"data.mentions[{split!r}]")
    trained, captions = set(), set()
    if "train" in data.mentions:
        train = as_mentions(data.mentions["train"], "data.mentions['train']", needs_gold=True)
        trained = set(train["entity_id"][:])
        captions = {caption_key(text) for text in train["text"][:]} if split != "train" else captions
    seen = np.array([gold in trained for gold in mentions.dataset["entity_id"][:]])
    by_novelty = split_metrics(ranks, seen)
    leaked = np.array([caption_key(text) in captions for text in mentions.dataset["text"][:]])
    by_leakage = split_metrics(ranks, leaked) if leaked.any() else {}
    kb = data.entities
    both = f"{mentions.fingerprint} {kb.fingerprint}"
    result = EvaluationResult(
        model_name=model_name,
        dataset=f"{data_name}, {split}",
        metrics=ranking_metrics(ranks),
        protocol=Protocol("full-kb", len(kb), kb.text_field, num_mentions=len(ranks), num_nil=mentions.num_nil),
        data_fingerprint=hashlib.sha256(both.encode()).hexdigest(),
        seeds=seeds,
        command=command,
        date=date.today().isoformat(),
        environment=Environment.collect(repository=Path(__file__).parent),
        seen=by_novelty["seen"],
        unseen=by_novelty["unseen"],
        leaked=by_leakage.get("seen"),
        without_leaked=by_leakage.get("unseen"),
        intervals=bootstrap_intervals(ranks, INTERVAL_METRICS),
        extra=extra or {},
        ranks_file=f"ranks_{split}.npz",
        groups=_groups(ranks, mentions.dataset, kb, sees_pictures=model is None or model.sees_pictures),
        model_fingerprint=None if model is None else describe_model(model)["fingerprint"],
    )
    if num_candidates is None:
        return result
    retriever = RETRIEVERS[candidates]
    protocol = replace(result.protocol, kind="candidate-k", retriever=retriever, num_candidates=num_candidates)
    return replace(result, protocol=protocol, metrics=candidate_metrics(ranks, retriever=retriever) | result.metrics)


def _groups(ranks: np.ndarray, mentions: Dataset, kb: KnowledgeBase, sees_pictures: bool) -> dict[str, list[Group]]:
    """Groups by picture, for a model that reads pictures, and by the number of namesakes."""
    groups = {}
    if sees_pictures:
        labels, order, column = picture_labels(mentions)
        groups[column] = group_hits(ranks, labels, order)
    labels, order = ambiguity_labels(namesakes(mentions["mention"][:], kb))
    return groups | {AMBIGUITY: group_hits(ranks, labels, order)}


def write_result(result: EvaluationResult, ranks: np.ndarray, folder: Path, split: str) -> None:
    """Writes the result of a split into `eval_results.json`, where it replaces an earlier one, and its ranks next to it."""
    save_result(result, folder, split)
    save_ranks(folder / result.ranks_file, ranks)


def check_place(
    folder: Path, split: str, dataset: str, num_candidates: int | None, candidates: str = "lexical"
) -> None:
    """
    Checks that writing a result would not replace one of other data or of another protocol.

    Raises:
        `ValueError`: the folder holds a result of that split on other data, or under another protocol.
    """
    kept = load_results(folder).get(split)
    measured = dataset, num_candidates, None if num_candidates is None else RETRIEVERS[candidates]
    if kept is not None and (kept.dataset, kept.protocol.num_candidates, kept.protocol.retriever) != measured:
        how = "the whole knowledge base" if kept.protocol.num_candidates is None else "candidates"
        raise ValueError(
            f"{folder / RESULTS_FILE} holds a result of {kept.dataset!r} among {how}, which is not what would be measured: "
            "name another folder"
        )
