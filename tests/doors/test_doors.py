"""One table of odd inputs and five ways in: the same mention with the same pixels comes out, or an error that names what is wrong."""

import base64
import io
import json
import re

import datasets
import numpy as np
import pytest
from datasets import Dataset
from datasets import Image as ImageFeature
from PIL import Image

from hf_mel import MELProcessor
from hf_mel.cli.main import main
from hf_mel.data import images as images_module
from hf_mel.data import load_images
from hf_mel.data.images import undecoded
from hf_mel.encoding import MentionInputs
from tests.doors.table import JSON, ROWS, BadPicture, Encoded, Linked, Refused
from tests.training.common import make_trainer, tiny_data


# ---- The doors ----


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
