"""Explanations of answers: their numbers, reasons in words, and the answers without the picture or a word."""

from .explain_mention import explain
from .explanation import Explanation
from .explanation_parts import ExplainedCandidate, Gold, WithoutPicture, WordEffect


__all__ = ["ExplainedCandidate", "Explanation", "Gold", "WithoutPicture", "WordEffect", "explain"]
