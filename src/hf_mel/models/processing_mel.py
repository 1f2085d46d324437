"""Processor of all models: turns mentions and entities into token ids of the text views, and pixel values."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, BatchFeature, ProcessorMixin

from .hub_arguments import hub_arguments, without_hub_arguments
from .image_processors import SINGLE_STREAM, as_rgb, load_image_processor
from .static_words import tower_place
from .text_utils import as_list, check_template, find_separator, refuse_empty, same_length, window_around


_TEXT_VIEWS = ("both", "context", "surface")


class _Parts:
    """`get_attributes` of a processor whose image processor is optional: an instance without one does not list it."""

    def __get__(self, instance, owner) -> Callable[[], list[str]]:
        text_only = instance is not None and instance.image_processor is None
        return lambda: ["tokenizer"] if text_only else ["image_processor", "tokenizer"]


class MELProcessor(ProcessorMixin):
    r"""
    Turns mentions and entities into the inputs of any linking model. The context view of a mention is the mention, a
    separator and its sentence; that of an entity is its name, the separator and its description. The surface view is the
    mention string, or the entity name, alone.

    What is too long is cut so that the mention stays: it stands first, and of its sentence a window of whole words, or of
    whole graphemes where a script has no spaces, is kept around it. Of a too long mention or name the head is kept.

    Args:
        image_processor ([`~transformers.BaseImageProcessor`], *optional*):
            Image processor of the vision tower. `None`: text-only; images are ignored.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer of the text tower. Its `truncation_side` becomes `"right"`.
        text_views (`str`, *optional*, defaults to `"both"`):
            `"both"`, `"context"` or `"surface"`, as in the model's configuration.
        max_length (`int`, *optional*, defaults to 64):
            Largest number of tokens of a context view.
        surface_max_length (`int`, *optional*, defaults to 16):
            Largest number of tokens of a surface view.
        separator (`str`, *optional*):
            Stands between the parts. Defaults to the tokenizer's separator token, or, where it has none, to the first of
            `| , ; : - .` that it knows.
        mention_template (`str`, *optional*, defaults to `"{mention} {separator} {text}"`):
            Context view of a mention. `{mention}` comes before `{text}`.
        entity_template (`str`, *optional*, defaults to `"{name} {separator} {description}"`):
            Context view of an entity. `{name}` comes before `{description}`.
        pad_to_max_length (`bool`, *optional*, defaults to `False`):
            Pad every text to `max_length` and let the tower attend to the padding, as SigLIP's text tower was trained
            and needs, since it pools the last position. Otherwise a batch is padded to its longest text.

    Raises:
        `ValueError`: A separator that the tokenizer does not know, a template that lacks a field or has it in the wrong
            order, an unknown `text_views`, or a length that the tokenizer's tower cannot take.

    Example:

    ```python
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> from transformers import PreTrainedTokenizerFast
    >>> from hf_mel import MELProcessor

    >>> words = ["[PAD]", "[UNK]", "[SEP]", "Jordan", "played", "for", "Chicago", "Michael", "basketball", "player"]
    >>> backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    >>> backend.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> tokenizer = PreTrainedTokenizerFast(
    ...     tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", sep_token="[SEP]"
    ... )
    >>> processor = MELProcessor(tokenizer=tokenizer)
    >>> processor.mentions("Jordan", "Jordan played for Chicago")["input_ids"].tolist()
    [[3, 2, 3, 4, 5, 6]]
    >>> processor.entities("Michael Jordan", "basketball player")["surface_input_ids"].tolist()
    [[7, 3]]
    ```
    """

    def __init__(
        self,
        image_processor=None,
        tokenizer=None,
        text_views="both",
        max_length=64,
        surface_max_length=16,
        separator=None,
        mention_template="{mention} {separator} {text}",
        entity_template="{name} {separator} {description}",
        pad_to_max_length=False,
        **kwargs,
    ):
        if tokenizer is None:
            raise ValueError("MELProcessor needs a `tokenizer`.")
        if text_views not in _TEXT_VIEWS:
            raise ValueError(f"`text_views` must be one of {', '.join(map(repr, _TEXT_VIEWS))}, got {text_views!r}.")
        for name, value in (("max_length", max_length), ("surface_max_length", surface_max_length)):
            if not 3 <= value <= tokenizer.model_max_length:
                raise ValueError(f"`{name}` must be between 3 and {tokenizer.model_max_length}, got {value}.")
        check_template("mention_template", mention_template, "mention", "text")
        check_template("entity_template", entity_template, "name", "description")
        tokenizer.truncation_side = "right"  # on the left stands the mention
        self.text_views = text_views
        self.max_length = max_length
        self.surface_max_length = surface_max_length
        self.separator = find_separator(tokenizer, separator)
        self.mention_template = mention_template
        self.entity_template = entity_template
        self.pad_to_max_length = pad_to_max_length
        self.image_processor = image_processor  # before the next line, which asks which parts there are
        parts = {"image_processor": image_processor, "tokenizer": tokenizer}
        super().__init__(**{name: parts[name] for name in self.get_attributes()}, **kwargs)

    # ---- Loading ----

    get_attributes = _Parts()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs) -> "MELProcessor":
        """
        Load a saved processor. Written out here because transformers expects every part in every folder, and a text-only
        processor has no image processor.

        Args:
            pretrained_model_name_or_path (`str` or `Path`): Folder or Hub id.
            kwargs: Arguments of this class to override, and the usual ones of the Hub, such as `revision`.

        Raises:
            `ValueError`: The folder holds another kind of processor.
        """
        hub = hub_arguments(kwargs)
        fields, kwargs = cls.get_processor_dict(pretrained_model_name_or_path, **kwargs)
        kwargs = without_hub_arguments(kwargs)
        if "text_views" not in fields:
            raise ValueError(
                f"{pretrained_model_name_or_path} holds no processor of this class. To make one from the tokenizer and "
                f"the image processor of pretrained towers, call `{cls.__name__}.from_towers`."
            )
        images = None
        if fields.get("image_processor") is not None:
            images = AutoImageProcessor.from_pretrained(pretrained_model_name_or_path, backend="pil", **hub)
        tokenizer = AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **hub)
        return cls.from_args_and_dict([images, tokenizer], fields, **kwargs)

    @classmethod
    def from_towers(
        cls,
        text: str | Path,
        vision: str | Path | bool | None = None,
        *,
        text_kwargs: dict | None = None,
        vision_kwargs: dict | None = None,
        **kwargs,
    ) -> "MELProcessor":
        """
        The processor for [`~MatchingModel.from_towers`] with the same checkpoints.

        Args:
            text (`str` or `Path`):
                Folder or Hub id of the text tower, or of a checkpoint with both; `"static-words"`: that of the package.
            vision (`str`, `Path` or `bool`, *optional*):
                As in [`~MatchingModel.from_towers`], except for a configuration: pass the `image_processor` of a new tower.
            text_kwargs (`dict`, *optional*):
                Further arguments of `from_pretrained` for the tokenizer, such as the `revision` of `text` alone.
            vision_kwargs (`dict`, *optional*):
                The same for the image processor.
            kwargs:
                Arguments of this class; and `token`, `revision`, `cache_dir`, `local_files_only`, `trust_remote_code`,
                `force_download` and `subfolder` of `from_pretrained`, for both checkpoints.

        Example:

        ```python
        processor = MELProcessor.from_towers("openai/clip-vit-base-patch32", max_length=40, revision="main")
        ```
        """
        hub, kwargs, text = hub_arguments(kwargs), without_hub_arguments(kwargs), tower_place(text)
        text_kwargs = hub | (text_kwargs or {})
        config = AutoConfig.from_pretrained(text, **hub_arguments(text_kwargs))
        if vision is None or isinstance(vision, bool):
            both = {"text_config", "vision_config"} <= set(config.sub_configs) or config.model_type == SINGLE_STREAM
            vision, hub = text if both and vision is not False else None, hub_arguments(text_kwargs)
        images = kwargs.pop("image_processor", None)
        if images is None and vision is not None:
            images = load_image_processor(vision, **(hub | (vision_kwargs or {})))
        kwargs.setdefault("pad_to_max_length", config.model_type.startswith("siglip"))
        return cls(image_processor=images, tokenizer=AutoTokenizer.from_pretrained(text, **text_kwargs), **kwargs)

    @property
    def model_input_names(self) -> list[str]:
        names = []
        if self.text_views != "surface":
            names += ["input_ids", "attention_mask"]
        if self.text_views != "context":
            names += ["surface_input_ids", "surface_attention_mask"]
        return names + (["pixel_values", "has_image"] if self.image_processor is not None else [])

    # ---- The two sides ----

    def __call__(
        self,
        mention: str | Sequence[str] | None = None,
        text: str | Sequence[str] | None = None,
        name: str | Sequence[str] | None = None,
        description: str | Sequence[str | None] | None = None,
        start: int | Sequence[int | None] | None = None,
        images=None,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """
        [`~MELProcessor.mentions`] if `mention` is given, [`~MELProcessor.entities`] if `name` is.

        Raises:
            `ValueError`: Both or none of the two are given, or an argument belongs to the other side.
        """
        if (mention is None) == (name is None):
            raise ValueError("Give either `mention` (and `text`) or `name` (and `description`).")
        if mention is not None:
            if description is not None:
                raise ValueError("`description` belongs to an entity, but a `mention` is given.")
            return self.mentions(mention, text, start=start, images=images, return_tensors=return_tensors)
        if text is not None or start is not None:
            raise ValueError("`text` and `start` belong to a mention, but a `name` is given.")
        return self.entities(name, description, images=images, return_tensors=return_tensors)

    def mentions(
        self,
        mention: str | Sequence[str],
        text: str | Sequence[str | None] | None = None,
        start: int | Sequence[int | None] | None = None,
        images=None,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """
        Inputs for [`PGMELModel.get_mention_features`].

        Args:
            mention (`str` or `Sequence[str]`):
                The mention strings.
            text (`str` or `Sequence[str]`, *optional*):
                The sentences they stand in.
            start (`int` or `Sequence[int]`, *optional*):
                Character at which the mention starts in its sentence. `None`: its first occurrence; a sentence in which
                it does not occur keeps its head. Only read where a sentence is too long.
            images (`PIL.Image.Image` or `Sequence`, *optional*):
                One image or `None` a mention.
            return_tensors (`str`, *optional*, defaults to `"pt"`):
                Kind of tensors.

        Returns:
            [`~transformers.BatchFeature`]: `input_ids`, `attention_mask`, `surface_input_ids`,
            `surface_attention_mask` (of the views that are used), and, with an image processor, `pixel_values` and
            `has_image`.

        Raises:
            `ValueError`: An empty mention, lists of different lengths, a `start` outside its sentence, an image that cannot
                be used ([`as_rgb`]); the message names the position.
        """
        mention = as_list(mention)
        text, start, images = same_length("mention", mention, text=text, start=start, images=images)
        refuse_empty("mention", mention)
        for position, (one, at) in enumerate(zip(text, start, strict=True)):
            if at is not None and not 0 <= at <= len(one or ""):
                raise ValueError(f"`start` at position {position} is {at}, outside its text {one!r}.")
        contexts = []
        if self.text_views != "surface":
            pairs = list(zip(mention, text, strict=True))
            contexts = [self._context(self.mention_template, "mention", m, "text", t) for m, t in pairs]
            for position in self._too_long(contexts):
                contexts[position] = self._windowed(*pairs[position], start[position])
        return self._encode(contexts, mention, images, return_tensors)

    def entities(
        self,
        name: str | Sequence[str],
        description: str | Sequence[str | None] | None = None,
        images=None,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """
        Inputs for [`PGMELModel.get_entity_features`].

        Args:
            name (`str` or `Sequence[str]`):
                The entities' names.
            description (`str` or `Sequence[str]`, *optional*):
                Their descriptions or attributes; of what is too long, the head is kept.
            images (`PIL.Image.Image` or `Sequence`, *optional*):
                One image or `None` an entity.
            return_tensors (`str`, *optional*, defaults to `"pt"`):
                Kind of tensors.

        Returns:
            [`~transformers.BatchFeature`]: As [`~MELProcessor.mentions`].

        Raises:
            `ValueError`: An empty name, lists of different lengths, or an image that cannot be used.
        """
        name = as_list(name)
        description, images = same_length("name", name, description=description, images=images)
        refuse_empty("name", name)
        contexts = []
        if self.text_views != "surface":
            pairs = zip(name, description, strict=True)
            contexts = [self._context(self.entity_template, "name", n, "description", d) for n, d in pairs]
        return self._encode(contexts, name, images, return_tensors)

    # ---- Texts ----

    def _plain(self, text: str) -> str:
        """A special token that is spelled out in a text is text: broken up, the tokenizer takes it for such."""
        for token in self.tokenizer.all_special_tokens:
            if len(token) > 1 and token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def _context(self, template: str, head_field: str, head: str, body_field: str, body: str | None) -> str:
        if body is None or not body.strip():
            return self._plain(head)
        fields = {head_field: self._plain(head), body_field: self._plain(body)}
        return template.format(separator=self.separator, **fields)

    def _too_long(self, texts: list[str]) -> list[int]:
        if not texts:
            return []
        lengths = map(len, self.tokenizer(texts, verbose=False)["input_ids"])
        return [position for position, length in enumerate(lengths) if length > self.max_length]

    def _windowed(self, mention: str, text: str, start: int | None) -> str:
        def context(part: str) -> str:
            return self._context(self.mention_template, "mention", mention, "text", part)

        if start is None:
            start = text.find(mention)
        if start < 0:
            return context(text)
        end = min(start + len(mention), len(text))
        return context(window_around(text, start, end, lambda part: not self._too_long([context(part)])))

    def _tokenize(self, texts: list[str], max_length: int) -> dict:
        if not self.pad_to_max_length:
            return self.tokenizer(
                texts, truncation=True, max_length=max_length, padding=True, return_attention_mask=True
            )
        # All views at the one length that the tower was trained on, with the padding as part of the text.
        ids = self.tokenizer(texts, truncation=True, max_length=self.max_length, padding="max_length")["input_ids"]
        return {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}

    def _encode(self, contexts: list[str], heads: list[str], images: list, return_tensors: str | None) -> BatchFeature:
        data = {}
        if self.text_views != "surface":
            encoded = self._tokenize(contexts, self.max_length)
            data |= {name: encoded[name] for name in ("input_ids", "attention_mask")}
        if self.text_views != "context":
            encoded = self._tokenize([self._plain(head) for head in heads], self.surface_max_length)
            data |= {f"surface_{name}": encoded[name] for name in ("input_ids", "attention_mask")}
        batch = BatchFeature(data, tensor_type=return_tensors)
        if self.image_processor is not None:
            batch.update(self.pixels(images, return_tensors))
        return batch

    # ---- Images ----

    def pixels(self, images: Sequence[Image.Image | None], return_tensors: str | None = "pt") -> BatchFeature:
        """`pixel_values` and `has_image` of pictures alone ([`as_rgb`]), `None` where there is none."""
        images = [None if image is None else as_rgb(image, position) for position, image in enumerate(images)]
        present = [image for image in images if image is not None]
        # With no image at all, a blank one tells the size.
        pixels = self.image_processor(present or [Image.new("RGB", (8, 8))], return_tensors="np")["pixel_values"]
        if pixels.ndim != 4:
            raise ValueError(
                f"{type(self.image_processor).__name__} does not give pixel values of shape (batch, channels, height, "
                f"width): call `MELProcessor.from_towers`, which sets a processor of square images."
            )
        rows = [position for position, image in enumerate(images) if image is not None]
        filled = pixels[:1].repeat(len(images), axis=0) * 0
        filled[rows] = pixels[: len(rows)]
        has_image = [image is not None for image in images]
        return BatchFeature({"pixel_values": filled, "has_image": has_image}, tensor_type=return_tensors)


class PGMELProcessor(MELProcessor):
    """
    [`MELProcessor`] under the name of PGMEL. It adds nothing: checkpoints saved with either class load as either.

    Example:

    ```python
    >>> from hf_mel import PGMELProcessor, make_miniature_tokenizer

    >>> processor = PGMELProcessor(tokenizer=make_miniature_tokenizer(), text_views="context", max_length=32)
    >>> sorted(processor.mentions("painter", "A painter was here."))
    ['attention_mask', 'input_ids']
    ```
    """
