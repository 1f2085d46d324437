"""Pictures of own tables: by path, as bytes, as features of `datasets`, broken."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Image, Value
from PIL import Image as PILImage

from hf_mel.data import KnowledgeBase


@pytest.fixture
def folder(tmp_path, write_picture):
    write_picture(tmp_path / "pictures" / "good.png")
    PILImage.new("RGB", (3, 3)).save(tmp_path / "pictures" / "blank.png")
    (tmp_path / "pictures" / "broken.png").write_bytes(b"<html>not found</html>")
    names = ["good.png", "blank.png", "broken.png", "absent.png", ""]
    rows = "".join(f"Q{i},n{i},{name and 'pictures/' + name}\n" for i, name in enumerate(names))
    (tmp_path / "t.csv").write_text("id,name,image\n" + rows)
    return tmp_path


def test_paths_start_at_the_file_wherever_one_works(folder, monkeypatch):
    monkeypatch.chdir(folder)
    kb = KnowledgeBase.from_csv("t.csv")
    monkeypatch.chdir("/")
    assert kb.images([0])[0].size == (6, 4)


def test_status_without_and_with_a_look_at_the_pictures(folder, caplog):
    kb = KnowledgeBase.from_csv(folder / "t.csv")
    assert kb.dataset["image_status"][:] == ["ok", "ok", "ok", "missing_file", "none"]
    assert f"{folder / 't.csv'}: 1 picture not there: Q3" in caplog.messages
    caplog.clear()
    kb = KnowledgeBase.from_csv(folder / "t.csv", check_images=True)
    assert kb.dataset["image_status"][:] == ["ok", "blank", "unreadable", "missing_file", "none"]
    assert [image is None for image in kb.images()] == [False, True, True, True, True]
    assert [row["image"] is None for row in map(kb.__getitem__, range(5))] == [False, True, True, True, True]
    for line in ("1 picture blank: Q1", "1 picture unreadable: Q2", "1 picture not there: Q3"):
        assert f"{folder / 't.csv'}: {line}" in caplog.messages


def test_strict_images_lists_all_that_are_unusable(folder):
    with pytest.raises(FileNotFoundError) as raised:
        KnowledgeBase.from_csv(folder / "t.csv", check_images=True, strict_images=True)
    message = str(raised.value).splitlines()
    assert message[0].endswith("2 problems")
    assert message[1].startswith("  line 4, picture of record 'Q2': ") and "is a web page" in message[1]
    assert message[2].startswith("  line 5, picture of record 'Q3': ") and message[2].endswith(
        "absent.png is not there"
    )
    assert "strict_images=False" in message[3]
    with open(folder / "t.csv", "a") as file:
        file.write("Q9,,\n")
    with pytest.raises(ValueError) as raised:  # with anything else wrong, that too
        KnowledgeBase.from_csv(folder / "t.csv", strict_images=True)
    assert "line 7: `name` is missing" in str(raised.value) and "absent.png is not there" in str(raised.value)


def test_another_folder_of_pictures(folder, write_picture):
    write_picture(folder / "other" / "pictures" / "absent.png", size=(8, 2))
    kb = KnowledgeBase.from_csv(folder / "t.csv", images=folder / "other")
    assert [image and image.size for image in kb.images()] == [None, None, None, (8, 2), None]


def picture_bytes(kind="PNG", size=(4, 4)) -> bytes:
    image, buffer = PILImage.new("RGB", size, "red"), io.BytesIO()
    image.putpixel((0, 0), (0, 0, 255))
    image.save(buffer, kind)
    return buffer.getvalue()


def test_bytes_in_parquet(tmp_path):
    table = pa.table({"id": ["1", "2", "3"], "name": ["a", "b", "c"], "picture": [picture_bytes(), None, b"no"]})
    pq.write_table(table, tmp_path / "t.parquet")
    kb = KnowledgeBase.from_parquet(tmp_path / "t.parquet", check_images=True)
    assert kb.dataset["image_status"][:] == ["ok", "none", "unreadable"]
    assert kb[0]["image"]["bytes"] == picture_bytes()
    assert kb.images([0])[0].size == (4, 4)


def test_pictures_of_datasets(tmp_path, write_picture):
    path = str(write_picture(tmp_path / "a.png"))
    features = Features({"id": Value("string"), "name": Value("string"), "image": Image()})
    rows = [path, {"bytes": picture_bytes("JPEG"), "path": "x.jpg"}, None, str(tmp_path / "absent.png")]
    dataset = Dataset.from_dict(
        {"id": list("abcd"), "name": list("abcd"), "image": rows}, features=features
    )  # fmt: skip
    kb = KnowledgeBase.from_dataset(dataset)
    assert [image and image.size for image in kb.images()] == [(6, 4), (4, 4), None, None]
    assert kb.dataset["image_status"][:] == ["ok", "ok", "none", "missing_file"]
    assert kb[1]["image"] == {"bytes": picture_bytes("JPEG"), "path": "x.jpg"}
    # What was saved comes back, pictures inside.
    kb.save(tmp_path / "kb.parquet")
    again = KnowledgeBase.from_parquet(tmp_path / "kb.parquet", columns={"image_status": "image_status"})
    assert again.fingerprint == kb.fingerprint
    assert again.dataset["image_status"][:] == ["ok", "ok", "none", "missing_file"]


def test_a_path_with_a_null_character_is_a_problem(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"id": "1", "name": "a", "image": "a\\u0000b.png"}\n')
    with pytest.raises(ValueError, match="line 1: `image` is no path: it holds a null character"):
        KnowledgeBase.from_jsonl(tmp_path / "t.jsonl")


def test_a_status_without_its_picture(tmp_path):
    (tmp_path / "t.csv").write_text("id,name,image,image_status\n1,a,,ok\n2,b,,lost\n3,c,,blank\n")
    with pytest.raises(ValueError) as raised:
        KnowledgeBase.from_csv(tmp_path / "t.csv")
    assert "line 2: `image_status` is 'ok', but there is no `image`" in str(raised.value)
    assert "line 3: `image_status` 'lost' is unknown" in str(raised.value)
    assert "2 problems" in str(raised.value)
