"""An index of the features of frozen towers that a training kept."""

import pytest
import torch

from hf_mel import FeatureCache, PGMELModel, make_miniature
from hf_mel.checkpoint import load_checkpoint
from hf_mel.cli import index_build
from hf_mel.encoding import EntityInputs
from hf_mel.linking.index import EntityIndex
from hf_mel.models.encodings import flatten
from tests.training.common import tiny_linker, tiny_processor


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint with frozen towers, beside the features of the miniature's entities."""
    model, processor = tiny_linker(True, freeze_text=True, freeze_vision=True).eval(), tiny_processor(True)
    kb = make_miniature().entities
    folder = tmp_path / "run"
    FeatureCache.build(folder / "feature_cache", model, EntityInputs(kb, processor), kb.fingerprint, progress=False)
    for part in (model, processor):
        part.save_pretrained(folder)
    return folder


@pytest.fixture
def computed(monkeypatch):
    """Number of rows that the towers compute."""
    rows = []
    extract = PGMELModel.extract

    def counted(self, *args, **kwargs):
        features = extract(self, *args, **kwargs)
        rows.append(len(features.text_features))
        return features

    monkeypatch.setattr(PGMELModel, "extract", counted)
    return rows


def build(checkpoint, out, *options) -> EntityIndex:
    argv = [str(checkpoint), "--kb", "miniature", "--out", str(out), "--encode_dtype", "float32", *options]
    assert index_build.run(argv) == 0
    return EntityIndex.load(out)


def test_features_are_taken_from_the_run(checkpoint, tmp_path, computed, capsys):
    kept = build(checkpoint, tmp_path / "kept")
    assert (
        computed == [] and "feature_cache: the features of the towers are taken from here" in capsys.readouterr().err
    )
    (checkpoint / "feature_cache").rename(checkpoint / "elsewhere")
    fresh = build(checkpoint, tmp_path / "fresh")
    assert sum(computed) == len(fresh) == len(kept) == 160 and "taken from here" not in capsys.readouterr().err
    rows = list(range(160))
    found, expected = (flatten(index.encodings(rows)) for index in (kept, fresh))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
    assert kept.manifest.images == fresh.manifest.images


def test_features_in_another_precision_are_not_taken(checkpoint, tmp_path, computed):
    build(checkpoint, tmp_path / "half", "--encode_dtype", "bfloat16")
    assert sum(computed) == 160


def test_only_features_of_the_same_data_and_frozen_towers_are_found(checkpoint):
    kb, place = make_miniature().entities, checkpoint / "feature_cache"
    model, processor = load_checkpoint(str(checkpoint))
    inputs = EntityInputs(kb, processor)
    assert len(FeatureCache.find(place, model, inputs, kb.fingerprint)) == 160
    assert FeatureCache.find(place, model, inputs, "other entities") is None
    assert FeatureCache.find(place, model, inputs, kb.fingerprint, dtype="bfloat16") is None
    assert FeatureCache.find(checkpoint / "absent", model, inputs, kb.fingerprint) is None
    with torch.no_grad():
        next(model.text_model.parameters()).add_(1)
    assert FeatureCache.find(place, model, inputs, kb.fingerprint) is None, "other weights"
    assert FeatureCache.find(place, tiny_linker(True), inputs, kb.fingerprint) is None, "towers that are trained"


def test_features_of_another_number_of_entities(checkpoint):
    model, processor = tiny_linker(True, freeze_text=True, freeze_vision=True), tiny_processor(True)
    data = make_miniature(num_entities=10, num_train=5, num_validation=1, num_test=1)
    features = EntityInputs(make_miniature().entities, processor)
    with pytest.raises(ValueError, match="`features` has 160 rows for 10 entities"):
        EntityIndex.build(model, processor, data.entities, features=features)
