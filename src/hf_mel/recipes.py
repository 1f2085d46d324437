"""Recipes: one YAML file says which data, which model and which training; every key is a field of a dataclass."""

import copy
import dataclasses
import difflib
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .data import (
    BENCHMARKS,
    EMBEDDED,
    LAYOUTS,
    MELData,
    load_benchmark,
    load_data,
    load_layout,
    make_miniature_tokenizer,
    train_tokenizer,
)
from .hub.papers import shown_name
from .hub.paths import portable
from .models import LINKING_MODELS, BagOfTokensModel, MatchingModel, MELProcessor
from .models.adapter_targets import import_peft
from .models.towers import is_repository
from .recipe_files import EXTENDS, read_recipe_files
from .training import PGMELTrainingArguments


MINIATURE = "miniature"
CORPUS = "corpus"
AUTO = "auto"


@dataclass
class DataRecipe:
    """
    The `data` section. Paths may hold environment variables.

    Args:
        benchmark (`str`, *optional*):
            Name of a benchmark: see [`load_benchmark`]. `null` with a `path`: a built folder of one's own data.
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
            What results call the data. Defaults to the benchmark.
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

    @property
    def shown_name(self) -> str:
        """What results call the data."""
        return self.name or self.benchmark or Path(self.path or "data").name

    def load(self) -> MELData:
        """Reads the data."""
        data = self._read()
        if self.text_field != AUTO:
            data = dataclasses.replace(data, entities=data.entities.with_text_field(self.text_field))
        return data if self.train_share == 1 else data.with_train_share(self.train_share)

    def _read(self) -> MELData:
        places = {"raw_dir": self.raw_dir, "path": self.path}
        places = {key: value and expanded(value, f"data.{key}") for key, value in places.items()}
        if self.benchmark is None:
            if places["path"] is None:
                raise ValueError("`data.benchmark` is missing: a name, or `path`, a folder with data of your own")
            return load_data(places["path"])
        return load_benchmark(self.benchmark, **places, repo_id=self.repo_id, layout=self.layout, **self.options)


@dataclass
class ModelRecipe:
    """
    The `model` section. Either a `checkpoint` of this package, or pretrained towers (`text`, `vision`), or, with
    neither, random towers from the configurations in `config`.

    Args:
        type (`str`, *optional*, defaults to `"pgmel"`):
            `pgmel`, `mimic`, `m3el`, `melov`, `ghmfc` or `single_stream`.
        checkpoint (`str`, *optional*):
            A checkpoint of that type to go on from.
        text (`str`, *optional*):
            Checkpoint of the text tower, or of both.
        vision (`str` or `bool`, *optional*):
            Checkpoint of the vision tower; `false`: none.
        config (`dict`, *optional*):
            Fields of the type's configuration, such as [`PGMELConfig`].
        tokenizer (`str`, *optional*):
            Tokenizer of a model with random towers: a folder or Hub id; `corpus`: one that is trained on the texts of the
            data, from which a [`BagOfTokensModel`] takes its weights, too; `miniature`: that of the toy.
        image_size (`int`, *optional*):
            Height and width of the pictures of a model with a random vision tower.
        processor (`dict`, *optional*):
            Arguments of [`MELProcessor`].
        lora (`dict`, *optional*):
            Trains adapters in the towers: fields of `peft.LoraConfig`, such as `{r: 8}`; `{}` for its defaults.
    """

    type: str = "pgmel"
    checkpoint: str | None = None
    text: str | None = None
    vision: str | bool | None = None
    config: dict[str, Any] = field(default_factory=dict)
    tokenizer: str | None = None
    image_size: int | None = None
    processor: dict[str, Any] = field(default_factory=dict)
    lora: dict[str, Any] | None = None

    def peft_config(self):
        """The `peft.LoraConfig` of `lora`; `None`: no adapters."""
        return None if self.lora is None else import_peft().LoraConfig(**self.lora)

    def load(self, data: MELData) -> tuple[MatchingModel, MELProcessor]:
        """The model and its processor. The data are read if the tokenizer is made of them."""
        model_class = LINKING_MODELS[self.type]
        if self.checkpoint is not None:
            folder = expanded(self.checkpoint, "model.checkpoint")
            model = model_class.from_pretrained(folder)
            if is_repository(folder):  # nearer than the towers that it began with itself
                model.config.base_models = [folder]
            return model, MELProcessor.from_pretrained(folder)
        if self.text is not None:
            text = expanded(self.text, "model.text")
            vision = expanded(self.vision, "model.vision") if isinstance(self.vision, str) else self.vision
            model = model_class.from_towers(text, vision, **self.config)
            return model, MELProcessor.from_towers(text, vision, **self._processor_options(model))
        model = model_class(model_class.config_class(**self.config))
        processor = self._random_processor(self._processor_options(model), data)
        if self.tokenizer == CORPUS and isinstance(model.text_model, BagOfTokensModel):
            texts = [f"{name} {text}" for name, text in zip(data.entities.names(), data.entities.texts(), strict=True)]
            model.text_model.fit_weights(processor.tokenizer(texts, add_special_tokens=False)["input_ids"])
        return model, processor

    def _processor_options(self, model: MatchingModel) -> dict[str, Any]:
        """What the model reads, and what the recipe says."""
        reads = {"text_views": model.config.text_views}
        if model.reads_states or model.reads_together:
            reads["max_length"] = model.config.max_text_tokens
        return reads | self.processor

    def _random_processor(self, options: dict[str, Any], data: MELData) -> MELProcessor:
        from transformers import AutoTokenizer, CLIPImageProcessorPil

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
            if self.image_size is None:
                raise ValueError("`model.image_size` is missing: the size of the pictures for the vision tower")
            square = {"height": self.image_size, "width": self.image_size}
            images = CLIPImageProcessorPil(size={"shortest_edge": self.image_size}, crop_size=square)
        return MELProcessor(image_processor=images, tokenizer=tokenizer, **options)


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
        if self.data.benchmark is None:
            data["name"] = self.data.shown_name  # that of a folder, which may have to be hidden
        given = self.given | {"data": data}
        if "training" in given:
            given["training"] = {name: each for name, each in given["training"].items() if not name.endswith("_token")}
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(portable(given), sort_keys=False, allow_unicode=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        return path


SECTIONS = {
    "data": DataRecipe,
    "model": ModelRecipe,
    "evaluation": EvaluationRecipe,
    "training": PGMELTrainingArguments,
}


def load_recipe(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """
    Reads a recipe.

    Args:
        path (`str` or `Path`):
            The YAML file. Its `extends`, a name or a list of names relative to its folder, are files that it goes on from:
            mappings are merged key by key, of everything else the later value counts, and its own come last.
        overrides (`list[str]`, *optional*):
            Changes of the form `section.key=value`, the value in YAML.

    Raises:
        `FileNotFoundError`: no such file, or none of those that it extends.
        `ValueError`: no YAML mapping, a file that extends itself, an unknown key (all are listed, with the nearest valid name
            and the file they stand in), or a value that its dataclass refuses.

    Example:

    ```py
    >>> recipe = load_recipe("recipes/miniature.yaml", ["training.num_train_epochs=2"])
    ```
    """
    merged = read_recipe_files(Path(path))
    for override in overrides:
        merged.override(override)
    return recipe_from_dict(merged.content, str(path), merged.origins)


def recipe_from_dict(
    content: dict[str, Any], source: str = "recipe", origins: dict[tuple[str, ...], Path] | None = None
) -> Recipe:
    """
    A recipe from a nested dictionary.

    Args:
        content (`dict`):
            The sections. `extends` is for files: see [`load_recipe`].
        source (`str`, *optional*, defaults to `"recipe"`):
            What messages call it.
        origins (`dict[tuple[str, ...], Path]`, *optional*):
            The file of each key, by its place, such as `("training", "seed")`: named in messages where it is not `source`.
    """
    problems = _unknown_keys(content) + _unknown_in_data(content.get("data"))
    if problems:
        files = {place: str(file) for place, file in (origins or {}).items()}
        lines = [
            line if files.get(place, source) == source else f"{line} (in {files[place]})" for place, line in problems
        ]
        raise ValueError(f"{source}: " + "; ".join(lines))
    sections = {name: dict(content.get(name) or {}) for name in SECTIONS}
    return Recipe(
        data=DataRecipe(**sections["data"]),
        model=ModelRecipe(**sections["model"]),
        evaluation=EvaluationRecipe(**sections["evaluation"]),
        training=sections["training"],
        given=copy.deepcopy({name: values for name, values in content.items() if values}),
    )


def expanded(value: str, key: str) -> str:
    """Fills in environment variables and `~`; an unset variable is an error that names it."""
    result = os.path.expanduser(os.path.expandvars(value))
    if "$" in result:
        raise ValueError(f"`{key}` is {value!r}: set the environment variable, or give the value itself")
    return result


Problem = tuple[tuple[str, ...], str]  # the place of a key, and what is wrong with it


def _unknown_keys(content: dict[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    for section, values in content.items():
        if section == EXTENDS:
            problems.append(((section,), f"`{EXTENDS}` is for files: read them with `load_recipe`"))
        elif section not in SECTIONS:
            problems.append(((section,), f"unknown section {section!r}{_nearest(section, SECTIONS)}"))
        elif values is not None and not isinstance(values, dict):
            problems.append(((section,), f"section {section!r} must be a mapping, got {values!r}"))
        else:
            problems += _unknown_in((section,), values or {}, SECTIONS[section])
            if section == "model":
                problems += _unknown_in_model(values or {})
    return problems


def _unknown_in_model(model: dict[str, Any]) -> list[Problem]:
    """An unknown type, or keys that its configuration, or the processor, does not take."""
    kind = model.get("type", ModelRecipe.type)
    if kind not in LINKING_MODELS:
        return [(("model", "type"), f"model.type is {kind!r}{_nearest(kind, LINKING_MODELS)}")]
    takes = {"config": LINKING_MODELS[kind].config_class, "processor": MELProcessor}
    takes |= {"lora": import_peft().LoraConfig} if model.get("lora") else {}
    return [
        problem
        for name, each in takes.items()
        if model.get(name)
        for problem in _unknown_in(("model", name), model[name], each)
    ]


def _unknown_in_data(data: Any) -> list[Problem]:
    """An unknown benchmark or layout, or options which what reads the data does not take."""
    if not isinstance(data, dict):
        return []
    problems: list[Problem] = []
    layout, benchmark = data.get("layout", AUTO), data.get("benchmark", DataRecipe.benchmark)
    if layout != AUTO and layout not in LAYOUTS:
        problems.append((("data", "layout"), f"data.layout is {layout!r}{_nearest(layout, LAYOUTS)}"))
    known = (*BENCHMARKS, *EMBEDDED)
    if benchmark is not None and benchmark not in known:
        problems.append((("data", "benchmark"), f"data.benchmark is {benchmark!r}{_nearest(benchmark, known)}"))
    if data.get("path") is None and data.get("repo_id") is None:  # else they are those of `load_dataset`
        takes = load_layout if data.get("raw_dir") is not None else EMBEDDED.get(benchmark, load_layout)
        problems += _unknown_in(("data", "options"), data.get("options") or {}, takes)
    return problems


def _unknown_in(place: tuple[str, ...], values: Any, kind: Callable) -> list[Problem]:
    section = ".".join(place)
    if not isinstance(values, dict):
        return [(place, f"{section} must be a mapping, got {values!r}")]
    if dataclasses.is_dataclass(kind):
        known = [entry.name for entry in dataclasses.fields(kind) if entry.init]
    else:  # what stands in other keys of the recipe, and what takes any name, is none
        taken = ("layout", "raw_dir", "benchmark", "tokenizer", "image_processor")
        parameters = inspect.signature(kind).parameters.values()
        known = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD and each.name not in taken]
    return [
        ((*place, key), f"unknown key {section}.{key}{_nearest(key, known)}") for key in values if key not in known
    ]


def _nearest(name: str, known) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"
