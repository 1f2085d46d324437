import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from hf_mel import KnowledgeBase
from hf_mel.encoding import EntityInputs, encode_all
from hf_mel.linking.index import EntityIndex, encoder
from hf_mel.models.encodings import cat_rows, flatten, whole
from tests.linking.index.common import SMALL, build, contents, parts, people
from tests.training.common import tiny_data, tiny_linker


def reference(kb, vision: bool) -> dict[str, torch.Tensor]:
    """Encodings of all entities without an index."""
    model, processor = parts(vision)
    return encode_all(model, EntityInputs(kb, processor), 100)[0]


@pytest.mark.parametrize("vision", [False, True], ids=["text", "pictures"])
def test_encodings_are_those_of_the_model(vision):
    index, kb = build(vision=vision), tiny_data().entities
    assert len(index) == index.num_rows == 20 and index.ids == kb.ids
    rows = np.array([[3, 19, 3], [0, 7, 12]])
    found = index.encodings(rows)
    for name, value in reference(kb, vision).items():
        torch.testing.assert_close(found[name], value[torch.from_numpy(rows)], rtol=1e-5, atol=1e-6)
    assert found["embeds"].shape == (2, 3, 8) and found["image_weight"].shape == (2, 3)
    names = {"alone.text.embeds", "alone.image.embeds", "alone.has_image"} if vision else set()
    assert set(flatten(found)) == set(index.manifest.tensors) == {"embeds", "image_weight"} | names
    if vision:
        alone = found["alone"]
        assert alone["has_image"].dtype == torch.bool and alone["has_image"].all()
        assert not torch.allclose(alone["text"]["embeds"], found["embeds"], atol=1e-3)


def test_without_modalities():
    assert set(build(vision=True, modalities=False).manifest.tensors) == {"embeds", "image_weight"}


def test_blocks_are_all_rows_in_order():
    index = build(vision=True)
    expected = whole(index.encodings(np.arange(20)))
    for size in (1, 3, 4, 7, 100):
        blocks = list(index.blocks(size))
        assert [first for first, _ in blocks] == list(range(0, 20, size))
        torch.testing.assert_close(cat_rows([block for _, block in blocks]), expected, rtol=0, atol=0)


def test_entities_are_those_of_the_knowledge_base():
    kb = KnowledgeBase.from_records(
        [
            {
                "id": "Q1", "name": "Ada", "aliases": ["Countess", "A. L."], "attributes": "Occupation: poet.",
                "description": "a poet", "types": ["person"], "image": Image.effect_noise((300, 200), 60).convert("RGB"),
            },
            {"id": "Q2", "name": "Bee"},
        ]
    )  # fmt: skip
    index = build(kb=kb, thumbnail_size=50)
    ada, bee = index.entities([0, 1])
    assert (ada.id, ada.name, ada.aliases, ada.types) == ("Q1", "Ada", ["Countess", "A. L."], ["person"])
    assert (ada.text, ada.description, ada.attributes) == ("Occupation: poet.", "a poet", "Occupation: poet.")
    picture = Image.open(io.BytesIO(ada.thumbnail))
    assert picture.size == (50, 33) and picture.format == "JPEG"
    assert (bee.text, bee.description, bee.aliases, bee.types) == ("", None, [], [])
    assert bee.thumbnail is None and bee.image_status == "none"
    assert index.names() == ["Ada", "Bee"] and index.names([1]) == ["Bee"]
    assert index.aliases([1, 0]) == [[], ["Countess", "A. L."]] and index.types() == [["person"], []]
    assert index.row("Q2") == 1 and "Q2" in index and "Q3" not in index
    assert "JFIF" not in repr(ada)


def test_pictures_that_cannot_be_used_are_counted(tmp_path, caplog):
    (tmp_path / "page.jpg").write_text("<html>Not found</html>")
    Image.new("RGB", (9, 9)).save(tmp_path / "black.png")
    Image.effect_noise((9, 9), 60).save(tmp_path / "fine.png")
    files = {"Q1": "page.jpg", "Q2": "black.png", "Q3": "fine.png", "Q4": "gone.png", "Q5": None}
    kb = KnowledgeBase.from_records(
        {"id": name, "name": name, "image": file and str(tmp_path / file)} for name, file in files.items()
    )
    for vision in (False, True):
        caplog.clear()
        index = build(kb=kb, vision=vision)
        assert index.manifest.images == {"blank": 1, "missing_file": 1, "none": 1, "ok": 1, "unreadable": 1}
        states = {
            entity.id: (entity.image_status, entity.thumbnail is not None) for entity in index.entities(range(5))
        }
        assert (
            states["Q1"] == ("unreadable", False) and states["Q3"] == ("ok", True) and states["Q5"] == ("none", False)
        )
        assert "3 pictures of entities could not be used (1 blank, 1 missing_file, 1 unreadable)" in caplog.text
        index.remove(["Q1", "Q3"])
        assert index.manifest.images == {"blank": 1, "missing_file": 1, "none": 1}
    without = build(kb=kb, thumbnail_size=0)
    assert all(entity.thumbnail is None for entity in without.entities(range(5)))


def test_the_same_again_gives_the_same_bytes_and_encodes_nothing(tmp_path, monkeypatch):
    build(tmp_path / "a", vision=True)
    build(tmp_path / "b", vision=True)
    first = contents(tmp_path / "a")
    assert first == contents(tmp_path / "b") and len(first) == 11
    monkeypatch.setattr(encoder.ShardEncoder, "_encode", None)
    assert len(build(tmp_path / "a", vision=True)) == 20
    assert contents(tmp_path / "a") == first


