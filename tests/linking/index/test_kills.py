"""`kill -9` while an index is written: afterwards it is what it would have been."""

import os
import random
import shutil
import signal

import pytest

from hf_mel.linking.index import EntityIndex, building, encoder, folder, manifest
from tests.linking.index.common import (
    SMALL,
    build,
    contents,
    count_moments,
    die,
    in_a_child,
    killed_at,
    nth,
    parts,
    people,
)
from tests.training.common import tiny_data


KILLED = -signal.SIGKILL


@pytest.fixture(scope="module", autouse=True)
def no_sync():
    """A killed process loses nothing that it has written; only a machine that goes down does."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda descriptor: None)
        yield


def small(place) -> None:
    """A build of three shards."""
    build(place, kb=people(6, prefix="M"), shard_rows=2)


def add(place) -> None:
    EntityIndex.load(place).add(*parts(), people(4))


def change(place) -> None:
    """An update which replaces, adds and removes rows at once."""
    EntityIndex.load(place).update(*parts(), people(6, trade="singer"), add_missing=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Folders in which nothing was interrupted: after each of the three."""
    folders = {}
    for run in (small, add, change):
        folders[run] = tmp_path_factory.mktemp("undisturbed") / "index"
        if run is not small:
            shutil.copytree(folders[small if run is add else add], folders[run])
        run(folders[run])
    return folders


