"""Models that link without training: pretrained towers, with heads that keep their cosines unchanged."""

import json
from difflib import get_close_matches
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError
from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerBase

from .models import PGMELModel, PGMELProcessor
from .models.hub_arguments import hub_arguments
from .models.static_words import STATIC_WORDS, tower_place


MODULES_FILE = "modules.json"  # makes a folder a model of sentence-transformers
# Modules of sentence-transformers that the cosine of pooled outputs needs no equivalent of.
_NEUTRAL = ("Transformer", "Pooling", "Normalize")
_OF_THE_HEADS = ("fusion", "view_fusion", "projection_size", "share_heads")


def load_towers(
    text: str | Path,
    vision: str | Path | bool | None = None,
    *,
    text_views: str = "both",
    name_features: bool = True,
    pooling: str | None = None,
    max_length: int | None = None,
    text_kwargs: dict | None = None,
    vision_kwargs: dict | None = None,
    **kwargs,
) -> tuple[PGMELModel, PGMELProcessor]:
    r"""
    An untrained model on pretrained towers, and its processor. The score of a mention \\(m\\) with an entity \\(e\\) is

    - of a text tower \\(\cos(t_m, t_e)\\), which is 2/3 of the cosine of the mention in its sentence with the entity's name
      and description, and 1/3 of the cosine of the mention alone with the name alone;
    - of two towers \\(3/4 \cos(t_m, t_e) + 1/4 \cos(v_m, v_e)\\), the second term 0 unless both sides have an image;
    - of towers that share a space, as those of one CLIP checkpoint, the same plus
      \\(\sqrt{3}/4\, (\cos(t_m, v_e) + \cos(v_m, t_e))\\), each term 0 if its image is missing; \\(\cos(t, v)\\) is
      weighted over the two views of the text in the same way;

    plus, unless `name_features=False`, the features of the names ([`PAIR_FEATURES`]) with their initial weights: 0.25 if the
    mention is the name or an alias of the entity, less if they share some words, 0 if they share none. The weights are the
    same for all towers; they were measured on all-MiniLM-L6-v2 only.

    Fine-tuning begins there: it is a [`PGMELModel`] like any other, whose towers are frozen.

    Args:
        text (`str` or `Path`):
            Folder or Hub id of a text encoder, or of a checkpoint that holds both towers (CLIP, SigLIP); `"static-words"`: the
            text encoder that is part of the package.
        vision (`str`, `Path` or `bool`, *optional*):
            As in [`~MatchingModel.from_towers`]: a vision encoder; `None`: that of `text` if it has one; `False`: none.
        text_views (`str`, *optional*, defaults to `"both"`):
            `"both"`, `"context"` or `"surface"`, as in [`PGMELConfig`].
        name_features (`bool`, *optional*, defaults to `True`):
            Add weighted features of the names to the score, as in [`PGMELConfig`]. `False`: the score is the cosines alone.
        pooling (`str`, *optional*):
            `"mean"`, `"cls"` or `"pooler"`. Defaults to the tower's own: what sentence-transformers wrote beside it, the
            pooled output of CLIP and its kind, the first token of any other encoder.
        max_length (`int`, *optional*):
            Tokens of a context view. Defaults to that of [`MELProcessor`].
        text_kwargs (`dict`, *optional*), vision_kwargs (`dict`, *optional*):
            Arguments of `from_pretrained` for one of two checkpoints, such as its `revision`.
        kwargs:
            Further arguments of [`~MatchingModel.from_towers`], such as `dtype`, `revision`, `token`, `local_files_only` or
            `freeze_text` and `freeze_vision`, which are `True` here.

    Returns:
        `tuple`: [`PGMELModel`] in evaluation mode and [`PGMELProcessor`].

    Raises:
        `ValueError`: a checkpoint without a tower of the wanted kind, a text tower whose own pooling is not known here, or one
            whose tokenizer transformers loads as another kind than its file holds.
        `FileNotFoundError`: no such folder or repository; the message names the tower.

    Example:

    ```py
    >>> model, processor = load_towers("sentence-transformers/all-MiniLM-L6-v2", "facebook/dinov2-small")
    ```
    """
    chosen = [name for name in _OF_THE_HEADS if name in kwargs]
    if chosen:
        raise ValueError(
            f"{', '.join(f'`{name}`' for name in chosen)}: the heads of a model without training are given. To choose them, "
            "make a model to be trained: `PGMELModel.from_towers`."
        )
    hub, per_tower = hub_arguments(kwargs), {"text_kwargs": text_kwargs, "vision_kwargs": vision_kwargs}
    place = tower_place(text)
    tower_config(place, "text", **(hub | hub_arguments(text_kwargs or {})))
    if isinstance(vision, (str, Path)):
        tower_config(vision, "vision", **(hub | hub_arguments(vision_kwargs or {})))
    if pooling is None:
        pooling = own_pooling(place, **(hub | hub_arguments(text_kwargs or {})))
    fields = {"freeze_text": True, "freeze_vision": True, "pooling": pooling, "text_views": text_views}
    fields["name_features"] = name_features
    model = PGMELModel.from_towers(text, vision, **per_tower, **(fields | kwargs))
    one_checkpoint = vision is None or vision is True or str(vision) == str(text)
    sizes = model.config.text_feature_size, model.config.vision_feature_size
    model.use_cosine_heads(shared_space=one_checkpoint and sizes[0] == sizes[1])
    lengths = {} if max_length is None else {"max_length": max_length}
    processor = PGMELProcessor.from_towers(text, vision, text_views=text_views, **lengths, **per_tower, **hub)
    _check_tokenizer(place, processor.tokenizer, **(hub | hub_arguments(text_kwargs or {})))
    return model, processor


