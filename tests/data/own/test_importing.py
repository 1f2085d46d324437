"""Own tables into a folder that `load_dataset` reads."""

import pytest
from datasets import load_dataset

from hf_mel.data import KnowledgeBase, load_data
from hf_mel.data.building import build_dataset
from hf_mel.data.own.importing import read_own_data
from hf_mel.data.own.urls import FetchLimits
from tests.data.own.test_urls import limits, server  # noqa: F401


@pytest.fixture
def tables(tmp_path, write_picture):
    write_picture(tmp_path / "pictures" / "a.png")
    (tmp_path / "e.csv").write_text("id,name,aliases,image\nQ1,Ann,A|An,pictures/a.png\nQ2,Bo,,pictures/absent.png\n")
    (tmp_path / "train.csv").write_text(
        "mention,sentence,entity_id,image\nAnn,Ann ran.,Q1,pictures/a.png\nBo,Bo,Q2,\n"
    )
    (tmp_path / "test.jsonl").write_text('{"mention": "Cy", "text": "Cy slept.", "entity_id": null}\n')
    return tmp_path


def test_what_is_built_is_what_was_read(tables, monkeypatch):
    raw = read_own_data(tables / "e.csv", {"train": tables / "train.csv", "test": tables / "test.jsonl"})
    report = build_dataset(raw, tables / "out", name="out")
    assert report["splits"]["train"]["mentions"] == 2 and report["splits"]["test"]["nil"] == 1
    assert report["entity_images"] == {"missing_file": 1, "ok": 1}
    direct = KnowledgeBase.from_csv(tables / "e.csv")
    (tables / "pictures" / "a.png").unlink()
    built = KnowledgeBase.load(tables / "out")
    for name in ("id", "name", "aliases", "description", "attributes", "types", "image_status", "source_row"):
        assert built.dataset[name][:] == direct.dataset[name][:]
    assert built.images([0])[0].size == (6, 4)
    monkeypatch.chdir(tables)
    mentions = load_dataset("out", "mentions")
    assert mentions["train"]["id"][:] == ["train-1", "train-2"] and mentions["test"]["id"][:] == ["test-1"]
    assert mentions["train"]["end"][:] == [3, 2]
    assert mentions["train"][0]["image"].size == (6, 4)
    assert load_dataset("out", "entities", split="train")["name"][:] == ["Ann", "Bo"]


def test_problems_of_all_tables_are_told_at_once(tables):
    (tables / "e.csv").write_text("id,name\nQ1,\n")
    (tables / "train.csv").write_text("mention,sentence,entity_id\n,x,Q7\n")
    with pytest.raises(ValueError) as raised:
        read_own_data(tables / "e.csv", {"train": tables / "train.csv", "test": tables / "test.jsonl"})
    message = str(raised.value)
    assert f"{tables / 'e.csv'}: 1 problem\n  line 2: `name` is missing" in message
    assert f"{tables / 'train.csv'}: 1 problem\n  line 2: `mention` is missing" in message
    (tables / "e.csv").write_text("id,name\nQ1,Ann\n")
    (tables / "train.csv").write_text("mention,sentence,entity_id\nx,x,Q7\n")
    with pytest.raises(
        ValueError, match=r"train\.csv: 1 problem\n  line 2: `entity_id` 'Q7' is not the id of an entity"
    ):
        read_own_data(tables / "e.csv", {"train": tables / "train.csv"})


def test_ids_in_two_splits(tables):
    (tables / "a.csv").write_text("id,mention,sentence,entity_id\nm,x,x,\n")
    with pytest.raises(ValueError, match="split 'test': `id` 'm' is already used in split 'train'"):
        read_own_data(tables / "e.csv", {"train": tables / "a.csv", "test": tables / "a.csv"})


def test_a_file_that_changes_after_the_check_stops_the_build(tables):
    raw = read_own_data(tables / "e.csv", {"train": tables / "train.csv"})
    (tables / "e.csv").write_text("id,name,aliases,image\nQ1,Ann,,\nQ2,,,\n")
    with pytest.raises(ValueError, match="line 3: `name` is missing"):
        build_dataset(raw, tables / "out", name="out")
    assert not (tables / "out").exists()


