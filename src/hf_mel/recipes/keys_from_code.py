"""The table of keys, made from the code: dataclass fields, signatures, and their docstrings."""

import dataclasses
import enum
import inspect
import json
import re
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any

import transformers
from transformers import PreTrainedConfig, TrainingArguments

from ..data import BENCHMARKS, EMBEDDED, LAYOUTS, load_layout
from ..models import LINKING_MODELS, MELProcessor
from ..recipe_files import Key, KeyTable
from ..training import PGMELTrainingArguments
from ..training.refused import REFUSED
from .sections import AUTO, DataRecipe, EvaluationRecipe, ModelRecipe


CHOICES = {
    "data": {"benchmark": tuple(dict.fromkeys((*BENCHMARKS, *EMBEDDED))), "layout": (AUTO, *LAYOUTS)},
    "model": {"type": tuple(LINKING_MODELS)},
}
# Other keys of a recipe say the same, or `hf-mel train` does.
OTHER_KEYS = ("layout", "raw_dir", "benchmark", "tokenizer", "image_processor", "base_models")
WITHOUT_EFFECT = ("do_train", "do_eval", "do_predict", "resume_from_checkpoint", "local_rank")
# The second name: styles of docstrings, `name (`type`): text` with the text on the same or on the next lines.
_ARGUMENT = re.compile(r"^( +)([\w, ]+?) ?\(((?:[^()]|\([^()]*\))*)\):[ \n]", re.MULTILINE)
_WORDS = {"bool": bool, "int": int, "float": float, "str": str, "list": list, "dict": dict}


@cache
def recipe_keys() -> KeyTable:
    """The table of the package, or, where another version of transformers is installed, that of the code."""
    return KeyTable.shipped() if KeyTable.shipped().is_current else keys_from_code()


def keys_from_code() -> KeyTable:
    """The table of keys, made from the code."""
    groups = {
        "data": _keys_of_dataclass(DataRecipe, CHOICES["data"]),
        "data.options layout": _keys_of_function(load_layout),
        **{f"data.options {name}": _keys_of_function(load) for name, load in EMBEDDED.items()},
        "model": _keys_of_dataclass(ModelRecipe, CHOICES["model"]),
        **{f"model.config {name}": _keys_of_config(model.config_class) for name, model in LINKING_MODELS.items()},
        "model.processor": _keys_of_function(MELProcessor.__init__, MELProcessor),
        "training": _keys_of_dataclass(PGMELTrainingArguments, {}),
        "evaluation": _keys_of_dataclass(EvaluationRecipe, {}),
    }
    return KeyTable(groups, transformers.__version__)


# ---- Keys of a class or function ----


def _keys_of_dataclass(kind: type, choices: dict[str, tuple]) -> list[Key]:
    documented = _documented(*kind.__mro__)
    foreign = {field.name for field in dataclasses.fields(TrainingArguments)}
    own = {
        name
        for each in kind.__mro__
        if each.__module__.startswith(__package__.split(".")[0])
        for name in each.__dict__.get("__annotations__", ())
    }
    keys = []
    for field in dataclasses.fields(kind):
        if not field.init or field.name in WITHOUT_EFFECT:
            continue
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        _, help_text = documented.get(field.name, ("", first_sentence(field.metadata.get("help", ""))))
        key = _key(field.name, field.type, default, help_text, choices.get(field.name))
        refused = field.name in REFUSED and not REFUSED[field.name].values
        keys.append(dataclasses.replace(key, used=not refused, own=field.name in own or field.name not in foreign))
    return sorted(keys, key=lambda key: not key.own)  # own ones first, in their order


def _keys_of_config(config_class: type[PreTrainedConfig]) -> list[Key]:
    """Fields that the package declares; those of every `PreTrainedConfig` have no meaning here."""
    classes = [
        each for each in config_class.__mro__ if issubclass(each, PreTrainedConfig) and each is not PreTrainedConfig
    ]
    names = dict.fromkeys(name for each in classes for name in each.__dict__.get("__annotations__", ()))
    documented = _documented(*classes)
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    return [
        _key(name, fields[name].type, fields[name].default, documented.get(name, ("", ""))[1])
        for name in names
        if name in fields and name not in OTHER_KEYS
    ]


