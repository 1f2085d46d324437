"""Why an entity won: the numbers, what they say in words, and what would have happened without the picture or a word."""

from .collecting import explain
from .explanation import ExplainedCandidate, Explanation, Gold, WithoutPicture, WordEffect


__all__ = ["ExplainedCandidate", "Explanation", "Gold", "WithoutPicture", "WordEffect", "explain"]
