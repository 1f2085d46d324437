"""From tower features to one vector a row: text views, fusion of text and image, and the heads of the two sides."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .cosine_fusion import VIEW_WEIGHTS, ConstantGate, CopyingLinear, CosineFusion
from .numerics import unit_vectors
from .registry import Registry


SIDES = ("mention", "entity")


class TextViews(nn.Module):
    r"""
    One text feature from the views of a text.

    With the context feature \\(c\\) and the surface feature \\(s\\):

    - `gmu`: a Gated Multimodal Unit over the views, \\(u_t = z \odot \tanh(W_c c) + (1 - z) \odot \tanh(W_s s)\\) with
      \\(z = \sigma(W [c; s] + b)\\). It is the text unit of the fusion already: see [`TextUnit`].
    - `gated`: \\(g = \sigma(W [c; s] + b)\\), \\(x_t = P (g \odot c + (1 - g) \odot s)\\).
    - `concat`: \\(x_t = P [c; s]\\).
    - `stack`: \\(x_t = [\sqrt{2/3}\, \hat c; \sqrt{1/3}\, \hat s]\\), unit vectors side by side: a cosine of \\(x_t\\) is 2/3 of
      that of the context plus 1/3 of that of the surface.

    A single view passes unchanged.

    Args:
        num_views (`int`): 1 or 2.
        size (`int`): Size of a view, and of the result of `gated` and `concat`.
        view_fusion (`str`): `"gmu"`, `"gated"`, `"concat"` or `"stack"`.
        unit_size (`int`): Size of the result of `gmu`.
    """

    def __init__(self, num_views: int, size: int, view_fusion: str, unit_size: int):
        super().__init__()
        self.is_unit = num_views == 2 and view_fusion == "gmu"
        self.stacks = num_views == 2 and view_fusion == "stack"
        self.out_features = unit_size if self.is_unit else 2 * size if self.stacks else size
        self.gate = self.projection = None
        if self.is_unit:
            self.context_transform = nn.Linear(size, unit_size, bias=False)
            self.surface_transform = nn.Linear(size, unit_size, bias=False)
            self.gate = nn.Linear(2 * size, unit_size)
        elif num_views == 2 and not self.stacks:
            self.gate = nn.Linear(2 * size, size) if view_fusion == "gated" else None
            self.projection = nn.Linear(size if view_fusion == "gated" else 2 * size, size)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """`views` of shape `(batch_size, num_views, size)` -> `(batch_size, out_features)`."""
        if self.stacks:
            roots = [math.sqrt(weight) for weight in VIEW_WEIGHTS]
            return torch.cat(
                [root * view for root, view in zip(roots, unit_vectors(views).unbind(1), strict=True)], -1
            )
        if self.gate is None:
            return views[:, 0] if self.projection is None else self.projection(views.flatten(1))
        gate = torch.sigmoid(self.gate(views.flatten(1)))
        context, surface = views.unbind(1)
        if self.is_unit:
            context, surface = torch.tanh(self.context_transform(context)), torch.tanh(self.surface_transform(surface))
        mixed = gate * context + (1 - gate) * surface
        return mixed if self.is_unit else self.projection(mixed)


class TextUnit(nn.Module):
    r"""
    \\(u_t = \tanh(W_t x_t)\\); or \\(x_t\\) itself where the views were fused by a GMU, whose result is a mean of such
    units already.
    """

    def __init__(self, views: TextViews, size: int):
        super().__init__()
        self.transform = None if views.is_unit else nn.Linear(views.out_features, size, bias=False)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        return text if self.transform is None else torch.tanh(self.transform(text))


class GatedMultimodalUnit(nn.Module):
    r"""
    The Gated Multimodal Unit (Arevalo et al. 2017, [arXiv 1702.01992](https://huggingface.co/papers/1702.01992), eq. of
    section 3.1) with a layer norm, as the fusion of PGMEL:

    \\(u_t = \tanh(W_t x_t)\\), \\(u_v = \tanh(W_v x_v)\\), \\(z = \sigma(W_z [x_t; x_v] + b)\\),
    \\(h = \mathrm{LN}(z \odot u_t + (1 - z) \odot u_v)\\). A missing image means \\(z = 1\\); so does `image_size=None`.
    The image weight is the mean of \\(1 - z\\).
    """

    def __init__(self, views: TextViews, image_size: int | None, size: int):
        super().__init__()
        self.text_unit = TextUnit(views, size)
        self.layer_norm = nn.LayerNorm(size)
        if image_size is not None:
            self.image_transform = nn.Linear(image_size, size, bias=False)
            self.gate = nn.Linear(views.out_features + image_size, size)

    def forward(
        self, text: torch.Tensor, image: torch.Tensor | None, has_image: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        text_part = self.text_unit(text)
        if image is None:
            return self.layer_norm(text_part), text_part.new_zeros(len(text))
        image_part = torch.tanh(self.image_transform(image))
        gate = torch.sigmoid(self.gate(torch.cat([text, image], dim=-1)))
        gate = torch.where(has_image[:, None], gate, 1.0)
        return self.layer_norm(gate * text_part + (1 - gate) * image_part), (1 - gate).mean(-1)


class ConcatFusion(nn.Module):
    r"""
    Joint projection of both features in the manner of JMEL (Adjali et al., ECIR 2020):
    \\(h = \mathrm{LN}(\tanh(W_t x_t + W_v x_v + b))\\), which is one linear map of \\([x_t; x_v]\\). A missing image
    contributes nothing. There is no gate, so the image weight is the image's share of the two contributions,
    \\(\|W_v x_v\| / (\|W_t x_t\| + \|W_v x_v\|)\\).
    """

    def __init__(self, views: TextViews, image_size: int | None, size: int):
        super().__init__()
        self.text_transform = nn.Linear(views.out_features, size)
        self.image_transform = nn.Linear(image_size, size, bias=False) if image_size is not None else None
        self.layer_norm = nn.LayerNorm(size)

    def forward(
        self, text: torch.Tensor, image: torch.Tensor | None, has_image: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        text_part = self.text_transform(text)
        if image is None:
            return self.layer_norm(torch.tanh(text_part)), text_part.new_zeros(len(text))
        image_part = torch.where(has_image[:, None], self.image_transform(image), 0.0)
        with torch.no_grad():
            text_norm, image_norm = text_part.norm(dim=-1), image_part.norm(dim=-1)
            weight = image_norm / (text_norm + image_norm).clamp(min=torch.finfo(text_norm.dtype).tiny)
        return self.layer_norm(torch.tanh(text_part + image_part)), weight


class ModalityAttention(nn.Module):
    r"""
    One weight a modality in the manner of DZMNED (Moon et al., ACL 2018): \\(a = \mathrm{softmax}(W [x_t; x_v] + b)\\),
    \\(h = \mathrm{LN}(a_t u_t + a_v u_v)\\) with \\(u = \tanh(W x)\\). A missing image has \\(a_v = 0\\). The image
    weight is \\(a_v\\).
    """

    def __init__(self, views: TextViews, image_size: int | None, size: int):
        super().__init__()
        self.text_unit = TextUnit(views, size)
        self.layer_norm = nn.LayerNorm(size)
        if image_size is not None:
            self.image_transform = nn.Linear(image_size, size, bias=False)
            self.attention = nn.Linear(views.out_features + image_size, 2)

    def forward(
        self, text: torch.Tensor, image: torch.Tensor | None, has_image: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        text_part = self.text_unit(text)
        if image is None:
            return self.layer_norm(text_part), text_part.new_zeros(len(text))
        image_part = torch.tanh(self.image_transform(image))
        logits = self.attention(torch.cat([text, image], dim=-1))
        present = torch.stack([torch.ones_like(has_image), has_image], dim=-1)
        weights = logits.masked_fill(~present, -torch.inf).softmax(dim=-1)
        return self.layer_norm(weights[:, :1] * text_part + weights[:, 1:] * image_part), weights[:, 1]


class OrthogonalLinear(nn.Linear):
    """A linear map whose weights begin orthogonal: cosines pass as they are, as far as the sizes allow."""


class ScalarGate(nn.Linear):
    """The logit of one gate a row, which begins at about 3/4: a name says more than a picture."""

    first_logit = 1.1


class LateFusion(nn.Module):
    r"""
    Text and image side by side, each in dimensions of its own, weighed on the sphere:
    \\(h = [\sqrt{g}\, \hat u_t;\; \sqrt{1 - g}\, \hat u_v]\\) with \\(u = W x\\), \\(\hat u = u / \|u\|\\) and one gate a
    row, \\(g = \sigma(w \cdot [x_t; x_v] + b)\\). So the score of a mention with an entity is a sum of one cosine a modality,
    \\(\sqrt{g_m g_e} \cos_t + \sqrt{(1 - g_m)(1 - g_e)} \cos_v\\), and an image that tells nothing can be weighed down. A
    missing image means \\(g = 1\\). The image weight is \\(1 - g\\).
    """

    def __init__(self, views: TextViews, image_size: int | None, size: int):
        super().__init__()
        self.image_part_size = size // 2 if image_size is not None else 0
        self.text_transform = OrthogonalLinear(views.out_features, size - self.image_part_size, bias=False)
        if image_size is not None:
            self.image_transform = nn.Linear(image_size, self.image_part_size, bias=False)
            self.image_norm = nn.LayerNorm(image_size)
            self.gate = ScalarGate(views.out_features + image_size, 1)

    def forward(
        self, text: torch.Tensor, image: torch.Tensor | None, has_image: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        text_part = unit_vectors(self.text_transform(text))
        if image is None:
            return text_part, text_part.new_zeros(len(text))
        image = self.image_norm(image)
        image_part = unit_vectors(self.image_transform(image))
        logit = self.gate(torch.cat([text, image], dim=-1))
        # In logarithms, because the root of 1 - sigmoid has no gradient where the sigmoid is 1.
        text_root, image_root = (0.5 * F.logsigmoid(logit)).exp(), (0.5 * F.logsigmoid(-logit)).exp()
        text_root = torch.where(has_image[:, None], text_root, 1.0)
        image_root = torch.where(has_image[:, None], image_root, 0.0)
        return torch.cat([text_root * text_part, image_root * image_part], dim=-1), image_root[:, 0].square()


class TextOnly(nn.Module):
    r"""\\(h = \mathrm{LN}(\tanh(W_t x_t))\\): the image is never read and its weight is 0."""

    def __init__(self, views: TextViews, image_size: int | None, size: int):
        super().__init__()
        self.text_unit = TextUnit(views, size)
        self.layer_norm = nn.LayerNorm(size)

    def forward(
        self, text: torch.Tensor, image: torch.Tensor | None, has_image: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        text_part = self.text_unit(text)
        return self.layer_norm(text_part), text_part.new_zeros(len(text))


class ImageOnly(nn.Module):
    r"""
    \\(h = \mathrm{LN}(\tanh(W_v x_v))\\): the text is never read. All rows without an image share one learned vector,
    so that they have an embedding too; their image weight is 0, that of the others 1.
    """

    def __init__(self, views: TextViews, image_size: int | None, size: int):
        super().__init__()
        if image_size is None:
            raise ValueError('`fusion="image"` needs a vision tower, but `vision_config` is None.')
        self.image_transform = nn.Linear(image_size, size, bias=False)
        self.no_image = nn.Parameter(torch.empty(size))
        self.layer_norm = nn.LayerNorm(size)

    def forward(
        self, text: torch.Tensor, image: torch.Tensor, has_image: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        image_part = torch.tanh(self.image_transform(image))
        return self.layer_norm(torch.where(has_image[:, None], image_part, self.no_image)), has_image.to(image.dtype)


FUSIONS = Registry(
    "fusion",
    {
        "gmu": GatedMultimodalUnit,
        "concat": ConcatFusion,
        "modality_attention": ModalityAttention,
        "late": LateFusion,
        "cosine": CosineFusion,
        "text": TextOnly,
        "image": ImageOnly,
    },
)


def register_fusion(name: str, fusion: type[nn.Module]) -> None:
    """
    Make a fusion of one's own known by name, so that a configuration and a saved checkpoint can name it.

    Args:
        name (`str`):
            Value of `config.fusion`.
        fusion (`type[torch.nn.Module]`):
            Built as `fusion(views, image_size, size)`: a [`TextViews`] whose `out_features` is the size of the text feature,
            the size of the image feature (`None` for a text-only model), and the size of the result. Its
            `forward(text, image, has_image)` takes features of shape `(batch_size, size)`, `image` and `has_image` being `None`
            for a text-only model, and returns the fused vectors of shape `(batch_size, size)` and the image weights of shape
            `(batch_size,)`.

    Example:

    ```python
    >>> from torch import nn
    >>> from hf_mel import PGMELConfig, register_fusion

    >>> class TextMap(nn.Module):
    ...     def __init__(self, views, image_size, size):
    ...         super().__init__()
    ...         self.map = nn.Linear(views.out_features, size)
    ...
    ...     def forward(self, text, image, has_image):
    ...         return self.map(text), text.new_zeros(len(text))

    >>> register_fusion("text_map", TextMap)
    >>> PGMELConfig(fusion="text_map").fusion
    'text_map'
    ```
    """
    FUSIONS.register(name, fusion)


class FusionHead(nn.Module):
    """
    Tower features -> embedding and image weight, for one side or for both. Rows never see each other. The embedding is
    L2-normalised, except by [`CosineFusion`].
    """

    def __init__(self, config):
        super().__init__()
        num_views = 2 if config.text_views == "both" else 1
        self.image_size = config.vision_feature_size
        self.dropout = nn.Dropout(config.head_dropout)
        self.views = TextViews(num_views, config.text_feature_size, config.view_fusion, config.projection_size)
        self.fusion = FUSIONS[config.fusion](self.views, self.image_size, config.projection_size)

    def forward(
        self,
        text_features: torch.Tensor,
        image_features: torch.Tensor | None = None,
        has_image: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """
        Args:
            text_features (`torch.FloatTensor` of shape `(batch_size, num_views, text_feature_size)`):
                One feature a view.
            image_features (`torch.FloatTensor` of shape `(batch_size, vision_feature_size)`, *optional*):
                Where `has_image` is `False` the values are never used, whatever they are. `None`: no row has an image.
            has_image (`torch.BoolTensor` of shape `(batch_size,)`, *optional*):
                `None`: every row of `image_features` is an image.

        Returns:
            `dict`: `embeds` of shape `(batch_size, projection_size)` and `image_weight` of shape `(batch_size,)`.
        """
        dtype = next(self.parameters()).dtype  # a cache may store its features in another precision than the heads'
        text_features = text_features.to(dtype)
        if self.image_size is None:
            image_features = has_image = None
        elif image_features is None:
            image_features = text_features.new_zeros(len(text_features), self.image_size)
            has_image = torch.zeros(len(text_features), dtype=torch.bool, device=text_features.device)
        else:
            if has_image is None:
                has_image = torch.ones(len(text_features), dtype=torch.bool, device=text_features.device)
            # `where`, not a product: 0 * NaN is NaN.
            image_features = torch.where(has_image[:, None], image_features.to(dtype), 0.0)
            image_features = self.dropout(image_features)
        text = self.views(self.dropout(text_features))
        hidden, image_weight = self.fusion(text, image_features, has_image)
        if not isinstance(self.fusion, CosineFusion):
            hidden = unit_vectors(hidden)
        return {"embeds": hidden, "image_weight": image_weight}


class SideHeads(nn.Module):
    """The head of mentions and the head of entities, which are the same one if `config.share_heads`."""

    def __init__(self, config):
        super().__init__()
        names = ("shared",) if config.share_heads else SIDES
        self.heads = nn.ModuleDict({name: FusionHead(config) for name in names})

    def of(self, side: str) -> FusionHead:
        """The head of one side."""
        if side not in SIDES:
            raise ValueError(f'`side` must be "mention" or "entity", got {side!r}.')
        return self.heads["shared" if "shared" in self.heads else side]

    def forward(self, side: str, features) -> dict[str, torch.Tensor]:
        return self.of(side)(features.text_features, features.image_features, features.has_image)


def init_fusion_weights(module: nn.Module, std: float) -> None:
    """
    Initialise the parameters that stand directly in a module of this file: transformers knows only its layers, and skips
    a module without parameters of its own, so that it is a layer's class that says how it begins.
    """
    if isinstance(module, ImageOnly):
        init.normal_(module.no_image, mean=0.0, std=std)
    elif isinstance(module, OrthogonalLinear):
        init.orthogonal_(module.weight)
    elif isinstance(module, ScalarGate):
        init.constant_(module.bias, module.first_logit)
    elif isinstance(module, (CopyingLinear, ConstantGate)):
        module.begin()
