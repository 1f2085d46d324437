"""The three configs, the task file, `eval.yaml` and the card that `hf-mel push dataset --mteb` writes."""

import ast
import json

import pytest
import yaml
from datasets import get_dataset_config_names, load_dataset
from huggingface_hub import DatasetCard

from hf_mel import load_data
from hf_mel.cli.main import main
from hf_mel.mteb import write_mteb
from hf_mel.mteb.repository_files import TASK_METRICS, task_id
from tests.data.building.common import contents
from tests.mteb.common import ENTITIES, LONG, MENTIONS, build, tables


@pytest.fixture
def folder(tmp_path):
    return build(tmp_path)


def test_the_three_configs_hold_the_data(folder):
    export = write_mteb(folder, "org/small")
    assert (export.corpus, export.queries, export.nil) == (5, {"train": 1, "test": 4}, {"train": 1, "test": 1})
    found = tables(folder)
    assert found["corpus"]["id"][:] == [entity["id"] for entity in ENTITIES]
    assert found["corpus"]["title"][:] == [entity["name"] for entity in ENTITIES]
    assert found["corpus"]["text"][:] == [
        "a vessel of stoneware",
        "with a single hand",
        "gives light",
        "gives light",
        "",
    ]
    assert [json.loads(each) for each in found["corpus"]["aliases"][:]] == [["pitcher", 'a "mug"'], [], [], [], []]
    assert [image is not None for image in found["corpus"]["image"][:]] == [True, True, False, False, False]
    assert found["gold"] == {"m1": {"jug"}, "m2": {"clock"}, "m3": {"twin-b"}, "m5": {"bare"}}
    assert found["queries"]["id"][:] == ["m1", "m2", "m3", "m5"], "NIL mentions are left out"
    assert found["queries"]["text"][0] == "pitcher: She filled the pitcher."
    assert found["queries"]["start"][:] == [15, -1, 4, LONG.rindex("bowl")], (
        "mteb refuses null in every column but pictures"
    )
    assert [image is not None for image in found["queries"]["image"][:]] == [True, False, False, True]
    assert load_dataset(str(folder), "qrels", split="train")["query-id"][:] == ["t1"]


def test_the_data_set_stays_what_it_was(folder):
    before, text = load_data(str(folder)), DatasetCard.load(folder / "README.md").text
    write_mteb(folder, "org/small")
    after = load_data(str(folder))
    assert after.entities.fingerprint == before.entities.fingerprint
    assert after.mentions.num_rows == before.mentions.num_rows
    assert set(get_dataset_config_names(str(folder))) == {"mentions", "entities", "corpus", "queries", "qrels"}
    assert load_dataset(str(folder), split="test")["id"][:] == [row[0] for row in MENTIONS["test"]], (
        "the default config"
    )
    card = DatasetCard.load(folder / "README.md")
    assert card.text.startswith(text.rstrip("\n")) and card.data.license == "cc-by-4.0"


def test_again_gives_the_same_bytes_and_a_change_others(folder):
    write_mteb(folder, "org/small")
    (folder / "queries" / "notes.txt").write_text("mine", encoding="utf-8")
    (folder / "queries" / "test-00001-of-00002.parquet").write_bytes(b"of an earlier call")
    first = contents(folder)
    write_mteb(folder, "org/small")
    del first["queries/test-00001-of-00002.parquet"]
    assert contents(folder) == first
    write_mteb(folder, "org/other")
    changed = {path for path, content in contents(folder).items() if content != first.get(path)}
    assert changed == {"mteb_tasks.py", "README.md"} and len(contents(folder)) == len(first)


def test_the_task_file_is_python_and_names_the_tasks(folder):
    export = write_mteb(folder, "org/small")
    tree = ast.parse((folder / "mteb_tasks.py").read_text(encoding="utf-8"))
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    assert tuple(classes) == export.tasks == ("SmallT2TRetrieval", "SmallIT2ITRetrieval")


