"""What the real clients make of a Hub that is busy, broken, cut off or wrong."""

import pytest

from hf_mel.data import load_data
from hf_mel.data.building import build_dataset
from tests.data.building.common import small_raw
from tests.hub import Fault, run_client
from tests.training.common import tiny_linker


pytestmark = pytest.mark.loopback

WEIGHTS = bytes(range(256)) * 20
LONG = bytes(range(256)) * 80_000  # the client keeps what it got in steps of 10 MiB

FAULTS = """
import hashlib, json, sys, time
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.utils import httpx

api, answer, waits = HfApi(), {}, []
time.sleep = waits.append  # the clients wait between tries

def outcome(function, *arguments, **options):
    try:
        return str(function(*arguments, **options))
    except (httpx.HTTPError, OSError, RuntimeError) as error:
        return f"{type(error).__name__}: {error} {error.__cause__}"

def upload(id):
    api.create_repo(id, exist_ok=True)
    return outcome(lambda: api.upload_folder(repo_id=id, folder_path=sys.argv[1]).oid)

for id in ("org/cut", "org/busy", "org/refused", "org/lost"):
    answer[id] = [upload(id), upload(id)]
path = hf_hub_download("org/long", "long.bin")
answer["long"] = hashlib.sha256(open(path, "rb").read()).hexdigest()
answer["down"] = outcome(hf_hub_download, "org/down", "a.txt")
answer["other"] = get_hf_file_metadata(hf_hub_url("org/other", "a.txt")).commit_hash
answer["other sha"] = api.model_info("org/other").sha
answer["info"] = outcome(api.model_info, "org/down")
answer["waits"] = waits
print(json.dumps(answer))
"""


