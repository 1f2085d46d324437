"""Mentions to be linked, encoded: each picture once, however many mentions share it."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from transformers.utils import logging

from ..data import as_mentions
from ..data.images import ReadPicture, named_place, read_picture, undecoded
from ..data.mention_dataset import checked_mention
from ..data.problems import Problems, counted, listed
from ..encoding import Encodings, encode_modalities, evaluation_mode, length_buckets, to_device
from ..models import MatchingModel, MELProcessor, TowerFeatures
from ..models.encodings import cat_rows, fill_rows
from .linked_mention import MentionQuery


logger = logging.get_logger(__name__)

_FIELDS = ("mention", "text", "start", "image", "id")
_CURE = "Correct these mentions, or leave them out."


def queries_from(mention, text, start=None, image=None) -> list[MentionQuery]:
    """
    One query, or several from lists; the arguments are those of [`~Linker.link`].

    Raises:
        `ValueError`: lists of different lengths, or a single value next to lists.
    """
    single = isinstance(text, str)
    if single != isinstance(mention, str) or not (single or (_is_list(text) and _is_list(mention))):
        raise ValueError("`mention` and `text` must both be strings, or both lists of strings")
    if single:
        return [MentionQuery(mention, text, start, image)]
    columns = {"mentions": list(mention), "texts": list(text)}
    for name, values in (("start", start), ("image", image)):
        if values is not None and not _is_list(values):
            raise ValueError(f"`text` is a list, and so must be `{name}`: one for each text, or `None`")
        columns[f"{name}s"] = [None] * len(text) if values is None else list(values)
    for name, values in columns.items():
        if len(values) != len(text):
            raise ValueError(f"{len(values)} {name} were given for {len(text)} texts")
    return [MentionQuery(*each) for each in zip(*columns.values(), strict=True)]


def _is_list(values) -> bool:
    return hasattr(values, "__len__") and hasattr(values, "__getitem__") and not isinstance(values, (str, bytes, dict))


def as_queries(mentions, what: str = "queries") -> list[MentionQuery]:
    """
    Mentions to be linked, from any form that [`as_mentions`] takes, or from a sequence of [`MentionQuery`]. Their offsets
    are checked, or found, and their pictures opened, also for a model that uses none: the same input is refused everywhere.

    Args:
        mentions (`Sequence[MentionQuery]`, `datasets.Dataset`, `pandas.DataFrame`, `list[dict]` or `dict[str, list]`):
            The mentions. Where they have no ids, those of a table are the numbers of its rows.
        what (`str`, *optional*, defaults to `"queries"`):
            Name of the caller's argument, for error messages.

    Raises:
        `TypeError`: as in [`as_mentions`].
        `ValueError`: as in [`as_mentions`], which says what is checked, or a picture that cannot be opened; all are listed.
        `FileNotFoundError`: nothing but pictures is missing.
    """
    if isinstance(mentions, Iterator):
        mentions = list(mentions)
    problems = Problems("mentions to be linked", _CURE)
    if isinstance(mentions, (list, tuple)) and all(isinstance(each, MentionQuery) for each in mentions):
        queries, places = _checked(mentions, problems)
    else:
        table = undecoded(as_mentions(mentions, what, needs_gold=False))
        columns = [table[name][:] for name in ("mention", "text", "start")]
        queries = [MentionQuery(*each) for each in zip(*columns, table["image"][:], table["id"][:], strict=True)]
        places = [f"row {row}, mention {query.id!r}" for row, query in enumerate(queries)]
    return _with_open_pictures(queries, places, problems)


def _checked(queries: Sequence[MentionQuery], problems: Problems) -> tuple[list[MentionQuery], list[str]]:
    """The queries with their offsets, and names of them for messages."""
    checked, places = [], []
    for position, query in enumerate(queries):
        place = f"mention {position}" if query.id is None else f"mention {position} ({query.id!r:.60})"
        row = checked_mention({name: getattr(query, name) for name in _FIELDS}, place, problems)
        places.append(place)
        if row is not None:
            # The picture as it was given: mentions that share one share its encoding.
            checked.append(replace(query, start=row["start"], id=row["id"]))
    problems.raise_if_any()
    return checked, places


def _with_open_pictures(queries: list[MentionQuery], places: list[str], problems: Problems) -> list[MentionQuery]:
    """The queries with pictures as models take them. A picture that several share is opened once."""
    opened: dict[Hashable, ReadPicture] = {}
    missing, blank = [], 0
    for query, place in zip(queries, places, strict=True):
        key = named_place(query.image) or id(query.image)
        if query.image is not None and key not in opened:
            opened[key] = read_picture(query.image)
            _, status, reason = opened[key]
            blank += status == "blank"
            if reason is not None:
                problems.add(place, f"`image`: {reason}")
                missing.append(status == "missing_file")
    if missing and all(missing):
        raise FileNotFoundError(problems.message())
    problems.raise_if_any()
    if blank:
        logger.warning(f"{blank:,} pictures show one colour: their mentions are linked without them")
    return [
        query
        if query.image is None
        else replace(query, image=opened[named_place(query.image) or id(query.image)].image)
        for query in queries
    ]


def warn_of_lost(queries: Sequence[MentionQuery]) -> None:
    """Logs which mentions do not occur in their text; they are linked all the same."""
    lost = [query for query in queries if query.place is None]
    if lost:
        few = listed(f"{query.mention!r} in {query.text!r}" for query in lost)
        swapped = all(query.text in query.mention for query in lost)
        hint = ". The mention is the first argument, the text the second" if swapped else ""
        logger.warning(f"{counted(len(lost), 'mention')} not found in the text, and linked all the same: {few}{hint}")


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
