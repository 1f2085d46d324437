import io
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from hf_mel.data import ENTITY_FEATURES, KnowledgeBase
from hf_mel.doctor import album, diagnose, pictures

from .common import ENTITIES, benchmark, mention, table


def shown(number, path, **changes):
    return mention(number, image=str(path), image_status="ok", **changes)


def with_picture(entity, path):
    return {**entity, "image": str(path), "image_status": "ok"}


@pytest.fixture
def damaged(tmp_path, picture):
    """Files of which the table says that they are fine."""
    blank = tmp_path / "blank.png"
    Image.new("RGB", (40, 40), (0, 90, 200)).save(blank)
    cut = tmp_path / "cut.png"
    cut.write_bytes(picture("whole.png").read_bytes()[:300])
    page = tmp_path / "page.jpg"
    page.write_text("<html>404</html>")
    return {"blank": blank, "cut": cut, "page": page, "gone": tmp_path / "gone.jpg", "folder": tmp_path}


def test_broken_pictures_are_found_though_the_table_says_ok(damaged, picture):
    rows = [shown(number, path) for number, path in enumerate(damaged.values())]
    entities = [with_picture(ENTITIES[0], damaged["page"]), *ENTITIES[1:]]
    diagnosis = diagnose(benchmark(entities, train=[*rows, shown(9, picture("fine.png"))]))
    assert diagnosis.finding("missing_pictures").count == 1
    assert "gone.jpg is not there" in diagnosis.finding("missing_pictures").examples[0].value
    unreadable = diagnosis.finding("unreadable_pictures")
    assert (unreadable.severity, unreadable.count, unreadable.total) == ("error", 4, 7)
    assert unreadable.details == {"train": 3, "entities": 1}
    assert diagnosis.finding("blank_pictures").count == 1
    assert diagnosis.pictures["mentions"] == {"blank": 1, "missing_file": 1, "ok": 1, "unreadable": 3}
    assert diagnosis.pictures["entities"] == {"none": 2, "unreadable": 1}
    assert diagnosis.finding("status_contradictions") is None
    boxes = {thumbnail.note for thumbnail in diagnosis.thumbnails if thumbnail.jpeg is None}
    assert {"cut.png", "page.jpg"} <= boxes


def test_a_missing_folder_is_one_finding():
    entry = {
        "table": "mentions",
        "file": "/raw/images",
        "status": "missing_folder",
        "reason": "the folder /raw/images is not there",
    }
    report = {"pictures": [{**entry, "split": "train", "record": "m1", "records": 2}, {**entry, "split": "test", "record": "m3", "records": 1}]}  # fmt: skip
    gone = {"image_status": "missing_file"}
    data = {"train": [mention(1, **gone), mention(2, **gone)], "test": [mention(3, **gone)]}
    diagnosis = diagnose(benchmark(report=report, **data))
    found = diagnosis.finding("missing_picture_folders")
    assert (found.severity, found.count, found.total, found.details) == ("warning", 1, 1, {"train": 2, "test": 1})
    assert [each.value for each in found.examples] == [f"{entry['reason']}, records without their picture: 3"]
    assert diagnosis.finding("missing_pictures") is None and not diagnosis.is_wrong()
    # A picture that is missing from another folder is one of its own.
    other = {
        "table": "mentions",
        "split": "test",
        "file": "/b/4.jpg",
        "status": "missing_file",
        "reason": "/b/4.jpg is not there",
    }
    report["pictures"].append({**other, "record": "m4", "records": 1})
    diagnosis = diagnose(benchmark(report=report, train=data["train"], test=[*data["test"], mention(4, **gone)]))
    found = diagnosis.finding("missing_pictures")
    assert (found.count, found.details, found.examples[0].record) == (1, {"test": 1}, "m4")


def test_what_the_converter_found_is_counted_by_row_and_named_by_file(damaged):
    entry = {"table": "mentions", "split": "train", "records": 2}
    report = {
        "pictures": [
            {**entry, "record": "m1", "file": "/raw/1.jpg", "status": "missing_file", "reason": "/raw/1.jpg is not there"},
            {**entry, "record": "m3", "file": str(damaged["blank"]), "status": "blank", "reason": "one colour only"},
        ]
    }  # fmt: skip
    rows = [mention(n, image_status=status) for n, status in enumerate(("missing_file",) * 2 + ("blank",) * 2, 1)]
    diagnosis = diagnose(benchmark(report=report, train=rows))
    missing = diagnosis.finding("missing_pictures")
    assert (missing.count, len(missing.examples)) == (2, 1), "one file of two records"
    assert (missing.examples[0].record, missing.examples[0].value) == ("m1", "/raw/1.jpg is not there")
    assert diagnosis.finding("blank_pictures").count == 2
    (thumbnail,) = diagnosis.thumbnails
    assert (thumbnail.kind, thumbnail.label, thumbnail.note) == ("blank_pictures", "m3", "blank.png")
    assert Image.open(io.BytesIO(thumbnail.jpeg)).getpixel((5, 5)) == pytest.approx((0, 90, 200), abs=3)


def test_without_a_report_the_records_are_named():
    finding = diagnose(benchmark(train=[mention(1, image_status="unreadable")])).finding("unreadable_pictures")
    assert finding.count == 1 and finding.examples[0].record == "m1"


