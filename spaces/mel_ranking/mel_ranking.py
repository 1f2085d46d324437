"""What `evaluate.load("org/mel_ranking")` fetches. The metric itself is in the package, `hf_mel.evaluation.MELRanking`."""

# `evaluate` reads the line: without the package it says what to install, which is named behind `From:`.
from hf_mel.evaluation.mel_ranking import MELRanking  # From: hf-mel


__all__ = ["MELRanking"]
