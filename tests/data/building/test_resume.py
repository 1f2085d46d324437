"""Builds that end too early: `kill -9` at several points, then again."""

import json
import multiprocessing
import os
import signal
import time

import pytest
from datasets import load_dataset

from hf_mel.data.building import build, build_dataset, writing
from hf_mel.data.building.state import BuildState, rows_digest
from hf_mel.data.tables import NoPicture
from tests.data.building.common import contents, picture, small_raw


# Two shards of train, one of each other split, two of the entities.
OPTIONS = {"name": "mine", "max_shard_bytes": 100_000}
ROWS = 507


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Raw files, and what an undisturbed build makes of them."""
    folder = tmp_path_factory.mktemp("release")
    build_dataset(small_raw(folder / "raw"), folder / "undisturbed", **OPTIONS)
    return folder / "raw", contents(folder / "undisturbed")


def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def nth(number: int, function, then=die):
    """`function`, and in place of its call of this number `then`."""
    calls = []

    def replaced(*args, **kwargs):
        calls.append(1)
        return (then if len(calls) == number else function)(*args, **kwargs)

    return replaced


def after(function):
    def replaced(*args, **kwargs):
        function(*args, **kwargs)
        die()

    return replaced


# Each is what is replaced before the build, and how many shards lie there whole when it dies.
POINTS = {
    "at the first rows": (lambda: setattr(writing, "convert", nth(1, writing.convert)), 0),
    "in the second shard": (lambda: setattr(writing, "convert", nth(3, writing.convert)), 1),
    "a shard is written, but not noted": (lambda: setattr(BuildState, "add", nth(2, BuildState.add)), 1),
    "a shard is noted": (lambda: setattr(BuildState, "add", nth(3, BuildState.add, after(BuildState.add))), 3),
    "among the entities": (lambda: setattr(writing, "convert", nth(8, writing.convert)), 5),
    "before the files are read back": (lambda: setattr(build, "check_written", die), 6),
    "before the card": (lambda: setattr(build, "render_card", die), 6),
    "among the last names": (lambda: setattr(build, "_final_name", nth(9, build._final_name)), None),
    "before all is put in place": (lambda: setattr(build, "_put_in_place", die), None),
}


def killed_build(raw, out, prepare=lambda: None, **options) -> None:
    """Builds in a process of its own, which `prepare` makes die."""

    def run():
        prepare()
        build_dataset(small_raw(raw), out, **{**OPTIONS, **options})

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def converted(monkeypatch) -> list[int]:
    """Numbers of rows that are converted from now on."""
    rows, convert = [], writing.convert
    monkeypatch.setattr(writing, "convert", lambda part, *args: (rows.append(len(part)), convert(part, *args))[1])
    return rows


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_taken_up_again(release, tmp_path, monkeypatch, point):
    raw, expected = release
    prepare, whole = POINTS[point]
    out = tmp_path / "out"
    killed_build(raw, out, prepare)
    assert not out.exists()
    with pytest.raises((FileNotFoundError, ConnectionError, ValueError)):
        load_dataset(str(out))
    left = tmp_path / ".out.partial"
    assert left.is_dir()
    before = 0
    if whole:
        state = json.loads((left / "state.json").read_text())
        shards = [shard for table in state["tables"].values() for shard in table]
        assert len(shards) == whole
        before = sum(shard["rows"] for shard in shards)
    rows = converted(monkeypatch)
    build_dataset(small_raw(raw), out, **OPTIONS)
    assert contents(out) == expected
    assert sum(rows) == ROWS - before, "nothing that was whole is made again"
    assert not left.exists()


def test_killed_again_and_again(release, tmp_path):
    raw, expected = release
    for number in (1, 2, 2):
        killed_build(raw, tmp_path / "out", lambda n=number: setattr(BuildState, "add", nth(n, BuildState.add)))
    build_dataset(small_raw(raw), tmp_path / "out", num_proc=2, **OPTIONS)
    assert contents(tmp_path / "out") == expected


def test_an_error_leaves_what_was_whole(release, tmp_path, monkeypatch):
    raw, expected = release

    def fails(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(writing, "convert", nth(5, writing.convert, fails))
        with pytest.raises(OSError, match="No space left"):
            build_dataset(small_raw(raw), tmp_path / "out", **OPTIONS)
    assert not (tmp_path / "out").exists()
    rows = converted(monkeypatch)
    build_dataset(small_raw(raw), tmp_path / "out", **OPTIONS)
    assert contents(tmp_path / "out") == expected
    assert sum(rows) < ROWS


@pytest.mark.parametrize(
    "change", ["no resume", "option", "name", "raw file", "shard damaged", "shard gone", "state damaged"]
)
def test_anything_else_starts_anew(release, tmp_path, monkeypatch, change):
    raw, expected = release
    options, out, left = dict(OPTIONS), tmp_path / "out", tmp_path / ".out.partial"
    killed_build(raw, out, POINTS["among the entities"][0])
    if change == "no resume":
        options["resume"] = False
    elif change == "option":
        options["max_image_side"] = 7
    elif change == "name":
        options["name"] = "yours"
    elif change == "shard damaged":
        with open(left / "mentions" / "train-00000.parquet", "ab") as file:
            file.write(b"x")
    elif change == "shard gone":
        (left / "mentions" / "test-00000.parquet").unlink()
    elif change == "state damaged":
        (left / "state.json").write_text('{"finger')
    source = small_raw(raw)
    if change == "raw file":
        later = time.time_ns() + 10**9
        os.utime(raw / "rows.txt", ns=(later, later))
    rows = converted(monkeypatch)
    build_dataset(source, out, **options)
    assert sum(rows) == ROWS
    if change not in ("option", "name"):
        assert contents(out) == expected
    else:
        build_dataset(source, tmp_path / "undisturbed", **options)
        assert contents(out) == contents(tmp_path / "undisturbed")


@pytest.mark.parametrize("change", ["a picture", "a row", "fewer rows", "more rows"])
def test_changed_rows_and_pictures_are_made_again(tmp_path, monkeypatch, change):
    """They may have no file of their own, so the state knows each shard's rows and pictures."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    source = small_raw(raw)
    list(source.entities())  # writes the pictures
    killed_build(raw, out, POINTS["among the entities"][0])
    if change == "a picture":
        picture(raw / "images" / "m10.jpg", 99, size=(20, 10))
    elif change == "a row":
        source.mentions["train"][200]["text"] = "Another Name."
    elif change == "fewer rows":
        del source.mentions["train"][-1]
    else:
        row = source.mentions["test"][0]
        source.mentions["test"].append({**row, "id": "added"})
    rows = converted(monkeypatch)
    build_dataset(source, out, **OPTIONS)
    build_dataset(source, tmp_path / "undisturbed", **{**OPTIONS, "resume": False})
    assert contents(out) == contents(tmp_path / "undisturbed")
    assert ROWS < sum(rows) < 2 * ROWS - 100, "with those of the undisturbed build"


def test_the_processes_of_a_killed_build_end(release, tmp_path):
    """They would wait for rows for ever."""
    raw, _ = release
    pids = tmp_path / "pids"
    convert = writing.convert

    def noted(*args):
        with open(pids, "a") as file:
            file.write(f"{os.getpid()}\n")
        return convert(*args)

    def prepare():
        writing.convert = noted
        # The parent dies when it notes the first shard, while its processes are at work.
        BuildState.add = die

    noted.__module__, noted.__qualname__ = writing.__name__, "convert"
    killed_build(raw, tmp_path / "out", prepare, num_proc=2)
    workers = {int(line) for line in pids.read_text().split()}
    assert workers
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in workers if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_why_there_is_no_picture_counts_as_input():
    """A table that was imported without fetching is not taken for one whose pictures could not be fetched."""
    rows = [
        {"id": "Q1", "image": image}
        for image in (None, NoPicture("missing_file", "a"), NoPicture("missing_file", "b"), NoPicture("blank", "a"))
    ]
    assert len({rows_digest([row]) for row in rows}) == 4
