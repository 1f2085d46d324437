"""Arithmetic that stays finite in half precision, forward and backward."""

import torch
from torch import nn
from torch.nn import functional as F


MASKED = -1e4  # added to a logit, or in its place; every type of number holds it


def at_least_single(value: torch.Tensor) -> torch.Tensor:
    """The same numbers, in single precision if they were in half."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def unit_vectors(vectors: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """
    Divide vectors by their L2 norm. A vector of zeros, or one too small for its type of number to hold its digits, stays
    zero and gets no gradient: `torch.nn.functional.normalize` divides it by 1e-12, which is 0 in float16.

    Args:
        vectors (`torch.Tensor` of shape `(..., size)`): The vectors.
        dtype (`torch.dtype`, *optional*): Of the result; defaults to that of `vectors`.

    Returns:
        `torch.Tensor` of shape `(..., size)`.
    """
    wide = at_least_single(vectors)
    with torch.no_grad():
        has_direction = ~(wide.norm(dim=-1, keepdim=True) <= torch.finfo(vectors.dtype).tiny)  # NaN stays NaN
    unit = F.normalize(torch.where(has_direction, wide, 1.0), dim=-1)
    return torch.where(has_direction, unit, 0.0).to(vectors.dtype if dtype is None else dtype)


def layer_norm(norm: nn.LayerNorm, values: torch.Tensor) -> torch.Tensor:
    """`norm(values)`, also where the values were stored in a wider type of number than its weights have."""
    dtype = torch.promote_types(values.dtype, norm.weight.dtype)
    if dtype == norm.weight.dtype:
        return norm(values)
    weight, bias = norm.weight.to(dtype), norm.bias.to(dtype)
    return F.layer_norm(values.to(dtype), norm.normalized_shape, weight, bias, norm.eps)
