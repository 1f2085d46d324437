import numpy as np
import pytest
import torch

from hf_mel.linking.index import PRECISIONS
from hf_mel.linking.index.precision import reduce_tensors, restore_tensor
from hf_mel.models.encodings import flatten
from tests.linking.index.common import build, contents, people


def test_int8_by_hand():
    vectors = torch.zeros(3, 8)
    vectors[0, :3] = torch.tensor([1.27, -0.5, 0.004])
    vectors[1, 7] = -3.0
    stored = reduce_tensors({"embeds": vectors}, "int8")
    assert stored["embeds"].dtype == torch.int8
    assert stored["embeds"][0, :3].tolist() == [127, -50, 0] and stored["embeds"][1, 7] == -127
    torch.testing.assert_close(stored["embeds:scale"], torch.tensor([0.01, 3 / 127, 1.0]))
    restored = restore_tensor(stored, "embeds")
    torch.testing.assert_close(restored[0, :3], torch.tensor([1.27, -0.5, 0.0]))
    assert restored[2].tolist() == [0.0] * 8


@pytest.mark.parametrize(
    ("precision", "error"), [("float32", 0.0), ("float16", 5e-4), ("bfloat16", 4e-3), ("int8", 4e-3)]
)
def test_errors_are_as_small_as_they_can_be(precision, error):
    vectors = torch.nn.functional.normalize(torch.randn(200, 64), dim=1)
    stored = reduce_tensors({"embeds": vectors}, precision)
    off = (restore_tensor(stored, "embeds") - vectors).abs()
    limit = vectors.abs().amax(1, keepdim=True) / 254 * 1.001 if precision == "int8" else error * vectors.abs() + 1e-7
    assert (off <= limit).all() and (error == 0 or off.max() > 0)


def test_what_is_small_or_no_number_stays():
    tensors = {
        "weight": torch.rand(5),
        "few": torch.rand(5, 7),
        "present": torch.tensor([True] * 5),
        "ids": torch.arange(5),
    }
    for precision in PRECISIONS:
        stored = reduce_tensors(tensors, precision)
        assert {name: value.dtype for name, value in stored.items()} == {n: v.dtype for n, v in tensors.items()}
    assert reduce_tensors({"x": torch.rand(2, 8, dtype=torch.float64)}, "float32")["x"].dtype == torch.float32


def test_one_scale_for_a_row_of_several_vectors():
    tensor = torch.randn(4, 3, 16)
    stored = reduce_tensors({"views": tensor}, "int8")
    assert stored["views:scale"].shape == (4,)
    torch.testing.assert_close(restore_tensor(stored, "views"), tensor, atol=0.05, rtol=0)


def test_too_large_for_float16():
    with pytest.raises(ValueError, match="'embeds' has numbers that float16 cannot hold: use bfloat16"):
        reduce_tensors({"embeds": torch.full((1, 8), 1e6)}, "float16")


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "int8"])
def test_an_index_in_less_precision(precision, tmp_path):
    full, index = build(vision=True), build(tmp_path / "built", vision=True, precision=precision)
    rows = np.arange(20)
    less = flatten(index.encodings(rows))
    for name, value in flatten(full.encodings(rows)).items():
        found = less[name]
        assert found.dtype == value.dtype and not found.is_floating_point() or found.dtype == torch.float32
        torch.testing.assert_close(found, value, atol=0.01, rtol=0.01)
    assert {"recall@1", "recall@10", "recall@100"} <= set(index.manifest.recall)
    assert 0.5 < index.manifest.recall["recall@10"] <= 1
    stored = index.store.stored(rows)
    assert torch.equal(restore_tensor(stored, "embeds"), index.encodings(rows)["embeds"])
    converted = full.convert(tmp_path / "converted", precision)
    built = contents(tmp_path / "built")
    assert {name: value for name, value in contents(tmp_path / "converted").items() if "shards" in name} == {
        name: value for name, value in built.items() if "shards" in name
    }
    assert converted.manifest.recall == index.manifest.recall
    assert not [name for name in built if name.startswith(".")], "the vectors in full are gone"


def test_convert(tmp_path):
    index = build()
    index.remove(index.ids[:3])
    copy = index.convert(tmp_path / "int8", "int8")
    assert np.array_equal(copy.alive, index.alive) and len(copy) == 17 and copy.ids == index.ids
    with pytest.raises(ValueError, match="precision is lost already"):
        copy.convert(tmp_path / "again", "float16")
    with pytest.raises(ValueError, match="already"):
        index.convert(tmp_path / "int8", "float16")
    with pytest.raises(ValueError, match="precision='half'"):
        index.convert(tmp_path / "other", "half")
    assert index.convert(tmp_path / "copy", "float32").manifest.recall is None


def test_what_is_added_has_the_precision_of_the_index():
    from tests.linking.index.common import parts

    index = build(precision="int8")
    recall = index.manifest.recall
    index.add(*parts(), people(3))
    assert index.store.stored(np.array([21]))["embeds"].dtype == torch.int8
    assert index.manifest.recall == recall