@pytest.mark.parametrize(
    ("name", "start"),
    [("Café: 2nd 'edition'\"", "Caf2ndEdition"), ("2024 things", "MEL2024Things"), ("数据", "MEL")],
)
def test_any_title_gives_a_task_file(tmp_path, name, start):
    folder = build(tmp_path, front=f"---\nlicense: mit\npretty_name: {json.dumps(name)}\n")
    card = (folder / "README.md").read_text(encoding="utf-8").replace("pretty_name: small\n", "")
    (folder / "README.md").write_text(card, encoding="utf-8")
    export = write_mteb(folder, "org/small")
    ast.parse((folder / "mteb_tasks.py").read_text(encoding="utf-8"))
    assert export.tasks[0] == f"{start}T2TRetrieval"
    assert yaml.safe_load((folder / "eval.yaml").read_text(encoding="utf-8"))["name"] == name


def test_without_pictures_there_is_one_task_and_no_column(tmp_path):
    folder = build(tmp_path, pictures=False)
    assert write_mteb(folder, "org/small").tasks == ("SmallT2TRetrieval",)
    found = tables(folder)
    assert "image" not in found["corpus"].column_names and "image" not in found["queries"].column_names


def test_eval_yaml_has_the_documented_fields_and_splits_that_are_there(folder):
    write_mteb(folder, "org/small")
    found = yaml.safe_load((folder / "eval.yaml").read_text(encoding="utf-8"))
    assert set(found) == {"name", "description", "evaluation_framework", "tasks"}
    assert found["evaluation_framework"] == "mteb"
    assert all(set(task) == {"id", "config", "split"} for task in found["tasks"])
    ids = [task["id"] for task in found["tasks"]]
    assert len(set(ids)) == len(ids) and {"SmallT2TRetrieval", "SmallIT2ITRetrieval_default_test"} <= set(ids)
    assert {task_id("test", metric) for metric in TASK_METRICS} <= set(ids), "those of .eval_results/ of a model"
    for task in found["tasks"]:
        assert len(load_dataset(str(folder), task["config"], split=task["split"])) == 4


# ---- From the command line, and what is refused ----


def test_a_dry_run_writes_the_files_and_sends_nothing(folder, capsys):
    assert main(["push", "dataset", str(folder), "org/small", "--mteb", "--dry_run"]) == 0
    shown = capsys.readouterr().out
    assert "mteb: SmallT2TRetrieval, SmallIT2ITRetrieval; 5 documents; queries: train 1 (1 NIL left out)" in shown
    assert "nothing was sent to org/small" in shown
    for path in ("mteb_tasks.py", "eval.yaml", "qrels/test-00000-of-00001.parquet"):
        assert f"  {path}\n" in shown and (folder / path).is_file()


def test_mteb_is_for_data_sets(tmp_path, capsys):
    assert main(["push", "model", str(tmp_path), "org/small", "--mteb"]) == 2
    assert "--mteb is for `hf-mel push dataset`" in capsys.readouterr().err


def test_only_a_built_folder_with_linked_mentions_is_exported(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="is no built data set"):
        write_mteb(tmp_path / "empty", "org/small")
    folder = build(tmp_path, mentions={"test": [("m1", "vase", "A vase fell.", None)]})
    before = contents(folder)
    with pytest.raises(ValueError, match="no mention with an entity"):
        write_mteb(folder, "org/small")
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["mteb_tasks.py", "queries/mine.parquet"])
def test_files_of_somebody_else_are_not_replaced(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine", encoding="utf-8")
    before = contents(folder)
    with pytest.raises(ValueError, match=name.split("/")[0]):
        write_mteb(folder, "org/small")
    assert contents(folder) == before


def test_an_eval_yaml_of_the_owner_is_kept(folder):
    (folder / "eval.yaml").write_text("name: mine\n", encoding="utf-8")
    write_mteb(folder, "org/small")
    assert (folder / "eval.yaml").read_text(encoding="utf-8") == "name: mine\n"
