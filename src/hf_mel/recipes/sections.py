"""The sections of a recipe: data, model, training and evaluation. Every key is a field of a dataclass."""

import dataclasses
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from transformers import AutoConfig, AutoTokenizer, CLIPImageProcessorPil

from ..checkpoint import checkpoint_config
from ..data import (
    BENCHMARKS,
    EMBEDDED,
    MELData,
    load_benchmark,
    load_data,
    make_miniature_tokenizer,
    train_tokenizer,
)
from ..hub.papers import shown_name
from ..hub.paths import portable
from ..models import LINKING_MODELS, BagOfTokensModel, MatchingModel, MELProcessor
from ..models.adapter_targets import import_peft
from ..models.static_words import tower_place
from ..models.towers import is_repository
from ..training import PGMELTrainingArguments
from ..zero_shot import tower_config


MINIATURE = "miniature"
CORPUS = "corpus"
AUTO = "auto"
_PLACES_IN_OPTIONS = {"captions": "file", "images": "folder"}


@dataclass
class DataRecipe:
    """
    The `data` section. Paths may hold environment variables.

    Args:
        benchmark (`str`, *optional*):
            Name of a benchmark: see [`load_benchmark`]. `null`, or one that is part of the package, with a `path`: a folder of
            one's own data.
        raw_dir (`str`, *optional*):
            Folder with the released files.
        path (`str`, *optional*):
            Folder that was built from them.
        repo_id (`str`, *optional*):
            Dataset on the Hub.
        layout (`str`, *optional*, defaults to `"auto"`):
            Layout of the files in `raw_dir`.
        options (`dict`, *optional*):
            Further arguments of [`load_layout`], or of the function that loads an embedded benchmark.
        text_field (`str`, *optional*, defaults to `"auto"`):
            Which text describes an entity: see [`KnowledgeBase`].
        train_share (`float`, *optional*, defaults to 1.0):
            Share of the training mentions that is used: see [`MELData.with_train_share`].
        name (`str`, *optional*):
            Name of the data in results. Defaults to the benchmark.
    """

    benchmark: str | None = "emojimel"
    raw_dir: str | None = None
    path: str | None = None
    repo_id: str | None = None
    layout: str = "auto"
    options: dict[str, Any] = field(default_factory=dict)
    text_field: str = AUTO
    train_share: float = 1.0
    name: str | None = None

    def __post_init__(self):
        if self.benchmark in EMBEDDED and self.path is not None:
            self.benchmark = None  # which is read from the package alone: what is at the path is other data

    @property
    def shown_name(self) -> str:
        """Name of the data in results."""
        return self.name or self.benchmark or Path(self.path or "data").name

    def check(self) -> None:
        """
        Checks that the data are there, without reading them.

        Raises:
            `ValueError`: no place, an environment variable that is not set, or a share that is none.
            `FileNotFoundError`: nothing at the place. The messages say how to get the benchmark.
        """
        if not 0 < self.train_share <= 1:
            raise ValueError(f"`data.train_share` must be above 0 and at most 1, got {self.train_share}")
        if self.benchmark is None and self.path is None:
            raise ValueError(
                "`data.path` is missing: the folder with data of your own that `hf-mel data import` wrote (--data.path FOLDER), "
                "or name a `data.benchmark`"
            )
        try:
            places = self._places()
            if self._is_released and not any((*places.values(), self.repo_id)):
                raise ValueError("`data.raw_dir` is missing")
        except ValueError as error:
            raise ValueError(f"{error}.{self._how_to_get()}") from None
        for key, place in places.items():
            if place is not None and not Path(place).exists():
                raise FileNotFoundError(f"`data.{key}`: no folder {place}.{self._how_to_get()}")
        for key, what in _PLACES_IN_OPTIONS.items():
            place = self._options().get(key)
            if place is not None and not Path(place).exists():
                raise FileNotFoundError(f"`data.options.{key}`: no {what} {place}")

    def load(self) -> MELData:
        """Reads the data."""
        self.check()
        data = self._read()
        if self.text_field != AUTO:
            data = dataclasses.replace(data, entities=data.entities.with_text_field(self.text_field))
        return data if self.train_share == 1 else data.with_train_share(self.train_share)

    def _places(self) -> dict[str, str | None]:
        places = {"raw_dir": self.raw_dir, "path": self.path}
        return {key: value and expanded(value, f"data.{key}") for key, value in places.items()}

    def _options(self) -> dict[str, Any]:
        """The options, with the environment variables in their paths."""
        places = {key: self.options[key] for key in _PLACES_IN_OPTIONS if isinstance(self.options.get(key), str)}
        return self.options | {key: expanded(value, f"data.options.{key}") for key, value in places.items()}

    @property
    def _is_released(self) -> bool:
        """True if the files of the benchmark are released by others."""
        return self.benchmark in BENCHMARKS and self.benchmark not in EMBEDDED

    def _how_to_get(self) -> str:
        """Instructions to get a benchmark that is not part of the package; empty for other data."""
        if not self._is_released:
            return ""
        known = BENCHMARKS[self.benchmark]
        return (
            f" {known.title} is not part of the package. Get one of its releases ({known.source.rstrip('.')}; start at "
            f"{known.homepage}) and give its folder: --data.raw_dir FOLDER. Or give a folder that `hf-mel data build "
            f"{known.name}` wrote: --data.raw_dir null --data.path FOLDER"
        )

    def _read(self) -> MELData:
        places = self._places()
        if self.benchmark is None:
            return load_data(places["path"])
        return load_benchmark(self.benchmark, **places, repo_id=self.repo_id, layout=self.layout, **self._options())


