"""MIMIC: three units of multi-grained interaction."""

from .configuration_mimic import MIMICConfig
from .matching_units import CrossUnit, GlobalLocalUnit, MatchingUnit, VisionUnit
from .modeling_units import UnitsModel


class MIMICModel(UnitsModel):
    """
    MIMIC (Luo et al., "Multi-Grained Multimodal Interaction Network for Entity Linking", KDD 2023), implemented from its
    formulas: the score of a pair is the mean of a text, a vision and a cross-modal unit. Where a side has no picture, the
    units that compare pictures score 0; without a vision tower there is the text unit alone.

    Args:
        config ([`MIMICConfig`]): Configuration.
        text_model ([`~transformers.PreTrainedModel`], *optional*): Text tower to use instead of a random one.
        vision_model ([`~transformers.PreTrainedModel`], *optional*): Vision tower to use instead of a random one.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel import MIMICConfig, MIMICModel

    >>> text = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> model = MIMICModel(MIMICConfig(text_config=text, matching_size=16)).eval()
    >>> outputs = model(mention_input_ids=torch.tensor([[1, 2, 3]]), entity_input_ids=torch.tensor([[1, 2], [4, 5]]))
    >>> outputs.scores.shape, list(outputs.unit_scores)
    (torch.Size([1, 2]), ['text'])
    ```
    """

    config: MIMICConfig
    config_class = MIMICConfig
    base_model_prefix = "mimic"

    @staticmethod
    def build_units(config: MIMICConfig) -> dict[str, MatchingUnit]:
        units = {}
        if config.use_text_unit:
            sizes = config.text_feature_size, config.text_state_size, config.matching_size
            units["text"] = GlobalLocalUnit(*sizes)
        if config.vision_config is not None and config.use_vision_unit:
            units["vision"] = VisionUnit(config.matching_size)
        if config.vision_config is not None and config.use_cross_unit:
            units["cross"] = CrossUnit(config.text_feature_size, config.matching_size)
        return units
