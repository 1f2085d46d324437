"""Normal form of captions, by which a caption is found again in another split."""

import unicodedata

from ..names import text_words


def caption_key(caption: str) -> str:
    """The words of a caption, by which two captions are one; of a caption without words, such as `"..."`, itself."""
    return normal_caption(caption) or caption


def normal_caption(caption: str) -> str:
    """The words of a caption ([`text_words`]), without case, width, spacing and punctuation."""
    return " ".join(text_words(unicodedata.normalize("NFKC", caption).casefold()))
