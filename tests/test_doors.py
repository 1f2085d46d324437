"""One table of odd inputs and five ways in: the same mention with the same pixels comes out, or an error that names what is wrong."""

import base64
import io
import json
import re
import struct
import zlib
from dataclasses import dataclass

import datasets
import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from datasets import Image as ImageFeature
from PIL import Image
from transformers import pipeline

from hf_mel import EntityIndex, Linker, MELProcessor
from hf_mel.cli.main import main
from hf_mel.data import images as images_module
from hf_mel.data import load_images
from hf_mel.data.images import undecoded
from hf_mel.encoding import MentionInputs
from hf_mel.linking.batch import TableInput, link_file
from tests.service.common import client
from tests.training.common import make_trainer, tiny_data, tiny_linker, tiny_processor


JSON = {"content-type": "application/json"}


# ---- What comes out ----


@dataclass(frozen=True)
class Linked:
    """The offsets of a linked mention, and of its picture the size, and the colours of the first and last pixel."""

    start: int | None = 0
    end: int | None = 3
    picture: tuple | None = None


@dataclass(frozen=True)
class Refused:
    """Words of an error; `in_service` where HTTP has its own."""

    words: str
    in_service: str | None = None


class BadPicture(Refused):
    """A picture that cannot be read. While training it is left out and named in the log: it stops no run of hours."""


@dataclass(frozen=True)
class Encoded:
    """A picture file."""

    content: bytes
    suffix: str = ".png"


# ---- Pictures: the left half is red, the right half is blue ----


RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves(mode="RGB", size=(16, 8), left=RED, right=BLUE) -> Image.Image:
    image = Image.new(mode, size, right)
    image.paste(left, (0, 0, size[0] // 2, size[1]))
    return image


def encoded(image: Image.Image, kind="PNG", **options) -> Encoded:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Encoded(buffer.getvalue(), f".{kind.lower()}")


def ramp(kind: str, *values) -> Encoded:
    """Grey: the values from left to right."""
    return encoded(Image.fromarray(np.tile(np.array(values, dtype=kind), (2, 1))), "TIFF")


def turned() -> Encoded:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: to be turned clockwise by 90 degrees
    return encoded(halves(size=(32, 16)), "JPEG", exif=exif, quality=100, subsampling=0)


def bomb() -> Encoded:
    """A small file that claims 400 million pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return Encoded(b"\x89PNG\r\n\x1a\n" + chunk + encoded(halves()).content[33:])


def grey(value: int) -> tuple:
    return (value,) * 3


HALVES = (16, 8), RED, BLUE
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
HEIC = Encoded(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64), ".heic")
UNKNOWN = "no picture of a kind that is read here"


# ---- The table ----


ADA = {"mention": "Ada", "text": "Ada slept."}
NO_WORD = Refused("`mention` is missing or empty", "mention")
ROWS = {
    # Texts
    "emoji": ({"mention": "Ada", "text": "😀👨‍👩‍👧 Ada"}, Linked(7, 10)),
    "emoji with start": ({"mention": "Ada", "text": "😀👨‍👩‍👧 Ada", "start": 7}, Linked(7, 10)),
    "combining characters": ({"mention": "Zoe\u0308", "text": "A Zoe\u0308!"}, Linked(2, 6)),
    "right to left": ({"mention": "עדה", "text": "כאן עדה."}, Linked(4, 7)),
    "half a surrogate pair": ({"mention": "Ada", "text": "Ada \ud83d"}, Refused("`text` holds half of a surrogate", "text: holds half of a surrogate")),
    "half a pair in the mention": ({"mention": "A\udc00", "text": "Ada"}, Refused("`mention` holds half of a", "mention: holds half of a")),
    "null character": ({"mention": "Ada", "text": "Ada\0"}, Refused("`text` holds a null character", "text: holds a null")),
    "null in the mention": ({"mention": "A\0", "text": "Ada"}, Refused("`mention` holds a null character", "mention: holds a null")),
    "blank text": ({"mention": "Ada", "text": " \n"}, Refused("`text` is missing or empty")),
    "blank mention": ({"mention": " ", "text": "Ada"}, NO_WORD),
    "number as mention": ({"mention": 3, "text": "Ada"}, Refused("must be text, not 3|both be strings|has the type", "mention")),
    "not in the text": ({"mention": "Eve", "text": "Ada slept."}, Linked(None, None)),
    # Offsets
    "whole word first": ({"mention": "Ann", "text": "Anna, Ann"}, Linked(6, 9)),
    "another case": ({"mention": "jug", "text": "The JUG."}, Linked(4, 7)),
    "another case with start": ({"mention": "jug", "text": "Jug, JUG", "start": 5}, Linked(5, 8)),
    "another case twice": ({"mention": "jug", "text": "Jug, JUG"}, Linked(None, None)),
    "start at the second": ({"mention": "Ada", "text": "Ada, Ada", "start": 5}, Linked(5, 8)),
    "start elsewhere": (
        {"mention": "Ada", "text": "As Ada", "start": 0},
        Refused("at `start` 0 stands 'As ', not the mention 'Ada'; the mention stands at 3"),
    ),
    "start past the end": (ADA | {"start": 99}, Refused("`start` 99 is outside the text of 10 characters")),
    "start in UTF-16 units": (
        {"mention": "Ada", "text": "😀 Ada slept", "start": 3},
        Refused("stands 'da ', .* these count UTF-16 units"),
    ),
    "start in bytes": ({"mention": "Ada", "text": "é Ada slept", "start": 3}, Refused("these count bytes")),
    "negative start": (ADA | {"start": -1}, Refused("`start` -1 is outside", "start")),
    "text as start": (ADA | {"start": "0"}, Refused("`start` must be a whole number|has the type", "start")),
    "half a start": (ADA | {"start": 0.5}, Refused("`start` must be a whole number, not 0.5", "start")),
    # Pictures
    "turned by EXIF": (ADA | {"image": turned()}, Linked(picture=((16, 32), RED, BLUE))),
    "transparent": (ADA | {"image": encoded(halves("RGBA", right=(0, 0, 0, 0)))}, Linked(picture=((16, 8), RED, grey(255)))),
    "palette": (ADA | {"image": encoded(halves().quantize(2))}, Linked(picture=HALVES)),
    "16-bit grey": (ADA | {"image": ramp("uint16", 256, 32_768, 65_535)}, Linked(picture=((3, 2), grey(1), grey(255)))),
    "floats up to 1": (ADA | {"image": ramp("float32", 0.2, 1.0)}, Linked(picture=((2, 2), grey(51), grey(255)))),
    "floats up to 255": (ADA | {"image": ramp("float32", 3, 254)}, Linked(picture=((2, 2), grey(3), grey(254)))),
    "floats of another range": (ADA | {"image": ramp("float32", -1, 1)}, BadPicture("grey values go from -1 to 1")),
    "CMYK": (ADA | {"image": encoded(halves().convert("CMYK"), "JPEG", quality=100)}, Linked(picture=HALVES)),
    "animation": (
        ADA | {"image": encoded(halves(), "GIF", save_all=True, append_images=[halves(left=BLUE, right=RED)])},
        Linked(picture=HALVES),
    ),
    "one colour": (ADA | {"image": encoded(halves(left=BLUE))}, Linked()),
    "HEIC": (ADA | {"image": HEIC}, BadPicture("is a HEIC picture, which Pillow reads with a plugin", "it is a HEIC picture")),
    "web page": (ADA | {"image": Encoded(b"<html>404</html>")}, BadPicture("is a web page, not a picture")),
    "cut off": (ADA | {"image": Encoded(encoded(NOISE, "JPEG").content[:900], ".jpg")}, BadPicture("cannot be read as a picture")),
    "no bytes": (ADA | {"image": Encoded(b"")}, BadPicture("is empty")),
    "claims 400 million pixels": (ADA | {"image": bomb()}, BadPicture("decompression bomb", "more than 25,000,000 pixels")),
    "no such file": (ADA | {"image": "no/such.png"}, BadPicture(r"no/such\.png is not there", "neither base64 data nor a URL")),
    "URL": (
        ADA | {"image": "https://me:secret@example.org/a.png"},
        Refused("https://example.org/a.png is a URL, which is not fetched", "fetches no URLs"),
    ),
    "array": (ADA | {"image": np.zeros((2, 2))}, Refused("must be a path or a picture, not|not a picture or a path", "image")),
}  # fmt: skip


# ---- The doors ----


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doors")
    model, processor = tiny_linker(), tiny_processor()
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    index = EntityIndex.build(model, processor, tiny_data().entities, folder / "index", encode_dtype="float32")
    linker = Linker(model, processor, index)
    pipe = pipeline("multimodal-entity-linking", model=model, processor=processor, index=index, device="cpu")
    return {"folder": folder, "linker": linker, "pipe": pipe, "service": client(linker)}


@pytest.fixture
def seen(monkeypatch):
    """The pictures that come to the image processor."""
    found, pixels = [], MELProcessor.pixels

    def noted(self, images, *args, **kwargs):
        found.extend(image for image in images if image is not None)
        return pixels(self, images, *args, **kwargs)

    monkeypatch.setattr(MELProcessor, "pixels", noted)
    return found


def opened(image):
    """As a program passes it in: opened by Pillow, where Pillow can."""
    if not isinstance(image, Encoded):
        return image
    try:
        return Image.open(io.BytesIO(image.content))
    except (OSError, ValueError, Image.DecompressionBombError):
        return image.content


def in_file(image, folder, name: str):
    if not isinstance(image, Encoded):
        return image.tolist() if isinstance(image, np.ndarray) else image
    path = folder / f"{name}{image.suffix}"
    path.write_bytes(image.content)
    return str(path)


def in_body(image):
    if isinstance(image, Encoded):
        return f"data:;base64,{base64.b64encode(image.content).decode()}"
    return image.tolist() if isinstance(image, np.ndarray) else image


def ask_linker(parts, record, tmp_path):
    linked = parts["linker"].link(**record | {"image": opened(record.get("image"))})
    return linked.start, linked.end


def ask_pipeline(parts, record, tmp_path):
    image = record.get("image")
    source = in_file(image, tmp_path, "picture") if isinstance(image, Encoded) else image
    linked = parts["pipe"](record | {"image": source})
    return linked["start"], linked["end"]


def ask_service(parts, record, tmp_path):
    body = json.dumps(record | {"image": in_body(record.get("image"))})
    answer = parts["service"].post("/link", content=body, headers=JSON)
    if answer.status_code != 200:
        assert answer.status_code == 422
        raise ValueError("; ".join(f"{each['where']}: {each['what']}" for each in answer.json()["problems"]))
    return answer.json()["start"], answer.json()["end"]


def data_set(record):
    """A `Dataset`, or rows, where no data set can hold them."""
    row = record | {"entity_id": tiny_data().entities.ids[0]}
    image = row.get("image")
    if isinstance(image, Encoded):
        row["image"] = {"bytes": image.content, "path": None}
    elif isinstance(image, str):
        row["image"] = {"bytes": None, "path": image}
    elif isinstance(image, np.ndarray):
        row["image"] = image.tolist()
    try:
        table = Dataset.from_list([row])
    except UnicodeEncodeError:
        return [row]
    return table.cast_column("image", ImageFeature()) if isinstance(row.get("image"), dict) else table


def ask_trainer(parts, record, tmp_path):
    linker = parts["linker"]
    trainer = make_trainer(tmp_path, linker.model, train=data_set(record), processor=linker.processor)
    mentions = trainer.train_mentions.dataset
    MentionInputs(mentions, linker.processor)([0])
    return mentions["start"][0], mentions["end"][0]


ASK = {"linker": ask_linker, "pipeline": ask_pipeline, "service": ask_service, "trainer": ask_trainer}


def check_picture(pictures: list, expected: tuple | None) -> None:
    if expected is None:
        assert pictures == []
        return
    (image,) = pictures
    corners = image.getpixel((0, 0)), image.getpixel((image.width - 1, image.height - 1))
    assert image.mode == "RGB" and image.size == expected[0]
    assert np.abs(np.subtract(corners, expected[1:])).max() <= 8, "JPEG is not exact"


@pytest.mark.parametrize("name", ROWS)
def test_every_door_gives_the_same_or_a_named_error(name, parts, seen, tmp_path, caplog, monkeypatch):
    record, expected = ROWS[name]
    monkeypatch.setattr(images_module, "_named", set())
    pixels = set()
    for door, ask in ASK.items():
        seen.clear()
        if isinstance(expected, Linked):
            assert ask(parts, dict(record), tmp_path) == (expected.start, expected.end), door
            check_picture(seen, expected.picture)
            pixels |= {image.tobytes() for image in seen}
            continue
        words = expected.in_service if door == "service" and expected.in_service is not None else expected.words
        if door == "trainer" and isinstance(expected, BadPicture):
            assert ask(parts, dict(record), tmp_path) == (0, 3) and seen == []
            assert re.search(f"picture of record '0': .*{words}.*; used without a picture", caplog.text), caplog.text
            continue
        with pytest.raises((ValueError, FileNotFoundError), match=words) as error:
            ask(parts, dict(record), tmp_path)
        assert "secret" not in str(error.value), door
    assert len(pixels) == (isinstance(expected, Linked) and expected.picture is not None), (
        "the same picture at every door"
    )


# ---- Files: all rows of the table at once, so that a bad one refuses no other ----


def write_records(folder) -> None:
    with open(folder / "rows.jsonl", "w") as file:
        for name, (record, _) in ROWS.items():
            row = {"id": name, **record, "image": in_file(record.get("image"), folder, name)}
            file.write(json.dumps(row) + "\n")


def test_files_give_the_same_or_a_named_reject(parts, seen, tmp_path):
    write_records(tmp_path)
    folder, out = parts["folder"], tmp_path / "out.jsonl"
    command = [
        "link",
        folder / "model",
        "--index",
        folder / "index",
        "--input",
        tmp_path / "rows.jsonl",
        "--output",
        out,
    ]
    assert main([str(word) for word in command]) == 1, "some rows are rejected"
    linked = {row["id"]: row for row in map(json.loads, out.read_text().splitlines())}
    lines = (tmp_path / "out.jsonl.rejects.jsonl").read_text().splitlines()
    rejects = {row["id"]: row["problems"][0] for row in map(json.loads, lines)}
    assert linked.keys() | rejects.keys() == ROWS.keys() and not linked.keys() & rejects.keys()
    for name, (record, expected) in ROWS.items():
        if isinstance(expected, Linked):
            assert (linked[name]["start"], linked[name]["end"]) == (expected.start, expected.end), name
            assert linked[name]["has_image"] == (expected.picture is not None), name
        else:
            assert re.search(expected.words, rejects[name]["reason"]), (name, rejects[name])
            assert rejects[name]["field"] in record and "secret" not in rejects[name]["reason"]
    pictures = [ROWS[name][1].picture for name in linked if ROWS[name][1].picture is not None]
    assert len(seen) == len(pictures)
    for image, picture in zip(seen, pictures, strict=True):
        check_picture([image], picture)


def test_an_import_gives_the_same_or_names_every_bad_row(parts, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    write_records(tmp_path)
    (tmp_path / "kb.jsonl").write_text('{"id": "Q1", "name": "Ada"}\n')
    command = ["data", "import", "--entities", "kb.jsonl", "--mention_columns", "entity_id=", "--out", "out"]
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    bad = {name for name, (_, expected) in ROWS.items() if type(expected) is Refused and name != "URL"}
    number = {name: line for line, name in enumerate(ROWS, start=1)}
    assert main([*command, "--train", "rows.jsonl"]) == 2
    error = capsys.readouterr().err
    for name in bad:
        assert re.search(rf"line {number[name]}: .*({ROWS[name][1].words})", error), name
    assert len(re.findall("^  line ", error, re.MULTILINE)) == len(bad)
    (tmp_path / "good.jsonl").write_text("\n".join(lines[number[name] - 1] for name in ROWS if name not in bad))
    assert main([*command, "--train", "good.jsonl"]) == 0
    mentions = datasets.load_dataset("out", "mentions", split="train")
    report = json.loads((tmp_path / "out" / "build_report.json").read_text())
    broken = {entry["record"]: entry["reason"] for entry in report["pictures"]}
    for row, image in zip(undecoded(mentions), load_images(mentions, strict=True), strict=True):
        expected = ROWS[row["id"]][1]
        if isinstance(expected, Linked):
            assert (row["start"], row["end"]) == (expected.start, expected.end), row
            check_picture([] if image is None else [image], expected.picture)
        else:
            assert image is None and "secret" not in broken[row["id"]]
            assert row["id"] == "URL" or re.search(expected.words, broken[row["id"]]), broken[row["id"]]


# ---- Tables and data sets ----


TWO = [
    {"mention": "Ada", "text": "Ada slept.", "start": 0},
    {"mention": "Eva", "text": "Where is Eva?", "start": None},
]
TABLES = {
    "two rows": (TWO, [0, 9]),
    "sentence instead of text": ([{("sentence" if name == "text" else name): row[name] for name in row} for row in TWO], [0, 9]),
    "NaN as start": ([TWO[0] | {"start": 0.0}, TWO[1] | {"start": float("nan")}], [0, 9]),
    "no start": ([{"mention": row["mention"], "text": row["text"]} for row in TWO], [0, 9]),
    "one bad row": ([TWO[0] | {"start": 1}, TWO[1]], "at `start` 1 stands"),
    "no text": ([{"mention": "Ada"}] * 2, "`text`.* missing|lacks the column `text`"),
    "a text is null": ([TWO[0], TWO[1] | {"text": None}], "`text` is missing or empty"),
    "no rows": ([], "is empty|holds no mention"),
    "numbers as mentions": ([row | {"mention": 5} for row in TWO], "must be text|has the type"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("make", [list, Dataset.from_list, pd.DataFrame], ids=["list", "data set", "frame"])
def test_tables_at_every_door(name, make, parts, tmp_path):
    rows, expected = TABLES[name]
    doors = {
        "linker": lambda: [each.start for each in parts["linker"].link_queries(make(rows))],
        "pipeline": lambda: [each["start"] for each in parts["pipe"](make(rows))],
        "files": lambda: linked_file(parts["linker"], make(rows), tmp_path),
        "trainer": lambda: trained_on(parts, make(rows), tmp_path),
    }
    for door, starts in doors.items():
        if name == "no rows" and make is list and door in ("linker", "pipeline"):
            assert starts() == []
        elif isinstance(expected, list):
            assert starts() == expected, door
        else:
            with pytest.raises(ValueError, match=expected):
                starts()


def linked_file(linker, table, folder) -> list:
    """Through a Parquet file, or the table itself where it is a data set."""
    if not isinstance(table, Dataset):
        pd.DataFrame(table).to_parquet(folder / "in.parquet")
        table = folder / "in.parquet"
    report = link_file(lambda: linker, TableInput(table), folder / "out.jsonl", overwrite=True)
    if report.rejected:
        raise ValueError("\n".join(report.reasons))
    return [json.loads(line)["start"] for line in (folder / "out.jsonl").read_text().splitlines()]


def trained_on(parts, table, folder) -> list:
    gold = tiny_data().entities.ids[0]
    if isinstance(table, Dataset):
        table = table.add_column("entity_id", [gold] * len(table))
    elif isinstance(table, list):
        table = [row | {"entity_id": gold} for row in table]
    else:
        table = table.assign(entity_id=gold)
    linker = parts["linker"]
    return make_trainer(folder, linker.model, train=table, processor=linker.processor).train_mentions.dataset["start"][
        :
    ]


def test_several_mentions_of_one_request(parts):
    for name, (rows, expected) in TABLES.items():
        answer = parts["service"].post("/link", content=json.dumps({"mentions": rows}), headers=JSON)
        if isinstance(expected, list) and name != "NaN as start":  # JSON has no NaN
            assert [each["start"] for each in answer.json()] == expected
        else:
            assert answer.status_code == 422 and answer.json()["problems"], answer.text
