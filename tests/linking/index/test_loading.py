"""What `load` refuses, and by which words."""

import json
import shutil

import pytest
import torch

from hf_mel import Linker, PGMELModel, PGMELProcessor
from hf_mel.linking.index import EntityIndex
from hf_mel.linking.index.fingerprints import describe_model, describe_processor
from tests.linking.index.common import build, parts, people
from tests.training.common import tiny_linker, tiny_processor


@pytest.fixture(scope="module", params=[False, True], ids=["text", "pictures"])
def built(request, tmp_path_factory):
    return request.param, build(tmp_path_factory.mktemp("index") / "index", vision=request.param, kb=people(5)).folder


@pytest.fixture
def broken(tmp_path):
    return build(tmp_path / "index").folder


def test_the_same_model_after_saving_and_on_other_hardware(built, tmp_path):
    vision, folder = built
    model, processor = parts(vision)
    model.save_pretrained(tmp_path, max_shard_size="8KB")
    processor.save_pretrained(tmp_path)
    model, processor = PGMELModel.from_pretrained(tmp_path), PGMELProcessor.from_pretrained(tmp_path)
    processor.mentions(["a"], ["a b"])  # leaves its truncation in the tokenizer
    assert describe_model(model) == describe_model(parts(vision)[0])
    assert describe_processor(processor) == describe_processor(parts(vision)[1])
    index = EntityIndex.load(folder, model.train(), processor)
    assert index.manifest.model["fingerprint"] == describe_model(model)["fingerprint"]


def changed_weight(model, part: str):
    with torch.no_grad():
        next(value for name, value in model.named_parameters() if name.startswith(part)).view(-1)[0] += 1e-4
    return model


MODELS = {
    "heads": (
        lambda vision: changed_weight(tiny_linker(vision), "heads."),
        "the weights of the heads differ",
    ),
    "towers": (
        lambda vision: changed_weight(tiny_linker(vision), "text_model."),
        "the weights of the towers differ",
    ),
    "pooling": (lambda vision: tiny_linker(vision, pooling="cls"), "config.pooling is 'mean' in the index and 'cls' here"),
    "fusion": (lambda vision: tiny_linker(vision, fusion="concat"), "config.fusion is 'gmu' in the index and 'concat'"),
    "tower": (
        lambda vision: tiny_linker(vision, text_config={**tiny_linker(vision).config.text_config.to_dict(), "num_attention_heads": 4}),
        "config.text_config.num_attention_heads is 2 in the index and 4 here",
    ),
}  # fmt: skip


@pytest.mark.parametrize("difference", MODELS)
def test_another_model_is_refused_by_what_differs(built, difference):
    vision, folder = built
    make, message = MODELS[difference]
    model, processor = make(vision), parts(vision)[1]
    with pytest.raises(ValueError, match=f"index was made with another model: .*{message}"):
        EntityIndex.load(folder, model, processor)
    index = EntityIndex.load(folder)
    with pytest.raises(ValueError, match=message):
        index.add(model, processor, people(9))
    assert index.generation == 1


def test_how_a_model_was_trained_does_not_count(built):
    vision, folder = built
    model = tiny_linker(vision, freeze_text=True, softmax_temperature=0.5, head_dropout=0.0)
    model.config.use_cache = False
    EntityIndex.load(folder, model)


