"""Models whose one tower reads text and picture of a mention, or of an entity, together."""

from pathlib import Path

import torch
from torch import nn
from transformers import AutoModel, PreTrainedModel

from .adapters import tower_sources
from .configuration_base import check_field_names
from .configuration_single_stream import TOWERS, SingleStreamConfig
from .encodings import Encodings
from .hub_arguments import hub_arguments, without_hub_arguments

# Not used here: a checkpoint's code lies beside the model, also that of the generator in its sub-folder.
from .modeling_pgmel import PGMELGenerator  # noqa: F401
from .modeling_vectors import VectorModel
from .numerics import unit_vectors
from .tower_features import TowerFeatures
from .tower_loading import load_tower
from .towers import build_tower, is_repository, keep_attention


class SingleStreamModel(VectorModel):
    """
    One transformer over the tokens of the text and the patches of the picture (ViLT: Kim et al., ICML 2021, arXiv
    2102.03334), the same for mentions and entities; its pooled outputs are compared by cosine or dot product. So tables of
    the field have ViLT as a baseline. A row without a picture has its patches masked out: it is read as text alone.

    Args:
        config ([`SingleStreamConfig`]): Configuration.
        tower ([`~transformers.PreTrainedModel`], *optional*): A tower to use instead of a random one.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel import SingleStreamConfig, SingleStreamModel

    >>> tower = {"model_type": "vilt", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64}
    >>> model = SingleStreamModel(SingleStreamConfig(tower_config=tower)).eval()
    >>> texts = {"input_ids": torch.tensor([[1, 2, 3], [4, 5, 6]])}
    >>> features = model.extract(**texts, pixel_values=torch.zeros(2, 3, 64, 64), has_image=torch.tensor([True, False]))
    >>> model.encode("mention", features)["embeds"].shape
    torch.Size([2, 32])
    ```
    """

    config: SingleStreamConfig
    base_model_prefix = "single_stream"
    reads_together = True
    # The attention of ViLT is its own: it adds a mask to its logits.
    _supports_sdpa = False
    _supports_flash_attn = False
    _supports_flex_attn = False
    _supports_attention_backend = False

    def __init__(self, config: SingleStreamConfig, tower: PreTrainedModel | None = None):
        super().__init__(config, text_model=tower)
        self.post_init()
        self.train(self.training)

    def _build_towers(self, text_model: PreTrainedModel | None, vision_model: None) -> None:
        keep_attention(text_model)
        self.tower = build_tower(self.config.tower_config) if text_model is None else text_model
        self.text_model = self.vision_model = self.text_projection = self.visual_projection = None

    # ---- Loading ----

    @classmethod
    def from_towers(
        cls,
        text: str | Path,
        vision: bool | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        text_kwargs: dict | None = None,
        **config_kwargs,
    ) -> "SingleStreamModel":
        """
        A model on a pretrained tower.

        Args:
            text (`str` or `Path`): Folder or Hub id of a checkpoint of ViLT, such as `dandelin/vilt-b32-mlm`.
            vision (`bool`, *optional*): There is no other tower: nothing, or `True`.
            dtype (`torch.dtype`, *optional*, defaults to `torch.float32`): Precision of the model.
            text_kwargs (`dict`, *optional*): Further arguments of `from_pretrained`.
            config_kwargs: Fields of [`SingleStreamConfig`]; and `token`, `revision` and others, as in the base class.

        Raises:
            `TypeError`: An unknown configuration field; the message names the nearest valid one.
            `ValueError`: The checkpoint is of another kind, or a second one is named.
        """
        hub, config_kwargs = hub_arguments(config_kwargs), without_hub_arguments(config_kwargs)
        check_field_names(cls.config_class, config_kwargs, ("tower_config", "base_models"))
        if vision not in (None, True):
            raise ValueError(f"one tower reads text and picture: leave out `vision`, which is {vision!r}.")
        tower = load_tower(text, AutoModel, dtype=dtype, **(hub | (text_kwargs or {})))
        if tower.config.model_type not in TOWERS:
            raise ValueError(
                f"{text} is of type {tower.config.model_type!r}, not one of {', '.join(map(repr, TOWERS))}."
            )
        tower.config._name_or_path = ""  # a path of this machine has no place in a published config.json
        named = [str(text)] if is_repository(text) else None
        model = cls(cls.config_class(tower_config=tower.config, base_models=named, **config_kwargs), tower).eval()
        model.tower_sources = tower_sources(text, None, hub | (text_kwargs or {}))
        return model

    def get_input_embeddings(self) -> nn.Module:
        return self.tower.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module):
        self.tower.set_input_embeddings(value)

    # ---- Frozen tower ----

    def _frozen_modules(self) -> list[nn.Module]:
        return [self.tower] if self.config.freeze_tower else []

    @property
    def towers_frozen(self) -> bool:
        return self.config.freeze_tower

    # ---- Features ----

    def extract(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.LongTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        has_image: torch.BoolTensor | None = None,
    ) -> TowerFeatures:
        """
        Run the tower on mentions or on entities.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`):
                Tokens of the text.
            attention_mask (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*):
                1 on tokens, 0 on padding.
            pixel_values (`torch.FloatTensor` of shape `(batch_size, channels, image_size, image_size)`, *optional*):
                Images; the values of a row without image are never used.
            has_image (`torch.BoolTensor` of shape `(batch_size,)`, *optional*):
                Whether the row has an image. Defaults to `True` for all if there are `pixel_values`.

        Returns:
            [`TowerFeatures`]: `text_features` of shape `(batch_size, 1, hidden_size)`, the pooled output over text and
            picture; nothing else, for no modality is seen alone.

        Raises:
            `ValueError`: no text, a text that is too long, or images of another size.
        """
        if input_ids is None:
            raise ValueError("`input_ids` is missing.")
        if input_ids.shape[1] > self.config.max_text_tokens:
            raise ValueError(
                f"a text has {input_ids.shape[1]} tokens, but the tower reads {self.config.max_text_tokens}: give the "
                f"processor `max_length={self.config.max_text_tokens}`."
            )
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_tower):
            images, mask = self._patches(input_ids, pixel_values, has_image)
            outputs = self.tower(
                input_ids=input_ids,
                attention_mask=attention_mask,
                image_embeds=images,
                pixel_mask=mask,
                return_dict=True,
            )
        return TowerFeatures(text_features=outputs.pooler_output[:, None])

    def _patches(
        self, input_ids: torch.Tensor, pixel_values: torch.Tensor | None, has_image: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Embedded patches, the class token of the picture first, and their mask `(batch_size, num_patches + 1)`. Made here
        because the tower's own way draws the order of patches from the global random generator, and cannot leave out the
        whole picture of a row.
        """
        batch_size, embeddings = len(input_ids), self.tower.embeddings
        if pixel_values is None:
            size = self.config.tower_config.hidden_size
            nothing = embeddings.cls_token.new_zeros(batch_size, 0, size)
            return nothing, input_ids.new_zeros(batch_size, 0)
        expected = embeddings.patch_embeddings.image_size
        if tuple(pixel_values.shape[-2:]) != tuple(expected):
            raise ValueError(
                f"images are of size {tuple(pixel_values.shape[-2:])}, but the tower reads {tuple(expected)}: use the "
                "processor of `MELProcessor.from_towers`, or set `size` of the image processor."
            )
        if has_image is None:
            has_image = torch.ones(batch_size, dtype=torch.bool, device=input_ids.device)
        has_image = has_image.bool()
        # Zeros in place of what is no image, before the tower: a NaN would pass a mask.
        pixels = torch.where(has_image[:, None, None, None], pixel_values, 0.0)
        patches = embeddings.patch_embeddings(pixels).flatten(2).mT
        patches = torch.cat([embeddings.cls_token.expand(batch_size, -1, -1), patches], dim=1)
        patches = embeddings.dropout(patches + embeddings.position_embeddings)
        return patches, has_image[:, None].expand(-1, patches.shape[1]).to(input_ids.dtype)

    def extract_images(self, pixel_values: torch.FloatTensor) -> dict[str, torch.FloatTensor]:
        """Not to be had: the tower sees a picture with its text."""
        raise ValueError("one tower reads text and picture together: call `extract` with both.")

    # ---- Encoding and matching ----

    def encode(self, side: str, features: TowerFeatures) -> Encodings:
        """
        Returns the vector that is compared: the pooled output, L2-normalised unless `config.normalize` is `False`.

        Args:
            side (`str`): `"mention"` or `"entity"`, which are treated alike.
            features ([`TowerFeatures`]): Features of `batch_size` rows.

        Returns:
            `dict`: `embeds` of shape `(batch_size, hidden_size)`.
        """
        if side not in ("mention", "entity"):
            raise ValueError(f'`side` must be "mention" or "entity", got {side!r}.')
        pooled = features.text_features[:, 0]
        return {"embeds": unit_vectors(pooled) if self.config.normalize else pooled}
