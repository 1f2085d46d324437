"""A benchmark is published by both ways there are, and loaded from there in all the ways people do it."""

import hashlib
import io

import pytest
import yaml
from datasets import Dataset
from PIL import Image

from hf_mel.cli.main import main
from hf_mel.data import load_data
from hf_mel.data.building import build_dataset
from hf_mel.data.images import undecoded
from tests.data.building.common import small_raw
from tests.hub import READ_TOKEN, run_client


LICENSED = "---\nlicense: cc-by-4.0\n"

PUSH = """
import json, sys
from huggingface_hub import HfApi
from hf_mel import load_data
from hf_mel.cli.main import main

old, new = sys.argv[1:]
codes, api = [main(["push", "dataset", old, "org/built"])], HfApi()
api.create_tag("org/built", repo_type="dataset", tag="v1")
codes.append(main(["push", "dataset", new, "org/built"]))

data = load_data(new)
data.mentions.push_to_hub("org/pushed", "mentions", set_default=True)
data.entities.dataset.push_to_hub("org/pushed", "entities")
# The card comes last: to push a config that is the default takes that away from it.
api.upload_file(path_or_fileobj=f"{new}/README.md", path_in_repo="README.md", repo_id="org/pushed", repo_type="dataset")
print(json.dumps(codes))
"""

LOAD = """
import hashlib, json, os, sys
from datasets import Image, load_dataset
from hf_mel import load_benchmark

def digest(rows):
    content = hashlib.sha256()
    for row in rows:
        image = row["image"] or {"bytes": b"", "path": None}
        content.update(repr([image["bytes"], image["path"], {**row, "image": None}]).encode())
    return content.hexdigest()

def loaded(repo, config, revision, streaming):
    splits = load_dataset(repo, config, revision=revision, streaming=streaming)
    pictures = {split: rows.cast_column("image", Image(decode=False)) for split, rows in splits.items()}
    return {split: [digest(rows), str(splits[split].features)] for split, rows in pictures.items()}

online, sha = os.environ.get("HF_HUB_OFFLINE") != "1", sys.argv[1]
places = [("org/built", "v1"), ("org/built", None), ("org/built", sha), ("org/pushed", None)]
answer = {}
for repo, revision in places if online else places[1:2]:
    # Offline, `datasets` takes no config by default when it has several in its cache.
    for config in (None if online else "mentions", "entities"):
        for streaming in (False, True) if online else (False,):
            answer[f"{repo} {revision} {config} {streaming}"] = loaded(repo, config, revision, streaming)
for repo in ("org/built", "org/pushed") if online else ("org/built",):
    data = load_benchmark("wikimel", repo_id=repo)
    answer[f"{repo} benchmark"] = [data.entities.fingerprint, data.mentions.num_rows]
print(json.dumps(answer))
"""


def digest(rows: Dataset) -> str:
    """The same as in the client above."""
    content = hashlib.sha256()
    for row in undecoded(rows):
        image = row["image"] or {"bytes": b"", "path": None}
        content.update(repr([image["bytes"], image["path"], {**row, "image": None}]).encode())
    return content.hexdigest()


def schema(card: bytes) -> dict:
    """What `load_dataset` takes from a card: the files of each split, the default, the columns."""
    front = yaml.safe_load(card.decode().split("---\n")[1])
    configs = {each.pop("config_name"): each for each in front["configs"]}
    features = {each["config_name"]: each["features"] for each in front["dataset_info"]}
    return {name: [config["data_files"], config.get("default"), features[name]] for name, config in configs.items()}


@pytest.fixture
def folders(tmp_path):
    """Two states of a benchmark, with a licence in the card."""
    for name, entities, train in (("old", 9, 12), ("new", 10, 15)):
        build_dataset(small_raw(tmp_path / f"raw-{name}", entities, train), tmp_path / name, name="small")
        card = tmp_path / name / "README.md"
        card.write_text(card.read_text(encoding="utf-8").replace("---\n", LICENSED, 1), encoding="utf-8")
    return tmp_path / "old", tmp_path / "new"


@pytest.mark.loopback
def test_both_ways_of_publishing_give_the_same_repository(hub, folders, tmp_path):
    old, new = folders
    assert run_client(PUSH, hub, str(old), str(new)).answer == [0, 0]
    for folder, revision in ((old, "v1"), (new, "main")):
        written = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert hub.files("org/built", "dataset", revision) == written
    names = [f"mentions/{split}-00000-of-00001.parquet" for split in ("test", "train", "validation")]
    names = ["README.md", "entities/train-00000-of-00001.parquet", *names]
    assert sorted(hub.files("org/pushed", "dataset")) == names
    assert sorted({*hub.files("org/built", "dataset")} - {"build_report.json"}) == names
    assert hub.files("org/built", "dataset")["README.md"] == hub.files("org/pushed", "dataset")["README.md"]
    before_the_card = hub.repo("org/pushed", "dataset").history("main")[1].files["README.md"].content
    assert schema(before_the_card) == schema((new / "README.md").read_bytes()) and b"license" not in before_the_card

    hub.forget_requests()
    sha = hub.repo("org/built", "dataset").at("v1").sha
    answer = run_client(LOAD, hub, sha, token=READ_TOKEN, HF_HOME=str(tmp_path / "home")).answer
    offline = run_client(LOAD, hub, sha, token=None, HF_HOME=str(tmp_path / "home"), HF_HUB_OFFLINE="1").answer
    for folder, repo, revision in (
        (old, "org/built", "v1"), (old, "org/built", sha), (new, "org/built", None), (new, "org/pushed", None),
    ):  # fmt: skip
        data = load_data(folder)
        for config, splits in ((None, data.mentions), ("entities", {"train": data.entities.dataset})):
            expected = {split: [digest(rows), str(rows.features)] for split, rows in splits.items()}
            for streaming in (False, True):
                assert answer.pop(f"{repo} {revision} {config} {streaming}") == expected, (repo, revision, config)
            if (repo, revision) == ("org/built", None):
                assert offline.pop(f"{repo} {revision} {config or 'mentions'} False") == expected
        if revision is None:
            whole = [data.entities.fingerprint, data.mentions.num_rows]
            assert answer.pop(f"{repo} benchmark") == whole and offline.pop(f"{repo} benchmark", whole) == whole
    assert not answer and not offline
    assert hub.asked("GET", r"filename=.*\.parquet", status=206), "streaming asks for stretches"


