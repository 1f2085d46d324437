"""Pictures of mentions given to the pipeline."""

import pytest
from datasets import Dataset, Features, Value
from datasets import Image as Picture
from PIL import Image

from hf_mel import PGMELProcessor

from .common import close


def test_a_picture_may_be_a_file_or_bytes(pipe, rows, tmp_path):
    row = next(row for row in rows if row["image"] is not None)
    path = tmp_path / "picture.png"
    row["image"].save(path)
    expected = pipe(row)
    assert expected["has_image"]
    for image in (
        path,
        str(path),
        path.read_bytes(),
        bytearray(path.read_bytes()),
        {"path": str(path), "bytes": None},
    ):
        close([pipe(row | {"image": image})], [expected])
    for nothing in (None, ""):
        assert pipe(row | {"image": nothing})["has_image"] is False


def test_a_shared_picture_is_encoded_once(pipe, rows, monkeypatch):
    row = next(row for row in rows if row["image"] is not None)
    seen = []
    original = PGMELProcessor.pixels

    def counted(self, images, *args, **kwargs):
        seen.extend(image for image in images if image is not None)
        return original(self, images, *args, **kwargs)

    monkeypatch.setattr(PGMELProcessor, "pixels", counted)
    shared = pipe([row, row, row], batch_size=3)
    assert len(seen) == 1
    close(shared, [shared[0]] * 3)


def test_pictures_that_cannot_be_used(pipe, tmp_path, caplog):
    row = {"text": "A painter came.", "mention": "painter"}
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=r"'painter': .*page\.jpg is a web page, not a picture"):
        pipe(row | {"image": tmp_path / "page.jpg"})
    with pytest.raises(FileNotFoundError, match=r"none\.jpg is not there"):
        pipe(row | {"image": str(tmp_path / "none.jpg")})
    with pytest.raises(ValueError, match="https://example.org/a.jpg is a URL, which is not fetched"):
        pipe(row | {"image": "https://example.org/a.jpg"})
    blank = pipe(row | {"image": Image.new("RGB", (8, 8))})
    assert blank["has_image"] is False and "shows one colour" in caplog.text
    close([blank], [pipe(row)])


def test_a_broken_picture_of_a_data_set_is_named(pipe, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    features = Features({"text": Value("string"), "mention": Value("string"), "image": Picture()})
    columns = {"text": ["A painter."], "mention": ["painter"], "image": [str(tmp_path / "broken.png")]}
    (answer,) = pipe(Dataset.from_dict(columns, features=features))
    assert "broken.png cannot be read as a picture" in answer["error"] and answer["id"] == "0"
