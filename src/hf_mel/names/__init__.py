"""Names: their normal form, the features of a pair of a mention and an entity that come from them, and similar names."""

from .lexical_index import LexicalIndex
from .name_index import NameIndex, added_scores, name_index_of
from .normal_form import fold, fold_letters, name_tokens, normal_name, text_words, token_starts
from .pair_features import PairFeatures


__all__ = [
    "LexicalIndex",
    "NameIndex",
    "PairFeatures",
    "added_scores",
    "fold",
    "fold_letters",
    "name_index_of",
    "name_tokens",
    "normal_name",
    "text_words",
    "token_starts",
]
