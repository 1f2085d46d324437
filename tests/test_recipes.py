import json

import pytest
import yaml
from huggingface_hub.errors import StrictDataclassError

from hf_mel import make_miniature
from hf_mel.recipe_files import find_recipe, recipe_names
from hf_mel.recipes import DataRecipe, load_recipe, recipe_from_dict
from tests.data.layouts.fixtures import write_json, write_richpediamel
from tests.tiny_recipe import tiny_recipe


RECIPES = [find_recipe(name) for name in recipe_names()]


@pytest.fixture
def recipe(tmp_path):
    return tiny_recipe(tmp_path / "out")


def changed(recipe: dict, key: str, value) -> dict:
    *places, last = key.split(".")
    place = recipe
    for name in places:
        place = place.setdefault(name, {})
    place[last] = value
    return recipe


# ---- Recipes of the repository ----


def test_there_are_recipes():
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_is_valid(path, tmp_path):
    recipe = load_recipe(path, {"output_dir": str(tmp_path)})
    assert recipe.arguments().output_dir == str(tmp_path)
    saved = load_recipe(load_recipe(path).save(tmp_path / "recipe.yaml"))  # stands alone
    assert saved.given == load_recipe(path).given


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_of_the_repository_keeps_its_results_apart(path):
    recipe = load_recipe(path)
    assert recipe.training["output_dir"] == f"runs/{path.stem}"
    named = recipe.evaluation.model_name or recipe.model.type
    assert named.lower() in ("pgmel", path.stem.split("-")[0])


# ---- Reading ----