def _keys_of_function(function: Callable, documented_by: Any = None) -> list[Key]:
    documented, hints = _documented(documented_by or function), typing.get_type_hints(function)
    keys = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD or name == "self" or name in OTHER_KEYS:
            continue
        words, help_text = documented.get(name, ("", ""))
        kind = hints.get(name, _type_in_words(words, parameter.default))
        keys.append(_key(name, kind, parameter.default, help_text))
    return keys


def _key(name: str, kind: Any, default: Any, help_text: str, choices: tuple | None = None) -> Key:
    names, found, items = _types(kind)
    if name.endswith("_kwargs") and "dict" in names:
        names = [each for each in names if each != "str"]  # JSON in a string, which YAML does not need
    default = json.loads(json.dumps(default, default=lambda value: getattr(value, "value", str(value))))
    if default is None and names and "null" not in names:
        names.append("null")
    choices = choices or found
    return Key(name, names, default, help_text, list(choices) if choices else None, items)


def _types(kind: Any) -> tuple[list[str], list[str] | None, str | None]:
    """Types of a key, the values that text may have (if there are only some), and the type of the items of a list."""
    names, choices, items, open_text = [], [], None, False
    alternatives = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    for each in alternatives:
        origin = typing.get_origin(each) or each
        if origin is typing.Any:
            return [], None, None
        if origin is typing.Literal:
            names += ["bool" if value is False or value is True else "str" for value in typing.get_args(each)]
            choices += [value for value in typing.get_args(each) if isinstance(value, str)]
        elif isinstance(origin, type) and issubclass(origin, enum.Enum):
            names.append("str")
            choices += [value.value for value in origin]
        elif origin in (None, type(None)):
            names.append("null")
        elif origin in (list, tuple):
            names.append("list")
            inner = [word for word, one in _WORDS.items() if typing.get_args(each)[:1] == (one,)]
            items = inner[0] if inner else None
        elif isinstance(origin, type) and origin.__name__ in _WORDS:
            names.append(origin.__name__)
            open_text = open_text or origin is str
        elif isinstance(origin, type) and origin.__name__ == "PathLike":
            names.append("str")
    names = [name for name in dict.fromkeys(names) if not (name == "int" and "float" in names)]
    # `SomeEnum | str` takes the values of the enum alone.
    has_enum = any(isinstance(each, type) and issubclass(each, enum.Enum) for each in alternatives)
    return names, choices if choices and (has_enum or not open_text) else None, items


def _type_in_words(words: str, default: Any) -> Any:
    """The type of an argument without annotation, by its docstring."""
    found = next((kind for word, kind in _WORDS.items() if f"`{word}`" in words), Any)
    return found | None if default is None and found is not Any else found


# ---- Docstrings ----


def _documented(*objects: Any) -> dict[str, tuple[str, str]]:
    """Type in words and first sentence of each argument in the docstrings; the first docstring that has it counts."""
    found: dict[str, tuple[str, str]] = {}
    for each in objects:
        text = inspect.cleandoc(each.__doc__ or "")
        matches = list(_ARGUMENT.finditer(text))
        for match in matches:
            indent, body = len(match[1]), []
            for line in text[match.end() :].split("\n"):
                if body and line.strip() and len(line) - len(line.lstrip()) <= indent:
                    break
                if not line.strip() and body:
                    break
                body.append(line.strip())
            for name in match[2].split(","):
                found.setdefault(name.strip(), (match[3], first_sentence(" ".join(body))))
    return found


def first_sentence(text: str) -> str:
    """The first sentence of a help text, in one line and without links."""
    text = re.sub(
        r"\[(`[^`]+`)\](\([^)]*\))?|\[([^\]]+)\]\([^)]*\)", lambda match: match[1] or match[3], " ".join(text.split())
    )
    text = re.sub(r"\\\\\(\\*(\w+)\\\\\)", r"\1", text.replace("`~", "`").replace("**", "")).strip()
    text = text[:1].upper() + text[1:]
    end = re.search(r"(?<!e\.g)(?<!i\.e)(?<!et al)(?<! vs)\.(?= [A-Z0-9`\"(]|$)", text)
    return text[: end.end()] if end else text