def test_faults(hub, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    long = hub.add("org/long", {"long.bin": LONG})
    hub.add("org/down", {"a.txt": b"a"})
    hub.add("org/other", {"a.txt": b"a"})
    hub.fail("PUT", "/_large/", cut_after=2000)
    hub.fail("POST", "org/busy/preupload", status=500)
    hub.fail("POST", "org/busy.git", status=429, headers={"Retry-After": "29"})
    hub.fail("POST", "org/refused/commit", status=500)
    hub.fail("POST", "org/lost/commit", lose_reply=True)
    hub.fail("GET", "filename=long.bin", cut_after=15_000_000)
    hub.fail(".*", "org/down", status=500, times=None)
    hub.fail(".*", "org/other", commit="f" * 40, times=None)
    answer = run_client(FAULTS, hub, str(tmp_path)).answer

    files = {"README.md": b"---\nlicense: mit\n---\n", "model.safetensors": WEIGHTS}
    for name in ("cut", "busy", "refused", "lost"):
        repo = hub.repo(f"org/{name}")
        assert hub.files(repo.id) == files and len(repo.commits) == 2, name
        assert answer[repo.id][-1] == repo.at().sha, "a second run ends well and adds nothing"
    puts = hub.asked("PUT")
    assert [put.status for put in puts] == [None, 200], "sent again after the cut, and never again"
    assert answer["org/cut"][0] == hub.repo("org/cut").at().sha

    assert answer["org/busy"][0] == hub.repo("org/busy").at().sha
    assert [request.status for request in hub.asked("POST", "org/busy/preupload")][:2] == [500, 200]
    assert [request.status for request in hub.asked("POST", "org/busy.git")][:2] == [429, 200]
    assert answer["waits"].count(30) == 1, "as long as it was told to, and one second"

    assert answer["org/refused"][0].startswith("HfHubHTTPError") and "500" in answer["org/refused"][0]
    assert [request.status for request in hub.asked("POST", "org/refused/commit")] == [500, 200]
    assert answer["org/lost"][0].startswith("RemoteProtocolError")
    assert [request.status for request in hub.asked("POST", "org/lost/commit")] == [None]

    assert answer["long"] == long.files["long.bin"].sha256
    cut, rest = hub.asked("GET", "filename=long.bin")
    assert cut.status is None and cut.sent == 15_000_000
    resumed = int(rest.headers["range"].removeprefix("bytes=").removesuffix("-"))
    assert rest.status == 206 and 0 < resumed < cut.sent and rest.sent == len(LONG) - resumed

    assert "500" in answer["down"] and answer["down"].startswith("LocalEntryNotFoundError")
    assert "500" in answer["info"] and answer["info"].startswith("HfHubHTTPError")
    assert answer["other"] == answer["other sha"] == "f" * 40 != hub.repo("org/other").at().sha


def test_when_a_fault_strikes():
    fault = Fault("GET|HEAD", r"/a\?name=.*\.bin$", skip=1, times=2)
    assert not fault.strikes("PUT", "/a?name=x.bin") and not fault.strikes("GET", "/a?name=x.txt")
    assert [fault.strikes("GET", "/a?name=x.bin") for _ in range(4)] == [False, True, True, False]
    always = Fault(".*", "", times=None)
    assert all(always.strikes("PUT", "/") for _ in range(3))


LOADS = """
import json, sys, time
import hf_mel
from datasets import load_dataset
from hf_mel import Calibration
from hf_mel.checkpoint import load_checkpoint
from huggingface_hub.utils import httpx
from transformers import AutoModel

time.sleep = lambda seconds: waits.append(seconds)
answer = {}

def outcome(function, id):
    global waits
    waits = []
    try:
        loaded = function("org/" + id)
    except (OSError, httpx.HTTPError) as error:
        return [f"{type(error).__name__}: {error}", waits]
    if function is load_dataset:
        return [[row["id"] for row in loaded["train"]], waits]
    return [float(sum(value.double().sum() for value in loaded.state_dict().values())), waits]

for id in ("cut", "halved", "busy", "once", "dead", "absent", "private"):
    for function in (AutoModel.from_pretrained, load_dataset):
        answer[f"{function.__name__} {id}"] = [outcome(function, id), outcome(function, id)]
answer["calibration"] = Calibration.load("org/dead")
answer["checkpoint"] = [outcome(load_checkpoint, id)[0] for id in ("dead", "private")]
print(json.dumps(answer))
"""


def test_loads(hub, tmp_path):
    """What has come half is never used, and what failed is loaded by the next call, in the same process."""
    model = tiny_linker()
    model.save_pretrained(tmp_path / "model")
    build_dataset(small_raw(tmp_path / "raw", entities=9, train=12), tmp_path / "data", name="small")
    for name in ("cut", "halved", "busy", "once", "dead", "private"):
        for kind, folder in (("model", tmp_path / "model"), ("dataset", tmp_path / "data")):
            files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            hub.add(f"org/{name}", files, kind, private=name == "private")
    for kind, file in (("", "model.safetensors"), ("datasets/", "mentions/train-00000-of-00001.parquet")):
        hub.fail("GET", f"filename={file}", cut_after=1000)
        hub.fail("GET", f"filename={file}", cut_after=100, skip=1, times=6)
        asked = f"/{kind}org/busy/resolve/.*(config.json|README.md)$"
        hub.fail("GET", asked, status=429, headers={"Retry-After": "7"})
        hub.fail("HEAD", f"/{kind}org/once/resolve/.*{file}", status=500)
        hub.fail("GET", f"/{kind}org/once/resolve/.*(config.json|README.md)", status=500)
        hub.fail(".*", f"/{kind}org/dead/", status=500, times=None)
    run = run_client(LOADS, hub, token=None)
    answer = run.answer

    weights = float(sum(value.double().sum() for value in model.state_dict().values()))
    rows = load_data(tmp_path / "data").mentions["train"]["id"]
    for function, good in (("from_pretrained", pytest.approx(weights)), ("load_dataset", list(rows))):
        first, second = zip(*(answer[f"{function} {name}"] for name in ("cut", "halved", "busy", "once")), strict=True)
        assert [outcome for outcome, _ in second] == [good] * 4, "a second call has it whole"
        assert first[0][0] == good and len(first[0][1]) == 1, "gone on with after the cut"
        assert first[1][0] != good and first[3][0] != good, (first[1], first[3])
        assert first[2] == [good, [8.0]], "as long as it was told to, and one second"
        for name, words in (("dead", "onnection"), ("absent", "org/absent"), ("private", "org/private")):
            for outcome, _ in answer[f"{function} {name}"]:
                assert words in outcome and "Error" in outcome, outcome
    assert "pass a token" in answer["from_pretrained private"][0][0]
    assert answer["calibration"] is None and "calibration.json of org/dead is not in the cache" in run.stderr
    for name, words, outcome in zip(
        ("dead", "private"), ("connection", "pass a token"), answer["checkpoint"], strict=True
    ):
        assert outcome.startswith(f"FileNotFoundError: there is no folder 'org/{name}'") and words in outcome, outcome
    assert "cannot be accessed" in answer["load_dataset private"][0][0]
