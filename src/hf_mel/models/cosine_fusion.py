"""Fusion of text and image whose score begins as a weighted mean of the towers' own cosines."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .numerics import unit_vectors


VIEW_WEIGHTS = (2 / 3, 1 / 3)
"""Shares of the context view and of the surface view, chosen on WikiMEL's validation split; the context has both."""


class CopyingLinear(nn.Linear):
    """
    A linear map without bias that begins as copies of its input, so that cosines do not change. It begins orthogonal where
    the result has no room for the copies.

    Args:
        in_features (`int`): Size of the input.
        out_features (`int`): Size of the result.
        first (`int`, *optional*, defaults to 0): Dimension of the result in which the first copy begins.
        shares (`tuple[float, ...]`, *optional*, defaults to `(1.0,)`): Of each copy in the squared norm of the result.
    """

    def __init__(self, in_features: int, out_features: int, first: int = 0, shares: tuple[float, ...] = (1.0,)):
        super().__init__(in_features, out_features, bias=False)
        self.first, self.shares = first, shares

    def begin(self) -> None:
        """Set the initial weights."""
        end = self.first + len(self.shares) * self.in_features
        if end > self.out_features:
            init.orthogonal_(self.weight)
            return
        copy = torch.eye(self.in_features, dtype=self.weight.dtype, device=self.weight.device)
        weight = torch.zeros_like(self.weight)
        weight[self.first : end] = torch.cat([math.sqrt(share) * copy for share in self.shares])
        init.copy_(self.weight, weight)


class ConstantGate(nn.Linear):
    """The logit of one gate a row, which begins at 3/4 for every row: text says more than a picture."""

    def begin(self) -> None:
        """Set the initial weights."""
        init.zeros_(self.weight)
        init.constant_(self.bias, math.log(3))


class CosineFusion(nn.Module):
    r"""
    Sum of a unit vector of the text and one of the image:
    \\(h = \sqrt{g}\, \hat u_t + \sqrt{1 - g}\, \hat u_v\\) with \\(u = W x\\), \\(\hat u = u / \|u\|\\) and one gate a row,
    \\(g = \sigma(w \cdot [x_t; x_v] + b)\\). A missing image leaves the second term out, and nothing else: `h` is not
    normalised, so a mention without an image compares entities with and without one by their texts alone. The image weight
    is \\(1 - g\\).

    Without training \\(W\\) copies and \\(g = 3/4\\). The score of a mention \\(m\\) with an entity \\(e\\) is then a weighted
    sum of cosines of tower features, in which the cosines with a missing image are 0:

    - `size` is at least that of text and image together: both have dimensions of their own, and the score is
      \\(3/4 \cos(t_m, t_e) + 1/4 \cos(v_m, v_e)\\).
    - `size` is that of the text, `image_size` that of a view: the towers share a space, as CLIP's do. The image lies in
      the dimensions of each view, and \\(\sqrt{3}/4\, (\cos(t_m, v_e) + \cos(v_m, t_e))\\) is added.

    With the views side by side (`view_fusion="stack"`), a cosine of \\(t\\) is 2/3 of that of the context plus 1/3 of that of
    the surface. In every other size the maps begin orthogonal.
    """

    def __init__(self, views: nn.Module, image_size: int | None, size: int):
        super().__init__()
        text_size = views.out_features
        self.text_transform = CopyingLinear(text_size, size)
        if image_size is not None:
            shares = VIEW_WEIGHTS if views.stacks else (1.0,)
            shared = size == text_size == len(shares) * image_size
            place = {"shares": shares} if shared else {"first": text_size}
            self.image_transform = CopyingLinear(image_size, size, **place)
            self.gate = ConstantGate(text_size + image_size, 1)

    def forward(
        self, text: torch.Tensor, image: torch.Tensor | None, has_image: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        text_part = unit_vectors(self.text_transform(text))
        if image is None:
            return text_part, text_part.new_zeros(len(text))
        image_part = unit_vectors(self.image_transform(image))
        logit = self.gate(torch.cat([text, image], dim=-1))
        # In logarithms, because the root of 1 - sigmoid has no gradient where the sigmoid is 1.
        text_root, image_root = (0.5 * F.logsigmoid(logit)).exp(), (0.5 * F.logsigmoid(-logit)).exp()
        image_root = torch.where(has_image[:, None], image_root, 0.0)
        return text_root * text_part + image_root * image_part, image_root[:, 0].square()
