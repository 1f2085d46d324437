"""Precision of stored vectors: full, half, or a byte for each number with a scale for each row."""

import torch


PRECISIONS = ("float32", "float16", "bfloat16", "int8")
_SCALE = ":scale"
# Below this a row is no vector: what a smaller type would save is not worth its error.
_SMALLEST_VECTOR = 8
_LARGEST_INT8 = 127


def reduce_tensors(tensors: dict[str, torch.Tensor], precision: str) -> dict[str, torch.Tensor]:
    """
    Tensors as they are stored.

    Args:
        tensors (`dict[str, torch.Tensor]`):
            With a leading dimension of rows.
        precision (`str`):
            `"float32"`, `"float16"`, `"bfloat16"` or `"int8"`. It is that of floating tensors whose last dimension is at
            least 8; smaller ones stay `float32`, and others what they are. With `int8` a row is `round(x / scale)` with
            `scale = max|x| / 127`, and the scale stands beside it.

    Raises:
        `ValueError`: a number is too large for `float16`.
    """
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.float()
        if not tensor.is_floating_point() or tensor.ndim < 2 or tensor.shape[-1] < _SMALLEST_VECTOR:
            stored[name] = tensor.contiguous()
        elif precision == "int8":
            stored[name], stored[name + _SCALE] = _quantized(tensor)
        else:
            reduced = tensor.to(getattr(torch, precision)).contiguous()
            if precision == "float16" and not torch.isfinite(reduced).all():
                raise ValueError(f"the tensor {name!r} has numbers that float16 cannot hold: use bfloat16")
            stored[name] = reduced
    return stored


def restore_tensor(stored: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    """One tensor of what [`reduce_tensors`] gave, or of some of its rows: floating ones as `float32`."""
    tensor = stored[name]
    scale = stored.get(name + _SCALE)
    if scale is not None:
        return tensor.float() * scale.reshape(-1, *[1] * (tensor.ndim - 1))
    return tensor.float() if tensor.is_floating_point() else tensor


def stored_names(name: str, available: dict[str, torch.Tensor]) -> list[str]:
    """The tensor and, where it has one, its scale."""
    return [found for found in (name, name + _SCALE) if found in available]


def is_scale(name: str) -> bool:
    """Returns `True` if a stored tensor is the scale of another."""
    return name.endswith(_SCALE)


def _quantized(tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    largest = tensor.abs().flatten(1).amax(dim=1) if len(tensor) else tensor.new_zeros(0)
    scale = torch.where(largest > 0, largest / _LARGEST_INT8, 1.0)
    shaped = scale.reshape(-1, *[1] * (tensor.ndim - 1))
    return (tensor / shaped).round().clamp(-_LARGEST_INT8, _LARGEST_INT8).to(torch.int8).contiguous(), scale
