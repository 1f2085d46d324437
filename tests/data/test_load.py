"""`load_dataset` on a built folder in every way, `load_benchmark` and `load_data`."""

import json
import shutil

import pytest
from datasets import Image, load_dataset

from hf_mel.data import KnowledgeBase
from hf_mel.data.building import build_benchmark
from hf_mel.data.folders import is_built
from hf_mel.data.load import load_benchmark, load_data
from tests.data.layouts.fixtures import write_ghmfc, write_mimic, write_wikidiverse


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """`raw/`, and `built/wikimel/` made from it."""
    folder = tmp_path_factory.mktemp("load")
    raw = write_mimic(folder / "raw", extra=130)
    report = build_benchmark("wikimel", raw, folder / "built" / "wikimel", max_shard_bytes=60_000)
    return raw, folder / "built" / "wikimel", report


@pytest.fixture
def decoding(monkeypatch):
    """A list that grows with each picture that is decoded."""
    calls, decode = [], Image.decode_example
    monkeypatch.setattr(
        Image, "decode_example", lambda self, *args, **kw: (calls.append(1), decode(self, *args, **kw))[1]
    )
    return calls


# ---- load_dataset ----


def test_by_name_from_the_folder_above(places, monkeypatch):
    monkeypatch.chdir(places[1].parent)
    mentions = load_dataset("wikimel")
    assert mentions.num_rows == {"train": 136, "validation": 1, "test": 2}
    assert mentions["train"][0]["image"].size == (8, 6)
    entities = load_dataset("wikimel", "entities")
    assert entities.num_rows == {"train": 135}
    assert [row["id"] for row in load_dataset("wikimel", "entities", split="train[:2]")] == ["Q345", "Q1744"]


def test_by_path(places):
    path = str(places[1])
    assert load_dataset(path, "entities", split="train").num_rows == 135
    assert load_dataset(path, "mentions", split="test").num_rows == 2
    assert load_dataset(path, split="train+test").num_rows == 138
    with pytest.raises(ValueError, match="BuilderConfig 'pictures' not found"):
        load_dataset(path, "pictures")


def test_streaming(places):
    stream = load_dataset(str(places[1]), "entities", split="train", streaming=True)
    table = load_dataset(str(places[1]), "entities", split="train")
    assert stream.features == table.features
    for row, other in zip(stream, table, strict=True):
        assert (row.pop("image") is None) == (other.pop("image") is None)
        assert row == other
    assert next(iter(load_dataset(str(places[1]), streaming=True)["test"]))["image"].size == (8, 6)


def test_in_several_processes(places):
    one = load_dataset(str(places[1]), "mentions", split="train")
    two = load_dataset(str(places[1]), "mentions", split="train", num_proc=2, download_mode="force_redownload")
    assert one["id"][:] == two["id"][:]


def test_columns_without_decoding_pictures(places, decoding):
    path = str(places[1])
    columns = ["id", "mention", "image_status"]
    table = load_dataset(path, "mentions", split="train", columns=columns)
    assert table.column_names == columns
    assert table[0] == {"id": "0", "mention": "Madonna", "image_status": "ok"}
    stream = load_dataset(path, "mentions", split="train", columns=columns, streaming=True)
    assert next(iter(stream)) == table[0]
    whole = load_dataset(path, "mentions", split="train")
    assert whole["mention"][:2] == ["Madonna", "Madonna"]
    assert whole.select_columns(["id"])[5] == {"id": "5"}
    assert len(whole.remove_columns("image")[:]["id"]) == 136
    assert not decoding
    assert whole[0]["image"] is not None and decoding


def test_the_knowledge_base_alone(places):
    kb = KnowledgeBase.load(places[1])
    assert len(kb) == 135 and kb.images([0])[0].size == (8, 6)


def test_a_build_that_is_not_whole_is_refused(places, tmp_path):
    """Counts in the card are those of the files."""
    shutil.copytree(places[1], tmp_path / "wikimel")
    shards = sorted((tmp_path / "wikimel" / "entities").iterdir())
    assert len(shards) > 1
    shards[-1].unlink()
    with pytest.raises(Exception, match=r"(?s)NonMatchingSplitsSizes|expected.*recorded|135"):
        load_dataset(str(tmp_path / "wikimel"), "entities")


# ---- load_benchmark ----


def same(first, second) -> None:
    assert first.mentions.num_rows == second.mentions.num_rows
    for split, table in first.mentions.items():
        for name in set(table.column_names) - {"image"}:
            assert table[name][:] == second.mentions[split][name][:]
    assert first.entities.fingerprint == second.entities.fingerprint
    assert first.entities.text_field == second.entities.text_field


def test_raw_files_and_built_folder_give_the_same(places):
    raw, path, report = places
    built = load_benchmark("wikimel", path=path)
    same(load_benchmark("wikimel", raw_dir=raw), built)
    assert built.report == report
    assert built.entities.dataset.cache_files, "memory-mapped"


def test_options_go_to_the_layout(tmp_path):
    raw = write_ghmfc(tmp_path / "raw")
    shutil.move(raw / "images", tmp_path / "elsewhere")
    data = load_benchmark("wikimel", raw_dir=raw, layout="ghmfc", images=tmp_path / "elsewhere")
    assert data.report["splits"]["train"]["images"] == {"ok": 5}
    with pytest.raises(FileNotFoundError, match="the folder of pictures .* is empty or not there"):
        load_benchmark("wikimel", raw_dir=raw, strict_images=True)


