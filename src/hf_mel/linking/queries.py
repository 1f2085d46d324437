"""Mentions to be linked, encoded: each picture once, however many mentions share it."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from transformers.utils import logging

from ..data import as_mentions, load_images
from ..data.problems import Problems, listed
from ..encoding import Encodings, encode_modalities, evaluation_mode, length_buckets, to_device
from ..models import MatchingModel, MELProcessor, TowerFeatures
from ..models.encodings import cat_rows, fill_rows
from .linked_mention import MentionQuery


logger = logging.get_logger(__name__)


def as_queries(mentions, what: str = "queries", with_images: bool = True) -> list[MentionQuery]:
    """
    Mentions to be linked, from any form that [`as_mentions`] takes, or from a sequence of [`MentionQuery`].

    Args:
        mentions (`Sequence[MentionQuery]`, `datasets.Dataset`, `pandas.DataFrame`, `list[dict]` or `dict[str, list]`):
            The mentions. Where they have no ids, those of a table are the numbers of its rows.
        what (`str`, *optional*, defaults to `"queries"`):
            Name of the caller's argument, for error messages.
        with_images (`bool`, *optional*, defaults to `True`):
            Whether to open the pictures of a table.

    Raises:
        `TypeError`: as in [`as_mentions`].
        `ValueError`: as in [`as_mentions`], a picture that cannot be opened, or a query with a field of the wrong type.
    """
    if isinstance(mentions, Iterator):
        mentions = list(mentions)
    if isinstance(mentions, (list, tuple)) and all(isinstance(each, MentionQuery) for each in mentions):
        _check_queries(mentions, what)
        return list(mentions)
    table = as_mentions(mentions, what, needs_gold=False)
    pictures = load_images(table, strict=True) if with_images else [None] * len(table)
    columns = [table[name][:] for name in ("mention", "text", "start")]
    return [MentionQuery(*each) for each in zip(*columns, pictures, table["id"][:], strict=True)]


def warn_of_lost(queries: Sequence[MentionQuery]) -> None:
    """Logs which mentions do not occur in their text; they are linked all the same."""
    lost = [query for query in queries if query.place is None]
    if lost:
        few = listed(f"{query.mention!r} in {query.text!r}" for query in lost)
        swapped = all(query.text in query.mention for query in lost)
        hint = ". The mention is the first argument, the text the second" if swapped else ""
        logger.warning(f"{len(lost):,} mentions do not occur in their text and are linked all the same: {few}{hint}")


def _check_queries(queries: Sequence[MentionQuery], what: str) -> None:
    problems = Problems(f"`{what}`", "Correct these mentions, or leave them out.")
    for position, query in enumerate(queries):
        place = f"mention {position}" if query.id is None else f"mention {position} ({query.id!r})"
        if not isinstance(query.mention, str) or not query.mention.strip():
            problems.add(place, f"`mention` must be text that is not blank, not {query.mention!r:.60}")
        if not isinstance(query.text, str):
            problems.add(place, f"`text` must be text, not {query.text!r:.60}")
        elif query.start is not None and (
            isinstance(query.start, bool) or not isinstance(query.start, (int, np.integer))
        ):
            problems.add(place, f"`start` must be a whole number, not {query.start!r:.60}")
        elif query.start is not None and not 0 <= query.start <= len(query.text):
            problems.add(place, f"`start` {query.start} is outside its text of {len(query.text):,} characters")
        if query.image is not None and not isinstance(query.image, Image.Image):
            problems.add(place, f"`image` must be a PIL image, not a {type(query.image).__name__}")
    problems.raise_if_any()


@torch.no_grad()
def encode_queries(
    model: MatchingModel, processor: MELProcessor, queries: Sequence[MentionQuery], batch_size: int = 64
) -> Encodings:
    """
    Encodes mentions in evaluation mode, those of similar length together.

    Args:
        model ([`MatchingModel`]):
            The model; left in the mode in which it was.
        processor ([`MELProcessor`]):
            Its processor.
        queries (`Sequence[MentionQuery]`):
            At least one. A mention that stands nowhere in its text is linked all the same.
        batch_size (`int`, *optional*, defaults to 64):
            Mentions, and pictures, encoded at once.

    Returns:
        `Encodings`: what [`encode_modalities`] gives for all queries in their order, on the model's device.

    Raises:
        `ValueError`: an empty mention, or a `start` outside its text.
    """
    collected: Encodings = {}
    lengths = np.array([len(query.mention) + len(query.text) for query in queries])
    with evaluation_mode(model):
        pictures, picture_of = _encode_pictures(model, processor, queries, batch_size)
        for rows in length_buckets(lengths, len(queries), batch_size):
            batch = [queries[row] for row in rows]
            inputs = processor.mentions(
                mention=[query.mention for query in batch],
                text=[query.text for query in batch],
                start=[query.start for query in batch],
                images=[query.image for query in batch] if model.reads_together else None,
            )
            if not model.reads_together:
                inputs = {name: value for name, value in inputs.items() if name not in ("pixel_values", "has_image")}
            features = model.extract(**to_device(inputs, model.device))
            features = _with_pictures(features, pictures, picture_of[rows])
            encoded = encode_modalities(model, "mention", features)
            collected = fill_rows(collected, torch.from_numpy(rows), encoded, len(queries))
    return collected


def _encode_pictures(
    model: MatchingModel, processor: MELProcessor, queries: Sequence[MentionQuery], batch_size: int
) -> tuple[dict[str, torch.Tensor] | None, np.ndarray]:
    """Features of the different pictures, and for each query the row of its picture, -1 without one."""
    picture_of = np.full(len(queries), -1)
    if processor.image_processor is None or model.reads_together or not model.sees_pictures:
        return None, picture_of
    images = {id(query.image): query.image for query in queries if query.image is not None}
    row_of = {key: row for row, key in enumerate(images)}
    for row, query in enumerate(queries):
        picture_of[row] = row_of.get(id(query.image), -1)
    different, parts = list(images.values()), []
    for begin in range(0, len(different), batch_size):
        pixels = processor.pixels(different[begin : begin + batch_size])["pixel_values"]
        parts.append(model.extract_images(pixels.to(model.device, model.dtype)))
    if not parts:
        return None, picture_of
    return cat_rows(parts), picture_of


def _with_pictures(
    features: TowerFeatures, pictures: dict[str, torch.Tensor] | None, picture_of: np.ndarray
) -> TowerFeatures:
    if pictures is None:
        return features
    rows = torch.from_numpy(picture_of).to(features.text_features.device)
    has_image = rows >= 0
    values = dict(features) | {"has_image": has_image}
    for name, value in pictures.items():
        own = torch.where(has_image.view(-1, *[1] * (value.dim() - 1)), value[rows.clamp(min=0)], 0.0)
        values[name] = own.to(features.text_features.dtype)
    return TowerFeatures(**values)
