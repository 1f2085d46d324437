r"""
Features of a picture from a text: the inter-modality generation of MELOV (Sui et al., Findings of ACL 2024), a variational
autoencoder whose input is the text and whose output is the picture; and how features of several sources become one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from .configuration_melov import MELOVConfig
from .matching_units import ReadFeatures
from .numerics import MASKED, at_least_single


class GaussianLatent(nn.Module):
    r"""
    \\(z = \mu + \sigma \odot \epsilon\\) with \\(\mu = t W_\mu\\), \\(\log \sigma^2 = t W_\sigma\\) and
    \\(\epsilon \sim N(0, I)\\), and \\(\mathrm{KL}(N(\mu, \sigma^2) \,\|\, N(0, I)) = \frac12 \sum (\mu^2 + \sigma^2 - \log
    \sigma^2 - 1)\\).

    The linear map gives the logarithm, where the paper writes \\(\sigma = t W_\sigma\\): the divergence of that has a pole
    wherever \\(\sigma\\) changes its sign. There is noise in training mode only: in evaluation mode \\(z = \mu\\), so that a
    score does not depend on chance.

    Args:
        size (`int`): Size of what is encoded.
        latent_size (`int`): Size of the latent variable.
        sample (`bool`): Whether there is noise in training mode.
    """

    def __init__(self, size: int, latent_size: int, sample: bool):
        super().__init__()
        self.sample = sample
        self.mean = nn.Linear(size, latent_size, bias=False)
        self.log_variance = nn.Linear(size, latent_size, bias=False)

    def forward(self, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`text` of shape `(..., size)` -> latent variable `(..., latent_size)` and divergence `(...)`."""
        mean, log_variance = self.mean(text), self.log_variance(text)
        wide_mean, wide = at_least_single(mean), at_least_single(log_variance)
        divergence = (wide_mean**2 + wide.exp() - wide - 1).sum(dim=-1) / 2
        if self.training and self.sample:
            mean = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        return mean, divergence


@dataclass
class Generated:
    """
    Features of pictures that were generated from texts.

    Args:
        image (`torch.Tensor` of shape `(batch_size, size)`): The whole picture.
        patches (`torch.Tensor` of shape `(batch_size, num_patches, size)`): Its patches.
        divergence (`torch.Tensor` of shape `(batch_size,)`): Of the latent variables from the normal distribution.
    """

    image: torch.Tensor
    patches: torch.Tensor
    divergence: torch.Tensor

    def loss(self, read: ReadFeatures) -> torch.Tensor:
        r"""
        \\(L_G = \|v - \hat v\|^2 + \mathrm{KL}\\) of the whole picture and of its patches, of shape `(batch_size,)`; 0 for a
        row without a picture, where there is nothing to generate.
        """
        whole = (at_least_single(read.image - self.image) ** 2).sum(dim=-1)
        local = (at_least_single(read.patches - self.patches) ** 2).sum(dim=-1).mean(dim=-1)
        return torch.where(read.has_image, whole + local + self.divergence, 0.0)


class PictureGenerator(nn.Module):
    r"""
    Features of a picture from those of a text: \\(\hat v^G = z^G W_d\\) of the whole; and of the patches, with the latent
    variables \\(z_k\\) of the tokens and a learnt query \\(q_p\\) for each place in a picture,
    \\(\hat v^L_p = (\sum_k \mathrm{softmax}_k(q_p \cdot z_k / \sqrt{d_z})\, z_k) W'_d\\).

    A text has other numbers of tokens than a picture has patches, and the paper does not say how one becomes the other: the
    attention from places to tokens is our choice. The loss of the patches is a mean over patches and its divergence a mean
    over tokens (padding is none), so that the local part weighs as much as the global one whatever the lengths.

    Args:
        config ([`MELOVConfig`]): Sizes.
    """

    def __init__(self, config: MELOVConfig):
        super().__init__()
        latent, size = config.latent_size, config.matching_size
        self.latent = GaussianLatent(config.text_feature_size, latent, config.sample_latents)
        self.decoder = nn.Linear(latent, size, bias=False)
        self.token_latent = GaussianLatent(config.text_state_size, latent, config.sample_latents)
        self.patch_queries = nn.Parameter(torch.zeros(config.num_patches, latent))
        self.patch_decoder = nn.Linear(latent, size, bias=False)

    def forward(self, read: ReadFeatures) -> Generated:
        """The pictures that these texts suggest."""
        whole, divergence = self.latent(read.text)
        tokens, token_divergence = self.token_latent(read.tokens)
        logits = self.patch_queries @ tokens.mT / tokens.shape[-1] ** 0.5
        attention = logits.masked_fill(~read.token_mask[:, None], MASKED).softmax(dim=-1)
        patches = self.patch_decoder(attention.to(tokens.dtype) @ tokens)
        token_divergence = token_divergence.masked_fill(~read.token_mask, 0.0).sum(dim=1)
        token_divergence = token_divergence / read.token_mask.sum(dim=1).clamp(min=1)
        return Generated(self.decoder(whole), patches, divergence + token_divergence)


class Contributions(nn.Module):
    r"""
    \\(v = \sum_s w_s v_s / \sum_s w_s\\) over the sources \\(s\\) of a feature with \\(w_s = \sigma(\mathrm{FFN}_s(v_s))\\), a
    number for each feature. A source that has nothing to give weighs nothing.

    Args:
        size (`int`): Size of a feature.
        sources (`Iterable[str]`): Their names.
    """

    def __init__(self, size: int, sources: Iterable[str]):
        super().__init__()
        self.weigh = nn.ModuleDict(
            {name: nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 1)) for name in sources}
        )

    def forward(self, features: dict[str, torch.Tensor], given: dict[str, torch.Tensor]) -> torch.Tensor:
        """
        Args:
            features (`dict[str, torch.Tensor]`): Features of each source, of shape `(batch_size, ..., size)`.
            given (`dict[str, torch.BoolTensor]`): Which rows a source has something for, of shape `(batch_size,)`.

        Returns:
            `torch.Tensor` of shape `(batch_size, ..., size)`: 0 where no source has anything.
        """
        # In half precision a small weight is 0, and the square of one, by which a gradient is divided, sooner.
        weights = {
            name: torch.sigmoid(at_least_single(weigh(features[name])))
            * given[name].view(-1, *[1] * (features[name].dim() - 1))
            for name, weigh in self.weigh.items()
        }
        total = sum(weights.values())
        total = torch.where(total > 0, total, 1.0)
        return sum((weight / total).to(features[name].dtype) * features[name] for name, weight in weights.items())
