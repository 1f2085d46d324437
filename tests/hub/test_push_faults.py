"""`hf-mel push` where the Hub is busy, broken, wrong, out of reach, or does not let us: what is tried again, and said."""

import json

import pytest

from hf_mel import EntityIndex
from hf_mel.cli.main import main
from tests.hub import READ_TOKEN, STRANGER_TOKEN, WRITE_TOKEN, Hub, run_client
from tests.training.common import tiny_data, tiny_linker, tiny_processor


CARD = "---\nlicense: apache-2.0\n---\n# A model\n"

PUSH = """
import contextlib, io, json, os, sys, time
from hf_mel.cli.main import main

answer, waits = [], []
time.sleep = waits.append  # the clients wait between tries
for token, argv in json.loads(sys.argv[1]):
    os.environ.pop("HF_TOKEN", None)
    if token is not None:
        os.environ["HF_TOKEN"] = token
    told, waits[:] = io.StringIO(), []
    with contextlib.redirect_stderr(told):
        status = main(["push", *argv])
    answer.append([status, told.getvalue(), list(waits)])
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A checkpoint with its card, and an index made with it."""
    place = tmp_path_factory.mktemp("push")
    model, processor = tiny_linker(), tiny_processor()
    model.save_pretrained(place / "model")
    processor.save_pretrained(place / "model")
    (place / "model" / "README.md").write_text(CARD, encoding="utf-8")
    EntityIndex.build(model, processor, tiny_data().entities, place / "index", encode_dtype="float32")
    return place


def model_files(folders) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folders / "model").iterdir())}


def pushed(hub, pushes, **env) -> list:
    """Exit status, what was told, and the waits of each `(token, argv)`, one after another in one process."""
    run = run_client(PUSH, hub, json.dumps(pushes), **env)
    assert "Traceback" not in run.stderr
    return run.answer


NAMES = ("busy", "once", "lost", "gone", "closed", "ill", "wrong")
REFUSED = [
    (None, "org/m", "org/m was not published: nobody is logged in. Run `hf auth login`, or set HF_TOKEN"),
    ("hf_revoked", "org/m", "org/m was not published: the Hub does not accept the token: Invalid credentials"),
    (READ_TOKEN, "org/m", "use a write token to upload to a repository. Run `hf auth login` with one that has write"),
    (STRANGER_TOKEN, "org/m", 'create or change anything under "org". Run `hf auth login` with one that has write'),
    (READ_TOKEN, "org/there", "org/there was not published: the token may not write there"),
    (STRANGER_TOKEN, "org/there", "write access to 'org'"),
    (STRANGER_TOKEN, "org/hidden", "org/hidden was not published: the token may not write there"),
]


def strike(hub, folders) -> dict[str, str]:
    """What will go wrong, and the commits that the Hub will report in place of ours."""
    for kind, prefix in (("model", ""), ("index", "datasets/")):
        place = f"/{prefix}org/{kind}"
        hub.fail("POST", f"{place}-busy/commit", status=429, headers={"Retry-After": "29"})
        hub.fail("POST", f"{place}-once/commit", status=500)
        hub.fail("POST", f"{place}-lost/commit", lose_reply=True)
        hub.fail("POST", f"{place}-gone/commit", cut_after=100, times=None)
        hub.fail("POST", f"{place}-closed/commit", status=429, headers={"Retry-After": "3600"})
        hub.fail("POST", f"{place}-ill/commit", status=500, times=3)
        hub.fail("POST", f"{place}-wrong/commit", commit="f" * 40)
    hub.fail("POST", "/api/repos/create", status=503)  # strikes the first of all
    hub.fail("PUT", "/_large/", cut_after=1000)
    hub.fail("PUT", "/_large/", status=500)
    files, reported = model_files(folders), {}
    for name, other in (
        ("org/old", {"a.txt": b"a"}),
        ("org/spoilt", {file: b"x" * len(files[file]) for file in files}),
    ):
        reported[name] = hub.add(name, other).sha
        hub.fail("POST", f"{name}/commit", commit=reported[name])
    hub.add("org/there", {"a.txt": b"a"})
    hub.add("org/hidden", {"a.txt": b"a"}, private=True)
    return reported