@dataclass
class ModelRecipe:
    """
    The `model` section. Either a `checkpoint` of this package, or pretrained towers (`text`, `vision`), or, with
    neither, random towers from the configurations in `config`.

    Args:
        type (`str`, *optional*, defaults to `"pgmel"`):
            `pgmel`, `mimic`, `m3el`, `melov`, `ghmfc` or `single_stream`.
        checkpoint (`str`, *optional*):
            A checkpoint of that type to go on from. It replaces towers, `config` and `processor` of the recipes that are
            extended; those given together with it change the checkpoint's, as in `from_pretrained`: `freeze_text` for example.
        text (`str`, *optional*):
            Checkpoint of the text tower, or of both.
        vision (`str`, `bool` or `dict`, *optional*):
            Checkpoint of the vision tower; `false`: none; `{model_type: resnet, ...}`: the configuration of a new one.
        config (`dict`, *optional*):
            Fields of the type's configuration, such as [`PGMELConfig`].
        tokenizer (`str`, *optional*):
            Tokenizer of a model with random towers: a folder or Hub id; `corpus`: one that is trained on the texts of the
            data, from which a [`BagOfTokensModel`] takes its weights, too; `miniature`: that of the toy.
        image_size (`int`, *optional*):
            Height and width of the pictures of a new vision tower.
        processor (`dict`, *optional*):
            Arguments of [`MELProcessor`].
        lora (`dict`, *optional*):
            Trains adapters in the towers: fields of `peft.LoraConfig`, such as `{r: 8}`; `{}` for its defaults.
    """

    type: str = "pgmel"
    checkpoint: str | None = None
    text: str | None = None
    vision: str | bool | dict | None = None
    config: dict[str, Any] = field(default_factory=dict)
    tokenizer: str | None = None
    image_size: int | None = None
    processor: dict[str, Any] = field(default_factory=dict)
    lora: dict[str, Any] | None = None

    def peft_config(self):
        """The `peft.LoraConfig` of `lora`; `None`: no adapters."""
        return None if self.lora is None else import_peft().LoraConfig(**self.lora)

    def check(self) -> None:
        """
        Checks names, environment variables and the fields of the configuration, without loading anything.

        Raises:
            `ValueError`: an environment variable that is not set, or towers beside a checkpoint.
            `huggingface_hub.errors.StrictDataclassError`: a field of the configuration has a wrong value.
        """
        for key in ("checkpoint", "text", "vision", "tokenizer"):
            if isinstance(getattr(self, key), str):
                expanded(getattr(self, key), f"model.{key}")
        self.peft_config()
        self._check_checkpoint()
        if self.checkpoint is None:
            config_class, fields = LINKING_MODELS[self.type].config_class, dict(self.config)
            if (
                self.text is not None
                and self.vision is not False
                and "vision_config" in config_class.sub_configs_defaults
            ):
                # That of a checkpoint is not known before it is loaded.
                new = self.vision if isinstance(self.vision, dict) else {"model_type": "clip_vision_model"}
                fields.setdefault("vision_config", new)
            config_class(**fields)

    def _of_towers(self, model_class, text: str, vision) -> tuple[MatchingModel, MELProcessor]:
        if isinstance(vision, dict):
            model = model_class.from_towers(text, AutoConfig.for_model(**vision), **self.config)
            options = self._processor_options(model) | {"image_processor": self._new_image_processor()}
            return model, MELProcessor.from_towers(text, False, **options)
        model = model_class.from_towers(text, vision, **self.config)
        return model, MELProcessor.from_towers(text, vision, **self._processor_options(model))

    def _check_checkpoint(self) -> None:
        given = [key for key in ("text", "vision", "tokenizer", "image_size") if getattr(self, key) is not None]
        if self.checkpoint is not None and given:
            raise ValueError(
                f"`model.checkpoint` brings its own towers and processor: leave out {', '.join(f'`model.{key}`' for key in given)}"
            )

    def load(self, data: MELData) -> tuple[MatchingModel, MELProcessor]:
        """The model and its processor. The data are read where the tokenizer is trained on them."""
        model_class = LINKING_MODELS[self.type]
        if self.checkpoint is not None:
            folder = expanded(self.checkpoint, "model.checkpoint")
            checkpoint_config(folder)  # an error that names the folder
            model = model_class.from_pretrained(folder, **self.config)
            if is_repository(folder):  # nearer than the towers that it began with itself
                model.config.base_models = [folder]
            return model, MELProcessor.from_pretrained(folder, **self.processor)
        if self.text is not None:
            text = expanded(self.text, "model.text")
            vision = expanded(self.vision, "model.vision") if isinstance(self.vision, str) else self.vision
            try:
                return self._of_towers(model_class, text, vision)
            except OSError:
                for key, source in (("text", tower_place(text)), ("vision", vision)):
                    if isinstance(source, str):
                        tower_config(source, key)  # raises an error that names the tower, where that is missing
                raise
        model = model_class(model_class.config_class(**self.config))
        processor = self._random_processor(self._processor_options(model), data)
        if self.tokenizer == CORPUS and isinstance(model.text_model, BagOfTokensModel):
            texts = [f"{name} {text}" for name, text in zip(data.entities.names(), data.entities.texts(), strict=True)]
            model.text_model.fit_weights(processor.tokenizer(texts, add_special_tokens=False)["input_ids"])
        return model, processor

    def _processor_options(self, model: MatchingModel) -> dict[str, Any]:
        """Combines the inputs of the model with the settings of the recipe."""
        reads = {"text_views": model.config.text_views}
        if model.reads_states or model.reads_together:
            reads["max_length"] = model.config.max_text_tokens
        return reads | self.processor

    def _random_processor(self, options: dict[str, Any], data: MELData) -> MELProcessor:
        if self.tokenizer is None:
            raise ValueError("`model.tokenizer` is missing: a model with random towers brings none")
        if self.tokenizer == MINIATURE:
            tokenizer = make_miniature_tokenizer()
        elif self.tokenizer == CORPUS:
            tokenizer = train_tokenizer(data, self.config.get("text_config", {}).get("vocab_size", 8192))
        else:
            tokenizer = AutoTokenizer.from_pretrained(expanded(self.tokenizer, "model.tokenizer"))
        images = None
        if self.config.get("vision_config") is not None or self.type == "single_stream":
            images = self._new_image_processor()
        return MELProcessor(image_processor=images, tokenizer=tokenizer, **options)

    def _new_image_processor(self) -> CLIPImageProcessorPil:
        if self.image_size is None:
            raise ValueError("`model.image_size` is missing: the size of the pictures for the vision tower")
        square = {"height": self.image_size, "width": self.image_size}
        return CLIPImageProcessorPil(size={"shortest_edge": self.image_size}, crop_size=square)


