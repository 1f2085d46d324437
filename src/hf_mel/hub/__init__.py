"""Publishing on the Hub: cards, checks and uploads."""

from .cards import render_model_card, write_model_card
from .comparisons import compare
from .publish import Publication, publish


__all__ = ["Publication", "compare", "publish", "render_model_card", "write_model_card"]
