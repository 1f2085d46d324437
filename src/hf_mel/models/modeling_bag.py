"""A text tower that needs no pretraining: equal words are near from the start."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .configuration_bag import BagOfTokensConfig
from .numerics import unit_vectors


class BagOfTokensModel(PreTrainedModel):
    r"""
    The weighted sum of a text's token vectors, \\(\sum_i w_i \sqrt{n_i} e_i\\) over its different tokens with
    \\(n_i\\) occurrences, brought to the length \\(\sqrt{\text{hidden\_size}}\\). It reads neither order nor context.

    The vectors begin random, hence nearly orthogonal: the cosine of two texts is about that of their weighted word
    counts. With the weights of [`~BagOfTokensModel.fit_weights`] this is lexical matching in the manner of TF-IDF, in a
    dense vector that a fusion can use and training can bend. Frozen, it stays exactly that: a model that is trained from
    scratch on few entities then cannot learn their texts by heart.

    Args:
        config ([`BagOfTokensConfig`]): Sizes.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel import BagOfTokensConfig, BagOfTokensModel

    >>> tower = BagOfTokensModel(BagOfTokensConfig(vocab_size=20, hidden_size=256))
    >>> one, same, other = tower(torch.tensor([[5, 6, 7], [7, 5, 6], [8, 9, 10]])).pooler_output
    >>> round(torch.cosine_similarity(one, same, dim=0).item(), 3)
    1.0
    >>> abs(torch.cosine_similarity(one, other, dim=0).item()) < 0.3
    True
    ```
    """

    config: BagOfTokensConfig
    config_class = BagOfTokensConfig
    main_input_name = "input_ids"
    # There is no attention: whatever implementation is asked for the other tower is as good as any.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    def __init__(self, config: BagOfTokensConfig):
        super().__init__(config)
        self.vectors = nn.Embedding(config.vocab_size, config.hidden_size)
        self.token_weights = nn.Parameter(torch.ones(config.vocab_size))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if module is self:
            init.ones_(self.token_weights)
        elif module is self.vectors:
            init.normal_(module.weight, mean=0.0, std=self.config.initializer_range)

    def get_input_embeddings(self) -> nn.Module:
        return self.vectors

    def set_input_embeddings(self, value: nn.Module):
        self.vectors = value

    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.LongTensor | None = None,
        token_states: bool = False,
        **kwargs,
    ) -> BaseModelOutputWithPooling:
        """
        Args:
            input_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`):
                Tokens. Special ones do not count.
            attention_mask (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*):
                1 on tokens, 0 on padding.
            token_states (`bool`, *optional*, defaults to `False`):
                Whether `last_hidden_state` holds the vector of each token, as long as its weight times
                `sqrt(hidden_size)`, instead of the whole text in its only position.

        Returns:
            `BaseModelOutputWithPooling`: `pooler_output` of shape `(batch_size, hidden_size)`, zero for a text without
            a token that counts, and the same as the only position of `last_hidden_state`.
        """
        counts = input_ids >= self.config.num_special
        if attention_mask is not None:
            counts = counts & attention_mask.bool()
        same = (input_ids[:, :, None] == input_ids[:, None, :]) & counts[:, None, :]
        # Each of n occurrences counts 1 / sqrt(n), so that all count sqrt(n).
        weights = self.token_weights[input_ids] * same.sum(-1).clamp(min=1).to(self.dtype).rsqrt() * counts
        bag = F.embedding_bag(input_ids, self.vectors.weight, mode="sum", per_sample_weights=weights)
        pooled = unit_vectors(bag) * math.sqrt(self.config.hidden_size)
        states = pooled[:, None]
        if token_states:
            length = math.sqrt(self.config.hidden_size) * self.token_weights[input_ids] * counts
            states = unit_vectors(self.vectors(input_ids)) * length[..., None]
        return BaseModelOutputWithPooling(last_hidden_state=states, pooler_output=pooled)

    @torch.no_grad()
    def fit_weights(self, texts: Iterable[Iterable[int]], unseen: float = 0.1) -> None:
        r"""
        Weights from the texts of a knowledge base: a token in \\(d\\) of \\(N\\) texts gets the square root of BM25's
        \\(\log(1 + (N - d + 0.5) / (d + 0.5))\\), since it counts on both sides, divided by the largest of them.

        Args:
            texts (`Iterable[Iterable[int]]`): Token ids of each text.
            unseen (`float`, *optional*, defaults to 0.1): Weight of a token that stands in none of them.

        Raises:
            `ValueError`: There is no text.
        """
        documents = torch.zeros(self.config.vocab_size)
        total = 0
        for total, ids in enumerate(texts, start=1):  # noqa: B007 (the number of texts)
            documents[sorted(set(ids))] += 1
        if not total:
            raise ValueError("There is no text to fit the weights of the tokens to.")
        rarity = torch.log(1 + (total - documents + 0.5) / (documents + 0.5)).sqrt()
        weights = torch.where(documents > 0, rarity / rarity[documents > 0].max(), unseen)
        self.token_weights.copy_(weights)
