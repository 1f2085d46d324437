"""Model inputs of the mentions and entities of a training."""

from pathlib import Path

from ..data import KnowledgeBase
from ..encoding import EntityInputs, MentionInputs, SideInputs
from ..evaluation.models import Linkable
from ..models import MatchingModel, MELProcessor
from .arguments import MELTrainingArguments
from .feature_cache import FeatureCache


class TrainingInputs:
    """
    Inputs of the entities and of several sets of mentions; tower features, computed once, where the towers are frozen.

    Args:
        knowledge_base ([`KnowledgeBase`]):
            The entities.
        processor ([`MELProcessor`]):
            Processor of the model.
        args ([`MELTrainingArguments`]):
            Batch size, workers and precision with which features are computed.
        cache_dir (`str` or `Path`):
            Where features are kept.
    """

    def __init__(
        self,
        knowledge_base: KnowledgeBase,
        processor: MELProcessor,
        args: MELTrainingArguments,
        cache_dir: str | Path,
    ):
        self.knowledge_base, self.processor, self.args, self.cache_dir = knowledge_base, processor, args, cache_dir
        self._inputs: dict[str, SideInputs] = {}
        self._model: MatchingModel | None = None

    def of(self, model: MatchingModel, mentions: Linkable | None, progress: bool) -> SideInputs:
        """Inputs of a set of mentions, or of the entities (`None`)."""
        if model is not self._model:  # `model_init` made another, whose frozen towers may have other features
            self._inputs, self._model = {}, model
        key = "entities" if mentions is None else mentions.fingerprint
        if key not in self._inputs:
            if mentions is None:
                inputs = EntityInputs(self.knowledge_base, self.processor)
            else:
                inputs = MentionInputs(mentions.dataset, self.processor)
            if model.towers_frozen:
                inputs = FeatureCache.build(
                    self.cache_dir,
                    model,
                    inputs,
                    self.knowledge_base.fingerprint if mentions is None else mentions.fingerprint,
                    batch_size=self.args.per_device_eval_batch_size,
                    dtype=self.args.feature_dtype,
                    progress=progress,
                    num_workers=self.args.dataloader_num_workers,
                )
            self._inputs[key] = inputs
        return self._inputs[key]
