"""The miniature: a benchmark that is generated, for tests and first steps."""

from .generate import KINDS, make_miniature, make_miniature_tokenizer, miniature_vocabulary


__all__ = ["KINDS", "make_miniature", "make_miniature_tokenizer", "miniature_vocabulary"]
