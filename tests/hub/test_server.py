"""The Hub on loopback does what the real clients expect of the real one, and fails when told to."""

import hashlib
import json
import urllib.error
import urllib.request

import pytest

from tests.hub import READ_TOKEN, STRANGER_TOKEN, WRITE_TOKEN, run_client


pytestmark = pytest.mark.loopback

FILES = {
    "README.md": b"---\nlicense: mit\n---\n# A card\n",
    "empty.txt": b"",
    "sub/a name with spaces & more.json": b"{}",
    "sub/deeper/model.safetensors": bytes(range(256)) * 20,
    "text.txt": b"words " * 1000,
    "unknown.kind": b"not \0 text",
}


def write(folder, files: dict[str, bytes]) -> str:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return str(folder)


# ---- Files ----

ROUND_TRIP = """
import json, pathlib, sys
from huggingface_hub import HfApi, HfFileSystem, snapshot_download

def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes().hex() for path in pathlib.Path(folder).rglob("*") if path.is_file()}

api, id = HfApi(), "org/things"
answer = {"who": api.whoami()["name"], "url": str(api.create_repo(id, repo_type=KIND, space_sdk="static" if KIND == "space" else None))}
api.create_repo(id, repo_type=KIND, exist_ok=True, space_sdk="static" if KIND == "space" else None)
first = api.upload_folder(repo_id=id, repo_type=KIND, folder_path=sys.argv[1], commit_message="All of it")
answer["first"] = first.oid
answer["again"] = api.upload_folder(repo_id=id, repo_type=KIND, folder_path=sys.argv[1]).oid
api.create_tag(id, repo_type=KIND, tag="v1")
api.create_branch(id, repo_type=KIND, branch="side/line", revision="v1")
api.delete_file("text.txt", id, repo_type=KIND)
answer["side"] = api.upload_file(path_or_fileobj=b"aside", path_in_repo="aside.txt", repo_id=id, repo_type=KIND, revision="side/line").oid
api.delete_folder("sub", id, repo_type=KIND, revision="side/line")
answer["head"] = api.repo_info(id, repo_type=KIND).sha
for revision in ("main", "v1", answer["first"], "side/line"):
    answer[revision] = contents(snapshot_download(id, repo_type=KIND, revision=revision))
refs = api.list_repo_refs(id, repo_type=KIND)
answer["refs"] = {ref.ref: ref.target_commit for ref in refs.branches + refs.tags}
answer["titles"] = [commit.title for commit in api.list_repo_commits(id, repo_type=KIND)]
answer["tree"] = [entry.path for entry in api.list_repo_tree(id, repo_type=KIND, recursive=True, revision="v1")]
answer["paths"] = [entry.path for entry in api.get_paths_info(id, ["sub", "README.md", "none"], repo_type=KIND)]
info = api.repo_info(id, repo_type=KIND, files_metadata=True)
answer["sizes"] = {file.rfilename: [file.size, file.lfs is not None] for file in info.siblings}
answer["license"] = info.card_data["license"]
with HfFileSystem().open({"model": "", "dataset": "datasets/", "space": "spaces/"}[KIND] + id + "/sub/deeper/model.safetensors", block_size=100) as file:
    file.seek(1000)
    answer["range"] = file.read(50).hex()
api.delete_tag(id, repo_type=KIND, tag="v1")
api.delete_branch(id, repo_type=KIND, branch="side/line")
print(json.dumps(answer))
"""