def test_the_size_of_a_shard_changes_nothing_but_the_files():
    """But for rounding: other entities are encoded together."""
    indexes = [build(shard_rows=rows) for rows in (1, 7, 100)]
    values = [index.encodings(np.arange(20))["embeds"] for index in indexes]
    for value in values[1:]:
        torch.testing.assert_close(value, values[0], rtol=1e-5, atol=1e-6)
    assert [len(index.manifest.shards) for index in indexes] == [20, 3, 1]


def test_overwrite(tmp_path):
    place = tmp_path / "index"
    old = build(place)
    with pytest.raises(ValueError, match="holds an index already: add to it"):
        build(place, kb=people(3))
    new = build(place, kb=people(3), overwrite=True)
    assert len(new) == 3 and new.generation == 2
    assert len(list((place / "shards").iterdir())) == 2, "nothing of the old one is left"
    assert old.encodings([4])["embeds"].shape == (1, 8), "who reads the old one still can"
    assert old.names([19]) and old.entities([19])[0].name
    (place / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="already"):
        build(place, kb=people(3))
    assert len(build(place, kb=people(4), overwrite=True)) == 4


def test_a_damaged_index_is_built_anew_by_overwrite(tmp_path):
    expected = contents(build(tmp_path / "a").folder)
    file = tmp_path / "a" / "shards" / "000001.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="already"):
        build(tmp_path / "a")
    assert EntityIndex.load(tmp_path / "a").verify() == ["shards/000001.safetensors"]
    index = build(tmp_path / "a", overwrite=True)
    assert index.verify() == [] and contents(tmp_path / "a").keys() != expected.keys()


def test_folders_that_are_not_free(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty and holds no index.*notes.txt"):
        build(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "other" / "shards").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds no index"):
        build(tmp_path / "other")
    with pytest.raises(NotADirectoryError, match="is a file"):
        build(tmp_path / "notes.txt")
    (tmp_path / "empty").mkdir()
    assert len(build(tmp_path / "empty")) == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "precision='int4'; did you mean 'int8'"),
        ({"encode_dtype": "bf16"}, "encode_dtype='bf16'"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"shard_rows": 0}, "shard_rows must be at least 1"),
        ({"thumbnail_size": -1}, "thumbnail_size must be at least 0"),
        ({"kb": KnowledgeBase.from_records([])}, "no entity to encode"),
    ],
)
def test_bad_arguments(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        build(tmp_path / "index", **options)
    assert not (tmp_path / "index").exists()


def test_a_model_that_gives_nan(tmp_path):
    model = tiny_linker(False)
    with torch.no_grad():
        model.text_model.embeddings.word_embeddings.weight[:] = torch.nan
    with pytest.raises(ValueError, match=r"gives NaN or infinite numbers \(embeds\) for 4 entities: "):
        EntityIndex.build(model, parts()[1], tiny_data().entities, tmp_path / "index", **SMALL)


def test_in_memory_leaves_nothing():
    index = build()
    folder = index.folder
    assert folder.is_dir()
    del index
    assert not folder.exists()


def test_dtype_of_the_towers(monkeypatch):
    kb = tiny_data().entities
    full, half = build(), build(encode_dtype="bfloat16")
    assert (full.manifest.encode_dtype, half.manifest.encode_dtype) == ("float32", "bfloat16")
    values = [index.encodings(np.arange(20))["embeds"] for index in (full, half)]
    assert values[1].dtype == torch.float32 and not torch.equal(*values)
    torch.testing.assert_close(values[1], values[0], atol=0.05, rtol=0.05)
    for there, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(encoder, "_has_bfloat16", lambda device, there=there: there)
        assert build(encode_dtype="auto", kb=people(2)).manifest.encode_dtype == expected
    monkeypatch.setattr(encoder, "_has_bfloat16", lambda device: True)
    model = tiny_linker(False).to(torch.bfloat16)
    index = EntityIndex.build(model, parts()[1], kb, **{**SMALL, "encode_dtype": "auto"})
    assert index.manifest.encode_dtype == "float32", "the model's own precision, without autocast"
    torch.testing.assert_close(index.encodings(np.arange(20))["embeds"], values[0], atol=0.05, rtol=0.05)


def test_the_model_stays_in_its_mode():
    model = tiny_linker(False, head_dropout=0.5).train()
    first, second = (EntityIndex.build(model, parts()[1], people(6), **SMALL) for _ in range(2))
    assert model.training
    assert torch.equal(first.encodings([5])["embeds"], second.encodings([5])["embeds"])


def test_where_the_model_was(tmp_path):
    assert build(kb=people(2)).model_source is None
    model, processor = parts()
    model.save_pretrained(tmp_path / "model")
    loaded = type(model).from_pretrained(tmp_path / "model")
    index = EntityIndex.build(loaded, processor, people(2), tmp_path / "index", **SMALL)
    assert index.manifest.model_source == "../model" and str(tmp_path) not in json.dumps(index.manifest.to_dict())
    (tmp_path / "moved").mkdir()
    for name in ("model", "index"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    moved = EntityIndex.load(tmp_path / "moved" / "index")
    moved.check_model(type(model).from_pretrained(moved.model_source), processor)
