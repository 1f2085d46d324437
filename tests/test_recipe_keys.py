"""The table of recipe keys that is shipped, against the code and the documentation."""

import sys
from dataclasses import fields
from pathlib import Path

import pytest

from hf_mel import PGMELConfig, PGMELTrainingArguments
from hf_mel.data import BENCHMARKS, EMBEDDED
from hf_mel.recipe_files import KeyTable, find_recipe, place_of, recipe_names, shown_key, title_of
from hf_mel.recipe_files.checks import DEFAULT_BENCHMARK, DEFAULT_TYPE
from hf_mel.recipe_files.shipped import EMBEDDED_DATA
from hf_mel.recipes import DataRecipe, ModelRecipe, keys_from_code
from hf_mel.recipes.keys_from_code import WITHOUT_EFFECT, first_sentence


ROOT = Path(__file__).parents[1]
TABLE = KeyTable.shipped()
OTHER_VERSION = f"the table is for transformers {TABLE.transformers}"


@pytest.fixture
def writer():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import write_recipes

        yield write_recipes
    finally:
        sys.path.remove(str(ROOT / "docs"))


# ---- Up to date (`make keys` writes both) ----


@pytest.mark.skipif(not TABLE.is_current, reason=OTHER_VERSION)
def test_the_table_is_that_of_the_code():
    code = keys_from_code()
    assert list(TABLE.groups) == list(code.groups)
    for group, keys in code.groups.items():
        assert TABLE.groups[group] == keys, f"{group}: run `make keys`"


@pytest.mark.skipif(not TABLE.is_current, reason=OTHER_VERSION)
def test_the_page_is_up_to_date(writer, tmp_path):
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    for marker, text in (("recipe-list", writer.recipe_table()), ("recipe-keys", writer.key_tables(TABLE))):
        between = page.split(f"<!-- generated: {marker} -->\n")[1].split(f"\n<!-- end: {marker} -->")[0]
        assert between == text, f"{marker}: run `make keys`"


def test_names_that_are_known_without_the_code():
    assert set(EMBEDDED_DATA) == set(EMBEDDED) and DEFAULT_BENCHMARK == DataRecipe().benchmark
    assert DEFAULT_TYPE == ModelRecipe().type


# ---- What is in it ----


def test_every_argument_is_a_key():
    names = {key.name for key in keys_from_code().groups["training"]}
    assert names == {field.name for field in fields(PGMELTrainingArguments)} - set(WITHOUT_EFFECT)


def test_every_key_has_a_meaning():
    empty = [f"{group}.{key.name}" for group, keys in TABLE.groups.items() for key in keys if not key.help]
    assert not empty


@pytest.mark.parametrize(
    ("flag", "types", "default"),
    [
        ("learning_rate", ["float"], 1e-3),
        ("negatives", ["str"], "pg"),
        ("tower_learning_rate", ["float", "null"], None),
        ("model.config.head_dropout", ["float"], 0.0),
        ("model.vision", ["str", "bool", "dict", "null"], None),
        ("model.processor.max_length", ["int"], 64),
        ("model.processor.separator", ["str", "null"], None),
        ("data.options.num_train", ["int"], 1200),
        ("data.options.strict_images", ["bool"], False),
        ("evaluation.splits", ["list"], ["test"]),
    ],
)
def test_types_and_defaults(flag, types, default):
    key = keys_from_code().find(flag)
    assert (key.types, key.default) == (types, default)


def test_choices_and_refused_arguments():
    table = keys_from_code()
    assert table.find("eval_strategy").choices == ["no", "steps", "epoch"]
    assert table.find("estimator").choices == ["reinforce", "expected"]
    assert table.find("data.benchmark").choices == [
        *BENCHMARKS,
        *(name for name in EMBEDDED if name not in BENCHMARKS),
    ]
    assert table.find("negatives").choices is None, "strategies can be registered"
    assert not table.find("fp16").used and table.find("bf16").used and "fp16" not in table.flags()
    assert table.find("model.config.id2label") is None, "a field of every configuration has no meaning here"
    assert table.find("model.config.matching_size") is not None, "a field of any type of model"


def test_a_default_is_that_of_the_configuration():
    config = PGMELConfig()
    for key in TABLE.groups["model.config pgmel"]:
        if key.name not in ("text_config", "vision_config"):
            assert getattr(config, key.name) == key.default, key.name


def test_places_and_flags():
    for flag, place in (
        ("seed", ("training", "seed")),
        ("lr_scheduler_kwargs.a", ("training", "lr_scheduler_kwargs", "a")),
        ("data.name", ("data", "name")),
        ("model.config.fusion", ("model", "config", "fusion")),
    ):
        assert place_of(flag) == place and shown_key(place) == flag


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("weight of it. More.", "Weight of it."),
        ("See [`X`] and [the paper](https://a.b/c).\nNext", "See `X` and the paper."),
        ("Distances, e.g. Cosines. Other", "Distances, e.g. Cosines."),
        ("As Gao et al. 2021 do", "As Gao et al. 2021 do"),
        (r"Weight \\(\lambda\\) of it", "Weight lambda of it"),
    ],
)
def test_the_first_sentence(text, expected):
    assert first_sentence(text) == expected


# ---- Recipes ----


@pytest.mark.parametrize(
    "name", [name for name in recipe_names() if name.startswith("pgmel-") and "slice" not in name]
)
def test_pgmel_recipes_say_how_they_are_launched(name):
    title, *lines = title_of(find_recipe(name))
    text = "\n".join(lines)
    on_cpu = "text" in name or "minilm" in name and "full" not in name
    assert title.startswith("PGMEL on ") and ("for a CPU" if on_cpu else "for a GPU") in title
    assert f" hf-mel train {name}" in text and "torchrun --nproc_per_node 4 -m hf_mel.cli.main train " in text
    assert text.count(f"train {name} ") + text.count(f"train {name}\n") == 2


def test_every_system_and_pgmel_have_recipes_for_each_benchmark():
    names = set(recipe_names())
    systems = {name.split("-")[0] for name in names if name.endswith("-wikimel") and name.count("-") == 1}
    assert {"pgmel", "mimic", "m3el", "melov", "ghmfc", "vilt", "bert", "clip"} <= systems
    for benchmark in ("wikimel", "richpediamel", "wikidiverse"):
        assert {f"{system}-{benchmark}" for system in systems} <= names
        assert {f"pgmel-lora-{benchmark}", f"pgmel-text-{benchmark}"} <= names
