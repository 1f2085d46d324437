"""Training: the arguments, the step, the Trainer, and the cache of frozen features."""

from .arguments import MELTrainingArguments, PGMELTrainingArguments
from .feature_cache import FeatureCache
from .trainer import MELTrainer, PGMELTrainer


__all__ = ["FeatureCache", "MELTrainer", "MELTrainingArguments", "PGMELTrainer", "PGMELTrainingArguments"]
