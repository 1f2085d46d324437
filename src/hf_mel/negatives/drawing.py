"""Draws of columns from uniform numbers: functions without a random generator of their own."""

import torch


def sample_columns(weights: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """
    Independent draws with replacement, by inverting the cumulative distribution: REINFORCE is unbiased for them.

    Args:
        weights (`torch.Tensor` of shape `(batch_size, pool_size)`):
            Not negative; need not sum to one. Columns of weight zero are never drawn unless all are zero.
        uniforms (`torch.Tensor` of shape `(batch_size, num_samples)`):
            Numbers in `[0, 1)`.

    Returns:
        `torch.LongTensor` of shape `(batch_size, num_samples)`.
    """
    cumulative = weights.double().cumsum(dim=-1)
    points = uniforms.double() * cumulative[:, -1:]
    return torch.searchsorted(cumulative, points, right=True).clamp(max=weights.shape[-1] - 1)


def sample_without_replacement(log_probs: torch.Tensor, uniforms: torch.Tensor, count: int):
    """
    `count` different columns, drawn one after the other in proportion to their probabilities, by the Gumbel-top-k trick;
    with weights for which the weighted sum of any `f` over the sample is on average its expectation: `p / q`, where `q` is
    the probability that a column's perturbed logit exceeds the highest that was not drawn (Kool et al. 2019,
    [arXiv 1903.06059](https://huggingface.co/papers/1903.06059), section 4).

    Args:
        log_probs (`torch.Tensor` of shape `(batch_size, pool_size)`):
            `log p`, `-inf` on what cannot be drawn.
        uniforms (`torch.Tensor` of shape `(batch_size, pool_size)`):
            Numbers in `[0, 1)`.

    Returns:
        `tuple`: columns and weights, of shape `(batch_size, count)`. A column of probability zero, drawn because the
        others are used up, has weight zero.
    """
    perturbed = log_probs.double() - torch.log(-torch.log(uniforms.double().clamp(min=1e-300)))
    columns = top_columns(perturbed, count)
    # Without a further column nothing was left out, and each was drawn for certain.
    threshold = perturbed.new_full((len(perturbed), 1), -torch.inf)
    if perturbed.shape[1] > count:
        threshold = perturbed.gather(1, top_columns(perturbed, count + 1)[:, -1:])
    chosen = log_probs.double().gather(1, columns)
    drawn = -torch.expm1(-torch.exp(chosen - threshold))
    weights = torch.where(chosen == -torch.inf, 0.0, chosen.exp() / drawn)
    return columns, weights.to(log_probs.dtype)


def choose_columns(mask: torch.Tensor, uniforms: torch.Tensor, count: int) -> torch.Tensor:
    """`count` different columns, uniformly among those of `mask`; masked ones come last, when the others are used up."""
    return top_columns(uniforms.masked_fill(~mask, -1.0), count)


def top_columns(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Columns of the highest scores, of shape `(batch_size, count)`; equal scores in the order of the pool."""
    order = torch.sort(scores, dim=-1, descending=True, stable=True).indices[:, :count]
    if order.shape[1] < count:
        raise ValueError(f"{count} negatives were asked for, and the pool holds {order.shape[1]}: raise `pool_size`")
    return order
