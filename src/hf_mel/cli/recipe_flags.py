"""The flags of `hf-mel train`: one for each key of a recipe, from the table of keys. No torch."""

import argparse
import difflib
import shutil
import textwrap
from typing import Any, NoReturn

from ..recipe_files import Key, KeyTable, place_of, yaml_value


USAGE = "hf-mel train RECIPE [--KEY VALUE ...] [--resume | --resume_from CHECKPOINT]"
OWN = {
    "resume": "Go on from the last checkpoint in the output folder.",
    "resume_from": "Go on from another checkpoint: a folder, or a repository on the Hub (org/name or org/name@revision).",
}
ABOUT = """\
Train a model as a recipe says. RECIPE is a name that `hf-mel recipes` lists, or a YAML file. Every key of a recipe is a
flag, which replaces the recipe's value: keys of `training` by their name (--learning_rate 1e-4), others with their section
(--data.train_share 0.1, --model.config.fusion concat). Keys within a mapping follow after a dot
(--model.config.text_config.hidden_size 64). A value is written as in YAML; null takes a value away. A switch without a
value is true. [Defaults in brackets are those of a recipe that does not have the key.]"""
TITLES = {
    "data": "data (which data)",
    "data.options layout": "data.options with data.raw_dir (how released files are read)",
    "model": "model (which model)",
    "model.processor": "model.processor (how texts are read)",
    "training": "training (how the model is trained)",
    "evaluation": "evaluation (what is evaluated at the end)",
}
_SWITCH_VALUES = ("true", "false", "null")


def parse_train(argv: list[str], table: KeyTable) -> tuple[str, dict[str, Any], argparse.Namespace]:
    """
    The recipe, the changes that the flags make, by their names, and the namespace with `resume` and `resume_from`.

    Args:
        argv (`list[str]`): The words after `hf-mel train`.
        table ([`KeyTable`]): The keys that there are.
    """
    words = [_with_underscores(word) for word in argv]
    parser = FlagParser(table, words)
    options = parser.parse_args(parser.with_switch_values(words))
    changes = {name: value for name, value in vars(options).items() if name in parser.keys}
    if options.resume and options.resume_from is not None:
        parser.error("--resume is the last checkpoint in the output folder, --resume_from another: give one of them")
    return options.recipe, changes, options


def _with_underscores(word: str) -> str:
    name, equals, value = word.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if word.startswith("--") else word


class FlagParser(argparse.ArgumentParser):
    """
    Has a flag for each key of a recipe, and for each key within a mapping that stands in `words`.

    Args:
        table ([`KeyTable`]): The keys that there are.
        words (`list[str]`): The command line.
    """

    def __init__(self, table: KeyTable, words: list[str]):
        super().__init__(prog="hf-mel train", usage=USAGE, allow_abbrev=False, add_help=False)
        self.keys: dict[str, Key] = {}
        self.known = [*table.flags(), *OWN, "help"]
        self.add_argument("recipe")
        self.add_argument("--resume", action="store_true")
        self.add_argument("--resume_from")
        for word in words:
            name = word[2:].partition("=")[0]
            if word.startswith("--") and name not in (*self.keys, *OWN):
                key = find_key(name, table)
                if key is not None:
                    self._add(name, key)

    def _add(self, name: str, key: Key) -> None:
        self.keys[name] = key
        options: dict[str, Any] = {"nargs": "+"} if "list" in key.types else {}
        action = _ListAction if "list" in key.types else _ValueAction
        self.add_argument(f"--{name}", dest=name, action=action, key=key, default=argparse.SUPPRESS, **options)

    def with_switch_values(self, words: list[str]) -> list[str]:
        """The words, with `=true` at switches that no value follows: else the recipe after one would be its value."""
        result = []
        for word, following in zip(words, [*words[1:], "--"], strict=bool(words)):
            key = self.keys.get(word[2:]) if word.startswith("--") else None
            is_switch = key is not None and "bool" in key.types and "str" not in key.types
            result.append(f"{word}=true" if is_switch and following.lower() not in _SWITCH_VALUES else word)
        return result

    def error(self, message: str) -> NoReturn:
        if message.startswith("the following arguments are required"):
            message = "a recipe is missing: `hf-mel recipes` lists those of the package"
        unknown = message.partition("unrecognized arguments: ")[2].split()
        unknown = [word[2:].partition("=")[0] for word in unknown if word.startswith("--")]
        if unknown:
            message += self._hint(unknown[0])
        elif "unrecognized" in message:
            message += " (one recipe is expected; a switch takes true or false)"
        super().error(message)

    def _hint(self, name: str) -> str:
        if name == "set":
            return " (write --KEY VALUE, such as --seed 1 or --model.config.fusion concat)"
        plain = name.removeprefix("training.")
        same = [flag for flag in self.known if flag.rpartition(".")[2] == plain.rpartition(".")[2]]
        near = [plain] if plain in self.known else same or difflib.get_close_matches(plain, self.known, n=1)
        if not near:
            last = {flag.rpartition(".")[2]: flag for flag in reversed(self.known)}
            near = [last[each] for each in difflib.get_close_matches(plain.rpartition(".")[2], last, n=1)]
        return f" (did you mean --{near[0]}?)" if near else ""