def own_pooling(source: str | Path, **hub) -> str:
    """
    Pooling of the token states of a text encoder.

    Args:
        source (`str` or `Path`): Folder or Hub id.
        hub: `revision`, `token` and the like of `from_pretrained`.

    Returns:
        `str`: `"mean"`, `"cls"` or `"pooler"`.

    Raises:
        `ValueError`: a model of sentence-transformers that does more, or another thing, than these.
    """
    config = tower_config(source, "text", **hub)
    modules = _read(source, MODULES_FILE, **hub)
    if modules is None:
        return "pooler" if _has_trained_pooler(config) else "cls"
    kinds = {module["type"].rsplit(".", 1)[-1]: module["path"] for module in modules}
    others = [kind for kind in kinds if kind not in _NEUTRAL]
    settings = _read(source, f"{kinds['Pooling']}/config.json", **hub) if "Pooling" in kinds else {}
    modes = settings.get("pooling_mode")  # newer files name the modes, older ones have a switch for each
    modes = [modes] if isinstance(modes, str) else modes
    if modes is None:
        switches = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
        on = [name for name, value in settings.items() if name.startswith("pooling_mode_") and value is True]
        modes = [switches.get(name, name) for name in on]
    if others or modes not in (["mean"], ["cls"]):
        what = f"has modules that are not applied here ({', '.join(others)})" if others else f"pools by {modes}"
        raise ValueError(
            f"{source} {what}, so its own text features cannot be had. Give `pooling`: mean, cls or pooler, to use those "
            "of its encoder."
        )
    return modes[0]


def _check_tokenizer(source: str | Path, tokenizer: PreTrainedTokenizerBase, **hub) -> None:
    """Raises a `ValueError` if transformers made a tokenizer of another kind than the file holds: it would know no word."""
    try:
        stored = _read(source, "tokenizer.json", **hub)
    except ValueError:  # not in the cache, and the Hub cannot be asked
        return
    kind = (stored or {}).get("model", {}).get("type")
    made = type(tokenizer.backend_tokenizer.model).__name__ if tokenizer.is_fast else None
    if None not in (kind, made) and kind != made:
        raise ValueError(
            f"{source}: tokenizer.json holds a tokenizer of the kind {kind}, but transformers makes a {type(tokenizer).__name__} of "
            f"the kind {made} from it, which does not know its tokens, because tokenizer_config.json names the wrong class or none. "
            'Use a newer revision, or a copy with "tokenizer_class": "PreTrainedTokenizerFast" there.'
        )


def tower_config(source: str | Path, kind: str, **hub) -> PreTrainedConfig:
    """
    The configuration of a pretrained tower.

    Args:
        source (`str` or `Path`): Folder or Hub id.
        kind (`str`): `"text"` or `"vision"`, for messages.
        hub: For `from_pretrained`, such as `revision`.

    Raises:
        `FileNotFoundError`: there is no such folder, and it cannot be had from the Hub.
    """
    try:
        return AutoConfig.from_pretrained(source, **hub)
    except (OSError, HFValidationError) as error:
        if Path(source).is_dir():
            raise
        reason = " ".join(str(error).splitlines()[:2])
        near = get_close_matches(str(source), [STATIC_WORDS])
        other = f"; did you mean {near[0]!r}? As" if near else ", and as"
        raise FileNotFoundError(
            f"the {kind} tower: there is no folder {str(source)!r}{other} the name of a model on the Hub: {reason}"
        ) from error


def _has_trained_pooler(config: PreTrainedConfig) -> bool:
    """True if the encoder was trained on its pooled output, as CLIP was. The pooler of BERT was trained for another task."""
    both = {"text_config", "vision_config"} <= set(config.sub_configs)
    return both or config.model_type.endswith("_text_model") or config.model_type == "bag_of_tokens"


def _read(source: str | Path, name: str, **hub):
    """The content of a JSON file of a checkpoint, `None` if there is no such file."""
    path = Path(source) / name
    if not Path(source).is_dir():
        hub.pop("trust_remote_code", None)
        try:
            path = Path(hf_hub_download(str(source), name, **hub))
        except LocalEntryNotFoundError as error:
            raise ValueError(
                f"how {source} pools is not known: {name} is not in the cache, and the Hub could not be asked whether there is "
                "one. Give `pooling`: mean, cls or pooler."
            ) from error
        except EntryNotFoundError:
            return None
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
