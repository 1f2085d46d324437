"""The parts of GHMFC against plain loops, and what they leave out."""

import pytest
import torch
from torch import nn

from hf_mel.models.coattention import GatedFusion, GuidedAttention, PhraseConvolutions, paired_contrast
from tests.models import plain_ghmfc


SIZE = 6
MASK = torch.tensor([[True] * 5, [True, True, True, False, False], [True, False, False, False, False]])


def drawn(module: nn.Module) -> nn.Module:
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5)
    return module


def vectors(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, SIZE, dtype=torch.float64)


# ---- Phrases ----


@pytest.mark.parametrize("widths", [[1], [2], [1, 2, 3], [4, 7]], ids=str)
@torch.no_grad()
def test_phrases_are_the_largest_of_all_widths(widths):
    module, tokens = drawn(PhraseConvolutions(SIZE, widths)), vectors(3, 5)
    found = module(tokens, MASK)
    for i, mask in enumerate(MASK):
        expected = plain_ghmfc.phrases(module, list(tokens[i, mask]))
        torch.testing.assert_close(found[i, mask], torch.stack(expected), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_what_is_masked_is_in_no_phrase():
    module, tokens = drawn(PhraseConvolutions(SIZE, [3])), vectors(3, 5)
    changed = torch.where(MASK[..., None], tokens, torch.nan)
    assert torch.equal(module(changed, MASK)[MASK], module(tokens, MASK)[MASK])
    longer = module(nn.functional.pad(tokens, (0, 0, 0, 4)), nn.functional.pad(MASK, (0, 4)))
    torch.testing.assert_close(longer[:, :5][MASK], module(tokens, MASK)[MASK], rtol=1e-12, atol=1e-12)


def test_a_wide_convolution_sees_its_neighbours():
    module, tokens = drawn(PhraseConvolutions(SIZE, [3])), vectors(1, 5).requires_grad_()
    module(tokens, MASK[:1])[0, 2].sum().backward()
    assert (tokens.grad[0].abs().sum(-1) > 0).tolist() == [False, True, True, True, False]
    tokens.grad = None
    drawn(PhraseConvolutions(SIZE, [2]))(tokens, MASK[:1])[0, 2].sum().backward()
    assert (tokens.grad[0].abs().sum(-1) > 0).tolist() == [False, False, True, True, False], "after the token"


# ---- Guided attention ----


@pytest.mark.parametrize("num_heads", [1, 2, 3])
@torch.no_grad()
def test_guided_attention_is_its_formula(num_heads):
    module, guides, shown = drawn(GuidedAttention(SIZE, num_heads)), vectors(3, 4), vectors(3, 5)
    guide_mask = torch.tensor([[True] * 4, [False] * 4, [True, True, False, False]])
    found = module(guides, guide_mask, shown, MASK)
    for i in range(3):
        expected = plain_ghmfc.guided(module, list(guides[i, guide_mask[i]]), list(shown[i, MASK[i]]))
        torch.testing.assert_close(found[i], expected, rtol=1e-12, atol=1e-12)
    even = module(None, None, shown, MASK)
    torch.testing.assert_close(even[1], found[1], rtol=1e-12, atol=1e-12)
    assert (even[0] - found[0]).abs().max() > 1e-3, "the guides do guide"


@torch.no_grad()
def test_where_nothing_is_shown_there_is_the_bias_alone():
    module, guides, shown = drawn(GuidedAttention(SIZE, 2)), vectors(2, 4), vectors(2, 5)
    none = torch.zeros(2, 5, dtype=torch.bool)
    assert module(guides, torch.ones(2, 4, dtype=torch.bool), shown, none).isfinite().all()
    even = module(guides, torch.zeros(2, 4, dtype=torch.bool), shown, none)
    assert torch.equal(even, module.output.bias.expand(2, -1))


# ---- Gate ----


@pytest.mark.parametrize("use_gate", [True, False])
@torch.no_grad()
def test_the_gate_is_its_formula(use_gate):
    module, text, image = drawn(GatedFusion(SIZE, use_gate)), vectors(3), vectors(3)
    has_image = torch.tensor([True, False, True])
    found, weights = module(text, torch.where(has_image[:, None], image, 1e3), has_image)
    for i in range(3):
        expected, weight = plain_ghmfc.fused(module, text[i], image[i] if has_image[i] else None)
        torch.testing.assert_close(found[i], expected, rtol=1e-12, atol=1e-12)
        assert weights[i].item() == pytest.approx(weight, abs=1e-12)
    assert torch.equal(found[1], text[1]) and weights[1] == 0
    assert (weights[0].item() == 0.5) is not use_gate
    assert torch.equal(module(text, None, None)[0], text)


# ---- Contrast ----


def test_contrast_is_its_formula():
    anchors, others = vectors(4), vectors(4)
    excluded = torch.eye(4, dtype=torch.bool)
    excluded[0, 2] = excluded[2, 0] = True
    found = paired_contrast(anchors, others, excluded, 0.07)
    expected = plain_ghmfc.contrast(list(anchors), list(others), {(0, 2), (2, 0)}, 0.07)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-12)
    alone = paired_contrast(anchors[:1], others[:1], excluded[:1, :1], 0.07)
    assert alone.tolist() == [0.0]


def test_contrast_in_half_precision_is_computed_in_single():
    anchors, others = vectors(4).bfloat16(), vectors(4).bfloat16()
    none = torch.zeros(4, 4, dtype=torch.bool)
    found = paired_contrast(anchors, others, none, 0.07)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, paired_contrast(anchors.float(), others.float(), none, 0.07))