@pytest.mark.loopback
def test_urls_are_fetched_before_the_build_and_the_rest_is_named(tables, server, limits, caplog):  # noqa: F811
    rows = "".join(f"Q{i},n{i},{server.url}/{name}\n" for i, name in enumerate(["good.png", "gone?key=secret"]))
    (tables / "e.csv").write_text("id,name,image\n" + rows + "Q2,n2,\nQ3,n3,pictures/a.png\n")
    files = {"test": tables / "test.jsonl"}
    raw = read_own_data(tables / "e.csv", files)
    assert f"{tables / 'e.csv'}: 2 pictures named by a URL, only fetched with `fetch_urls=True`" in caplog.messages
    report = build_dataset(raw, tables / "without", name="without")
    assert not server.asked
    assert report["entity_images"] == {"missing_file": 2, "none": 1, "ok": 1}
    assert [(entry["record"], entry["file"], entry["reason"]) for entry in report["pictures"]] == [
        (
            f"Q{i}",
            f"{server.url}/{name}",
            f"{server.url}/{name} was not fetched: URLs are only followed with `fetch_urls=True`",
        )
        for i, name in enumerate(["good.png", "gone"])
    ]
    raw = read_own_data(tables / "e.csv", files, fetch_urls=FetchLimits(**limits))
    assert server.asked == {"/good.png": 1, "/gone": 1}
    assert (
        f"{tables / 'e.csv'}: 1 picture could not be fetched: {server.url}/gone was not fetched: HTTP 404"
        in caplog.messages
    )
    report = build_dataset(raw, tables / "with", name="with")
    assert report["entity_images"] == {"missing_file": 1, "none": 1, "ok": 2}
    (entry,) = report["pictures"]
    assert entry["file"] == f"{server.url}/gone" and entry["status"] == "missing_file"
    assert entry["reason"] == f"{server.url}/gone was not fetched: HTTP 404"
    assert "secret" not in str(report)
    assert KnowledgeBase.load(tables / "with").images([0])[0].size == (6, 4)
    assert server.asked == {"/good.png": 1, "/gone": 1}


def test_a_status_without_a_picture_is_kept(tables):
    (tables / "e.csv").write_text("id,name,image_status\nQ1,a,missing_file\nQ2,b,none\nQ3,c,\nQ4,d,blank\n")
    report = build_dataset(
        read_own_data(tables / "e.csv", {"test": tables / "test.jsonl"}), tables / "out", name="out"
    )
    assert report["entity_images"] == {"blank": 1, "missing_file": 1, "none": 2}
    assert [(entry["record"], entry["status"], entry["reason"]) for entry in report["pictures"]] == [
        (record, status, f"`image_status` is '{status}', and no picture is named")
        for record, status in (("Q1", "missing_file"), ("Q4", "blank"))
    ]
    built = KnowledgeBase.load(tables / "out").dataset
    assert built["image_status"][:] == ["missing_file", "none", "none", "blank"]
    assert built["image_status"][:] == KnowledgeBase.from_csv(tables / "e.csv").dataset["image_status"][:]


def test_the_knowledge_base_alone(tables, caplog):
    report = build_dataset(read_own_data(tables / "e.csv"), tables / "alone", name="alone")
    assert report["splits"] == {} and report["entities"] == 2
    assert sorted(path.name for path in (tables / "alone").iterdir()) == ["README.md", "build_report.json", "entities"]
    card = (tables / "alone" / "README.md").read_text()
    assert "mention" not in card.replace("entity-linking", "").split("---\n", 2)[2].replace("benchmark", "")
    built = load_dataset(str(tables / "alone"), split="train")
    assert built["name"][:] == ["Ann", "Bo"]
    assert KnowledgeBase.load(tables / "alone").ids == ["Q1", "Q2"]
    data = load_data(tables / "alone")
    assert data.mentions == {} and data.entities.ids == ["Q1", "Q2"]
    assert data.entities.images([0])[0].size == (6, 4)
