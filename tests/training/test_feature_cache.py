import numpy as np
import pytest
import torch

from hf_mel import FeatureCache, MIMICConfig, MIMICModel, PGMELConfig, PGMELModel
from hf_mel.encoding import EntityInputs, MentionInputs
from hf_mel.training.feature_cache import features_fingerprint
from tests.conftest import TINY_TEXT
from tests.training.common import TEXT, tiny_data, tiny_linker, tiny_processor


class Interrupted(Exception):
    pass


def frozen(vision: bool = True, **config) -> PGMELModel:
    return tiny_linker(vision, freeze_text=True, freeze_vision=True, **config)


def inputs_of(side: str, vision: bool = True, processor=None):
    processor = tiny_processor(vision) if processor is None else processor
    data = tiny_data()
    return (
        MentionInputs(data.mentions["train"], processor)
        if side == "mention"
        else EntityInputs(data.entities, processor)
    )


def build(folder, model=None, inputs=None, data="d", **options) -> FeatureCache:
    model = frozen() if model is None else model
    inputs = inputs_of("entity") if inputs is None else inputs
    return FeatureCache.build(folder, model, inputs, data, batch_size=4, progress=False, **options)


def rows_of(cache: FeatureCache) -> dict[str, torch.Tensor]:
    return cache(range(len(cache)))


def assert_same(left: FeatureCache, right: FeatureCache):
    left, right = rows_of(left), rows_of(right)
    assert left.keys() == right.keys()
    assert all(torch.equal(value, right[name]) for name, value in left.items())


@pytest.fixture
def extracted(monkeypatch):
    """Rows that the towers compute, and a way to make them fail after so many batches."""
    state = {"rows": 0, "batches": 0, "fail_after": None}
    extract = PGMELModel.extract

    def counted(self, *args, **kwargs):
        if state["batches"] == state["fail_after"]:
            raise Interrupted
        features = extract(self, *args, **kwargs)
        state["rows"] += len(features.text_features)
        state["batches"] += 1
        return features

    monkeypatch.setattr(PGMELModel, "extract", counted)
    return state


# ---- Values ----


@pytest.mark.parametrize("vision", [False, True])
@pytest.mark.parametrize("side", ["mention", "entity"])
def test_rows_are_those_of_the_towers(side, vision, tmp_path):
    model, inputs = frozen(vision).train(), inputs_of(side, vision)
    cache = build(tmp_path, model, inputs)
    assert (cache.side, len(cache), cache.lengths()) == (side, len(inputs), None) and model.training
    with torch.no_grad():
        alone = [model.eval().extract(**inputs([row])) for row in range(len(inputs))]
    names = {"text_features", "image_features", "has_image"} if vision else {"text_features"}
    assert rows_of(cache).keys() == names
    for name, value in rows_of(cache).items():
        expected = torch.cat([features[name] for features in alone])
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)
    if vision and side == "mention":
        assert 0 < rows_of(cache)["has_image"].sum() < len(inputs), "no row without a picture, or none with one"
    some = cache([5, 0, 5])
    assert torch.equal(some["text_features"], rows_of(cache)["text_features"][[5, 0, 5]])


def test_workers_that_read_change_nothing(tmp_path):
    model, inputs = frozen(True), inputs_of("entity", True)
    caches = [build(tmp_path / str(workers), model, inputs, num_workers=workers) for workers in (0, 2)]
    assert all(torch.equal(value, rows_of(caches[1])[name]) for name, value in rows_of(caches[0]).items())


def test_bfloat16_is_close_and_half_the_size(tmp_path):
    full, half = build(tmp_path), build(tmp_path, dtype="bfloat16")
    assert half.folder != full.folder and half.dtype == "bfloat16"
    for name in ("text_features", "image_features"):
        assert half([0])[name].dtype == torch.float32
        torch.testing.assert_close(rows_of(half)[name], rows_of(full)[name], rtol=2**-8, atol=1e-6)
        assert not torch.equal(rows_of(half)[name], rows_of(full)[name])
        sizes = [np.load(cache.folder / f"{name}.npy").nbytes for cache in (half, full)]
        assert 2 * sizes[0] == sizes[1]
    assert torch.equal(rows_of(half)["has_image"], rows_of(full)["has_image"])


def test_features_are_in_full_precision_within_an_autocast(tmp_path):
    plain = build(tmp_path / "plain")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same(build(tmp_path / "autocast"), plain)


# ---- Keeping ----


def test_reopened_without_computing(tmp_path, extracted):
    processor = tiny_processor()
    first = build(tmp_path, inputs=inputs_of("entity", processor=processor))
    assert extracted["rows"] == 20
    extracted["fail_after"] = extracted["batches"]
    processor.mentions(["a long mention"], ["with a long mention in its sentence"])  # moves the tokenizer's state
    for inputs in (inputs_of("entity", processor=processor), inputs_of("entity")):
        again = build(tmp_path, inputs=inputs)
        assert again.folder == first.folder
        assert_same(again, first)
    assert_same(FeatureCache(first.folder), first)


