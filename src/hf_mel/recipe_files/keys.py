"""The keys of a recipe: name, types, default and meaning of each, from a table that is shipped with the package."""

import json
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


TABLE = Path(__file__).with_name("keys.json")
SECTIONS = ("data", "model", "training", "evaluation")
LAYOUT = "layout"
"""Variant of `data.options` for released files; the others are the benchmarks of the package."""

_NAMES = {
    "bool": "true or false",
    "int": "an integer",
    "float": "a number",
    "str": "text",
    "list": "a list",
    "dict": "a mapping",
    "null": "null",
}
_TYPES = {"bool": bool, "int": int, "str": str, "list": list, "dict": dict, "null": type(None)}


@dataclass(frozen=True)
class Key:
    """
    A key of a recipe.

    Args:
        name (`str`): Its name, without its section.
        types (`list[str]`): Of `bool`, `int`, `float`, `str`, `list`, `dict` and `null`; empty: anything.
        default (*optional*): The default, as JSON has it.
        help (`str`, *optional*): One line of meaning.
        choices (`list`, *optional*): The values that text may have; `None`: any.
        items (`str`, *optional*): Type of the items of a list.
        used (`bool`, *optional*, defaults to `True`): `False`: every value but the default is refused.
        own (`bool`, *optional*, defaults to `True`): `False`: an argument of transformers.
    """

    name: str
    types: list[str]
    default: Any = None
    help: str = ""
    choices: list | None = None
    items: str | None = None
    used: bool = True
    own: bool = True

    def problem(self, value: Any) -> str | None:
        """Error message for a value, such as `"must be a number, got 'x'"`; `None` if the value is valid."""
        if not self.types or value is None and self.default is None:
            return None
        if not any(_is(value, each) for each in self.types):
            allowed = " or ".join(_NAMES[each] for each in self.types if each != "null")
            return f"must be {allowed}, got {value!r}{self._hint(value)}"
        if isinstance(value, list) and self.items is not None:
            wrong = [each for each in value if not _is(each, self.items)]
            if wrong:
                return f"must be a list whose items are {_NAMES[self.items]}, got {wrong[0]!r}"
        return None

    def _hint(self, value: Any) -> str:
        if "str" in self.types and not isinstance(value, (dict, list)):
            return ": write it in quotes"
        if self.types[0] == "list" and isinstance(value, str):
            return f": write [{value}]"
        return ""


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "bool"
    if name == "float":
        return isinstance(value, (int, float))
    return isinstance(value, _TYPES[name])


@dataclass(frozen=True)
class KeyTable:
    """
    The keys of all sections.

    Args:
        groups (`dict[str, list[Key]]`):
            Keys by the place in a recipe, such as `training` or `model.processor`. `model.config` has one group for each
            type of model (`model.config pgmel`), and `data.options` one for each source (`data.options miniature`).
        transformers (`str`): The version of transformers whose arguments are in it.
    """

    groups: dict[str, list[Key]] = field(default_factory=dict)
    transformers: str = ""

    @classmethod
    @cache
    def shipped(cls) -> "KeyTable":
        """The table of the package."""
        content = json.loads(TABLE.read_text(encoding="utf-8"))
        groups = {group: [Key(**key) for key in keys] for group, keys in content["groups"].items()}
        return cls(groups, content["transformers"])

    @property
    def is_current(self) -> bool:
        """True if the table was made with the installed version of transformers. Another version may have other arguments."""
        try:
            return version("transformers") == self.transformers
        except PackageNotFoundError:
            return False

    def save(self, path: Path = TABLE) -> None:
        """Writes the table as JSON, a line a key."""
        lines = [
            f'  "{group}": [\n'
            + ",\n".join(f"   {json.dumps(_short(key), ensure_ascii=False)}" for key in keys)
            + "\n  ]"
            for group, keys in self.groups.items()
        ]
        text = f'{{\n "transformers": "{self.transformers}",\n "groups": {{\n' + ",\n".join(lines) + "\n }\n}\n"
        path.write_text(text, encoding="utf-8", newline="\n")

    def variants(self, place: str) -> dict[str, list[Key]]:
        """The groups of a place that has several, by variant."""
        return {group.split()[1]: keys for group, keys in self.groups.items() if group.startswith(f"{place} ")}

    def find(self, flag: str) -> Key | None:
        """
        The key of a flag, such as `learning_rate` or `model.config.fusion`. Of a key with several variants, one that
        takes what any of them takes.
        """
        *place, name = place_of(flag)
        section = ".".join(place)
        groups = [self.groups.get(section, []), *self.variants(section).values()]
        found = [key for keys in groups for key in keys if key.name == name]
        if not found:
            return None
        if any(not key.types for key in found):
            return Key(name, [])
        types = list(dict.fromkeys(each for key in found for each in key.types))
        if any(key.default is None for key in found) and "null" not in types:
            types.append("null")
        return Key(**(asdict(found[0]) | {"types": types}))

    def flags(self) -> list[str]:
        """The flags of all keys that can be used."""
        names = [
            shown_key((*group.split()[0].split("."), key.name))
            for group, keys in self.groups.items()
            for key in keys
            if key.used
        ]
        return list(dict.fromkeys(names))


def _short(key: Key) -> dict[str, Any]:
    """The fields without those that are as by default."""
    plain = asdict(Key("", []))
    return {name: value for name, value in asdict(key).items() if name in ("name", "types") or value != plain[name]}


def place_of(flag: str) -> tuple[str, ...]:
    """The place of a key in a recipe by its flag: keys of the training have no section in front of them."""
    first, *rest = flag.split(".")
    return (first, *rest) if rest and first in SECTIONS and first != "training" else ("training", first, *rest)


def shown_key(place: tuple[str, ...]) -> str:
    """The flag of a key, without dashes: the opposite of [`place_of`]."""
    return ".".join(place[1:] if place[0] == "training" and len(place) > 1 else place)