OFFLINE = """
import json, sys
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
print(open(snapshot_download("org/things", repo_type=KIND) + "/README.md").read())
try:
    snapshot_download("org/other")
except LocalEntryNotFoundError as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_files_go_up_and_come_down(hub, tmp_path, kind):
    hub.api.part_size, hub.api.page_size = 1500, 3  # several parts and several pages
    folder, cache = write(tmp_path / "folder", FILES), str(tmp_path / "cache")
    answer = run_client(f"KIND = {kind!r}\n{ROUND_TRIP}", hub, folder, HF_HOME=cache).answer

    repo, all_files = hub.repo("org/things", kind), {path: content.hex() for path, content in FILES.items()}
    assert answer["who"] == "alice" and answer["url"] == f"{hub.url}/{hub.api.prefixes[kind]}org/things"
    assert answer["first"] == answer["again"], "nothing new, no new commit"
    assert answer["head"] == repo.at().sha != answer["first"]
    for revision, own in (("v1", {}), (answer["first"], {}), ("main", {"text.txt": None})):
        expected = {path: content for path, content in (all_files | own).items() if content is not None}
        assert {**answer[revision], ".gitattributes": None} == {**expected, ".gitattributes": None}
    without = {path: content for path, content in all_files.items() if not path.startswith("sub/")}
    answer["side/line"].pop(".gitattributes")
    assert answer["side/line"] == {**without, "aside.txt": b"aside".hex()}

    assert answer["refs"]["refs/tags/v1"] == answer["first"] and answer["refs"]["refs/heads/main"] == answer["head"]
    assert answer["titles"][1:] == ["All of it", "initial commit"] and len(answer["titles"]) == 3
    assert answer["tree"] == sorted([*FILES, "sub", "sub/deeper", ".gitattributes"])
    assert sorted(answer["paths"]) == ["README.md", "sub"] and answer["license"] == "mit"
    large = {path: size for path, (size, large) in answer["sizes"].items() if large}
    assert large == {"sub/deeper/model.safetensors": 5120, "unknown.kind": 10}
    assert bytes.fromhex(answer["range"]) == FILES["sub/deeper/model.safetensors"][1000:1050]
    assert hub.asked("GET", "deeper/model.safetensors", status=206)
    assert len(hub.asked("PUT", "/_large/.*/[0-9]+$")) == 4, "in parts"
    assert not repo.tags and list(repo.branches) == ["main"]
    assert hub.files("org/things", kind).keys() == FILES.keys() - {"text.txt"}

    hub.forget_requests()
    run = run_client(f"KIND = {kind!r}\n{OFFLINE}", hub, HF_HOME=cache, HF_HUB_OFFLINE="1")
    assert run.stdout.startswith(FILES["README.md"].decode()) and "cannot find" in run.answer.lower()
    assert not hub.asked()


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        (None, 200, b"0123456789"),
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=8-100", 206, b"89"),
        ("bytes=10-", 416, b""),
    ],
)
@pytest.mark.parametrize("path", ["small.txt", "large.bin"])
def test_ranges(hub, path, asked, status, content):
    commit = hub.add("org/x", {path: b"0123456789"})
    request = urllib.request.Request(f"{hub.url}/org/x/resolve/main/{path}", headers={"Range": asked} if asked else {})
    try:
        with urllib.request.urlopen(request) as response:
            assert (response.status, response.read()) == (status, content)
            assert response.headers["ETag"] == f'"{commit.files[path].etag}"'
    except urllib.error.HTTPError as error:
        assert (error.status, error.read()) == (status, content)
        assert error.headers["Content-Range"] == "bytes */10"


def test_identifiers_are_those_of_git(hub):
    commit = hub.add("org/x", {"hello.txt": b"hello\n", "hello.bin": b"hello\n"})
    assert commit.files["hello.txt"].etag == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
    assert commit.files["hello.bin"].etag == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"


def send(hub, method: str, path: str, body: bytes) -> tuple[int, dict]:
    """What a client that is wrong, or not ours, might send."""
    request = urllib.request.Request(hub.url + path, body, {"Authorization": f"Bearer {WRITE_TOKEN}"}, method=method)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.loads(response.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.status, json.loads(error.read())


def commit_lines(*changes: tuple[str, dict], **header) -> bytes:
    lines = [("header", {"summary": "A change", **header}), *changes]
    return b"".join(json.dumps({"key": key, "value": value}).encode() + b"\n" for key, value in lines)


@pytest.mark.parametrize(
    ("revision", "change", "header", "status", "message"),
    [
        ("main", ("lfsFile", {"path": "b.bin", "oid": "0" * 64}), {}, 400, "b.bin: its content, 0000"),
        ("main", ("file", {"path": "../b.txt", "content": ""}), {}, 400, "'../b.txt' is no path"),
        ("main", ("file", {"path": ".git/config", "content": ""}), {}, 400, "'.git/config' is no path"),
        ("main", ("deletedFile", {"path": "b.txt"}), {}, 400, "b.txt cannot be deleted"),
        ("main", ("renamed", {"path": "b.txt"}), {}, 400, "renamed is no kind of change"),
        ("main", ("file", {"path": "b.txt", "content": ""}), {"summary": ""}, 400, "there is no summary"),
        ("main", ("file", {"path": "b.txt", "content": ""}), {"parentCommit": "0" * 40}, 412, "A commit has happened"),
        ("v1", ("file", {"path": "b.txt", "content": ""}), {}, 400, "v1 is no branch"),
        ("v2", ("file", {"path": "b.txt", "content": ""}), {}, 404, "Invalid rev id: v2"),
        ("main", ("file", {"path": "b.txt"}), {}, 400, "Malformed request: KeyError('content')"),
    ],
)
def test_commits_that_are_refused(hub, revision, change, header, status, message):
    hub.add("org/x", {"a.txt": b"a"})
    repo = hub.repo("org/x")
    repo.tags["v1"] = head = repo.at().sha
    good = ("file", {"path": "good.txt", "content": ""})
    found, answer = send(hub, "POST", f"/api/models/org/x/commit/{revision}", commit_lines(good, change, **header))
    assert found == status and message in answer["error"]
    assert repo.at().sha == head and len(repo.commits) == 2, "all or nothing"


def test_a_pull_request_leaves_the_branch_alone(hub):
    head = hub.add("org/x", {"a.txt": b"a"})
    body = commit_lines(("file", {"path": "b.txt", "content": "Yg=="}), parentCommit=head.sha)
    status, answer = send(hub, "POST", "/api/models/org/x/commit/main?create_pr=1", body)
    assert (status, answer["pullRequestUrl"]) == (200, f"{hub.url}/org/x/discussions/1")
    assert hub.files("org/x") == {"a.txt": b"a"}
    assert hub.files("org/x", revision="refs/pr/1") == {"a.txt": b"a", "b.txt": b"b"}


def test_a_large_file_is_what_it_was_announced_as(hub):
    oid = hashlib.sha256(b"whole").hexdigest()
    assert send(hub, "PUT", f"/_large/{oid}", b"who")[0] == 400
    assert send(hub, "POST", f"/_large/{oid}/complete", b'{"parts": [{"partNumber": 1}]}')[0] == 400
    assert send(hub, "POST", f"/_large/{oid}/verify", b'{"size": 5}')[0] == 404 and not hub.store.large
    assert send(hub, "PUT", f"/_large/{oid}", b"whole")[0] == 200
    assert send(hub, "POST", f"/_large/{oid}/verify", b'{"size": 5}')[0] == 200
    assert send(hub, "POST", f"/_large/{oid}/verify", b'{"size": 3}')[0] == 404


def test_no_such_page(hub):
    status, answer = send(hub, "POST", "/api/models/org/x/xet-write-token/main", b"")
    assert status == 404 and "xet-write-token" in answer["error"]


# ---- Who may ----

ACCESS = """
import json, os
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