def test_what_a_recipe_says_arrives(recipe, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    read = load_recipe(path)
    assert read.arguments().pool_size == 8 and read.evaluation.splits == ["test"]
    data = read.data.load()
    model, processor = read.model.load(data)
    assert model.config.projection_size == 8 and model.config.text_config.hidden_size == 16
    assert processor.max_length == 32 and processor.image_processor.crop_size["height"] == 16
    assert len(data.entities) == 20 and data.mentions.num_rows == {"train": 34, "validation": 10, "test": 10}


def test_sections_that_are_left_out_have_defaults():
    recipe = recipe_from_dict({"data": None, "training": {"output_dir": "out"}})
    assert recipe.data.benchmark == "emojimel" and recipe.model.text is None


def test_numbers_with_an_exponent_are_numbers(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "training: {output_dir: out, learning_rate: 1e-3, margin: 5E-1, seed: 7, run_name: 1e-3x, contrast_temperature: 2e-2}"
    )
    training = load_recipe(path).training
    assert training["learning_rate"] == 0.001 and training["margin"] == 0.5 and training["seed"] == 7
    assert training["contrast_temperature"] == 0.02 and training["run_name"] == "1e-3x"


def test_no_is_a_strategy_and_false_is_false(recipe, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("model: {vision: false}\ntraining: {output_dir: out, save_strategy: no, bf16: True}")
    read = load_recipe(path, {"eval_strategy": "no", "use_cpu": True})
    assert read.training["save_strategy"] == read.training["eval_strategy"] == "no" == read.arguments().save_strategy
    assert read.model.vision is False and read.training["bf16"] is True and read.training["use_cpu"] is True


def test_changes(recipe, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    changes = {
        "seed": 3,
        "bf16": True,
        "model.config.fusion": "concat",
        "model.config.text_config.hidden_size": 32,
        "evaluation.splits": ["validation", "test"],
        "data.name": "a=b",
    }
    read = load_recipe(path, changes)
    assert read.training["seed"] == 3 and read.training["bf16"] is True and read.data.name == "a=b"
    assert read.model.config["fusion"] == "concat" and read.model.config["text_config"]["hidden_size"] == 32
    assert read.model.config["text_config"]["model_type"] == "bert", "what was not named stays"
    assert read.evaluation.splits == ["validation", "test"]


def test_a_change_within_a_value_that_is_no_mapping(recipe, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    with pytest.raises(ValueError, match="--data.benchmark.name: data.benchmark is 'miniature', which has no keys"):
        load_recipe(path, {"data.benchmark.name": "x"})


def test_a_typo_in_a_change_is_found(recipe, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    with pytest.raises(ValueError, match="training.sed, did you mean 'seed'"):
        load_recipe(path, {"sed": 3})


# ---- Typos ----


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("trainig", {}, "unknown section 'trainig', did you mean 'training'?"),
        ("data.layuot", "ghmfc", "unknown key data.layuot, did you mean 'layout'?"),
        ("data.layout", "ghmcf", "data.layout is 'ghmcf', did you mean 'ghmfc'?"),
        ("data.layout", "zzz", "data.layout is 'zzz'; known are auto, fissfuse, ghmfc, kgmel, "),
        ("data.options.num_entitys", 5, "unknown key data.options.num_entitys, did you mean 'num_entities'?"),
        ("model.tokeniser", "x", "unknown key model.tokeniser, did you mean 'tokenizer'?"),
        ("model.config.poolling", "mean", "unknown key model.config.poolling, did you mean 'pooling'?"),
        ("model.processor.max_lenght", 8, "unknown key model.processor.max_lenght, did you mean 'max_length'?"),
        ("training.num_negative", 3, "unknown key training.num_negative, did you mean 'num_negatives'?"),
        ("evaluation.split", ["test"], "unknown key evaluation.split, did you mean 'splits'?"),
        ("training.zzz", 3, "unknown key training.zzz; known are "),
        ("data", ["miniature"], "section 'data' must be a mapping, got ['miniature']"),
        ("model.config", "pgmel", "model.config must be a mapping, got 'pgmel'"),
        ("model.type", "mimik", "model.type is 'mimik', did you mean 'mimic'?"),
        ("model.config.projection_size", "8", "model.config.projection_size must be an integer, got '8'"),
        ("model.config.freeze_text", 1, "model.config.freeze_text must be true or false, got 1"),
        ("model.processor.max_length", 8.5, "model.processor.max_length must be an integer, got 8.5"),
        ("model.vision", 3, "model.vision must be text or true or false or a mapping, got 3: write it in quotes"),
        ("data.options.num_train", "many", "data.options.num_train must be an integer, got 'many'"),
        ("data.train_share", True, "data.train_share must be a number, got True"),
        ("training.seed", 1.5, "training.seed must be an integer, got 1.5"),
        ("training.learning_rate", "1e-4x", "training.learning_rate must be a number, got '1e-4x'"),
        ("training.pool_size", None, "training.pool_size must be an integer, got None"),
        ("training.run_name", 3, "training.run_name must be text, got 3: write it in quotes"),
        ("training.eval_strategy", "epochs", "training.eval_strategy is 'epochs', did you mean 'epoch'?"),
        ("training.estimator", "x", "training.estimator is 'x'; known are expected, reinforce"),
        ("training.negatives_kwargs", "x", "training.negatives_kwargs must be a mapping, got 'x'"),
        ("training.resume_from_checkpoint", "x", "unknown key training.resume_from_checkpoint"),
        ("evaluation.splits", "test", "evaluation.splits must be a list, got 'test': write [test]"),
        ("evaluation.splits", [1], "evaluation.splits must be a list whose items are text, got 1"),
    ],
)
def test_wrong_keys_and_values(key, value, message, recipe):
    with pytest.raises(ValueError) as error:
        recipe_from_dict(changed(recipe, key, value), "my.yaml")
    assert str(error.value).startswith("my.yaml: ") and message in str(error.value)


def test_options_of_another_layout_are_unknown(recipe):
    recipe["data"] = {"benchmark": "wikimel", "raw_dir": "x", "options": {"num_entities": 5, "sed": 1}}
    with pytest.raises(ValueError, match=r"data.options.num_entities.*data.options.sed, did you mean 'seed'"):
        recipe_from_dict(recipe)


def test_all_problems_are_listed_together(recipe):
    recipe |= {"evaluatoin": {}}
    for key in ("data.nmae", "data.layout", "model.config.fusoin", "training.lerning_rate"):
        changed(recipe, key, "x")
    with pytest.raises(ValueError) as error:
        recipe_from_dict(recipe)
    parts = ("'evaluation'", "'name'", "data.layout is 'x'", "'fusion'", "'learning_rate'")
    assert all(part in str(error.value) for part in parts)


# ---- Files and environment ----


def test_a_file_that_is_no_recipe(tmp_path):
    with pytest.raises(FileNotFoundError, match="no.yaml"):
        load_recipe(tmp_path / "no.yaml")
    path = tmp_path / "recipe.yaml"
    for text, message in (
        ("- a\n- b\n", "a recipe is a mapping"),
        ("", "a recipe is a mapping"),
        ("a: [", "is not YAML"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message) as error:
            load_recipe(path)
        assert str(path) in str(error.value)


def test_an_unset_environment_variable_is_named(recipe, monkeypatch, tmp_path):
    monkeypatch.delenv("MEL_FILES", raising=False)
    recipe["data"] = {"benchmark": "wikimel", "raw_dir": "$MEL_FILES/wikimel"}
    data = recipe_from_dict(recipe).data
    with pytest.raises(ValueError, match=r"`data.raw_dir` is '\$MEL_FILES/wikimel'"):
        data.load()
    monkeypatch.setenv("MEL_FILES", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "wikimel")):
        data.load()
    for key in ("checkpoint", "text", "tokenizer"):
        model = tiny_recipe(tmp_path)["model"] | {key: "${NO_SUCH_MODEL}"}
        with pytest.raises(ValueError, match=rf"`model.{key}` is '\$\{{NO_SUCH_MODEL\}}'"):
            recipe_from_dict({"model": model}).model.load(make_miniature())


def test_places_in_options(recipe, monkeypatch, tmp_path):
    monkeypatch.delenv("MEL_FILES", raising=False)
    options = {"captions": "$MEL_FILES/Richpedia-MEL.json"}
    recipe["data"] = {"benchmark": "richpediamel", "raw_dir": str(write_richpediamel(tmp_path)), "options": options}
    data = recipe_from_dict(recipe).data
    with pytest.raises(ValueError, match=r"`data.options.captions` is '\$MEL_FILES/.*--data.options.captions VALUE"):
        data.check()
    monkeypatch.setenv("MEL_FILES", str(tmp_path / "bench"))
    with pytest.raises(FileNotFoundError, match="`data.options.captions`: no file .*Richpedia-MEL.json"):
        data.check()
    captions = json.loads((tmp_path / "train.json").read_text()) | json.loads((tmp_path / "test.json").read_text())
    for caption in captions.values():
        caption["sentence"] = f"Long ago. {caption['sentence']}"
    write_json(tmp_path / "bench", **{"Richpedia-MEL": captions})
    loaded = data.load()
    assert loaded.mentions["test"]["text"][:] == ["Long ago. The end."]
    assert loaded.report["captions_file"] == "Richpedia-MEL.json"


@pytest.mark.parametrize(("section", "missing"), [("data", "path"), ("model", "tokenizer"), ("model", "image_size")])
def test_what_is_missing_is_named(section, missing, recipe):
    if section == "data":
        recipe["data"] = {"benchmark": None}
    else:
        del recipe["model"][missing]
    read = recipe_from_dict(recipe)
    with pytest.raises(ValueError, match=rf"`{section}.{missing}` is missing"):
        read.data.load() if section == "data" else read.model.load(make_miniature())


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_a_share_that_is_none(share, recipe):
    recipe["data"]["train_share"] = share
    with pytest.raises(ValueError, match="`data.train_share` must be above 0 and at most 1"):
        recipe_from_dict(recipe).check()


def test_the_configuration_is_checked_before_the_data_are_read(recipe, monkeypatch):
    monkeypatch.setattr("hf_mel.recipes.sections.load_benchmark", None)  # never called
    recipe["model"]["config"]["fusion"] = "gmuu"
    with pytest.raises(StrictDataclassError, match="`fusion` must be one of"):
        recipe_from_dict(recipe).check()
    del recipe["model"]["config"]["vision_config"], recipe["model"]["config"]["text_config"]
    recipe["model"] |= {"text": "org/clip", "vision": False}
    recipe["model"]["config"]["fusion"] = "image"
    with pytest.raises(StrictDataclassError, match="needs a vision tower"):
        recipe_from_dict(recipe).check()
    recipe["model"]["vision"] = None  # that of the same checkpoint
    recipe_from_dict(recipe).check()


def test_a_file_extends_a_recipe_of_the_package(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: miniature\ntraining: {output_dir: mine}\nmodel: {config: {fusion: concat}}")
    recipe = load_recipe(path)
    assert recipe.training["output_dir"] == "mine" and recipe.model.config["fusion"] == "concat"
    assert recipe.training["pool_size"] == load_recipe("miniature").training["pool_size"]
    path.write_text("extends: miniatur")
    with pytest.raises(FileNotFoundError, match="mine.yaml extends miniatur, but .* did you mean 'miniature'"):
        load_recipe(path)


def test_data_of_a_benchmark_that_is_not_part_of_the_package(recipe):
    recipe["data"] = {"benchmark": "wikimel"}
    with pytest.raises(ValueError, match="`data.raw_dir` is missing. WikiMEL is not part of the package"):
        recipe_from_dict(recipe).data.load()


def test_a_tokenizer_and_weights_from_the_corpus(recipe):
    recipe["model"]["tokenizer"] = "corpus"
    recipe["model"]["config"]["text_config"] = {"model_type": "bag_of_tokens", "vocab_size": 400, "hidden_size": 16}
    recipe["model"]["config"]["pooling"] = "pooler"
    read = recipe_from_dict(recipe)
    data = read.data.load()
    model, processor = read.model.load(data)
    weights = model.text_model.token_weights
    words = processor.tokenizer.convert_tokens_to_ids(["birth", data.entities.names()[0].split()[0].lower(), "camera"])
    # In all entities, in few, in none: only a sentence names it.
    assert weights[words[0]] < 0.2 < weights[words[1]] and weights[words[2]].item() == pytest.approx(0.1)
    again, other = read.model.load(data)
    assert other.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    assert again.text_model.token_weights.tolist() == weights.tolist()


@pytest.mark.parametrize("benchmark", ["emojimel", "miniature"])
def test_a_path_is_other_data_than_a_benchmark_of_the_package(benchmark, tmp_path):
    """Neither its entities nor its name are used."""
    folder = tmp_path / "museum"
    make_miniature(num_entities=20, num_train=8, num_validation=4, num_test=4).entities.save(folder)
    given = DataRecipe(benchmark=benchmark, path=str(folder))
    assert given.benchmark is None and given.shown_name == "museum"
    assert DataRecipe(path=str(folder)).benchmark is None and DataRecipe().benchmark == "emojimel"
    assert DataRecipe(benchmark="wikimel", path=str(folder)).benchmark == "wikimel", "built from a release"
