"""Configuration of MELOV."""

from huggingface_hub.dataclasses import strict

from .configuration_base import check_choices, check_positive
from .configuration_mimic import MIMICConfig


SIMILARITIES = ("kernel", "dot", "cosine", "euclidean")


@strict
class MELOVConfig(MIMICConfig):
    r"""
    Configuration of a [`MELOVModel`] (Sui et al., Findings of ACL 2024). Each ablation of the paper is a switch.

    Args:
        use_generation (`bool`, *optional*, defaults to `True`):
            Generate features of a mention's picture from its text (inter-modality, a VAE).
        use_aggregation (`bool`, *optional*, defaults to `True`):
            Aggregate features of the pictures of mentions with a similar text (intra-modality, a GCN).
        latent_size (`int`, *optional*, defaults to `64`):
            Size of the latent variable of the VAE.
        generation_weight (`float`, *optional*, defaults to `0.001`):
            Weight \\(\lambda\\) of the loss of the VAE. 0: no such loss.
        sample_latents (`bool`, *optional*, defaults to `True`):
            Add noise to the latent variable in training. `False`: its mean, as always in evaluation mode.
        similarity (`str`, *optional*, defaults to `"kernel"`):
            Weight of an edge between the texts of two mentions: `"kernel"`, `"dot"`, `"cosine"` or `"euclidean"`; see
            [`MentionGraph`].
        bandwidth (`float`, *optional*, defaults to `0.5`):
            Share of the mean distance between mentions in which `"kernel"` and `"euclidean"` measure distances.
        use_threshold (`bool`, *optional*, defaults to `True`):
            Leave out the edges whose weight is not above \\(\tau\\).
        threshold (`float`, *optional*, defaults to `0.2`):
            The \\(\tau\\) with which the training begins.
        learn_threshold (`bool`, *optional*, defaults to `True`):
            Train \\(\tau\\). `False`: it stays.
        num_graph_layers (`int`, *optional*, defaults to `2`):
            Layers of each of the two GCNs.
        bank_size (`int`, *optional*, defaults to `512`):
            Mentions of the training set that are stored in the model: among them a mention has its neighbours in
            evaluation mode. 0: there it has no neighbours but itself.
        fill_missing_images (`bool`, *optional*, defaults to `False`):
            What a mention without a picture is. `False`: the units that need a picture score 0, as for every model of
            this kind. `True`: generated and aggregated features stand in for its picture.

        The other arguments are those of [`MIMICConfig`], [`UnitsConfig`] and [`MatchingConfig`].

    Example:

    ```python
    >>> from hf_mel import MELOVConfig

    >>> config = MELOVConfig(vision_config={"model_type": "clip_vision_model"}, use_aggregation=False)
    >>> config.use_generation, config.latent_size, config.matching_size
    (True, 64, 96)
    ```
    """

    model_type = "melov"

    use_generation: bool = True
    use_aggregation: bool = True
    latent_size: int = 64
    generation_weight: float | int = 0.001
    sample_latents: bool = True
    similarity: str = "kernel"
    bandwidth: float | int = 0.5
    use_threshold: bool = True
    threshold: float | int = 0.2
    learn_threshold: bool = True
    num_graph_layers: int = 2
    bank_size: int = 512
    fill_missing_images: bool = False

    def validate_architecture(self):
        """Called by `@strict` after the type checks."""
        super().validate_architecture()
        check_choices(self, {"similarity": SIMILARITIES})
        check_positive(self, ("latent_size", "bandwidth", "num_graph_layers"))
        for name in ("generation_weight", "threshold", "bank_size"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must be at least 0, got {getattr(self, name)}.")
        if self.fill_missing_images and not (self.use_generation or self.use_aggregation):
            raise ValueError(
                "`fill_missing_images` needs `use_generation` or `use_aggregation`: nothing else can stand in."
            )