def outcome(function, *arguments, **options):
    try:
        function(*arguments, **options)
        return "done"
    except HfHubHTTPError as error:
        return [type(error).__name__, error.response.status_code, str(error)]

answer = {}
for name, token in json.loads(os.environ["TOKENS"]).items():
    api, own = HfApi(token=token or False), {"token": token or False, "cache_dir": name}
    answer[name] = {
        "whoami": outcome(api.whoami) if token else None,
        "info": outcome(api.model_info, "org/secret"),
        "file": outcome(hf_hub_download, "org/secret", "a.txt", **own),
        "public": outcome(hf_hub_download, "org/open", "a.txt", **own),
        "missing": outcome(hf_hub_download, "org/open", "b.txt", **own),
        "revision": outcome(hf_hub_download, "org/open", "a.txt", revision="v9", **own),
        "upload": outcome(api.upload_file, path_or_fileobj=b"x", path_in_repo=f"{name}.txt", repo_id="org/open"),
        "create": outcome(api.create_repo, f"org/by_{name}", private=True),
        "delete": outcome(api.delete_repo, f"org/by_{name}"),
    }
print(json.dumps(answer))
"""


def test_who_may(hub):
    hub.add("org/open", {"a.txt": b"a"})
    hub.add("org/secret", {"a.txt": b"a"}, private=True)
    tokens = {"writer": WRITE_TOKEN, "reader": READ_TOKEN, "stranger": STRANGER_TOKEN, "nobody": "", "wrong": "hf_no"}
    answer = run_client(ACCESS, hub, token=None, TOKENS=json.dumps(tokens)).answer

    assert {answer["writer"][what] for what in ("whoami", "info", "file", "public", "upload", "create", "delete")} == {
        "done"
    }
    assert {who: answer[who]["missing"][0] for who in tokens if who != "wrong"} == dict.fromkeys(
        ["writer", "reader", "stranger", "nobody"], "RemoteEntryNotFoundError"
    )
    assert answer["reader"]["revision"][:2] == ["RevisionNotFoundError", 404]
    assert answer["reader"]["info"] == answer["reader"]["file"] == "done"
    for what in ("upload", "create"):
        assert answer["reader"][what][1] == 403 and "you must use a write token" in answer["reader"][what][2]
        assert answer["stranger"][what][1] == 403 and 'under "org"' in answer["stranger"][what][2]
        assert answer["nobody"][what][1] == 401
    for who, status in (("stranger", 404), ("nobody", 401)):
        for what in ("info", "file"):
            name, code, message = answer[who][what]
            assert (name, code) == ("RepositoryNotFoundError", status)
            assert "private" in message and "make sure you are authenticated" in message
        assert answer[who]["public"] == "done"
    for what, outcome in answer["wrong"].items():
        assert outcome[1] == 401 and "invalid" in outcome[2].lower(), what
    assert hub.files("org/open").keys() == {"a.txt", "writer.txt"}
    assert ("model", "org/by_writer") not in hub.store.repositories
