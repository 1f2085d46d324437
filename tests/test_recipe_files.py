"""`extends`: how files become one recipe, and which file an error names."""

import itertools
from pathlib import Path

import pytest
import yaml

from hf_mel.recipe_files import read_recipe_files
from hf_mel.recipes import load_recipe
from tests.test_recipes import RECIPES


@pytest.fixture
def write(tmp_path):
    """Writes a file of the given text, and returns its path."""

    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return written


# ---- Merging ----


def test_mappings_are_merged_and_the_later_value_counts(write):
    write(
        "a.yaml", "training: {seed: 1, margin: 0.1, run_name: a}\nmodel: {config: {fusion: gmu, projection_size: 8}}"
    )
    write("b.yaml", "training: {seed: 2, margin: 0.2}\nevaluation: {splits: [test, validation]}")
    path = write(
        "own.yaml",
        "extends: [a.yaml, b.yaml]\ntraining: {seed: 3, output_dir: out}\n"
        "model: {config: {fusion: concat}}\nevaluation: {splits: [validation]}",
    )
    recipe = load_recipe(path)
    assert recipe.training == {"seed": 3, "margin": 0.2, "run_name": "a", "output_dir": "out"}
    assert recipe.model.config == {"fusion": "concat", "projection_size": 8}
    assert recipe.evaluation.splits == ["validation"], "a list is replaced, not merged"


def test_names_are_relative_to_the_file_that_says_them(write):
    write("parts/deep.yaml", "training: {seed: 1, margin: 0.1}")
    write("parts/middle.yaml", "extends: deep.yaml\ntraining: {margin: 0.2}")
    path = write("own.yaml", "extends: parts/middle.yaml\ntraining: {output_dir: out}")
    assert load_recipe(path).training == {"seed": 1, "margin": 0.2, "output_dir": "out"}


def test_null_takes_a_value_away_and_a_mapping_comes_back(write):
    write("a.yaml", "model: {image_size: 16, config: {vision_config: {model_type: resnet}, fusion: late}}")
    path = write("b.yaml", "extends: a.yaml\nmodel: {image_size: null, config: {vision_config: null}}")
    model = load_recipe(path).model
    assert model.image_size is None and model.config == {"vision_config": None, "fusion": "late"}
    path = write("c.yaml", "extends: b.yaml\nmodel: {config: {vision_config: {model_type: vit}}}")
    assert load_recipe(path).model.config["vision_config"] == {"model_type": "vit"}
    path = write("d.yaml", "extends: a.yaml\nmodel: null")
    assert load_recipe(path).model.config == {}


def test_changes_come_last(write):
    write("a.yaml", "training: {seed: 1}")
    path = write("own.yaml", "extends: a.yaml\ntraining: {output_dir: out}")
    assert load_recipe(path, {"seed": 7}).training == {"seed": 7, "output_dir": "out"}


def test_what_is_extended_twice_is_no_circle(write):
    write("base.yaml", "training: {seed: 1, margin: 0.1}")
    write("a.yaml", "extends: base.yaml\ntraining: {margin: 0.2}")
    write("b.yaml", "extends: base.yaml\ntraining: {seed: 2}")
    path = write("own.yaml", "extends: [a.yaml, b.yaml]\ntraining: {output_dir: out}")
    # In the order of the list: `b` brings its base again, over what `a` said.
    assert load_recipe(path).training == {"seed": 2, "margin": 0.1, "output_dir": "out"}


def test_the_files_are_not_changed_by_reading_them_twice(write):
    write("a.yaml", "model: {config: {fusion: gmu}}\nevaluation: {splits: [test]}")
    path = write("own.yaml", "extends: a.yaml")
    first = read_recipe_files(path)
    first.change("model.config.fusion", "concat")
    assert read_recipe_files(path).content["model"]["config"] == {"fusion": "gmu"}


def test_a_checkpoint_replaces_the_towers_of_the_files_before_it(write):
    write("towers.yaml", "model: {type: mimic, text: a, vision: b, config: {freeze_text: true}, lora: {r: 2}}")
    path = write("own.yaml", "extends: towers.yaml\nmodel: {checkpoint: c, config: {freeze_text: false}}")
    kept = {"type": "mimic", "checkpoint": "c", "lora": {"r": 2}}
    assert load_recipe(path).given["model"] == kept | {"config": {"freeze_text": False}}
    for first, second in itertools.permutations([("model.checkpoint", "d"), ("model.config.freeze_vision", True)]):
        changed = load_recipe(write("towers.yaml", (path.parent / "towers.yaml").read_text()), dict([first, second]))
        assert changed.given["model"] == kept | {"checkpoint": "d", "config": {"freeze_vision": True}}
    # What is said of one checkpoint holds for another in its place.
    assert load_recipe(path, {"model.checkpoint": "d"}).given["model"]["config"] == {"freeze_text": False}
    # No checkpoint, nothing goes.
    assert load_recipe(path.parent / "towers.yaml", {"model.checkpoint": None}).model.text == "a"


