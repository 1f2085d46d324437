"""Models: what a checkpoint is made of. Importing this room registers the Auto classes and the code that travels along."""

from transformers import AutoConfig, AutoModel, AutoProcessor

from .configuration_bag import BagOfTokensConfig
from .configuration_ghmfc import GHMFCConfig
from .configuration_m3el import M3ELConfig
from .configuration_melov import MELOVConfig
from .configuration_mimic import MIMICConfig
from .configuration_pgmel import PGMELConfig, PGMELGeneratorConfig
from .configuration_single_stream import SingleStreamConfig
from .encodings import Encodings
from .fusion import register_fusion
from .modeling_bag import BagOfTokensModel
from .modeling_base import MatchingModel
from .modeling_ghmfc import GHMFCModel
from .modeling_m3el import M3ELModel
from .modeling_melov import MELOVModel
from .modeling_mimic import MIMICModel
from .modeling_pgmel import PGMELGenerator, PGMELModel
from .modeling_single_stream import SingleStreamModel
from .modeling_units import UnitsModel, UnitsOutput
from .modeling_vectors import VectorModel, VectorOutput
from .pair_features import PAIR_FEATURES
from .processing_mel import MELProcessor, PGMELProcessor
from .tower_features import TowerFeatures


_LINKING = (PGMELModel, MIMICModel, M3ELModel, MELOVModel, GHMFCModel, SingleStreamModel)
LINKING_MODELS = {model.config_class.model_type: model for model in _LINKING}
"""The models that link, by the type in their configuration."""

for _model in (*LINKING_MODELS.values(), PGMELGenerator, BagOfTokensModel):
    _config = _model.config_class
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModel.register(_config, _model, exist_ok=True)
    # What is saved carries its code, so that `trust_remote_code=True` loads it where this package is not installed; and a
    # checkpoint that came with code never goes on without it.
    _config.register_for_auto_class()
    _model.register_for_auto_class("AutoModel")
for _model in LINKING_MODELS.values():
    # `AutoProcessor` finds a saved class by its name among those that are registered, so each name is there once.
    _processor = PGMELProcessor if _model is PGMELModel else MELProcessor
    AutoProcessor.register(_model.config_class, _processor, exist_ok=True)
MELProcessor.register_for_auto_class()  # the subclass inherits it

__all__ = [
    "LINKING_MODELS",
    "PAIR_FEATURES",
    "BagOfTokensConfig",
    "BagOfTokensModel",
    "Encodings",
    "GHMFCConfig",
    "GHMFCModel",
    "M3ELConfig",
    "M3ELModel",
    "MELOVConfig",
    "MELOVModel",
    "MELProcessor",
    "MIMICConfig",
    "MIMICModel",
    "MatchingModel",
    "PGMELConfig",
    "PGMELGenerator",
    "PGMELGeneratorConfig",
    "PGMELModel",
    "PGMELProcessor",
    "SingleStreamConfig",
    "SingleStreamModel",
    "TowerFeatures",
    "UnitsModel",
    "UnitsOutput",
    "VectorModel",
    "VectorOutput",
    "register_fusion",
]