@pytest.mark.parametrize("flush", [1, 2, 20])
@pytest.mark.parametrize("batches", [1, 3, 8])
def test_an_interrupted_computation_goes_on(batches, flush, tmp_path, extracted, monkeypatch):
    """34 rows in 9 batches of 4; batches since the last flush are computed again."""
    monkeypatch.setattr("hf_mel.training.feature_cache.FLUSH_EVERY", flush)
    inputs, model = inputs_of("mention"), frozen().train()
    undisturbed = build(tmp_path / "undisturbed", inputs=inputs)
    extracted.update(rows=0, batches=0, fail_after=batches)
    with pytest.raises(Interrupted):
        build(tmp_path / "interrupted", model, inputs)
    assert model.training
    (folder,) = (tmp_path / "interrupted").iterdir()
    with pytest.raises(ValueError, match="no complete features"):
        FeatureCache(folder)
    extracted.update(rows=0, batches=0, fail_after=None)
    cache = build(tmp_path / "interrupted", model, inputs)
    assert extracted["rows"] == 34 - 4 * (batches // flush * flush)
    assert cache.folder == folder
    assert_same(cache, undisturbed)
    files = [{path.name: path.read_bytes() for path in c.folder.iterdir()} for c in (cache, undisturbed)]
    assert files[0] == files[1]


def test_interrupted_before_the_last_note(tmp_path, extracted):
    """Every row is there, only the manifest is not."""
    first = build(tmp_path)
    expected = {name: value.clone() for name, value in rows_of(first).items()}
    (first.folder / "manifest.json").unlink()
    extracted["fail_after"] = extracted["batches"]
    again = rows_of(build(tmp_path))
    assert again.keys() == expected.keys() and all(torch.equal(again[name], expected[name]) for name in expected)


# ---- When they are computed anew ----


def _other_weights():
    model = frozen()
    with torch.no_grad():
        next(model.text_model.parameters())[0, 0] += 1e-3
    return {"model": model}


def _other_length():
    processor = tiny_processor()
    processor.max_length = 16
    return {"inputs": inputs_of("entity", processor=processor)}


def _other_words():
    processor = tiny_processor()
    processor.tokenizer.add_tokens(["Rowan"])
    return {"inputs": inputs_of("entity", processor=processor)}


def _other_pictures():
    processor = tiny_processor()
    processor.image_processor.do_normalize = False
    return {"inputs": inputs_of("entity", processor=processor)}


@pytest.mark.parametrize(
    "change",
    [
        _other_weights,
        _other_length,
        _other_words,
        _other_pictures,
        lambda: {"data": "other"},
        lambda: {"dtype": "bfloat16"},
        lambda: {"inputs": inputs_of("mention")},
        lambda: {"model": frozen(pooling="cls")},
    ],
    ids=["weights", "length", "words", "pictures", "data", "dtype", "side", "pooling"],
)
def test_something_else_gets_another_folder(change, tmp_path, extracted):
    first = build(tmp_path)
    extracted["rows"] = 0
    other = build(tmp_path, **change())
    assert other.folder != first.folder and extracted["rows"] == len(other)


def test_other_heads_share_the_features(tmp_path, extracted):
    first = build(tmp_path)
    extracted["fail_after"] = extracted["batches"]
    assert build(tmp_path, frozen(projection_size=4, fusion="concat")).folder == first.folder


# ---- Refused ----


@pytest.mark.parametrize("free", ["freeze_text", "freeze_vision"])
def test_towers_that_learn_are_refused(free, tmp_path):
    model = tiny_linker(**({"freeze_text": True, "freeze_vision": True} | {free: False}))
    with pytest.raises(ValueError, match="frozen towers only"):
        build(tmp_path, model)
    assert not list(tmp_path.iterdir())


def test_an_incomplete_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no complete features.*FeatureCache.build"):
        FeatureCache(tmp_path)
    folder = build(tmp_path).folder
    (folder / "manifest.json").unlink()  # it is written last
    with pytest.raises(ValueError, match=str(folder)):
        FeatureCache(folder)


def test_statistics_of_batch_norms_are_part_of_the_fingerprint():
    """They count their batches in a tensor without dimensions, which has to be hashed as well."""
    tower = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8], "depths": [1], "layer_type": "basic"}
    config = PGMELConfig(text_config=dict(TINY_TEXT), vision_config=tower, projection_size=8)
    model = PGMELModel(config).eval()
    before = features_fingerprint(model, inputs_of("entity"), "d", "float32")
    assert before == features_fingerprint(model, inputs_of("entity"), "d", "float32")
    next(value for name, value in model.named_buffers() if name.endswith("running_mean")).add_(1.0)
    assert features_fingerprint(model, inputs_of("entity"), "d", "float32") != before


def test_states_of_padding_belong_to_the_fingerprint():
    """With `legacy_masking` they are kept, without it they are zeros."""
    found = set()
    for legacy in (False, True):
        torch.manual_seed(0)
        config = MIMICConfig(text_config=dict(TEXT), pooling="mean", matching_size=8, legacy_masking=legacy)
        model = MIMICModel(config)
        found.add(features_fingerprint(model, inputs_of("entity", vision=False), "d", "float32"))
    assert len(found) == 2