def test_a_build_killed_twenty_times_goes_on_each_time(tmp_path):
    def run(name: str = "index") -> None:
        build(tmp_path / name, kb=people(8, prefix="M"), shard_rows=1)

    place, rng = tmp_path / "index", random.Random(1)
    run("undisturbed")
    moments = count_moments(lambda: run("again"))
    whole, killed = [], 0
    for _ in range(20):
        # Most of a run is done before the first shard, so that each of these writes one, or none.
        killed += killed_at(rng.randrange(moments * 4 // 10, moments * 6 // 10), run)
        whole.append(len(list(place.glob(".pending/0*.json"))))
        if not (place / "manifest.json").exists():
            with pytest.raises((ValueError, FileNotFoundError)):
                EntityIndex.load(place)
    run()
    assert contents(place) == contents(tmp_path / "undisturbed")
    assert killed >= 5 and len(set(whole)) >= 3, (killed, whole)


def test_builds_killed_at_twenty_moments(undisturbed, tmp_path):
    rng, killed = random.Random(2), 0
    moments = count_moments(lambda: small(tmp_path / "other"))
    for number in range(20):
        place = tmp_path / str(number)
        killed += killed_at(rng.randrange(moments), lambda place=place: small(place))
        small(place)
        assert contents(place) == contents(undisturbed[small]), number
    assert killed >= 15


def test_additions_killed_at_twenty_moments(undisturbed, tmp_path):
    rng, killed = random.Random(3), 0
    shutil.copytree(undisturbed[small], tmp_path / "other")
    moments = count_moments(lambda: add(tmp_path / "other"))
    for number in range(20):
        place = tmp_path / str(number)
        shutil.copytree(undisturbed[small], place)
        killed += killed_at(rng.randrange(moments), lambda place=place: add(place))
        assert len(EntityIndex.load(place)) in (6, 10), "all or nothing"
        add(place)
        assert contents(place) == contents(undisturbed[add]), number
    assert killed >= 15


# ---- At chosen steps ----

# What is replaced in the child before it begins.
POINTS = {
    "before anything": lambda: setattr(folder.Pending, "begin", die),
    "in the first shard": lambda: setattr(encoder.ShardEncoder, "_encode", nth(1, encoder.ShardEncoder._encode)),
    "in the second shard": lambda: setattr(encoder.ShardEncoder, "_encode", nth(2, encoder.ShardEncoder._encode)),
    "between the files of a shard": lambda: setattr(encoder, "write_shard", half_a_shard),
    "before a shard is noted": lambda: setattr(folder.Pending, "note", nth(2, folder.Pending.note)),
    "before the manifest": lambda: setattr(manifest.Manifest, "save", die),
    "as the manifest takes its place": lambda: setattr(manifest.os, "replace", die_at_the_manifest),
    "after the manifest": lambda: setattr(folder, "tidy", die_if_committed),
}


def half_a_shard(place, number, tensors, table):
    (place / "shards").mkdir(exist_ok=True)
    (place / f"shards/{number:06d}.safetensors").write_bytes(b"half")
    (place / f"shards/{number:06d}.parquet.tmp").write_bytes(b"half")
    die()


def die_at_the_manifest(source, target, replace=os.replace):
    if target.name == "manifest.json":
        die()
    replace(source, target)


def die_if_committed(place, manifest, kept=(), pending=False):
    if not pending:
        die()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("run", [small, add, change], ids=["build", "add", "update"])
def test_killed_at_a_step(run, point, undisturbed, tmp_path):
    place = tmp_path / "index"
    if run is not small:
        shutil.copytree(undisturbed[small if run is add else add], place)
    before = contents(place)

    def killed():
        POINTS[point]()
        run(place)

    assert in_a_child(killed) == KILLED
    if point != "after the manifest":
        assert before.items() <= contents(place).items(), "what was there is untouched"
    run(place)
    assert contents(place) == contents(undisturbed[run])


def test_an_interrupted_build_goes_on_where_it_was(tmp_path, monkeypatch):
    """Ctrl-C is no `kill`, but the same holds."""

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(encoder.ShardEncoder, "_encode", nth(6, encoder.ShardEncoder._encode, interrupted))
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path / "index")
    encoded = []
    encode = encoder.ShardEncoder._encode
    monkeypatch.setattr(
        encoder.ShardEncoder, "_encode", lambda self, rows: (encoded.extend(rows), encode(self, rows))[1]
    )
    build(tmp_path / "index")
    assert len(encoded) == 20 - 8, "two shards of four were whole"


@pytest.mark.parametrize("changed", ["model", "knowledge base", "setting"])
def test_what_another_build_left_is_not_used(changed, tmp_path):
    place = tmp_path / "index"

    def killed():
        POINTS["before the manifest"]()
        build(place)

    assert in_a_child(killed) == KILLED
    options = {}
    if changed == "model":
        model, processor = parts(seed=1)
    else:
        model, processor = parts()
    kb = people(3) if changed == "knowledge base" else tiny_data().entities
    options = {**SMALL, **({"batch_size": 5} if changed == "setting" else {})}
    EntityIndex.build(model, processor, kb, place, **options)
    EntityIndex.build(model, processor, kb, tmp_path / "expected", **options)
    assert contents(place) == contents(tmp_path / "expected")


@pytest.mark.parametrize("damage", ["cut", "gone", "note"])
def test_a_shard_that_is_not_whole_is_written_again(damage, undisturbed, tmp_path):
    """As a machine that goes down may leave it."""
    place = tmp_path / "index"

    def killed():
        POINTS["before the manifest"]()
        small(place)

    assert in_a_child(killed) == KILLED
    file = place / "shards/000001.safetensors"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:20])
    elif damage == "gone":
        file.unlink()
    else:
        (place / ".pending/000001.json").write_text('{"name"')
    small(place)
    assert contents(place) == contents(undisturbed[small])


def test_a_writer_that_died_with_less_precision(tmp_path):
    """The vectors in full, from which those in less are made, go with it in the end."""

    def killed():
        building.commit = lambda place, *args: die() if place == tmp_path / "index" else folder.commit(place, *args)
        build(tmp_path / "index", precision="int8")

    assert in_a_child(killed) == KILLED
    assert (tmp_path / "index" / ".reference").is_dir()
    build(tmp_path / "index", precision="int8")
    build(tmp_path / "expected", precision="int8")
    assert contents(tmp_path / "index") == contents(tmp_path / "expected")
    assert not (tmp_path / "index" / ".reference").exists()
