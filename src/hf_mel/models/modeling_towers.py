"""Models with a text and a vision tower: how they are built, loaded and frozen, and the features of one side."""

from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from .adapters import AdapterMixin, tower_sources
from .complete_loading import CompleteLoadingMixin
from .configuration_base import PIPELINE_TASK, check_field_names
from .fusion import init_fusion_weights
from .hub_arguments import hub_arguments, without_hub_arguments
from .pair_features import init_pair_weights
from .static_words import STATIC_WORDS, tower_place
from .tower_features import TowerFeatures
from .tower_loading import load_halves
from .tower_sizes import tower_sizes
from .towers import (
    LENGTH_GROUP,
    build_tower,
    image_states,
    is_repository,
    keep_attention,
    pool_image,
    pool_text,
    run_text_tower,
    similar_lengths,
    text_states,
    tower_class,
    vision_inputs,
)


class TowersModel(AdapterMixin, CompleteLoadingMixin, PreTrainedModel):
    """
    Base of [`MatchingModel`]: the towers, and the features that they give for mentions or for entities.

    Args:
        config ([`~transformers.PreTrainedConfig`]):
            Has the fields of [`PGMELConfig`] that concern towers and text views.
        text_model ([`~transformers.PreTrainedModel`], *optional*):
            A text tower to use instead of a randomly initialised one.
        vision_model ([`~transformers.PreTrainedModel`], *optional*):
            The same for the vision tower.
    """

    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    reads_states = False
    """`True` if the model reads the states of tokens and patches in addition to the pooled features."""
    reads_together = False
    """`True` if one tower reads text and picture together, so that neither has features of its own."""

    def __init__(
        self,
        config: PreTrainedConfig,
        text_model: PreTrainedModel | None = None,
        vision_model: PreTrainedModel | None = None,
    ):
        # Not `isinstance`: code that is loaded from a checkpoint has configuration classes of its own.
        if config.model_type != self.config_class.model_type:
            raise ValueError(
                f"{type(self).__name__} needs a configuration of type {self.config_class.model_type!r}, "
                f"got one of type {config.model_type!r}."
            )
        super().__init__(config)
        self.model_tags = ["entity-linking", PIPELINE_TASK, "hf_mel"]  # of the card that `push_to_hub` writes
        self._build_towers(text_model, vision_model)

    def _build_towers(self, text_model: PreTrainedModel | None, vision_model: PreTrainedModel | None) -> None:
        config = self.config
        for kind in ("text", "vision"):
            if getattr(config, f"{kind}_config") is not None:
                # Refuses what cannot be a tower before it is built.
                tower_sizes(getattr(config, f"{kind}_config"), kind)
        for tower in (text_model, vision_model):
            keep_attention(tower)
        self.text_model = build_tower(config.text_config) if text_model is None else text_model
        self.text_projection = None
        if config.text_projection_dim is not None:
            self.text_projection = nn.Linear(config.text_pooled_size, config.text_projection_dim, bias=False)
        self.vision_model = vision_model
        if vision_model is None and config.vision_config is not None:
            self.vision_model = build_tower(config.vision_config)
        self.visual_projection = None
        if config.vision_projection_dim is not None:
            self.visual_projection = nn.Linear(config.vision_pooled_size, config.vision_projection_dim, bias=False)

    # ---- Loading and initialisation ----

    @classmethod
    def from_towers(
        cls,
        text: str | Path,
        vision: str | Path | bool | PreTrainedConfig | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        attn_implementation: str | None = None,
        text_kwargs: dict | None = None,
        vision_kwargs: dict | None = None,
        **config_kwargs,
    ) -> "TowersModel":
        """
        A model on pretrained towers; its heads are random.

        Args:
            text (`str` or `Path`):
                Folder or Hub id of a text encoder (BERT, MiniLM), or of a checkpoint that holds both towers (CLIP,
                SigLIP, SigLIP2); `"static-words"`: the tower that is part of the package.
            vision (`str`, `Path`, `bool` or [`~transformers.PreTrainedConfig`], *optional*):
                Folder or Hub id of a vision encoder (ViT, DINOv2) or of a checkpoint that holds both. `None`: the vision
                tower of `text` if it has one. `False`: no vision tower in any case. `True`: `text` must have one. A
                configuration: a vision tower with random weights, to be trained.
            dtype (`torch.dtype`, *optional*, defaults to `torch.float32`):
                Precision of the whole model.
            attn_implementation (`str`, *optional*):
                Attention of the towers, such as `"sdpa"` or `"eager"`.
            text_kwargs (`dict`, *optional*):
                Further arguments of `from_pretrained` for `text`, such as the `revision` of `text` alone, or fields of the
                tower's configuration.
            vision_kwargs (`dict`, *optional*):
                The same for `vision`.
            config_kwargs:
                Fields of the model's configuration, such as `fusion` or `pooling`; and `token`, `revision`, `cache_dir`,
                `local_files_only`, `trust_remote_code`, `force_download` and `subfolder` of `from_pretrained`, for both
                checkpoints.

        Raises:
            `TypeError`: An unknown configuration field; the message names the nearest valid one.
            `ValueError`: A checkpoint has no tower of the wanted kind.

        Example:

        ```python
        model = PGMELModel.from_towers("openai/clip-vit-base-patch32")
        model = PGMELModel.from_towers("sentence-transformers/all-MiniLM-L6-v2", pooling="mean", freeze_text=True)
        model = PGMELModel.from_towers("bert-base-uncased", "facebook/dinov2-small", projection_size=512)
        ```
        """
        reserved = ("text_config", "vision_config", "text_projection_dim", "vision_projection_dim", "base_models")
        hub = hub_arguments(config_kwargs)
        common = {"dtype": dtype} | hub
        config_kwargs = without_hub_arguments(config_kwargs)
        check_field_names(cls.config_class, config_kwargs, reserved)
        if attn_implementation is not None:
            common["attn_implementation"] = attn_implementation
        place, text_kwargs = tower_place(text), text_kwargs or {}
        if isinstance(vision, bool) or vision is None:
            kinds = ("text",) if vision is False else ("text", "vision")
            found = load_halves(place, kinds, **(common | text_kwargs))
            if vision is True and "vision" not in found:
                raise ValueError(f"{text} has no vision tower: name one as `vision`.")
        else:
            found = load_halves(place, ("text",), **(common | text_kwargs))
        if isinstance(vision, PreTrainedConfig):
            found["vision"] = tower_class(vision)(vision), None
        elif isinstance(vision, (str, Path)):
            found |= load_halves(vision, ("vision",), **(common | (vision_kwargs or {})))
        sources = [text, vision] if isinstance(vision, (str, Path)) else [text]
        named = [str(source) for source in dict.fromkeys(sources) if is_repository(source) and source != STATIC_WORDS]
        model = cls._from_loaded(found, config_kwargs | {"base_models": named or None}).to(dtype)
        model.tower_sources = tower_sources(text, vision, hub | text_kwargs, hub | (vision_kwargs or {}))
        return model

    @classmethod
    def _from_loaded(cls, found: dict[str, tuple], config_kwargs: dict) -> "TowersModel":
        fields, attention = dict(config_kwargs), {}
        for kind, (tower, projection) in found.items():
            tower.config._name_or_path = ""  # a path of this machine has no place in a published config.json
            attention[f"{kind}_config"] = tower.config._attn_implementation
            fields[f"{kind}_config"] = tower.config
            fields[f"{kind}_projection_dim"] = None if projection is None else projection.out_features
        towers = {f"{kind}_model": tower for kind, (tower, _) in found.items()}
        config = cls.config_class(**fields)
        config._attn_implementation = attention  # which it has just reset in the configurations it was given
        model = cls(config, **towers)
        for kind, own in (("text", model.text_projection), ("vision", model.visual_projection)):
            if own is not None:
                own.load_state_dict(found[kind][1].state_dict())
        return model.eval()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        init_fusion_weights(module, self.config.initializer_range)
        init_pair_weights(module)

    def get_input_embeddings(self) -> nn.Module:
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module):
        self.text_model.set_input_embeddings(value)

    @property
    def sees_pictures(self) -> bool:
        """`True` if the model reads pictures."""
        return self.reads_together or self.vision_model is not None

    # ---- Frozen towers ----

    def _frozen_modules(self) -> list[nn.Module]:
        text = [self.text_model, self.text_projection] if self.config.freeze_text else []
        vision = [self.vision_model, self.visual_projection] if self.config.freeze_vision else []
        return [module for module in text + vision if module is not None]

    @property
    def towers_frozen(self) -> bool:
        """`True` if the features of all towers can be computed once and stored."""
        return self.config.freeze_text and (self.vision_model is None or self.config.freeze_vision)

    def train(self, mode: bool = True):
        """As in `torch.nn.Module`; frozen towers stay in evaluation mode, and without gradient."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
            module.requires_grad_(False)  # here, because `from_pretrained` puts fresh parameters in place of all
        return self

    # ---- Features ----

    def extract(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.LongTensor | None = None,
        surface_input_ids: torch.LongTensor | None = None,
        surface_attention_mask: torch.LongTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        has_image: torch.BoolTensor | None = None,
    ) -> TowerFeatures:
        """
        Run the towers on mentions or on entities.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*):
                Tokens of the context view. Needed unless `config.text_views` is `"surface"`.
            attention_mask (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*):
                1 on tokens, 0 on padding.
            surface_input_ids (`torch.LongTensor` of shape `(batch_size, surface_length)`, *optional*):
                Tokens of the surface view. Needed unless `config.text_views` is `"context"`.
            surface_attention_mask (`torch.LongTensor` of shape `(batch_size, surface_length)`, *optional*):
                1 on tokens, 0 on padding.
            pixel_values (`torch.FloatTensor` of shape `(batch_size, channels, height, width)`, *optional*):
                Images; the values of a row without image are never used. Ignored by a text-only model.
            has_image (`torch.BoolTensor` of shape `(batch_size,)`, *optional*):
                Whether the row has an image. Defaults to `True` for all if there are `pixel_values`.

        Returns:
            [`TowerFeatures`]
        """
        given = {
            "context": (input_ids, attention_mask, "input_ids"),
            "surface": (surface_input_ids, surface_attention_mask, "surface_input_ids"),
        }
        used = ("context", "surface") if self.config.text_views == "both" else (self.config.text_views,)
        features = {}
        views = []
        for view in used:
            ids, mask, name = given[view]
            if ids is None:
                raise ValueError(f"`{name}` is missing, but `config.text_views` is {self.config.text_views!r}.")
            pooled, states = self._text_features(ids, mask)
            features |= states if view == "context" else {}
            views.append(pooled)
        features["text_features"] = torch.stack(views, dim=1)
        if self.vision_model is not None:
            features |= self._image_features(pixel_values, has_image, features["text_features"])
        return TowerFeatures(**features)

    def _text_features(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The pooled feature, and the states of the tokens if the model reads them."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_text):
            # A batch of a data set is sorted by length before it comes here; a batch of training is not. A GPU would lose more
            # by the small groups than it gains.
            mixed = torch.is_grad_enabled() and attention_mask is not None and input_ids.device.type == "cpu"
            if not mixed or self.reads_states or len(input_ids) <= LENGTH_GROUP:
                return self._run_text_tower(input_ids, attention_mask)
            groups = similar_lengths(attention_mask)
            parts = [
                self._run_text_tower(input_ids[rows, :width], attention_mask[rows, :width])[0]
                for rows, width in groups
            ]
            order = torch.cat([rows for rows, _ in groups])
            return torch.cat(parts)[order.argsort()], {}

    def _run_text_tower(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        outputs = run_text_tower(self.text_model, input_ids, attention_mask, states=self.reads_states)
        pooled = pool_text(outputs, attention_mask, self.config.pooling)
        pooled = pooled if self.text_projection is None else self.text_projection(pooled)
        if not self.reads_states:
            return pooled, {}
        config = self.config
        return pooled, text_states(outputs, attention_mask, config.max_text_tokens, config.keeps_padding)

    def _image_features(
        self, pixel_values: torch.Tensor | None, has_image: torch.Tensor | None, text_features: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        batch_size = len(text_features)
        if pixel_values is None:
            has_image = torch.zeros(batch_size, dtype=torch.bool, device=text_features.device)
            features = {"image_features": text_features.new_zeros(batch_size, self.config.vision_feature_size)}
            if self.reads_states:
                shape = self.config.num_patches, self.config.vision_state_size
                features["patch_features"] = text_features.new_zeros(batch_size, *shape)
            return features | {"has_image": has_image}
        if has_image is None:
            has_image = torch.ones(batch_size, dtype=torch.bool, device=text_features.device)
        has_image = has_image.bool()
        rows = has_image.nonzero().flatten()
        if len(rows) == 0:
            if not torch.is_grad_enabled():
                return self._image_features(None, None, text_features)
            # Every process has to reach the tower's parameters in every step, if only with a gradient of zero.
            rows = rows.new_zeros(1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_vision):
            # Zeros in place of what is no image, before the tower: a NaN would come back in its gradients.
            pixels = torch.where(has_image[rows, None, None, None], pixel_values[rows], 0.0)
            found = self._run_vision_tower(pixels)
            features = {}
            for name, value in found.items():
                whole = text_features.new_zeros(batch_size, *value.shape[1:])
                whole = whole.index_copy(0, rows, value.to(whole.dtype))
                features[name] = torch.where(has_image.view(-1, *[1] * (whole.dim() - 1)), whole, 0.0)
            return features | {"has_image": has_image}

    def _run_vision_tower(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """The pooled feature of each picture, and the states of its patches if the model reads them."""
        outputs = self.vision_model(**vision_inputs(self.config.vision_config, pixels.to(self.vision_model.dtype)))
        pooled = pool_image(outputs)
        found = {"image_features": pooled if self.visual_projection is None else self.visual_projection(pooled)}
        if self.reads_states:
            found["patch_features"] = image_states(outputs, self.config.num_patches)
        return found

    def extract_images(self, pixel_values: torch.FloatTensor) -> dict[str, torch.FloatTensor]:
        """
        Run the vision tower alone, for pictures that several mentions share.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(num_images, channels, height, width)`):
                The pictures.

        Returns:
            `dict[str, torch.FloatTensor]`: `image_features` of shape `(num_images, vision_feature_size)` and, of a model
            that reads them, `patch_features`: what [`~MatchingModel.extract`] gives for a row with this picture.
        """
        found = self._image_features(pixel_values, None, pixel_values.new_zeros(len(pixel_values), 0))
        return {name: value for name, value in found.items() if name != "has_image"}
