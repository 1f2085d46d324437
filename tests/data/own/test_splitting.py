"""One table of mentions divided into splits, by caption."""

import logging
import random

import pytest

from hf_mel.data import RawBenchmark
from hf_mel.data.own.splitting import split_mentions


SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}


def row(name: str, text: str, image=None) -> dict:
    return {"id": name, "mention": "Ada", "text": text, "image": image}


def divided(rows: list[dict], shares=SHARES, seed: int = 0) -> dict[str, list[str]]:
    raw = split_mentions(RawBenchmark({"mentions": rows}, lambda: iter(())), shares, seed)
    return {split: [each["id"] for each in part] for split, part in raw.mentions.items()}


ROWS = [row(str(number), f"Ada at desk {number // 3}.") for number in range(60)]


def test_captions_stay_together_and_their_shares_are_exact():
    found = divided(ROWS)
    assert {split: len(ids) for split, ids in found.items()} == {"train": 36, "validation": 12, "test": 12}
    split_of = {int(name): split for split, ids in found.items() for name in ids}
    assert all(split_of[number] == split_of[number // 3 * 3] for number in range(60))
    assert found["train"] == sorted(found["train"], key=int), "rows keep their order"


def test_the_order_of_the_rows_does_not_matter_but_the_seed_does():
    shuffled = random.Random(1).sample(ROWS, len(ROWS))
    assert {split: sorted(ids) for split, ids in divided(shuffled).items()} == {
        split: sorted(ids) for split, ids in divided(ROWS).items()
    }
    assert divided(ROWS, seed=1) != divided(ROWS)


@pytest.mark.parametrize("picture", ["a.png", b"bytes", {"bytes": b"bytes", "path": None}])
def test_a_picture_ties_captions_together(picture):
    rows = [row(str(number), f"Ada {number}.", picture if number in (3, 17, 29) else None) for number in range(40)]
    rows.append(row("last", "Ada 17."))
    for seed in range(5):
        (split,) = [ids for ids in divided(rows, seed=seed).values() if "3" in ids]
        assert {"17", "29", "last"} <= set(split)


def test_small_tables_leave_no_split_empty():
    assert {split: len(ids) for split, ids in divided(ROWS[:9]).items()} == {"train": 3, "validation": 3, "test": 3}
    assert list(divided(ROWS[:6], {"train": 0.9, "validation": 0.0, "test": 0.1})) == ["train", "test"]
    with pytest.raises(ValueError, match="2 captions cannot be divided into train, validation, test"):
        divided(ROWS[:6])
    assert len(divided(ROWS[:12], {"train": 0.1, "validation": 0.45, "test": 0.45})["train"]) == 3


def test_a_picture_that_most_captions_name_is_pointed_out(caplog):
    rows = [row(str(number), f"Ada {number}.", "none.png" if number < 8 else None) for number in range(12)]
    with caplog.at_level(logging.WARNING):
        divided(rows)
    assert "8 of 12 mentions are in one split" in caplog.text


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"train": 0.8, "test": 0.1}, "add up to 0.9"),
        ({"train": 0.0, "test": 1.0}, "nothing to train on"),
        ({"train": 0.8, "dev": 0.2}, "no split 'dev'"),
    ],
)
def test_shares_that_cannot_be_used(shares, message):
    with pytest.raises(ValueError, match=message):
        divided(ROWS, shares)