def test_towers_beside_a_checkpoint_are_refused(write):
    recipe = load_recipe(write("own.yaml", "model: {checkpoint: c, text: a, vision: false}"))
    with pytest.raises(ValueError, match="brings its own .* leave out `model.text`, `model.vision`"):
        recipe.model.check()


def test_the_recipe_of_a_run_stands_alone(write, tmp_path):
    write("a.yaml", "data: {benchmark: miniature}\ntraining: {seed: 1}")
    recipe = load_recipe(write("own.yaml", "extends: a.yaml\ntraining: {output_dir: out}"))
    assert recipe.given == {"data": {"benchmark": "miniature"}, "training": {"seed": 1, "output_dir": "out"}}
    saved = recipe.save(tmp_path / "elsewhere" / "recipe.yaml")
    assert load_recipe(saved).given == recipe.given


# ---- Errors ----


def test_a_file_that_is_not_there_is_named_with_who_wants_it(write):
    path = write("own.yaml", "extends: [parts/none.yaml]")
    with pytest.raises(FileNotFoundError) as error:
        load_recipe(path)
    assert f"{path} extends parts/none.yaml" in str(error.value)
    assert f"no file {path.parent / 'parts' / 'none.yaml'}" in str(error.value)


@pytest.mark.parametrize("names", ["3", "{a: b}", "[a.yaml, 3]", "true"])
def test_what_names_no_files(names, write):
    path = write("own.yaml", f"extends: {names}")
    with pytest.raises(ValueError, match="`extends` is the name of a file or a list of names") as error:
        load_recipe(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("text", "message"), [("- a", "is a mapping"), ("a: [", "is not YAML")])
def test_a_broken_part_is_named(text, message, write):
    part = write("part.yaml", text)
    with pytest.raises(ValueError, match=message) as error:
        load_recipe(write("own.yaml", "extends: part.yaml"))
    assert str(error.value).startswith(str(part))


def test_a_circle_is_shown(write):
    paths = [write(f"{name}.yaml", f"extends: {other}.yaml") for name, other in ("ab", "bc", "ca")]
    with pytest.raises(ValueError) as error:
        load_recipe(paths[0])
    shown = " extends ".join(str(path) for path in (*paths, paths[0]))
    assert str(error.value) == f"a recipe cannot extend itself: {shown}"
    itself = write("self.yaml", "extends: ./self.yaml")
    with pytest.raises(ValueError, match="cannot extend itself"):
        load_recipe(itself)


def test_an_unknown_key_names_the_file_it_stands_in(write):
    part = write("part.yaml", "training: {lerning_rate: 1, seed: 1}\nmodel: {config: {fusoin: gmu}}\ndata: {nmae: x}")
    path = write("own.yaml", "extends: part.yaml\ntraining: {sed: 2}\ndata: {layout: ghmcf}")
    with pytest.raises(ValueError) as error:
        load_recipe(path, {"evaluation.split": "x"})
    start, *lines = str(error.value).split(": ", 1)[1].split("; unknown ")
    lines = [start.removeprefix("unknown "), *lines]
    named = {line.split(",")[0].split("; known")[0].split()[-1]: f"(in {part})" in line for line in lines}
    assert named["training.lerning_rate"] and named["model.config.fusoin"] and named["data.nmae"]
    assert not named["training.sed"] and not named["evaluation.split"]
    assert str(error.value).startswith(f"{path}: ")


def test_a_changed_key_is_in_no_file(write):
    write("part.yaml", "data: {layout: ghmcf}")
    path = write("own.yaml", "extends: part.yaml")
    with pytest.raises(ValueError, match=r"did you mean 'ghmfc'\? \(in .*part.yaml\)"):
        load_recipe(path)
    with pytest.raises(ValueError) as error:
        load_recipe(path, {"data.layout": "kgmle"})
    assert "(in " not in str(error.value)


def test_extends_is_for_files(write):
    from hf_mel.recipes import recipe_from_dict

    with pytest.raises(ValueError, match="`extends` is for files"):
        recipe_from_dict({"extends": "a.yaml", "training": {"output_dir": "out"}})


# ---- Parts of the repository ----


def test_every_part_is_used_and_is_no_recipe_by_itself():
    folder = RECIPES[0].parent
    parts, used, left = set((folder / "parts").glob("*.yaml")), set(), list(RECIPES)
    while left:
        path = left.pop()
        names = yaml.safe_load(path.read_text()).get("extends", [])
        found = {(path.parent / name).resolve() for name in ([names] if isinstance(names, str) else names)}
        left += [each for each in found if each not in used]
        used |= found
    assert {part.resolve() for part in parts} == used - {path.resolve() for path in RECIPES}
    assert not any("output_dir" in part.read_text() for part in parts), "two recipes would write into one folder"
