"""What all models of the package share: two towers, text views, features of one side, a score between two."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_base import PIPELINE_TASK, check_field_names
from .fusion import init_fusion_weights
from .towers import build_tower, is_repository, load_halves, pool_image, pool_text, vision_inputs


@dataclass
class TowerFeatures(ModelOutput):
    """
    What the towers give for mentions or for entities, and what a feature cache stores. Rows are independent.

    Args:
        text_features (`torch.FloatTensor` of shape `(batch_size, num_views, text_feature_size)`):
            One feature a text view, in the order context, surface.
        image_features (`torch.FloatTensor` of shape `(batch_size, vision_feature_size)`, *optional*):
            Zero where there is no image. `None`: the model has no vision tower.
        has_image (`torch.BoolTensor` of shape `(batch_size,)`, *optional*):
            Whether the row has an image.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel import TowerFeatures

    >>> features = TowerFeatures(text_features=torch.zeros(5, 2, 16))
    >>> features.select(torch.tensor([4, 0])).text_features.shape
    torch.Size([2, 2, 16])
    ```
    """

    text_features: torch.FloatTensor
    image_features: torch.FloatTensor | None = None
    has_image: torch.BoolTensor | None = None

    def select(self, rows) -> "TowerFeatures":
        """The given rows (an index tensor, a boolean mask or a slice)."""
        return TowerFeatures(**{name: value[rows] for name, value in self.items()})

    def detach(self) -> "TowerFeatures":
        """The same values without their history."""
        return TowerFeatures(**{name: value.detach() for name, value in self.items()})

    def to(self, *args, **kwargs) -> "TowerFeatures":
        """Move or cast; a dtype reaches the features and leaves the mask alone."""
        moved = {name: value.to(*args, **kwargs) for name, value in self.items()}
        if self.has_image is not None:
            moved["has_image"] = moved["has_image"].bool()
        return TowerFeatures(**moved)


class MatchingModel(PreTrainedModel, ABC):
    """
    Base of all models that score mentions against entities. It owns the towers; a subclass says how the features of one
    side are encoded ([`~MatchingModel.encode`]) and how two sides are compared ([`~MatchingModel.match`]). Encodings are
    dictionaries of tensors whose leading dimension is the row, so that an index can store them and slice them.

    Args:
        config ([`~transformers.PreTrainedConfig`]):
            Has the fields of [`PGMELConfig`] that concern towers and text views.
        text_model ([`~transformers.PreTrainedModel`], *optional*):
            A text tower to use instead of a randomly initialised one.
        vision_model ([`~transformers.PreTrainedModel`], *optional*):
            The same for the vision tower.
    """

    input_modalities = ("text", "image")
    main_input_name = "mention_input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    vector_name: str | None = None
    """The tensor of `encode` whose dot product is `match`, if there is one: vector search engines need it."""
    # `forward` takes no `num_items_in_batch`: the Trainer has to divide the loss by the accumulation steps itself.
    accepts_loss_kwargs = False

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
        for tower in (text_model, vision_model):
            # Putting a tower's configuration into another one resets its attention to None, and without one
            # transformers builds no attention mask: padding would be attended to, in silence.
            if tower is not None and tower.config._attn_implementation is None:
                tower.config._attn_implementation = tower.get_correct_attn_implementation(None)
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
        vision: str | Path | bool | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        attn_implementation: str | None = None,
        text_kwargs: dict | None = None,
        vision_kwargs: dict | None = None,
        **config_kwargs,
    ) -> "MatchingModel":
        """
        A model on pretrained towers; its heads are random.

        Args:
            text (`str` or `Path`):
                Folder or Hub id of a text encoder (BERT, MiniLM), or of a checkpoint that holds both towers (CLIP,
                SigLIP, SigLIP2).
            vision (`str`, `Path` or `bool`, *optional*):
                Folder or Hub id of a vision encoder (ViT, DINOv2) or of a checkpoint that holds both. `None`: the vision
                tower of `text` if it has one. `False`: no vision tower in any case. `True`: `text` must have one.
            dtype (`torch.dtype`, *optional*, defaults to `torch.float32`):
                Precision of the whole model.
            attn_implementation (`str`, *optional*):
                Attention of the towers, such as `"sdpa"` or `"eager"`.
            text_kwargs (`dict`, *optional*):
                Further arguments of `from_pretrained` for `text`, such as `revision`.
            vision_kwargs (`dict`, *optional*):
                The same for `vision`.
            config_kwargs:
                Fields of the model's configuration, such as `fusion` or `pooling`.

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
        check_field_names(cls.config_class, config_kwargs, reserved)
        common = {"dtype": dtype}
        if attn_implementation is not None:
            common["attn_implementation"] = attn_implementation
        if isinstance(vision, bool) or vision is None:
            kinds = ("text",) if vision is False else ("text", "vision")
            found = load_halves(text, kinds, **common, **(text_kwargs or {}))
            if vision is True and "vision" not in found:
                raise ValueError(f"{text} has no vision tower: name one as `vision`.")
        else:
            found = load_halves(text, ("text",), **common, **(text_kwargs or {}))
            found |= load_halves(vision, ("vision",), **common, **(vision_kwargs or {}))
        sources = [text, vision] if isinstance(vision, (str, Path)) else [text]
        named = [str(source) for source in dict.fromkeys(sources) if is_repository(source)]
        return cls._from_loaded(found, config_kwargs | {"base_models": named or None}).to(dtype)

    @classmethod
    def _from_loaded(cls, found: dict[str, tuple], config_kwargs: dict) -> "MatchingModel":
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

    def get_input_embeddings(self) -> nn.Module:
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module):
        self.text_model.set_input_embeddings(value)

    # ---- Frozen towers ----

    def _frozen_modules(self) -> list[nn.Module]:
        text = [self.text_model, self.text_projection] if self.config.freeze_text else []
        vision = [self.vision_model, self.visual_projection] if self.config.freeze_vision else []
        return [module for module in text + vision if module is not None]

    @property
    def towers_frozen(self) -> bool:
        """Whether the features of all towers can be computed once and stored."""
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
        views = []
        for view in used:
            ids, mask, name = given[view]
            if ids is None:
                raise ValueError(f"`{name}` is missing, but `config.text_views` is {self.config.text_views!r}.")
            views.append(self._text_feature(ids, mask))
        text_features = torch.stack(views, dim=1)
        if self.vision_model is None:
            return TowerFeatures(text_features=text_features)
        image_features, has_image = self._image_features(pixel_values, has_image, text_features)
        return TowerFeatures(text_features=text_features, image_features=image_features, has_image=has_image)

    def _text_feature(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_text):
            outputs = self.text_model(input_ids=input_ids, attention_mask=attention_mask)
            pooled = pool_text(outputs, attention_mask, self.config.pooling)
            return pooled if self.text_projection is None else self.text_projection(pooled)

    def _image_features(
        self, pixel_values: torch.Tensor | None, has_image: torch.Tensor | None, text_features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        batch_size = len(text_features)
        features = text_features.new_zeros(batch_size, self.config.vision_feature_size)
        if pixel_values is None:
            return features, torch.zeros(batch_size, dtype=torch.bool, device=features.device)
        if has_image is None:
            has_image = torch.ones(batch_size, dtype=torch.bool, device=features.device)
        has_image = has_image.bool()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_vision):
            rows = has_image.nonzero().flatten()
            if len(rows) == 0:
                if not torch.is_grad_enabled():
                    return features, has_image
                # Every process has to reach the tower's parameters in every step, if only with a gradient of zero.
                rows = rows.new_zeros(1)
            # Zeros in place of what is no image, before the tower: a NaN would come back in its gradients.
            pixels = torch.where(has_image[rows, None, None, None], pixel_values[rows], 0.0)
            inputs = vision_inputs(self.config.vision_config, pixels.to(self.vision_model.dtype))
            pooled = pool_image(self.vision_model(**inputs))
            pooled = pooled if self.visual_projection is None else self.visual_projection(pooled)
            features = features.index_copy(0, rows, pooled.to(features.dtype))
            return torch.where(has_image[:, None], features, 0.0), has_image

    def extract_images(self, pixel_values: torch.FloatTensor) -> torch.FloatTensor:
        """
        Run the vision tower alone, for pictures that several mentions share.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(num_images, channels, height, width)`):
                The pictures.

        Returns:
            `torch.FloatTensor` of shape `(num_images, vision_feature_size)`: what `image_features` of
            [`~MatchingModel.extract`] holds for a row with this picture.
        """
        return self._image_features(pixel_values, None, pixel_values.new_zeros(len(pixel_values), 0))[0]

    # ---- Encoding and matching ----

    @abstractmethod
    def encode(self, side: str, features: TowerFeatures) -> dict[str, torch.Tensor]:
        """Run the heads of one side, `"mention"` or `"entity"`: tensors whose leading dimension is the row."""

    @abstractmethod
    def match(self, mentions: dict[str, torch.Tensor], entities: dict[str, torch.Tensor]) -> torch.Tensor:
        """Scores of all pairs, of shape `(num_mentions, num_entities)`, from the encodings of both sides."""

    def match_candidates(self, mentions: dict[str, torch.Tensor], entities: dict[str, torch.Tensor]) -> torch.Tensor:
        """
        Scores of each mention against candidates of its own.

        Args:
            mentions (`dict[str, torch.Tensor]`): Encodings with leading dimension `num_mentions`.
            entities (`dict[str, torch.Tensor]`): Encodings with leading dimensions `(num_mentions, num_candidates)`.

        Returns:
            `torch.Tensor` of shape `(num_mentions, num_candidates)`.
        """
        scores = []
        for row in range(len(next(iter(mentions.values())))):
            mention = {name: value[row : row + 1] for name, value in mentions.items()}
            scores.append(self.match(mention, {name: value[row] for name, value in entities.items()}))
        return torch.cat(scores)
