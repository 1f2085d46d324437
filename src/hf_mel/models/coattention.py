r"""
The parts of GHMFC (Wang et al., SIGIR 2022): phrases, attention of one modality under the guidance of the other on several
levels, and gated fusion. Rows never see each other, and what is masked has no influence.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_ghmfc import GHMFCConfig
from .numerics import MASKED, at_least_single, unit_vectors
from .tower_features import TowerFeatures


class PhraseConvolutions(nn.Module):
    r"""
    A phrase at each token: convolutions of several widths over the tokens, of which each coordinate takes the largest,
    \\(p_i = \max_w \tanh(\mathrm{conv}_w(s)_i)\\). Of an even width the larger half lies after the token. Beyond the text
    there are zeros.

    Args:
        size (`int`): Size of a token, and of a phrase.
        widths (`list[int]`): Widths of the convolutions.
    """

    def __init__(self, size: int, widths: list[int]):
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv1d(size, size, width) for width in widths)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`tokens` of shape `(batch_size, num_tokens, size)`, `mask` of shape `(batch_size, num_tokens)` -> as `tokens`."""
        rows = torch.where(mask[..., None], tokens, 0.0).mT
        phrases = []
        for convolution in self.convolutions:
            before = (convolution.kernel_size[0] - 1) // 2
            padded = F.pad(rows, (before, convolution.kernel_size[0] - 1 - before))
            phrases.append(torch.tanh(convolution(padded)))
        return torch.stack(phrases).amax(dim=0).mT


