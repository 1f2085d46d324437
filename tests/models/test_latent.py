"""Generation of pictures from texts, and the contributions of several sources."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from hf_mel import MELOVConfig
from hf_mel.models import latent
from hf_mel.models.latent import Contributions, GaussianLatent, PictureGenerator
from hf_mel.models.matching_units import ReadFeatures
from tests.conftest import TINY_TEXT, TINY_VISION

from .plain import Row
from .plain_melov import fused, generated, generation_loss


def config(**fields) -> MELOVConfig:
    return MELOVConfig(text_config=TINY_TEXT, vision_config=TINY_VISION, matching_size=6, latent_size=4, **fields)


def random_read(count: int = 4, size: int = 16, matching_size: int = 6, num_patches: int = 5) -> ReadFeatures:
    """Mentions with 1, 2, 3, ... tokens of 5; the second one has no picture."""
    double = {"dtype": torch.float64}
    mask = torch.arange(5) < torch.arange(1, count + 1)[:, None]
    return ReadFeatures(
        torch.randn(count, size, **double),
        torch.randn(count, 5, size, **double),
        mask,
        torch.randn(count, matching_size, **double),
        torch.randn(count, num_patches, matching_size, **double),
        torch.arange(count) != 1,
    )


def rows_of(read: ReadFeatures) -> list[Row]:
    return [
        Row(
            read.text[i],
            list(read.tokens[i][read.token_mask[i]]),
            read.image[i] if read.has_image[i] else None,
            list(read.patches[i]) if read.has_image[i] else None,
        )
        for i in range(len(read.text))
    ]


def spread(module, deviation: float = 0.5):
    """Parameters large enough that each one shows."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, deviation)
    return module.double()


@pytest.fixture
def half_noise(monkeypatch):
    """Noise that is 0.5 everywhere."""
    monkeypatch.setattr(latent.torch, "randn_like", lambda value: torch.full_like(value, 0.5))


# ---- The latent variable ----


def test_divergence_is_that_of_two_normal_distributions():
    network = spread(GaussianLatent(3, 4, sample=True))
    text = torch.randn(2, 5, 3, dtype=torch.float64)
    _, divergence = network(text)
    own = Normal(network.mean(text), (network.log_variance(text) / 2).exp())
    expected = kl_divergence(own, Normal(torch.zeros(4).double(), torch.ones(4).double())).sum(dim=-1)
    assert divergence.shape == (2, 5)
    torch.testing.assert_close(divergence, expected)


def test_noise_is_in_training_only():
    network, text = spread(GaussianLatent(3, 4, sample=True)), torch.randn(2, 3, dtype=torch.float64)
    assert not torch.equal(network.train()(text)[0], network(text)[0])
    torch.testing.assert_close(network.eval()(text)[0], network.mean(text))
    many = network.train()(text[:1].expand(40_000, 3))[0]
    deviation = (network.log_variance(text[0]) / 2).exp()
    torch.testing.assert_close(many.mean(dim=0), network.mean(text[0]), rtol=0.05, atol=0.02)
    torch.testing.assert_close(many.std(dim=0), deviation, rtol=0.05, atol=0.0)


def test_without_sampling_training_takes_the_mean():
    network, text = spread(GaussianLatent(3, 4, sample=False)).train(), torch.randn(2, 3, dtype=torch.float64)
    assert torch.equal(network(text)[0], network.mean(text))


# ---- The picture ----


@pytest.mark.parametrize("training", [True, False])
def test_generator_by_loops(training, half_noise):
    generator, read = spread(PictureGenerator(config())).train(training), random_read()
    found = generator(read)
    loss = found.loss(read)
    noise = 0.5 if training else 0.0
    for i, row in enumerate(rows_of(read)):
        image, patches, divergence = generated(generator, row, noise)
        torch.testing.assert_close(found.image[i], image)
        torch.testing.assert_close(found.patches[i], torch.stack(patches))
        assert found.divergence[i].item() == pytest.approx(divergence)
        assert loss[i].item() == pytest.approx(generation_loss(generator, row, noise))
    assert loss[1] == 0 and (loss[[0, 2, 3]] > 0).all(), "there is nothing to generate for a mention without picture"


def test_padding_has_no_influence():
    generator, read = spread(PictureGenerator(config())).eval(), random_read()
    before = generator(read)
    read.tokens = torch.where(read.token_mask[..., None], read.tokens, 1e3)
    after = generator(read)
    for name in ("image", "patches", "divergence"):
        assert torch.equal(getattr(before, name), getattr(after, name)), name


def test_gradients_of_the_loss_by_finite_differences():
    generator, read = spread(PictureGenerator(config(sample_latents=False)), 0.3).train(), random_read(3)
    parameters = dict(generator.named_parameters())

    def loss(text, tokens, image, *values):
        given = ReadFeatures(text, tokens, read.token_mask, image, read.patches, read.has_image)
        made = torch.func.functional_call(generator, dict(zip(parameters, values, strict=True)), (given,))
        return made.loss(given).sum()

    leaves = [value.detach().requires_grad_() for value in (read.text, read.tokens, read.image, *parameters.values())]
    assert torch.autograd.gradcheck(loss, leaves)


# ---- Contributions ----


@pytest.mark.parametrize("shape", [(), (5,)], ids=["whole", "patches"])
def test_contributions_by_loops(shape):
    sources = ("original", "generated", "aggregated")
    contributions = spread(Contributions(6, sources))
    features = {name: torch.randn(4, *shape, 6, dtype=torch.float64) for name in sources}
    given = {name: torch.ones(4, dtype=torch.bool) for name in sources}
    given["original"][1] = given["aggregated"][1] = given["original"][2] = False
    found = contributions(features, given).reshape(4, -1, 6)
    for i in range(4):
        for p in range(found.shape[1]):
            own = {n: v.reshape(4, -1, 6)[i, p] if given[n][i] else None for n, v in features.items()}
            torch.testing.assert_close(found[i, p], fused(contributions, own))
    torch.testing.assert_close(found[1], features["generated"].reshape(4, -1, 6)[1])


def test_a_row_with_no_source_is_zero_and_has_finite_gradients():
    contributions, feature = spread(Contributions(6, ["original"])), torch.randn(2, 6, dtype=torch.float64)
    feature.requires_grad_()
    found = contributions({"original": feature}, {"original": torch.tensor([True, False])})
    torch.testing.assert_close(found, torch.stack([feature[0], torch.zeros(6).double()]))
    found.sum().backward()
    assert feature.grad.isfinite().all() and not feature.grad[1].any()


def test_a_source_without_anything_has_no_influence():
    contributions = spread(Contributions(6, ["original", "generated"]))
    features = {name: torch.randn(3, 6, dtype=torch.float64) for name in ("original", "generated")}
    given = {"original": torch.tensor([True, False, True]), "generated": torch.ones(3, dtype=torch.bool)}
    before = contributions(features, given)
    features["original"] = torch.where(given["original"][:, None], features["original"], math.pi)
    assert torch.equal(before, contributions(features, given))
