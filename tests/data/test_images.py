import io
import logging
import os

import numpy as np
import pytest
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from hf_mel.data import IMAGE_STATUS, content_fingerprint, image_status, images, load_images, open_image
from hf_mel.data.images import read_picture


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


def test_a_picture_is_turned_upright_by_its_exif_orientation(tmp_path, write_picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: turn by 90 degrees clockwise to view
    path = write_picture(tmp_path / "turned.jpg", size=(64, 32), exif=exif, quality=95)
    image, status = open_image(path)
    assert status == "ok"
    assert image.size == (32, 64)
    # What is left in the file is at the top when upright.
    top, bottom = np.asarray(image)[10].mean(axis=0), np.asarray(image)[54].mean(axis=0)
    assert top[0] > 150 and top[2] < 60
    assert bottom[2] > 150 and bottom[0] < 60


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "RGBA", "LA", "I;16"])
def test_every_mode_becomes_rgb(mode):
    image = Image.linear_gradient("L")
    image = Image.fromarray(np.asarray(image).astype(np.uint16) * 256) if mode == "I;16" else image.convert(mode)
    opened, status = open_image(image)
    assert (opened.mode, status) == ("RGB", "ok")


def test_sixteen_bit_grey_keeps_its_range():
    values = np.asarray([[0, 128 * 256], [200 * 256, 255 * 256]], dtype=np.uint16)
    opened, _ = open_image(png(Image.fromarray(values)))
    assert np.asarray(opened)[..., 0].tolist() == [[0, 128], [200, 255]]


def test_transparent_pixels_become_white():
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((0, 0), (10, 20, 30, 255))
    opened, _ = open_image(png(image))
    assert [opened.getpixel((0, 0)), opened.getpixel((1, 0))] == [(10, 20, 30), (255, 255, 255)]


def test_a_picture_that_needs_no_change_is_returned_itself():
    image = Image.linear_gradient("L").convert("RGB")
    assert open_image(image)[0] is image
    once, _ = open_image(png(image.convert("RGBA")))
    assert open_image(once)[0] is once


def test_open_pictures_that_cannot_be_used(tmp_path, write_picture):
    with Image.open(write_picture(tmp_path / "a.png")) as closed:
        pass
    reasons = {
        "its file is closed": closed,
        "it has no pixel": Image.new("RGB", (0, 0)),
        "grey values are missing": Image.fromarray(np.array([[0.5, np.nan]], dtype=np.float32)),
        "from 0 to 70000": Image.fromarray(np.array([[0, 70_000]], dtype=np.int32)),
        "is a ndarray": np.zeros((2, 2)),
        "is a data URI": "data:image/png;base64," + "A" * 5_000,
    }
    for reason, source in reasons.items():
        image, status, said = read_picture(source)
        assert (image, status) == (None, "unreadable") and reason in said and len(said) < 300


def test_broken_pictures_are_named_once_and_not_by_thousands(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(images, "_named", set())
    paths = [str(tmp_path / f"{number}.png") for number in range(30)]
    features = Features({"id": Value("string"), "image": ImageFeature()})
    table = Dataset.from_dict({"id": list(map(str, range(30))), "image": paths}, features=features)
    for _ in range(2):
        load_images(table)
    assert len(caplog.messages) == 20 and "record '0': " in caplog.text and "record '20'" not in caplog.text
    assert "at the level DEBUG only" in caplog.messages[-1]


def test_statuses(tmp_path, write_picture):
    good = write_picture(tmp_path / "good.jpg", size=(64, 64))
    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes(good.read_bytes()[:-200])
    text = tmp_path / "text.jpg"
    text.write_text("<html>404</html>")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    black = tmp_path / "black.png"
    Image.new("RGB", (8, 8)).save(black)
    sources = {good: "ok", truncated: "unreadable", text: "unreadable", empty: "unreadable", black: "blank"}
    sources |= {tmp_path / "absent.jpg": "missing_file", None: "none", "": "none"}
    assert set(sources.values()) == set(IMAGE_STATUS)
    for source, expected in sources.items():
        image, status = open_image(source)
        assert status == expected, source
        assert (image is not None) == (expected == "ok"), source
        assert image_status(source, decode=True) == expected
    # Without decoding only the presence is known.
    assert image_status(truncated) == "ok"
    assert image_status(tmp_path / "absent.jpg") == "missing_file"


def test_strict_names_record_and_file(tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ValueError, match=r"record 'm7'.*broken\.jpg cannot be read.*strict=False"):
        open_image(broken, strict=True, record="m7")
    with pytest.raises(FileNotFoundError, match=r"record 'm8'.*absent\.jpg is not there"):
        open_image(tmp_path / "absent.jpg", strict=True, record="m8")
    with pytest.raises(FileNotFoundError, match=r"record 'm8'.*absent\.jpg is not there"):
        image_status(tmp_path / "absent.jpg", strict=True, record="m8")
    with pytest.raises(ValueError, match=r"embedded picture x\.png cannot be read"):
        open_image({"bytes": b"nothing", "path": "x.png"}, strict=True)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_cost_the_picture(tmp_path, write_picture, caplog):
    path = write_picture(tmp_path / "damaged.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    with caplog.at_level(logging.DEBUG):
        assert open_image(path)[1] == "ok"


def test_load_images_reads_only_the_asked_rows(tmp_path, write_picture):
    write_picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"broken")
    features = Features({"id": Value("string"), "image": ImageFeature()})
    paths = [str(tmp_path / "a.png"), str(tmp_path / "b.png"), None]
    table = Dataset.from_dict({"id": ["a", "b", "c"], "image": paths}, features=features)
    assert [image and image.size for image in load_images(table)] == [(6, 4), None, None]
    assert [image and image.size for image in load_images(table, [2, 0])] == [None, (6, 4)]
    assert load_images(table, [0, 2], strict=True)[0] is not None  # the broken one is not touched
    with pytest.raises(ValueError, match="record 'b'"):
        load_images(table, [1], strict=True)


def test_a_named_pipe_is_not_waited_for(tmp_path):
    path = tmp_path / "a.jpg"
    os.mkfifo(path)
    table = Dataset.from_dict(
        {"id": ["m"], "image": [str(path)]}, features=Features({"id": Value("string"), "image": ImageFeature()})
    )
    assert open_image(path) == (None, "unreadable")
    assert image_status(path) == image_status(path, decode=True) == "unreadable"
    with pytest.raises(ValueError, match=r"a\.jpg is no regular file"):
        open_image(path, strict=True)
    assert load_images(table) == [None]
    assert content_fingerprint(table) != ""