def test_options_go_to_load_dataset(places, tmp_path):
    load_benchmark("wikimel", path=places[1], cache_dir=str(tmp_path / "own_cache"))
    assert (tmp_path / "own_cache").is_dir()


def test_a_repository_is_what_load_dataset_takes(places, monkeypatch):
    from hf_mel.data import load

    calls = []

    def fake(source, config, **options):
        calls.append((source, config, options))
        return load_dataset(str(places[1]), config, **{key: options[key] for key in options if key == "split"})

    monkeypatch.setattr(load, "load_dataset", fake)
    data = load_benchmark("wikimel", repo_id="org/wikimel", revision="v1")
    assert calls == [
        ("org/wikimel", "mentions", {"revision": "v1"}),
        ("org/wikimel", "entities", {"split": "train", "revision": "v1"}),
    ]
    assert data.report["splits"]["test"]["mentions"] == 2 and data.report["entities"] == 135


def test_the_benchmarks_of_the_package_need_nothing():
    assert load_benchmark("miniature", num_entities=10, num_train=20).mentions.num_rows["train"] == 20
    assert load_benchmark("emojimel").report["splits"]


def test_what_load_benchmark_refuses(places, tmp_path):
    raw, path, _ = places
    with pytest.raises(ValueError, match=r"unknown benchmark 'wikimell'; did you mean 'wikimel'\?.*load_data"):
        load_benchmark("wikimell", path=path)
    with pytest.raises(ValueError, match=r"not part of the package: pass `raw_dir`.*hf-mel data build wikimel"):
        load_benchmark("wikimel")
    with pytest.raises(ValueError, match="from raw_dir, path: pass one of them"):
        load_benchmark("wikimel", raw_dir=raw, path=path)
    with pytest.raises(FileNotFoundError, match="no folder .*absent"):
        load_benchmark("wikimel", path=tmp_path / "absent")
    with pytest.raises(ValueError, match=r"no built benchmark.*released files \(layout mimic\): pass it as `raw_dir`"):
        load_benchmark("wikimel", path=raw)
    with pytest.raises(ValueError, match=r"no built benchmark: it needs README\.md and entities/\*\.parquet\.$"):
        load_benchmark("wikimel", path=tmp_path)


def test_gold_ids_are_checked(places, tmp_path):
    """Somebody put another knowledge base into the folder."""
    shutil.copytree(places[1], tmp_path / "wikimel")
    build_benchmark("wikidiverse", write_wikidiverse(tmp_path / "raw"), tmp_path / "other")
    shutil.rmtree(tmp_path / "wikimel" / "entities")
    shutil.copytree(tmp_path / "other" / "entities", tmp_path / "wikimel" / "entities")
    text = (tmp_path / "wikimel" / "README.md").read_text()
    start = text.index("dataset_info:")
    (tmp_path / "wikimel" / "README.md").write_text(text[:start] + text[text.index("configs:\n") :])
    with pytest.raises(ValueError, match="gold `entity_id` 'Q1744' is not in the knowledge base"):
        load_benchmark("wikimel", path=tmp_path / "wikimel")
    assert load_benchmark("wikimel", path=tmp_path / "wikimel", validate=False).mentions.num_rows["test"] == 2


# ---- load_data ----


def test_load_data_takes_anything(places, monkeypatch):
    raw, path, report = places
    assert load_data("miniature").report["layout"] == "miniature"
    assert len(load_data("emojimel").entities) > 50
    assert load_data(path).report == report
    assert load_data(str(raw)).report["layout"] == "mimic"
    assert load_data(raw, "mimic", check_images=True).report["layout"] == "mimic"
    same(load_data(raw, "auto"), load_data(path, validate=False))
    monkeypatch.chdir(path.parent)
    assert load_data("wikimel").report["name"] == "wikimel"


def test_a_folder_that_is_called_like_a_benchmark(places, tmp_path, monkeypatch):
    shutil.copytree(places[1], tmp_path / "miniature")
    monkeypatch.chdir(tmp_path)
    assert load_data("miniature").report["layout"] == "miniature"
    assert load_data("./miniature").report["name"] == "wikimel"


def test_what_load_data_refuses(tmp_path):
    with pytest.raises(FileNotFoundError, match="'wikidiverse' is a benchmark that is not part of the package: give"):
        load_data("wikidiverse")
    with pytest.raises(FileNotFoundError, match="no folder emojimell; did you mean 'emojimel'"):
        load_data("emojimell")
    with pytest.raises(ValueError, match="holds the files of no known layout"):
        load_data(tmp_path)
    with pytest.raises(ValueError, match="unknown layout 'mimik'"):
        load_data(tmp_path, "mimik")


def test_what_counts_as_built(places, tmp_path):
    assert is_built(places[1]) and not is_built(places[0]) and not is_built(tmp_path / "absent")
    shutil.copytree(places[1], tmp_path / "wikimel")
    (tmp_path / "wikimel" / "build_report.json").unlink()
    data = load_data(tmp_path / "wikimel")
    assert json.loads(json.dumps(data.report))["splits"]["train"]["mentions"] == 136
    shutil.rmtree(tmp_path / "wikimel" / "entities")
    assert not is_built(tmp_path / "wikimel")
