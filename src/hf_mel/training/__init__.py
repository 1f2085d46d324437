"""Training: the arguments, the step, the Trainer, and the cache of frozen features."""

from .arguments import PGMELTrainingArguments
from .feature_cache import FeatureCache
from .trainer import PGMELTrainer


__all__ = ["FeatureCache", "PGMELTrainer", "PGMELTrainingArguments"]