def test_another_processor_is_refused_by_what_differs(built):
    vision, folder = built
    model, processor = parts(vision)

    def other(**settings) -> PGMELProcessor:
        made = tiny_processor(vision)
        fields = {"max_length": 32, "surface_max_length": 8} | settings
        return PGMELProcessor(made.image_processor if vision else None, made.tokenizer, **fields)

    for settings, message in (
        ({"max_length": 24}, "processor.max_length is 32 in the index and 24 here"),
        ({"entity_template": "{name} {separator} a {description}"}, "processor.entity_template is "),
        ({"separator": ","}, "processor.separator is "),
    ):
        with pytest.raises(ValueError, match=f"another processor: {message}"):
            EntityIndex.load(folder, model, other(**settings))
        with pytest.raises(ValueError, match=f"another processor: {message}"):
            EntityIndex.load(folder, processor=other(**settings))
    tokens = other()
    tokens.tokenizer.add_tokens(["newword"])
    with pytest.raises(ValueError, match="the tokenizer differs"):
        EntityIndex.load(folder, model, tokens)
    with pytest.raises(ValueError, match="only one of the two processors prepares pictures"):
        EntityIndex.load(folder, model, tiny_processor(not vision))
    if vision:
        pictures = other()
        pictures.image_processor.image_mean = [0.0, 0.0, 0.0]
        with pytest.raises(
            ValueError, match=r"processor.image_processor.image_mean is \[0.48.* and \[0.0, 0.0, 0.0\]"
        ):
            EntityIndex.load(folder, model, pictures)
    with pytest.raises(ValueError, match="config.pooling.*processor.max_length"):
        EntityIndex.load(folder, tiny_linker(vision, pooling="cls"), other(max_length=24))


# ---- Damage ----


def test_no_index(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no index .*nowhere"):
        EntityIndex.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is no index of entities, or one whose build did not end"):
        EntityIndex.load(tmp_path)


@pytest.mark.parametrize(("version", "advice"), [(1, "build the index again with"), (3, "update hf_mel, or build")])
def test_another_format(broken, version, advice):
    values = json.loads((broken / "manifest.json").read_text())
    (broken / "manifest.json").write_text(json.dumps(values | {"format_version": version, "news": 1}))
    with pytest.raises(ValueError, match=f"in format {version}, and this version of hf_mel reads format 2: {advice}"):
        EntityIndex.load(broken)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format_version": 2}', '{"format_version": 2, "x": 2}'])
def test_a_damaged_manifest(broken, text):
    (broken / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest.json is (damaged|no manifest)"):
        EntityIndex.load(broken)


def test_every_missing_or_cut_file_is_named(broken):
    index = EntityIndex.load(broken)
    index.remove(index.ids[:1])
    (broken / "shards/000001.parquet").unlink()
    (broken / "shards/000003.safetensors").write_bytes(b"short")
    shutil.rmtree(broken / "removed")
    with pytest.raises(ValueError) as caught:
        EntityIndex.load(broken)
    message = str(caught.value)
    assert "shards/000001.parquet is missing" in message and "removed/000002.bin is missing" in message
    assert "shards/000003.safetensors has 5 bytes and should have" in message


@pytest.mark.parametrize("file", ["shards/000002.safetensors", "shards/000002.parquet", "removed/000002.bin"])
def test_a_file_of_the_right_size_with_nonsense(broken, file):
    index = EntityIndex.load(broken)
    index.remove(index.ids[:1])
    size = (broken / file).stat().st_size
    (broken / file).write_bytes(b"\xff" * size)
    with pytest.raises(ValueError, match=file):
        EntityIndex.load(broken)


def test_rows_outside_the_index(broken):
    index = EntityIndex.load(broken)
    for rows in ([20], [-1], [3, 99]):
        with pytest.raises(IndexError, match=r"rows must be within 0\.\.19"):
            index.encodings(rows)
        with pytest.raises(IndexError):
            index.entities(rows)


def test_files_stay_closed(tmp_path):
    """A large index has more shards than a process may open files."""
    import os

    before = len(os.listdir("/proc/self/fd"))
    index = build(tmp_path / "index", shard_rows=1)
    index.entities(range(20))
    assert len(os.listdir("/proc/self/fd")) - before < 5


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([{"id": "1", "name": "one"}], TypeError, "`KnowledgeBase.from_records`.*not as list"),
        (None, TypeError, "not as NoneType"),
        ("objects.csv", ValueError, "objects.csv is a file.*`KnowledgeBase.from_csv`.*--kb objects.csv"),
    ],
)
def test_entities_in_another_form_are_refused_with_what_to_do(given, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "objects.csv").write_text("id,name\n1,one\n")
    with pytest.raises(error, match=message):
        Linker(tiny_linker(False), tiny_processor(False), given)