def test_states_that_contradict_the_pictures(picture):
    rows = [
        mention(1, image_status="ok"),
        mention(2, image_status="fine"),
        mention(3, image=str(picture("a.png")), image_status="none"),
        mention(4, image_status=None),
    ]
    finding = diagnose(benchmark(train=rows)).finding("status_contradictions")
    assert (finding.severity, finding.count) == ("error", 4)
    assert finding.examples[0].value == "`image_status` is 'ok', but there is no picture"


def test_tiny_pictures(picture):
    rows = [shown(1, picture("tiny.png", size=(31, 200))), shown(2, picture("enough.png", 1, size=(32, 32)))]
    diagnosis = diagnose(benchmark(train=rows))
    finding = diagnosis.finding("tiny_pictures")
    assert (finding.count, finding.examples[0].value) == (1, "31 x 200 pixels")
    assert [(each.label, each.note) for each in diagnosis.thumbnails] == [("m1", "31 x 200")]


def test_duplicates_are_found_by_bytes_not_by_name(tmp_path, picture):
    flag = picture("flag.png", 1)
    copy = tmp_path / "copy.png"
    copy.write_bytes(flag.read_bytes())
    entities = [
        with_picture(ENTITIES[0], flag),
        with_picture(ENTITIES[1], copy),
        with_picture(ENTITIES[2], picture("x.png", 2)),
    ]
    photo = picture("photo.png", 3)
    train = [
        shown(1, photo),
        shown(2, photo, text="Ada at desk 1"),
        shown(3, photo),
        shown(4, picture("y.png", 4)),
    ]
    diagnosis = diagnose(benchmark(entities, train=train, test=[shown(5, photo, entity_id="Q2"), shown(6, copy)]))
    shared = diagnosis.finding("duplicate_entity_pictures")
    assert (shared.count, shared.total, shared.details) == (2, 3, {"pictures": 1})
    assert shared.examples[0].value == "2 have it: Q1, Q2"
    mentions = diagnosis.finding("duplicate_mention_pictures")
    assert (mentions.count, mentions.total) == (4, 6)
    leaked = diagnosis.finding("picture_leakage")
    assert (leaked.count, leaked.total) == (1, 2), "of the two pictures of test, one is in train"
    assert leaked.examples[0].value == "also 'm1' of train"
    gold = diagnosis.finding("gold_pictures_in_mentions")
    assert [(example.record, example.value) for example in gold.examples] == [("m6", "the picture of Q1")]
    assert diagnosis.pictures["different"] == 4
    kinds = Counter(thumbnail.kind for thumbnail in diagnosis.thumbnails)
    assert kinds == {"duplicate_entity_pictures": 1, "duplicate_mention_pictures": 1, "gold_pictures_in_mentions": 1}


def test_mentions_of_one_sentence_share_their_picture_without_a_word(picture):
    photo = picture("photo.png")
    rows = [shown(1, photo), shown(2, photo, text="Ada at desk 1")]
    diagnosis = diagnose(benchmark(train=rows))
    assert diagnosis.finding("duplicate_mention_pictures") is None and diagnosis.thumbnails == []


def test_each_different_picture_is_decoded_once(monkeypatch, tmp_path, picture):
    opened = Counter()
    real = pictures.open_image
    monkeypatch.setattr(pictures, "open_image", lambda source: opened.update([source["path"]]) or real(source))
    photo, other = picture("photo.png", 1), picture("other.png", 2)
    copy = tmp_path / "copy.png"
    copy.write_bytes(photo.read_bytes())
    diagnose(benchmark(train=[shown(1, photo), shown(2, photo), shown(3, copy), shown(4, other)]))
    assert opened == {str(photo): 1, str(other): 1}


def test_pictures_left_out(monkeypatch, picture):
    monkeypatch.setattr(pictures, "open_image", None)
    data = benchmark(train=[shown(1, picture("tiny.png", size=(4, 4))), mention(2, image_status="missing_file")])
    diagnosis = diagnose(data, pictures=False)
    assert diagnosis.pictures is None and diagnosis.thumbnails == []
    assert not diagnosis.findings
    assert (
        "Pictures were not looked at" in diagnosis.to_text() and "Pictures were not looked at" in diagnosis.to_html()
    )


def test_memory_stays_flat(tmp_path):
    """8 MB of embedded pictures pass through much less."""
    rows = []
    for number in range(80):
        pixels = np.random.default_rng(number).integers(0, 256, (180, 190, 3), dtype=np.uint8)
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(path)
        rows.append(
            {"id": f"Q{number}", "name": f"Ada {number}", "attributes": "x", "image_status": "ok", "image": str(path)}
        )
    KnowledgeBase(table(rows, ENTITY_FEATURES)).save(tmp_path / "kb.parquet")
    assert (tmp_path / "kb.parquet").stat().st_size > 8_000_000
    data = benchmark(train=[mention(1, entity_id="Q1")])
    data.entities = KnowledgeBase.load(tmp_path / "kb.parquet")
    diagnose(benchmark())  # what is imported and cached on first use is not counted
    tracemalloc.start()
    diagnosis = diagnose(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert diagnosis.pictures["entities"] == {"ok": 80} and diagnosis.pictures["different"] == 80
    assert peak < 2_000_000


def test_an_album_has_an_end(picture):
    shelf = album.Album()
    for number in range(20):
        shelf.add("tiny_pictures", picture("a.png"), f"m{number}", "")
    assert [each.label for each in shelf.thumbnails] == [f"m{number}" for number in range(album.PER_KIND)]
    with Image.open(io.BytesIO(shelf.thumbnails[0].jpeg)) as small:
        assert small.format == "JPEG" and max(small.size) <= 96