@dataclass
class EvaluationRecipe:
    """
    The `evaluation` section.

    Args:
        splits (`list[str]`, *optional*, defaults to `["test"]`):
            Splits on which the finished model is evaluated.
        model_name (`str`, *optional*):
            What results call the model. Defaults to the name of its type, such as PGMEL.
    """

    splits: list[str] = field(default_factory=lambda: ["test"])
    model_name: str | None = None


@dataclass
class Recipe:
    """
    A whole run.

    Args:
        data ([`DataRecipe`]), model ([`ModelRecipe`]), evaluation ([`EvaluationRecipe`]):
            See there.
        training (`dict`):
            Fields of [`PGMELTrainingArguments`].
        given (`dict`, *optional*):
            Its keys as they were given, without defaults.
    """

    data: DataRecipe
    model: ModelRecipe
    evaluation: EvaluationRecipe
    training: dict[str, Any]
    given: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if self.evaluation.model_name is None:
            self.evaluation.model_name = shown_name(self.model.type)

    def check(self) -> PGMELTrainingArguments:
        """Checks everything that can be checked before data and model are loaded, and returns the training arguments."""
        args = self.arguments()
        self.data.check()
        self.model.check()
        return args

    def arguments(self) -> PGMELTrainingArguments:
        """The training arguments."""
        return PGMELTrainingArguments(**self.training)

    def save(self, path: str | Path) -> Path:
        """
        Writes the keys that were given as a recipe, with the data's name. Environment variables stand as they were
        written; where a folder of this machine stood, stands `PATH`, and tokens are left out, so that the file can be
        published.
        """
        data = {"benchmark": self.data.benchmark} | self.given.get("data", {})
        if self.data.benchmark is None and self.data.path is not None:
            data["name"] = self.data.shown_name  # that of a folder, which may have to be hidden
        given = self.given | {"data": data}
        if "training" in given:
            given["training"] = {name: each for name, each in given["training"].items() if not name.endswith("_token")}
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(portable(given), sort_keys=False, allow_unicode=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        return path


def expanded(value: str, key: str) -> str:
    """Fills in environment variables and `~`; an unset variable is an error that names it."""
    result = os.path.expanduser(os.path.expandvars(value))
    if "$" in result:
        name = re.search(r"\$\{?(\w*)", result)[1]
        raise ValueError(
            f"`{key}` is {value!r}: set the environment variable {name}, or give the value itself: --{key} VALUE"
        )
    return result
