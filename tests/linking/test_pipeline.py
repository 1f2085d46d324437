"""`pipeline("multimodal-entity-linking")`: every way to give mentions has the same answers."""

import json
import types

import pandas as pd
import pytest
import torch
from datasets import Dataset, DatasetDict, Features, IterableDataset, Value
from datasets import Image as Picture
from PIL import Image
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from hf_mel import Linker, PGMELConfig, PGMELModel, PGMELProcessor, make_miniature, make_miniature_tokenizer
from hf_mel.linking import Calibration, EntityIndex, LinkedMention, MentionQuery
from hf_mel.linking.pipeline import TASK, MultimodalEntityLinkingPipeline
from hf_mel.models import MatchingModel
from tests.conftest import TINY_TEXT, TINY_VISION


@pytest.fixture(scope="module")
def data():
    return make_miniature(num_entities=12, num_train=5, num_validation=5, num_test=7)


@pytest.fixture(scope="module")
def parts(data):
    from transformers import CLIPImageProcessorPil

    tokenizer = make_miniature_tokenizer()
    torch.manual_seed(0)
    text = {**TINY_TEXT, "vocab_size": len(tokenizer), "initializer_range": 1.0}
    model = PGMELModel(PGMELConfig(text_config=text, vision_config=dict(TINY_VISION), projection_size=8)).eval()
    images = CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    return model, PGMELProcessor(images, tokenizer, max_length=32)


@pytest.fixture(scope="module")
def checkpoint(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    for part in parts:
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def index(parts, data, tmp_path_factory):
    return EntityIndex.build(
        *parts, data.entities, tmp_path_factory.mktemp("index") / "entities", encode_dtype="float32"
    )


@pytest.fixture(scope="module")
def pipe(parts, index):
    model, processor = parts
    return pipeline(TASK, model=model, processor=processor, index=index, device="cpu", calibration=False, top_k=3)


@pytest.fixture(scope="module")
def rows(data):
    mentions = data.mentions["test"]
    return [
        {"text": row["text"], "mention": row["mention"], "start": row["start"], "image": row["image"], "id": row["id"]}
        for row in mentions
    ]  # fmt: skip


def close(left: list[dict], right: list[dict]):
    """The same answers; scores but for the rounding of another batch."""

    def rounded(value):
        if isinstance(value, float):
            return pytest.approx(value, abs=2e-6)
        if isinstance(value, dict):
            return {name: rounded(each) for name, each in value.items()}
        return [rounded(each) for each in value] if isinstance(value, (list, tuple)) else value

    assert len(left) == len(right) > 0
    for one, other in zip(left, right, strict=True):
        assert json.loads(json.dumps(one)) == rounded(json.loads(json.dumps(other)))


# ---- Ways in ----


def test_answers_are_those_of_the_linker(pipe, parts, index, rows):
    queries = [MentionQuery(row["mention"], row["text"], row["start"], row["image"], row["id"]) for row in rows]
    expected = [linked.to_dict() for linked in Linker(*parts, index).link_queries(queries, top_k=3)]
    answers = pipe(rows)
    close(answers, expected)
    assert {answer["has_image"] for answer in answers} == {True, False}
    assert len({answer["candidates"][0]["entity_id"] for answer in answers}) > 1
    assert LinkedMention.from_dict(answers[0]).mention == rows[0]["mention"]
    assert all(len(answer["candidates"]) == 3 for answer in answers)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 64])
def test_the_batch_size_does_not_matter(pipe, rows, batch_size):
    alone = [pipe(row) for row in rows]
    close(pipe(rows, batch_size=batch_size), alone)
    close(list(pipe((row for row in rows), batch_size=batch_size)), alone)


def test_all_ways_to_give_mentions(pipe, rows):
    expected = pipe(rows)
    columns = {name: [row[name] for row in rows] for name in ("text", "mention", "start", "image")}
    for answer, row in zip(expected, rows, strict=True):
        assert answer["id"] == row["id"]
    without_ids = [answer | {"id": None} for answer in expected]
    close(pipe(**columns), without_ids)
    first = {name: values[0] for name, values in columns.items()}
    assert isinstance(pipe(**first), dict)
    close([pipe(**first)], without_ids[:1])
    close([pipe(first)], without_ids[:1])
    close([pipe(MentionQuery(**first))], without_ids[:1])
    close(pipe(tuple(rows)), expected)
    for lazy in (iter(rows), map(dict, rows), (row for row in rows)):
        close(list(pipe(lazy)), expected)
    assert pipe([]) == [] and pipe(()) == [] and list(pipe(iter([]))) == []
    assert pipe(text=[], mention=[]) == []


