"""A tokenizer from the texts of a benchmark, for models that are trained from scratch."""

from collections import Counter
from collections.abc import Iterator

import regex
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from .mel_data import MELData


SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
# For a character class, here and in `tokenizers`: scripts without spaces between words, and emoji, which are tokens each.
_SINGLE = (
    r"\p{Han}\p{Hiragana}\p{Katakana}ー\p{Bopomofo}\p{Yi}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tai_Le}\p{New_Tai_Lue}"
    r"\p{Tai_Tham}\p{Tai_Viet}\p{Emoji_Presentation}"
)
_BETWEEN_WORDS = r"[^\p{L}\p{M}\p{N}\p{Emoji_Presentation}]+"
_WITH_MARKS = rf"[🇦-🇿]{{2}}|[{_SINGLE}]\p{{M}}*"


def train_tokenizer(data: MELData, vocab_size: int = 8192, *, model_max_length: int = 512) -> PreTrainedTokenizerFast:
    """The words of a knowledge base and of the sentences of the training split, in lower case, as tokens.

    A word is a run of letters, marks and digits; what stands between words is dropped. In scripts without spaces between
    words, such as Chinese and Thai, each letter with its marks is a word; so is each emoji. If there are more than fit, the
    most frequent ones are kept, the alphabet deciding between equals. An unknown word becomes the longest known one that
    it begins with and single characters (WordPiece): `"clouds"` is `"cloud"` and `"##s"`. Validation and test are not read.

    Args:
        data ([`MELData`]): the benchmark.
        vocab_size (`int`, *optional*, defaults to 8192): largest number of tokens, special ones and characters included.
        model_max_length (`int`, *optional*, defaults to 512): longest text.

    Raises:
        `ValueError`: not even the characters fit.

    Example:

    ```python
    >>> from hf_mel.data import make_miniature, train_tokenizer

    >>> data = make_miniature(num_entities=10, num_train=50, num_validation=5, num_test=5)
    >>> tokenizer = train_tokenizer(data)
    >>> tokenizer.tokenize("A camera, at the zeppelin!")
    ['a', 'camera', 'at', 'the', 'z', '##e', '##p', '##p', '##e', '##l', '##i', '##n']
    ```
    """
    # The trainers of `tokenizers` make another vocabulary each time.
    tokenizer = Tokenizer(models.WordPiece({}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    splits = [(_BETWEEN_WORDS, "removed"), (_WITH_MARKS, "isolated")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(of), how) for of, how in splits])
    counts: Counter[str] = Counter()
    for text in _texts(data):
        counts.update(
            word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
        )
    characters = sorted({character for word in counts for character in word})
    inner = {character for word in counts for character in word[1:]}
    continuing = [each for each in characters if each in inner or not regex.match(f"[{_SINGLE}]", each)]
    pieces = dict.fromkeys([*SPECIAL_TOKENS, *characters, *(f"##{character}" for character in continuing)])
    words = [word for word in sorted(counts, key=lambda word: (-counts[word], word)) if word not in pieces]
    kept = [*pieces, *words[: max(0, vocab_size - len(pieces))]]
    if len(kept) > vocab_size:
        raise ValueError(
            f"vocab_size={vocab_size} is too small: the single characters alone are {len(pieces):,} tokens"
        )
    vocabulary = {token: number for number, token in enumerate(kept)}
    tokenizer.model = models.WordPiece(vocabulary, unk_token="[UNK]", continuing_subword_prefix="##")
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=model_max_length, **special)


def _texts(data: MELData) -> Iterator[str]:
    yield from data.entities.names()
    yield from data.entities.texts()
    yield from data.mentions["train"]["text"][:]