MTEB = """
import json, sys
from datasets import load_dataset
from hf_mel.cli.main import main

old, new = sys.argv[1:]
answer = [main(["push", "dataset", new, "org/mteb", "--mteb"])]
qrels = load_dataset("org/mteb", "qrels")
answer.append([[qrels[split][name][:] for name in ("query-id", "corpus-id")] for split in ("validation", "test")])
answer.append([load_dataset("org/mteb", "queries", split="test")["id"][:], len(load_dataset("org/mteb", "corpus")["corpus"])])
answer.append(load_dataset("org/mteb", split="train").num_rows)
answer.append(main(["push", "dataset", old, "org/mteb"]))
print(json.dumps(answer))
"""


@pytest.mark.loopback
def test_a_retrieval_task_is_pushed_with_the_data_and_goes_with_them(hub, folders, tmp_path):
    old, new = folders
    first, pairs, (queries, documents), rows, second = run_client(MTEB, hub, str(old), str(new)).answer
    assert (first, second, documents, rows) == (0, 0, 10, 15)
    assert pairs[1] == [["test-0", "test-1", "test-2", "test-3"], ["Q0", "Q1", "Q2", "Q3"]] and queries == pairs[1][0]
    history = hub.repo("org/mteb", "dataset").history("main")
    assert any(
        {"mteb_tasks.py", "eval.yaml", "qrels/test-00000-of-00001.parquet"} <= set(each.files) for each in history
    )
    left = {path for path in hub.files("org/mteb", "dataset") if path not in {"eval.yaml", ".gitattributes"}}
    assert left == {path.relative_to(old).as_posix() for path in old.rglob("*") if path.is_file()}


STREAM = """
import itertools, json, os
import pyarrow as pa, pyarrow.dataset
from datasets import load_dataset
from datasets.packaged_modules.parquet.parquet import ParquetConfig

known = "fragment_scan_options" in ParquetConfig.__dataclass_fields__  # newer `datasets`
stretch = pa.CacheOptions(range_size_limit=1_000_000, lazy=True)  # 32 MB otherwise
options = {"fragment_scan_options": pa.dataset.ParquetFragmentScanOptions(cache_options=stretch)} if known else {}
rows = load_dataset("org/big", "mentions", split="train", streaming=True, **options)
first = [[row["id"], row["image"].size] for row in itertools.islice(rows, 3)]
print(json.dumps([first, known]), flush=True)
os._exit(0)  # a stream left in the middle has threads that still read
"""


@pytest.mark.loopback
def test_the_first_rows_of_a_stream_do_not_need_the_whole_file(hub, tmp_path):
    picture = io.BytesIO()
    Image.effect_noise((250, 250), 80).save(picture, "PNG")
    raw = small_raw(tmp_path / "raw", entities=5, train=1000)
    for row in raw.mentions["train"]:
        row["image"] = picture.getvalue()
    build_dataset(raw, tmp_path / "big", name="big")
    files = {path.relative_to(tmp_path / "big").as_posix(): path for path in (tmp_path / "big").glob("**/*.*")}
    hub.add("org/big", {name: path.read_bytes() for name, path in files.items()}, kind="dataset")

    rows, in_small_stretches = run_client(STREAM, hub, token=READ_TOKEN).answer
    assert rows == [[f"train-{number}", [250, 250]] for number in range(3)]
    size = files["mentions/train-00000-of-00001.parquet"].stat().st_size
    asked = hub.asked("GET", "filename=mentions/train-")
    assert {request.status for request in asked} == {206} and size > 60_000_000
    # How much more its threads read before the client is gone depends on how busy the machine is.
    assert not in_small_stretches or sum(request.sent for request in asked) < size


# ---- What is not published ----


@pytest.mark.parametrize("license", [None, "unknown", "[]"])
def test_data_without_a_licence_stay_here(license, tmp_path, capsys):
    build_dataset(small_raw(tmp_path / "raw", entities=3, train=3), tmp_path / "small", name="small")
    card = tmp_path / "small" / "README.md"
    if license is not None:
        text = card.read_text(encoding="utf-8")
        card.write_text(text.replace("---\n", f"---\nlicense: {license}\n", 1), encoding="utf-8")
    capsys.readouterr()
    assert main(["push", "dataset", str(tmp_path / "small"), "org/small", "--dry_run"]) == 2
    assert "README.md: says no licence: name it as `license:` in its front matter" in capsys.readouterr().err
    card.write_text(card.read_text(encoding="utf-8").replace("---\n", LICENSED, 1), encoding="utf-8")
    if license is None:
        assert main(["push", "dataset", str(tmp_path / "small"), "org/small", "--dry_run"]) == 0