@pytest.fixture(scope="module")
def story(folders):
    """A Hub on which much goes wrong, the commits it reports, and what each push said, by its arguments and its turn."""
    model, index = ["model", str(folders / "model")], ["index", str(folders / "index")]
    pushes = []
    for name in (*NAMES, "closed", "ill", "wrong"):
        pushes += [[WRITE_TOKEN, [*model, f"org/model-{name}"]]]
        pushes += [[WRITE_TOKEN, [*index, f"org/index-{name}", "--license", "cc0-1.0"]]]
    pushes += [[WRITE_TOKEN, [*model, name]] for name in ("org/old", "org/spoilt", "org/old", "org/spoilt")]
    pushes += [[token, [*model, name, *more]] for token, name, _ in REFUSED for more in ([], ["--revision", "new"])]
    with Hub() as hub:
        reported, said = strike(hub, folders), {}
        for (token, argv), answer in zip(pushes, pushed(hub, pushes), strict=True):
            said.setdefault((token, argv[2]), []).append(answer)
        yield hub, reported, said


@pytest.mark.loopback
@pytest.mark.parametrize("kind", ["model", "index"])
def test_what_passes_is_waited_for_and_what_does_not_is_told(story, folders, kind):
    hub, _, said = story
    runs = {name: said[WRITE_TOKEN, f"org/{kind}-{name}"] for name in NAMES}
    first = {name: answers[0] for name, answers in runs.items()}
    states = {name: status for name, (status, _, _) in first.items()}
    assert states == {"busy": 0, "once": 0, "lost": 0, "gone": 2, "closed": 2, "ill": 2, "wrong": 2}, first
    assert all(runs[name][1][:2] == [0, ""] for name in ("closed", "ill", "wrong")), "the same again completes it"
    assert 29 in first["busy"][2] and first["once"][2] == first["lost"][2] == [2], "as long as it is told to"
    assert first["gone"][2] == first["ill"][2] == [2, 10] and first["closed"][2] == []
    for name, words in (
        ("gone", "broke"),
        ("closed", "asks for fewer requests"),
        ("ill", "a fault of its own (500"),
        ("wrong", f"reports the commit {'f' * 40}"),
    ):
        *tries, told = first[name][1].splitlines()
        assert told.startswith("hf-mel push: ") and f"org/{kind}-{name} " in told and words in told, told
        assert "un the same again" in told, told
        assert len(tries) == len(first[name][2]) and all("trying again in" in line for line in tries)
    there = {name: hub.repo(f"org/{kind}-{name}", "dataset" if kind == "index" else "model") for name in NAMES}
    assert len(there["gone"].commits) == 1, "made, and as empty as it was: no half repository"
    for name in ("busy", "once", "lost", "closed", "ill", "wrong"):
        assert len(there[name].commits) == 2, "one commit, never two"
        if kind == "model":
            assert hub.files(f"org/model-{name}") == model_files(folders)
        else:
            card = hub.files(f"org/index-{name}", "dataset").pop("README.md")
            assert b'license: "cc0-1.0"' in card and f"org/index-{name}".encode() in card


@pytest.mark.loopback
def test_an_upload_that_was_cut_is_sent_once_more(story):
    hub, _, said = story
    assert [put.status for put in hub.asked("PUT")][:3] == [None, 500, 200]
    assert said[WRITE_TOKEN, "org/model-busy"][0][2].count(1) == 1 and 2 in said[WRITE_TOKEN, "org/model-busy"][0][2]


@pytest.mark.loopback
def test_who_may_not_is_told_what_to_do(story):
    hub, _, said = story
    for token, name, words in REFUSED:
        answers = said[token, name]
        assert len(answers) == 2
        for status, told, waits in answers:
            assert status == 2 and words in told and name in told and waits == [], told
    assert ("model", "org/m") not in hub.store.repositories
    assert hub.files("org/there") == {"a.txt": b"a"} and set(hub.repo("org/there").branches) == {"main"}


@pytest.mark.loopback
@pytest.mark.parametrize("name", ["org/old", "org/spoilt"])
def test_a_commit_that_holds_something_else_is_noticed(story, folders, name):
    """The Hub names a commit that it has, but which is not ours: without our files, or with other bytes of their length."""
    hub, reported, said = story
    (status, told, _), (status_again, _, _) = said[WRITE_TOKEN, name]
    assert [status, status_again] == [2, 0]
    assert (
        f"{name} does not hold what was sent, at commit {reported[name]}: README.md, " in told
        and "config.json" in told
    )
    there = hub.files(name)
    assert {file: there[file] for file in model_files(folders)} == model_files(folders)


@pytest.mark.loopback
def test_a_hub_out_of_reach(story, folders, capsys):
    hub, _, _ = story
    argv = ["model", str(folders / "model"), "org/m"]
    ((status, told, waits),) = pushed(hub, [[WRITE_TOKEN, argv]], HF_ENDPOINT="http://127.0.0.1:9")
    assert status == 2 and "the Hub at http://127.0.0.1:9 cannot be reached" in told and waits == []
    assert main(["push", *argv]) == 2  # the tests are offline
    assert "org/m was not published: the offline mode is on. Unset HF_HUB_OFFLINE" in capsys.readouterr().err
