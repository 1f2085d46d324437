"""A tokenizer from the texts of a benchmark, for models that are trained from scratch."""

from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from .mel_data import MELData


SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def train_tokenizer(
    data: MELData, vocab_size: int = 8192, *, min_frequency: int = 1, model_max_length: int = 512
) -> PreTrainedTokenizerFast:
    """Trains a lower-case WordPiece tokenizer on a knowledge base and the sentences of the training split.

    Words are runs of letters, marks and digits; what stands between them is dropped. Validation and test are not read.

    Args:
        data ([`MELData`]): the benchmark.
        vocab_size (`int`, *optional*, defaults to 8192): largest number of tokens, the four special ones included.
        min_frequency (`int`, *optional*, defaults to 1): how often a piece must occur to be merged.
        model_max_length (`int`, *optional*, defaults to 512): longest text.

    Example:

    ```python
    >>> from hf_mel.data import make_miniature, train_tokenizer

    >>> data = make_miniature(num_entities=10, num_train=50, num_validation=5, num_test=5)
    >>> tokenizer = train_tokenizer(data)
    >>> tokenizer.tokenize("A camera, at monday!")
    ['a', 'camera', 'at', 'monday']
    ```
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[^\p{L}\p{M}\p{N}]+"), "removed")
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        continuing_subword_prefix="##",
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(data), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=model_max_length,
    )


def _texts(data: MELData) -> Iterator[str]:
    yield from data.entities.names()
    yield from data.entities.texts()
    yield from data.mentions["train"]["sentence"][:]
