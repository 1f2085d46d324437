"""More than 20 kinds of broken files: each is counted and named and becomes null; strict builds fail on each."""

import pytest
from datasets import load_dataset

from hf_mel.data import load_images
from hf_mel.data.building import build_benchmark, build_dataset
from hf_mel.data.layouts import RawBenchmark
from tests.data.building.damage import BROKEN, ODD
from tests.data.layouts.fixtures import write_mimic


KINDS = list(BROKEN)


def test_there_are_twenty_kinds():
    assert len(BROKEN) >= 20


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A release whose further records have each kind of broken picture, as mention and as entity; and odd ones after."""
    folder = tmp_path_factory.mktemp("damage")
    raw = write_mimic(folder / "raw", extra=len(BROKEN) + len(ODD))
    for place in (raw / "mention_image", raw / "kb_image"):
        for number, kind in enumerate(KINDS):
            path = place / f"extra_{number}.jpg"
            path.unlink()
            BROKEN[kind][1](path)
        for number, (data, _) in enumerate(ODD.values(), start=len(KINDS)):
            (place / f"extra_{number}.jpg").write_bytes(data)
    report = build_benchmark("wikimel", raw, folder / "wikimel", num_proc=2)
    cache = str(folder / "cache")
    mentions = load_dataset(str(folder / "wikimel"), split="train", cache_dir=cache)
    entities = load_dataset(str(folder / "wikimel"), "entities", split="train", cache_dir=cache)
    return report, {"mentions": mentions, "entities": entities}, raw


def row_of(table, number: int) -> int:
    return len(table) - len(BROKEN) - len(ODD) + number


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_picture_is_null_and_named(built, kind):
    report, tables, _ = built
    status, _, words = BROKEN[kind]
    number = KINDS.index(kind)
    for config, folder in (("mentions", "mention_image"), ("entities", "kb_image")):
        row = tables[config][row_of(tables[config], number)]
        assert (row["image"], row["image_status"]) == (None, status)
        (entry,) = [
            entry
            for entry in report["pictures"]
            if entry["table"] == config and entry["file"] == f"{folder}/extra_{number}.jpg"
        ]
        assert (entry["record"], entry["status"], entry["records"]) == (row["id"], status, 1)
        assert words in entry["reason"]


def test_broken_pictures_are_counted(built):
    report, tables, _ = built
    by_status = {
        status: sum(found == status for found, _, _ in BROKEN.values())
        for status in ("unreadable", "blank", "missing_file")
    }
    images = report["splits"]["train"]["images"]
    assert {status: images[status] for status in by_status} == by_status
    # The fixture itself lacks the picture of one entity.
    assert report["entity_images"]["missing_file"] == by_status["missing_file"] + 1
    assert sum(images.values()) == len(tables["mentions"])
    assert sum(report["entity_images"].values()) == len(tables["entities"])


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_picture_is_fine(built, kind):
    report, tables, raw = built
    number = len(KINDS) + list(ODD).index(kind)
    data, size = ODD[kind]
    for table in tables.values():
        row = row_of(table, number)
        assert table[row]["image_status"] == "ok"
        (image,) = load_images(table, [row])
        assert image.size == size and image.mode == "RGB"
        assert len(set(image.resize((4, 4)).tobytes())) > 3, "it shows something"
        stored = table.cast_column("image", type(table.features["image"])(decode=False))[row]["image"]
        assert stored == {"bytes": data, "path": f"extra_{number}.jpg"}, "the bytes are as they were"
    assert not [entry for entry in report["pictures"] if entry["file"].endswith(f"/extra_{number}.jpg")]


def one_picture(path, where: str) -> RawBenchmark:
    mentions = {
        split: [{"id": split, "mention": "A", "text": "A name", "entity_id": "Q1", "image": None}]
        for split in ("train", "validation", "test")
    }
    if where == "mention":
        mentions["validation"][0]["image"] = path
    entity = {"id": "Q1", "name": "A", "image": path if where == "entity" else None}
    return RawBenchmark(mentions, lambda: iter([entity]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_strict_build_fails(tmp_path, kind):
    status, make, words = BROKEN[kind]
    path = tmp_path / "images" / "p.jpg"
    path.parent.mkdir()
    (path.parent / "other.txt").write_text("an empty folder would be named as a whole")
    make(path)
    where = ("mention", "entity")[KINDS.index(kind) % 2]
    record = {"mention": "mentions, validation, record 'validation'", "entity": "entities, train, record 'Q1'"}[where]
    error = FileNotFoundError if status == "missing_file" else ValueError
    with pytest.raises(error) as raised:
        build_dataset(one_picture(path, where), tmp_path / "out", name="mine", strict_images=True)
    message = str(raised.value)
    assert f"{record}: {path} " in message and words in message and status in message
    assert not (tmp_path / "out").exists()


def test_a_strict_build_lists_all(built, tmp_path):
    report, _, raw = built
    with pytest.raises(FileNotFoundError) as raised:
        build_benchmark("wikimel", raw, tmp_path / "out", strict_images=True)
    message = str(raised.value)
    number = len(report["pictures"])
    assert message.startswith(f"{number} pictures cannot be used (") and f": {number} problems" in message
    listing = (tmp_path / ".out.partial" / "broken_pictures.json").read_text()
    assert str(tmp_path / ".out.partial" / "broken_pictures.json") in message
    for place in ("mention_image", "kb_image"):
        assert all(str(raw / place / f"extra_{number}.jpg") in listing for number in range(len(KINDS)))


def test_a_strict_build_of_whole_pictures(tmp_path):
    path = tmp_path / "p.jpg"
    path.write_bytes(ODD["CMYK"][0])
    report = build_dataset(one_picture(path, "entity"), tmp_path / "out", name="mine", strict_images=True)
    assert report["pictures"] == [] and report["entity_images"] == {"ok": 1}