class GuidedAttention(nn.Module):
    r"""
    Attention to the states of one modality under the guidance of the other, as one vector: each guide attends,
    \\(a_{gj} = \mathrm{softmax}_j(Q g \cdot K x_j / \sqrt{d_h})\\) in each head, and the result is the mean over the guides,
    \\(W_o [\bar a^1 V_1 x; \dots; \bar a^H V_H x]\\). The mean commutes with the product by the values, so the rows of the
    attention are averaged first. Without a guide all are attended to alike.

    Args:
        size (`int`): Size of guides, of what is attended to, and of the result.
        num_heads (`int`): Number of heads.
        guided (`bool`, *optional*, defaults to `True`): Whether there ever are guides.
    """

    def __init__(self, size: int, num_heads: int, guided: bool = True):
        super().__init__()
        self.num_heads = num_heads
        if guided:
            self.query, self.key = nn.Linear(size, size), nn.Linear(size, size)
        self.value, self.output = nn.Linear(size, size), nn.Linear(size, size)

    def forward(
        self, guides: torch.Tensor | None, guide_mask: torch.Tensor | None, shown: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """
        Args:
            guides (`torch.Tensor` of shape `(batch_size, num_guides, size)`, *optional*): What guides.
            guide_mask (`torch.BoolTensor` of shape `(batch_size, num_guides)`, *optional*): Which of them count.
            shown (`torch.Tensor` of shape `(batch_size, num_shown, size)`): What is attended to.
            mask (`torch.BoolTensor` of shape `(batch_size, num_shown)`): Which of them count.

        Returns:
            `torch.Tensor` of shape `(batch_size, size)`.
        """
        weights = _mean_weights(mask, shown.dtype)[:, None]  # (batch_size, 1 or num_heads, num_shown)
        if guides is not None:
            attention = self._attention(guides, shown, mask)
            # (batch_size, num_heads, num_shown): averaged over the guides.
            guided = torch.einsum("bhgs,bg->bhs", attention, _mean_weights(guide_mask, shown.dtype))
            weights = torch.where(guide_mask.any(dim=1)[:, None, None], guided, weights)
        values = self.value(shown).unflatten(-1, (self.num_heads, -1))
        weights = weights.expand(-1, self.num_heads, -1)
        return self.output(torch.einsum("bhs,bshd->bhd", weights, values).flatten(1))

    def _attention(self, guides: torch.Tensor, shown: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        queries = self.query(guides).unflatten(-1, (self.num_heads, -1))
        keys = self.key(shown).unflatten(-1, (self.num_heads, -1)) / queries.shape[-1] ** 0.5
        logits = torch.einsum("bghd,bshd->bhgs", queries, keys)
        # Large and finite: a row in which nothing counts then has even weights, and no NaN reaches a gradient.
        return logits.masked_fill(~mask[:, None, None], MASKED).softmax(dim=-1)


def _mean_weights(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The same weight for each that counts, summing to 1; all 0 where none counts."""
    weights = mask.to(dtype)
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=1)


class GatedFusion(nn.Module):
    r"""
    \\(z = \sigma(W [t; v] + b)\\), \\(h = z \odot t + (1 - z) \odot v\\); without the gate \\(z = 1/2\\), and without a picture
    \\(z = 1\\).

    Args:
        size (`int`): Size of text, picture and result.
        use_gate (`bool`): Whether there is a gate.
    """

    def __init__(self, size: int, use_gate: bool):
        super().__init__()
        self.gate = nn.Linear(2 * size, size) if use_gate else None

    def forward(
        self, text: torch.Tensor, image: torch.Tensor | None, has_image: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The fused vector, of shape `(batch_size, size)`, and the mean of \\(1 - z\\), of shape `(batch_size,)`."""
        if image is None:
            return text, text.new_zeros(len(text))
        share = torch.full_like(text, 0.5)
        if self.gate is not None:
            share = torch.sigmoid(self.gate(torch.cat([text, image], dim=-1)))
        share = torch.where(has_image[:, None], share, 1.0)
        return share * text + (1 - share) * image, (1 - share).mean(dim=-1)


class HierarchicalFusion(nn.Module):
    r"""
    From tower features to one vector a row. Tokens and patches are mapped to one size, each with a layer norm. On each level
    (tokens, phrases) the text shows what it has under the guidance of the patches, and the picture under that of the tokens or
    phrases; what the levels show, and the pooled feature of the tower, are put side by side,
    \\(t = \mathrm{LN}(W_t [x_t; t_{token}; t_{phrase}] + b_t)\\), for the picture likewise, and fused by a gate.

    Args:
        config ([`GHMFCConfig`]): Sizes and switches.
    """

    def __init__(self, config: GHMFCConfig):
        super().__init__()
        size, heads, levels = config.coattention_size, config.num_coattention_heads, config.levels
        self.has_vision, self.use_global = config.vision_config is not None, config.use_global
        if levels:
            self.token_map, self.token_norm = nn.Linear(config.text_state_size, size), nn.LayerNorm(size)
        self.phrases = PhraseConvolutions(size, config.phrase_widths) if config.use_phrase_level else None
        self.guided_text = nn.ModuleDict({level: GuidedAttention(size, heads, self.has_vision) for level in levels})
        self.guided_image = nn.ModuleDict()
        if config.use_global:
            self.text_feature_norm = nn.LayerNorm(config.text_feature_size)
        shown = len(levels) * size
        self.text_map = nn.Linear(shown + config.use_global * config.text_feature_size, config.projection_size)
        self.text_norm = nn.LayerNorm(config.projection_size)
        if self.has_vision:
            self.guided_image.update({level: GuidedAttention(size, heads) for level in levels})
            if levels:
                self.patch_map, self.patch_norm = nn.Linear(config.vision_state_size, size), nn.LayerNorm(size)
            if config.use_global:
                self.image_feature_norm = nn.LayerNorm(config.vision_feature_size)
            self.image_map = nn.Linear(shown + config.use_global * config.vision_feature_size, config.projection_size)
            self.image_norm = nn.LayerNorm(config.projection_size)
            self.fusion = GatedFusion(config.projection_size, config.use_gate)

    def forward(self, features: TowerFeatures, use_images: bool = True) -> dict[str, torch.Tensor]:
        """
        Args:
            features ([`TowerFeatures`]): Features of `batch_size` rows, with states.
            use_images (`bool`, *optional*, defaults to `True`): Whether pictures are read.

        Returns:
            `dict[str, torch.Tensor]`: `embeds`, L2-normalised, `text` and, with a vision tower, `image`, of shape
            `(batch_size, projection_size)`; `image_weight` and, with a vision tower, `has_image`, of shape `(batch_size,)`.
        """
        features = features.to(self.text_map.weight.dtype)
        levels, mask = self._levels(features), features.token_mask
        patches = patch_mask = image = has_image = None
        if self.has_vision:
            has_image = features.has_image & use_images
            if levels:
                # `where`, not a product: 0 * NaN is NaN.
                states = torch.where(has_image[:, None, None], features.patch_features, 0.0)
                patches = self.patch_norm(self.patch_map(states))
                patch_mask = has_image[:, None].expand(patches.shape[:2])
            image = self._image(features, levels, patches, patch_mask, has_image)
        parts = [self.text_feature_norm(features.text_features[:, 0])] if self.use_global else []
        parts += [self.guided_text[name](patches, patch_mask, level, mask) for name, level in levels.items()]
        text = self.text_norm(self.text_map(torch.cat(parts, dim=-1)))
        hidden, weight = (text, text.new_zeros(len(text)))
        if image is not None:
            hidden, weight = self.fusion(text, image, has_image)
        found = {"embeds": unit_vectors(hidden), "image_weight": weight, "text": text}
        return found if image is None else found | {"image": image, "has_image": has_image}

    def _levels(self, features: TowerFeatures) -> dict[str, torch.Tensor]:
        """Tokens and phrases, as far as they are read, of shape `(batch_size, num_tokens, coattention_size)`."""
        if not self.guided_text:
            return {}
        tokens = self.token_norm(self.token_map(features.token_features))
        made = {"token": lambda: tokens, "phrase": lambda: self.phrases(tokens, features.token_mask)}
        return {name: made[name]() for name in self.guided_text}

    def _image(self, features, levels, patches, patch_mask, has_image) -> torch.Tensor:
        parts = []
        if self.use_global:
            pooled = torch.where(has_image[:, None], features.image_features, 0.0)
            parts.append(self.image_feature_norm(pooled))
        for name, level in levels.items():
            parts.append(self.guided_image[name](level, features.token_mask, patches, patch_mask))
        return self.image_norm(self.image_map(torch.cat(parts, dim=-1)))


def paired_contrast(
    anchors: torch.Tensor, others: torch.Tensor, excluded: torch.Tensor, temperature: float
) -> torch.Tensor:
    r"""
    Cross entropy of finding one's own among those of all rows, \\(-\log \mathrm{softmax}_j(\cos(a_i, o_j) / \tau)_i\\).

    Args:
        anchors (`torch.Tensor` of shape `(num_rows, size)`): Who looks.
        others (`torch.Tensor` of shape `(num_rows, size)`): Among whom.
        excluded (`torch.BoolTensor` of shape `(num_rows, num_rows)`): Pairs of rows that are no negatives; the diagonal counts
            whatever it says.
        temperature (`float`): \\(\tau\\).

    Returns:
        `torch.Tensor` of shape `(num_rows,)`.
    """
    wide = at_least_single(anchors).dtype  # in half precision, cosines divided by 0.07 have few digits left
    logits = unit_vectors(anchors, wide) @ unit_vectors(others, wide).mT / temperature
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    gold = torch.arange(len(logits), device=logits.device)
    return F.cross_entropy(logits.masked_fill(excluded & ~own, -torch.inf), gold, reduction="none")
