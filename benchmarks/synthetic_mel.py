"""Mentions and entities that look like a benchmark's to a computer: for measuring speed, where what they say is no matter."""

from pathlib import Path

import numpy as np
from datasets import DatasetDict
from PIL import Image

from hf_mel.data import KnowledgeBase, MELData
from hf_mel.data.schema import ENTITY_FEATURES, MENTION_FEATURES, dataset_of_columns


NUM_PICTURES = 256  # different files; rows share them, for they are read and decoded each time all the same
VOCABULARY = 2000


def synthetic_mel(
    folder: Path, num_entities: int, num_mentions: int, picture_size: tuple[int, int], words: int = 60, seed: int = 0
) -> MELData:
    """
    Entities and training mentions, each with `words` words of text and a JPEG picture on disk.

    Args:
        folder (`Path`): Where the pictures are written.
        picture_size (`tuple[int, int]`): Width and height of the pictures.
        words (`int`, *optional*, defaults to 60): More than a model reads, so that every text fills it.
    """
    random = np.random.default_rng(seed)
    pictures = _pictures(folder, min(NUM_PICTURES, num_entities + num_mentions), picture_size, random)
    vocabulary = ["".join(map(chr, letters)) for letters in random.integers(97, 123, size=(VOCABULARY, 5))]

    def texts(number: int, length: int) -> list[str]:
        return [
            " ".join(vocabulary[word] for word in row) for row in random.integers(VOCABULARY, size=(number, length))
        ]

    def images(number: int) -> list[str]:
        return [pictures[each] for each in random.integers(len(pictures), size=number)]

    names = texts(num_entities, 2)
    ids = [f"E{row}" for row in range(num_entities)]
    entities = {
        "id": ids,
        "name": names,
        "attributes": texts(num_entities, words),
        "image": images(num_entities),
        "image_status": ["ok"] * num_entities,
    }
    gold = random.permutation(max(num_entities, num_mentions))[:num_mentions] % num_entities
    mentions = {
        "id": [f"M{row}" for row in range(num_mentions)],
        "mention": [names[row] for row in gold],
        "text": [f"{names[row]} {text}" for row, text in zip(gold, texts(num_mentions, words), strict=True)],
        "start": [0] * num_mentions,
        "end": [len(names[row]) for row in gold],
        "image": images(num_mentions),
        "image_status": ["ok"] * num_mentions,
        "entity_id": [ids[row] for row in gold],
        "entity_name": [names[row] for row in gold],
    }
    kb = KnowledgeBase(dataset_of_columns(entities, ENTITY_FEATURES))
    return MELData(DatasetDict(train=dataset_of_columns(mentions, MENTION_FEATURES)), kb)


def _pictures(folder: Path, number: int, size: tuple[int, int], random: np.random.Generator) -> list[str]:
    """Smooth colours with some noise, so that a file is about as long as that of a photograph."""
    paths = []
    for position in range(number):
        coarse = random.integers(256, size=(12, 12, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), dtype=np.int16)
        noisy = smooth + random.integers(-12, 13, size=smooth.shape, dtype=np.int16)
        path = folder / f"{position}.jpg"
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=85)
        paths.append(str(path))
    return paths