def find_key(flag: str, table: KeyTable) -> Key | None:
    """The key of a flag, or one that takes anything within a mapping that is a key."""
    key = table.find(flag)
    names = flag.split(".")
    for end in range(len(names) - 1, 0, -1):
        if key is not None or not all(names):
            break
        outer = table.find(".".join(names[:end]))
        if outer is not None and "dict" in outer.types and not _has_keys_of_its_own(names[:end], table):
            key = Key(names[-1], [])
    return key


def _has_keys_of_its_own(names: list[str], table: KeyTable) -> bool:
    """True if the table lists the keys of a mapping: no other keys are then allowed."""
    place = ".".join(place_of(".".join(names)))
    return place != "data.options" and (place in table.groups or bool(table.variants(place)))


class _ValueAction(argparse.Action):
    """Reads a value by the types of its key."""

    def __init__(self, *args, key: Key, **kwargs):
        super().__init__(*args, **kwargs)
        self.key = key

    def __call__(self, parser, namespace, values, option_string=None):
        try:
            value = self.read(values)
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, self.dest, value)

    def read(self, word: str) -> Any:
        """The value of a word; text is taken as it is where nothing else is possible."""
        value = word if set(self.key.types) - {"null"} == {"str"} and word != "null" else yaml_value(word)
        if "str" in self.key.types and self.key.problem(value):
            value = word
        if wrong := self.key.problem(value):
            raise ValueError(wrong.removesuffix(": write it in quotes"))
        if self.key.choices is not None and isinstance(value, str) and value not in self.key.choices:
            near = difflib.get_close_matches(value, self.key.choices, n=1)
            raise ValueError(
                f"must be one of {', '.join(self.key.choices)}, got {value!r}"
                + (f" (did you mean {near[0]}?)" if near else "")
            )
        return value


class _ListAction(_ValueAction):
    """Reads words as a list, or one word as YAML."""

    def read(self, words: list[str]) -> Any:
        if len(words) == 1 and (
            words[0] == "null" or words[0].startswith("[") or set(self.key.types) & {"str", "bool"}
        ):
            return super().read(words[0])
        items = [word if self.key.items == "str" else yaml_value(word) for word in words]
        if wrong := self.key.problem(items):
            raise ValueError(wrong)
        return items


# ---- Help ----


def help_text(table: KeyTable, width: int | None = None) -> str:
    """All flags, by section, each with its default and a line of meaning."""
    width = min(width or shutil.get_terminal_size().columns, 120)
    lines = [f"usage: {USAGE}", "", *(textwrap.fill(ABOUT, width).split("\n")), "", "options:"]
    lines += [line for name, text in OWN.items() for line in _entry(f"--{name}", text, width)]
    lines += _entry("--help", "Show this help.", width)
    for title, place, keys in titled_groups(table):
        lines += ["", f"{title}:"]
        for key in keys:
            flag = f"--{key.name}" if place == "training" else f"--{place}.{key.name}"
            lines += _entry(f"{flag} {metavar(key)}", f"{key.help} [{shown_default(key)}]", width)
    return "\n".join(lines)


def _entry(flag: str, text: str, width: int) -> list[str]:
    body = textwrap.wrap(text, width - 8)
    return [f"  {flag}", *(f"        {line}" for line in body)]


def titled_groups(table: KeyTable) -> list[tuple[str, str, list[Key]]]:
    """
    Title, place and keys of each group, as help and documentation show them: fields that the configurations of all models
    with two towers share come once, and arguments of transformers apart.
    """
    groups = []
    configs = table.variants("model.config")
    of_all = [
        key
        for key in configs["pgmel"]
        if all(key in keys for name, keys in configs.items() if name != "single_stream")
    ]
    for group, keys in table.groups.items():
        place, _, variant = group.partition(" ")
        keys = [key for key in keys if key.used]
        title = TITLES.get(group, "")
        if place == "model.config":
            if variant == "pgmel":
                groups.append(("model.config of models with a text and a vision tower", place, of_all))
            title, keys = f"model.config with model.type {variant}", [key for key in keys if key not in of_all]
        elif place == "data.options" and not title:
            title = f"data.options with data.benchmark {variant}"
        if group == "training":
            groups.append((title, place, [key for key in keys if key.own]))
            title = f"training, arguments of transformers.TrainingArguments {table.transformers}"
            keys = [key for key in keys if not key.own]
        groups.append((title, place, keys))
    return groups


def metavar(key: Key) -> str:
    """The kind of value of a key, as help shows it."""
    if key.choices and len(key.choices) <= 6:
        return "|".join(key.choices)
    names = {
        "bool": "true|false",
        "int": "INTEGER",
        "float": "NUMBER",
        "str": "TEXT",
        "list": "LIST",
        "dict": "MAPPING",
    }
    return "|".join(names[each] for each in key.types if each != "null") or "VALUE"


def shown_default(key: Key) -> str:
    """The default of a key, as YAML."""
    if isinstance(key.default, bool):
        return str(key.default).lower()
    return "null" if key.default is None else '""' if key.default == "" else str(key.default)
