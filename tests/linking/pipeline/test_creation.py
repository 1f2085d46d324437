"""Creating and saving a pipeline."""

import types

import pytest
import torch
from transformers import pipeline

from hf_mel import PGMELModel
from hf_mel.linking import Calibration
from hf_mel.linking.pipeline import TASK, MultimodalEntityLinkingPipeline
from hf_mel.models import MatchingModel

from .common import close


# ---- Creation ----


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