def test_data_sets(pipe, rows, data):
    expected = pipe(rows)
    mentions = data.mentions["test"]
    answers = pipe(mentions, batch_size=3)
    assert len(answers) > 0 and not isinstance(answers, list)
    close(list(answers), expected)
    close(list(pipe(mentions, num_workers=1, batch_size=2)), expected)
    close(list(pipe(mentions.to_iterable_dataset())), expected)
    close(list(pipe(mentions.rename_column("text", "sentence"))), expected)
    close(list(pipe(mentions.with_format("torch"))), expected)
    close(list(pipe(pd.DataFrame(rows))), expected)
    close(list(pipe({name: [row[name] for row in rows] for name in rows[0]})), expected)
    close(
        pipe([{"sentence" if name == "text" else name: value for name, value in row.items()} for row in rows]),
        expected,
    )
    close(list(pipe(IterableDataset.from_generator(lambda: iter(rows)))), expected)
    close(
        list(pipe(KeyDataset(Dataset.from_list([{"row": {"text": "a b", "mention": "b"}}]), "row"))),
        [pipe(text="a b", mention="b")],
    )


def test_a_generator_is_read_as_it_is_linked(pipe, rows):
    read = []

    def stream():
        for row in rows:
            read.append(row)
            yield row

    answers = pipe(stream(), batch_size=2)
    assert not isinstance(answers, list) and len(read) <= 1
    next(iter(answers))
    assert len(read) == 2


def test_options_of_a_call(pipe, rows, data):
    row = {"text": "A painter came.", "mention": "painter"}
    assert [len(pipe(row, top_k=k)["candidates"]) for k in (1, 5, 12)] == [1, 5, 12]
    assert len(pipe(row)["candidates"]) == 3, "what the pipeline was made with"
    assert pipe(row)["is_nil"] is None
    linked, nil = pipe(row, score_threshold=-1.0), pipe(row, score_threshold=2.0)
    assert (linked["is_nil"], nil["is_nil"], nil["entity_id"]) == (False, True, None)
    some = data.entities.ids[4:6]
    found = pipe([row, rows[0]], entity_ids=some, batch_size=2)
    assert all({each["entity_id"] for each in answer["candidates"]} == set(some) for answer in found)
    assert pipe(row, types=["person"])["candidates"][0]["types"] == ["person"]
    with pytest.raises(ValueError, match="no calibration"):
        pipe(row, threshold=0.5)
    with pytest.raises(TypeError, match="topk"):
        pipe(row, topk=2)


# ---- Pictures ----


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
        pipe([row, row | {"image": str(tmp_path / "none.jpg")}])
    with pytest.raises(ValueError, match="https://example.org/a.jpg is not fetched"):
        pipe(row | {"image": "https://example.org/a.jpg"})
    blank = pipe(row | {"image": Image.new("RGB", (8, 8))})
    assert blank["has_image"] is False and "shows one colour" in caplog.text
    close([blank], [pipe(row)])


def test_a_broken_picture_of_a_data_set_is_named(pipe, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    features = Features({"text": Value("string"), "mention": Value("string"), "image": Picture()})
    columns = {"text": ["A painter."], "mention": ["painter"], "image": [str(tmp_path / "broken.png")]}
    with pytest.raises(ValueError, match=r"broken\.png cannot be read as a picture"):
        list(pipe(Dataset.from_dict(columns, features=features)))


# ---- What is refused ----


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mention": "a"}, "text: is missing"),
        ({"text": "a b", "mention": " "}, "mention: is no text, or a blank one: ' '"),
        ({"text": "a b", "mention": "a", "strat": 1}, "'strat': is no key; did you mean 'start'"),
        ({"text": "a b", "mention": "a", "start": "0"}, "start: is no whole number: '0'"),
        ({"text": "a b", "mention": "a", "start": 9}, "start: 9 is outside the text of 3 characters"),
        ({"text": 3, "mention": None, "x": 1}, "3 problems"),
    ],
)
def test_wrong_fields_are_named(pipe, given, message):
    with pytest.raises(ValueError, match=message):
        pipe(given)
    with pytest.raises(ValueError, match=message):
        pipe([given], batch_size=2)


