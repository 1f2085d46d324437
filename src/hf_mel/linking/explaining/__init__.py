"""Why an entity won: the numbers, what they say in words, and what would have happened without the picture or a word."""

from .explain_mention import explain
from .explanation import Explanation
from .explanation_parts import ExplainedCandidate, Gold, WithoutPicture, WordEffect


__all__ = ["ExplainedCandidate", "Explanation", "Gold", "WithoutPicture", "WordEffect", "explain"]
