import copy

import pytest
import torch
from torch.nn import functional as F

from hf_mel.models.numerics import at_least_single, layer_norm, unit_vectors


HALF = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_vector_with_a_direction_is_normalised_as_by_torch(dtype):
    """Bit for bit, with its gradient; also one that is small."""
    vectors = torch.randn(2, 3, 5, dtype=dtype) * torch.tensor([1.0, 1e-3, 1e3], dtype=dtype)[:, None]
    upstream = torch.randn(2, 3, 5, dtype=dtype)
    found = []
    for normalise in (unit_vectors, lambda given: F.normalize(given, dim=-1)):
        given = vectors.clone().requires_grad_()
        unit = normalise(given)
        unit.backward(upstream)
        found.append((unit, given.grad))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
def test_zeros_stay_zeros_and_have_no_gradient(dtype):
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=dtype, requires_grad=True)
    unit = unit_vectors(vectors)
    torch.testing.assert_close(unit, torch.tensor([[0.6, 0.8], [0.0, 0.0]], dtype=dtype))
    unit.backward(torch.tensor([[1.0, 0.0], [100.0, 100.0]], dtype=dtype))
    # (1 - 0.6^2) / 5 and -0.6 * 0.8 / 5
    torch.testing.assert_close(vectors.grad, torch.tensor([[0.128, -0.096], [0.0, 0.0]], dtype=dtype))


def test_what_is_too_small_for_float16_is_zero():
    smallest = torch.finfo(torch.float16).smallest_normal  # 6.1e-05, below which digits get lost
    vectors = torch.tensor([[smallest / 4, 0.0], [4 * smallest, 0.0]], dtype=torch.float16, requires_grad=True)
    unit = unit_vectors(vectors)
    assert unit.tolist() == [[0.0, 0.0], [1.0, 0.0]]
    unit.backward(torch.ones_like(unit))
    assert vectors.grad.isfinite().all() and vectors.grad[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_the_length_of_a_long_vector_does_not_overflow(dtype):
    vectors = torch.full((1, 512), 1000.0, dtype=dtype)  # the squares are beyond float16
    torch.testing.assert_close(unit_vectors(vectors), torch.full_like(vectors, 512**-0.5))


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_the_result_may_keep_its_digits(dtype):
    vectors = torch.tensor([[1.0, 2.0]], dtype=dtype)
    assert unit_vectors(vectors).dtype is dtype
    wide = unit_vectors(vectors, torch.float32)
    assert wide.dtype is torch.float32 and wide[0].norm().item() == pytest.approx(1, abs=1e-6)


def test_at_least_single():
    for dtype in HALF:
        assert at_least_single(torch.zeros(1, dtype=dtype)).dtype is torch.float32
    for dtype in (torch.float32, torch.float64):
        value = torch.zeros(1, dtype=dtype)
        assert at_least_single(value) is value


def test_layer_norm_of_stored_values_keeps_their_digits():
    norm = torch.nn.LayerNorm(4)
    torch.nn.init.normal_(norm.weight)
    values = torch.randn(3, 4)
    half = copy.deepcopy(norm).to(torch.float16)
    expected = F.layer_norm(values, (4,), half.weight.float(), half.bias.float())
    assert torch.equal(layer_norm(half, values), expected)
    assert torch.equal(layer_norm(norm, values), norm(values))
    assert layer_norm(half, values.to(torch.bfloat16)).dtype is torch.float32