def test_what_pandas_leaves_empty_is_missing(pipe):
    expected = pipe({"text": "a b", "mention": "b"})
    assert pipe({"text": "a b", "mention": "b", "start": float("nan"), "image": float("nan"), "id": None}) == expected
    with pytest.raises(ValueError, match="text: is missing"):
        pipe({"text": float("nan"), "mention": "b"})


def test_tables_that_cannot_be_linked_are_refused(pipe, data):
    with pytest.raises(TypeError, match="`inputs` .* with the splits 'test'"):
        pipe(DatasetDict(test=data.mentions["test"]))
    with pytest.raises(ValueError, match="`inputs` lacks the column `text`"):
        pipe(data.mentions["test"].remove_columns("text"))
    with pytest.raises(ValueError, match=r"`inputs`: 1 problem\n  row 0: `text` is missing"):
        pipe(pd.DataFrame({"mention": ["a"], "text": [float("nan")]}))


def test_wrong_calls(pipe):
    with pytest.raises(ValueError, match="which mention in it"):
        pipe("A painter came.")
    with pytest.raises(ValueError, match="not a str: 'A painter'"):
        pipe(["A painter"])
    with pytest.raises(ValueError, match="nothing to link"):
        pipe(text="A painter")
    with pytest.raises(ValueError, match="give either `inputs`"):
        pipe({"text": "a", "mention": "a"}, mention="a")
    with pytest.raises(ValueError, match="must both be strings"):
        pipe(text=["a"], mention="a")
    with pytest.raises(ValueError, match="and so must be `image`"):
        pipe(text=["a", "b"], mention=["a", "b"], image=Image.new("RGB", (2, 2)))
    with pytest.raises(ValueError, match="1 of `mention`, 2 of `text`"):
        pipe(text=["a", "b"], mention=["a"])


# ---- Making one ----


def test_from_a_checkpoint(checkpoint, index, pipe, rows):
    made = pipeline(TASK, model=str(checkpoint), index=index.folder, device="cpu", calibration=False, top_k=3)
    assert type(made) is MultimodalEntityLinkingPipeline and isinstance(made.model, MatchingModel)
    assert made.linker.calibration is None and not made.model.training
    close(made(rows, batch_size=2), pipe(rows))
    assert "MultimodalEntityLinkingPipeline" in repr(made)


def test_a_knowledge_base_is_encoded(parts, data, pipe, rows):
    model, processor = parts
    made = pipeline(
        TASK, model=model, processor=processor, index=data.entities, device="cpu", calibration=False, top_k=3
    )
    close(made(rows), pipe(rows))
    merged = pipeline(
        TASK, model=model, processor=processor, index=data.entities, device="cpu", calibration=False,
        linker_options={"candidates": "merged", "num_candidates": 4},
    )  # fmt: skip
    assert merged.linker.setup["candidates"] == "merged"
    assert any(each["lexical_score"] is not None for each in merged(rows[0])["candidates"])


def test_the_calibration_of_the_checkpoint_is_used(checkpoint, index, rows, tmp_path, caplog):
    plain = pipeline(TASK, model=str(checkpoint), index=index, device="cpu")
    calibration = Calibration(0.1, 0.2, 0.3, num_candidates=64, setup=plain.linker.setup)
    folder = tmp_path / "calibrated"
    plain.save_pretrained(folder)
    calibration.save(folder)
    made = pipeline(TASK, model=str(folder), index=index, device="cpu")
    assert made.linker.calibration == calibration
    answer = made(rows[0])
    assert 0 < answer["probability"] < 1 and answer["is_nil"] == (1 - answer["nil_probability"] < 0.3)
    assert answer["calibration"] == "fitted" and answer["prediction_set"] is None
    with pytest.raises(ValueError, match="prediction_set=0.1: .* this one is 'fitted'"):
        made(rows[0], prediction_set=0.1)
    assert made(rows[0], threshold=0.0)["is_nil"] is False and made(rows[0], threshold=1.0)["is_nil"] is True
    assert made.save_pretrained(tmp_path / "again") is None
    assert (tmp_path / "again" / "calibration.json").read_bytes() == (folder / "calibration.json").read_bytes()
    for other in (False, None):
        assert (
            pipeline(TASK, model=str(folder), index=index, device="cpu", calibration=other)(rows[0])["probability"]
            is None
        )
    given = pipeline(TASK, model=str(checkpoint), index=index, device="cpu", calibration=calibration)
    close([given(rows[0])], [answer])
    lexical = pipeline(TASK, model=str(folder), index=index, device="cpu", linker_options={"candidates": "lexical"})
    assert lexical.linker.calibration is None
    assert "the calibration was fitted with candidates='dense' instead of 'lexical'" in caplog.text
    assert pipeline(TASK, model=str(checkpoint), index=index, device="cpu").linker.calibration.kind == "prior"
    assert not (checkpoint / "calibration.json").exists()


