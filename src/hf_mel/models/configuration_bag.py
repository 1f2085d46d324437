"""Configuration of the bag-of-tokens text tower."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class BagOfTokensConfig(PreTrainedConfig):
    r"""
    Configuration of a [`BagOfTokensModel`], a text tower that needs no pretraining.

    Args:
        vocab_size (`int`, *optional*, defaults to 8192):
            Number of token ids.
        hidden_size (`int`, *optional*, defaults to 1024):
            Size of a token's vector and of the text feature. Texts without a common token have a cosine of about
            \\(1 / \sqrt{\text{hidden\_size}}\\).
        num_special (`int`, *optional*, defaults to 4):
            Ids below this are special tokens, such as padding and unknown words. They do not count.
        initializer_range (`float`, *optional*, defaults to 1.0):
            Standard deviation of the vectors. Only their directions matter to the text feature, which has a length of
            its own; a larger value makes steps of a given learning rate smaller.

    Example:

    ```python
    >>> from hf_mel import BagOfTokensConfig

    >>> BagOfTokensConfig(hidden_size=64).vocab_size
    8192
    ```
    """

    model_type = "bag_of_tokens"

    vocab_size: int = 8192
    hidden_size: int = 1024
    num_special: int = 4
    initializer_range: float | int = 1.0

    def validate_architecture(self):
        """Called by `@strict` after the type checks."""
        if not 0 <= self.num_special < self.vocab_size:
            raise ValueError(f"`num_special` must be in [0, {self.vocab_size}), got {self.num_special}.")
        if self.hidden_size < 1:
            raise ValueError(f"`hidden_size` must be positive, got {self.hidden_size}.")