def test_a_saved_pipeline_loads(pipe, index, rows, tmp_path):
    pipe.save_pretrained(tmp_path)
    assert {"config.json", "processor_config.json", "tokenizer.json", "model.safetensors"} <= {
        path.name for path in tmp_path.iterdir()
    }
    # The model's code travels along, the pipeline's does not: it needs the package.
    assert not (tmp_path / "pipeline.py").exists()
    assert "custom_pipelines" not in (tmp_path / "config.json").read_text()
    close(pipeline(TASK, model=str(tmp_path), index=index, device="cpu", calibration=False, top_k=3)(rows), pipe(rows))


def test_what_is_missing_is_told(parts, checkpoint, index):
    model, processor = parts
    with pytest.raises(ValueError, match="`index` is missing.*`hf-mel index build CHECKPOINT"):
        pipeline(TASK, model=str(checkpoint), device="cpu")
    with pytest.raises(ValueError, match="pass `processor`"):
        MultimodalEntityLinkingPipeline(model=model, index=index)
    with pytest.raises(ValueError, match="not `tokenizer`"):
        pipeline(
            TASK,
            model=model,
            processor=processor,
            tokenizer=processor.tokenizer,
            index=index,
            device="cpu",
            calibration=False,
        )
    with pytest.raises(FileNotFoundError, match="no-such-index"):
        pipeline(TASK, model=str(checkpoint), index="no-such-index", device="cpu", calibration=False)


def test_a_model_from_a_folder_that_is_gone(parts, index, tmp_path):
    model = PGMELModel.from_pretrained(_saved(parts, tmp_path / "a b" / "c"))
    (tmp_path / "a b" / "c").rename(tmp_path / "away")
    made = pipeline(TASK, model=model, processor=parts[1], index=index, device="cpu", calibration=False)
    assert made.linker.calibration is None


def _saved(parts, folder):
    parts[0].save_pretrained(folder)
    return folder


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(checkpoint, data, rows, dtype, pipe):
    made = pipeline(
        TASK, model=str(checkpoint), index=data.entities, device="cpu", calibration=False, dtype=dtype, top_k=3
    )
    assert made.dtype is dtype
    alone = [made(row) for row in rows]
    for answer, expected in zip(alone, pipe(rows), strict=True):
        assert answer["candidates"][0]["score"] == pytest.approx(expected["candidates"][0]["score"], abs=0.05)
    batched = made(rows, batch_size=4)
    assert [len(answer["candidates"]) for answer in batched] == [3] * len(rows)


def test_an_index_of_another_precision_is_refused(checkpoint, index, rows):
    with pytest.raises(
        ValueError, match=r"another model.*The model is loaded in torch.bfloat16, .*`dtype=torch.float32`"
    ):
        pipeline(TASK, model=str(checkpoint), index=index, device="cpu", calibration=False, dtype=torch.bfloat16)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(checkpoint, index, rows, pipe):
    made = pipeline(TASK, model=str(checkpoint), index=index, device=0, calibration=False, top_k=3)
    assert made.model.device.type == "cuda"
    for answer, expected in zip(made(rows, batch_size=3), pipe(rows), strict=True):
        assert answer["candidates"][0]["score"] == pytest.approx(expected["candidates"][0]["score"], abs=1e-3)


# ---- What transformers does ----


def test_the_base_class_works_as_is_assumed():
    """Batches of what is no tensor stay lists, and answers that are lists come out one at a time."""
    from transformers.pipelines.base import pad_collate_fn

    tokenizer = types.SimpleNamespace(pad_token_id=0, padding_side="right")
    assert pad_collate_fn(tokenizer, None)([{"query": "a"}, {"query": "b"}]) == {"query": ["a", "b"]}
