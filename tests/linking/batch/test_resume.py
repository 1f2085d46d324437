"""Runs that end too early: `kill -9` and Ctrl-C at any moment, then the same again."""

import json
import multiprocessing
import os
import random
import signal
import time

import pytest
import torch
from filelock import FileLock

from hf_mel.linking import Linker
from hf_mel.linking.batch import BatchOptions, RdfNames, TableInput, journal, link_file, running
from tests.linking.batch.common import FakeLinker, mixed_rows, read_lines, write_lines, write_picture
from tests.training.common import tiny_data, tiny_linker, tiny_processor


NAMES = RdfNames("https://example.org/")
ROWS = 60


@pytest.fixture
def table(tmp_path):
    return write_lines(tmp_path / "in.jsonl", mixed_rows(ROWS))


def contents(output) -> tuple[bytes, bytes]:
    rejects = output.with_name(f"{output.name}.rejects.jsonl")
    return output.read_bytes(), rejects.read_bytes() if rejects.exists() else b""


def in_a_child(run, seconds: float | None = None) -> int:
    """Runs in a process of its own, which is killed after some time; its exit code."""
    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(60 if seconds is None else seconds)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
        process.join(60)
    return process.exitcode


def nth(number: int, function, then):
    """`function`, and in place of its call of this number `then`."""
    calls = []

    def replaced(*args, **kwargs):
        calls.append(1)
        return (then if len(calls) == number else function)(*args, **kwargs)

    return replaced


def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


# ---- Killed ----


def test_killed_at_twenty_random_moments(table, tmp_path):
    """Each run goes on from where the one before was killed; one that reaches its end makes room for the next form."""
    forms = ["jsonl", "csv", "parquet", "jsonld"]
    for form in forms:
        link_file(FakeLinker(), table, tmp_path / f"undisturbed.{form}", rdf=NAMES)
    moments, kills, number = random.Random(0), 0, 0
    while kills < 20:
        form = forms[number % len(forms)]
        output = tmp_path / f"out{number}.{form}"
        code = in_a_child(
            lambda: link_file(FakeLinker(pause=0.01), table, output, rdf=NAMES, chunk_size=8),  # noqa: B023
            moments.uniform(0.01, 0.15),
        )
        kills += code == -signal.SIGKILL
        if output.exists():
            assert contents(link_again(table, output)) == contents(tmp_path / f"undisturbed.{form}")
            number += 1
    output = tmp_path / f"out{number}.{forms[number % len(forms)]}"
    resumed = link_file(FakeLinker(), table, output, rdf=NAMES).resumed
    assert contents(output) == contents(tmp_path / f"undisturbed{output.suffix}")
    assert number or resumed, "every run was killed before it had done anything"


def link_again(table, output):
    """The same command after a run that was killed when the output was in place: there is only to tidy up."""
    hidden = output.parent / f".{output.name}.partial"
    if (hidden / "state.json").exists():
        assert link_file(FakeLinker(), table, output, rdf=NAMES).resumed == ROWS
    elif hidden.exists():
        with pytest.raises(FileExistsError):
            link_file(FakeLinker(), table, output, rdf=NAMES)
    assert not (output.parent / f".{output.name}.partial").exists()
    return output


# What is replaced before the run, so that it dies there, and how many rows are done.
POINTS = {
    "before anything is noted": (lambda: setattr(running._Run, "_linked", nth(1, running._Run._linked, die)), 0),
    "in the second chunk": (lambda: setattr(running._Run, "_linked", nth(4, running._Run._linked, die)), 16),
    "lines are written, but not noted": (lambda: setattr(journal.os, "replace", nth(2, os.replace, die)), 16),
    "all is noted": (lambda: setattr(running, "_publish", die), ROWS),
    "the rejects are in place": (lambda: setattr(running, "_publish", nth(2, running._publish, die)), ROWS),
    "both are in place": (lambda: setattr(journal.Journal, "remove", die), ROWS),
}


@pytest.mark.parametrize(("point", "overwrite"), [*((point, False) for point in POINTS), ("both are in place", True)])
def test_killed_at_a_point(table, tmp_path, point, overwrite):
    prepare, done = POINTS[point]
    output, undisturbed = tmp_path / "out.csv", tmp_path / "undisturbed.csv"
    expected = link_file(FakeLinker(), table, undisturbed)

    def run():
        prepare()
        link_file(FakeLinker(), table, output, chunk_size=16, overwrite=overwrite)

    assert in_a_child(run) == -signal.SIGKILL
    if done < ROWS:
        assert not output.exists()
    linker = FakeLinker()
    report = link_file(linker, table, output, overwrite=overwrite)
    assert report.resumed == done and contents(output) == contents(undisturbed)
    for name in ("rows", "mentions", "nil", "rejected", "images", "reasons"):
        assert getattr(report, name) == getattr(expected, name)
    # The wrong rows among those that are left are not asked for.
    wrong = sum("start" in row for row in mixed_rows(ROWS)[done:])
    assert sum(len(queries) for queries in linker.asked) == ROWS - done - wrong
    assert not (tmp_path / ".out.csv.partial").exists()


def test_killed_with_a_model(tmp_path):
    """The same mentions are encoded together, so that not one bit differs."""
    mentions = tiny_data().mentions["test"]
    pictures = [write_picture(tmp_path / f"{number}.png", size=(8 + number, 8)) for number in range(3)]
    table = write_lines(
        tmp_path / "in.jsonl",
        [
            {"id": f"{turn}-{row['id']}", "mention": row["mention"], "text": row["text"] + " And so on." * turn}
            | ({"image": pictures[turn % 3].name} if turn % 2 else {})
            for turn in range(6) for row in mentions
        ],
    )  # fmt: skip
    linker = Linker(tiny_linker(), tiny_processor(), tiny_data().entities, batch_size=2, num_candidates=5)
    torch.set_num_threads(1)
    link_file(linker, table, tmp_path / "undisturbed.jsonl")
    began = time.monotonic()
    link_file(linker, table, tmp_path / "again.jsonl", chunk_size=1)
    lasts = time.monotonic() - began
    assert contents(tmp_path / "again.jsonl") == contents(tmp_path / "undisturbed.jsonl")
    output, moments = tmp_path / "out.jsonl", random.Random(4)

    def killed_early():
        running._Run._linked = nth(2, running._Run._linked, die)
        link_file(linker, table, output, chunk_size=1)

    assert in_a_child(killed_early) == -signal.SIGKILL
    for _ in range(4):
        if not output.exists():
            in_a_child(lambda: link_file(linker, table, output, chunk_size=1), moments.uniform(0.1, 0.5) * lasts)
    if not output.exists():
        assert link_file(linker, table, output).resumed >= 8
    assert contents(output) == contents(tmp_path / "undisturbed.jsonl")
    assert len({row["candidates"][0]["score"] for row in read_lines(output)}) > 10


def test_interrupted_by_hand(table, tmp_path):
    linker = FakeLinker()
    linker.link_queries = nth(3, linker.link_queries, lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
    output = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        link_file(linker, table, output, chunk_size=1)
    assert link_file(FakeLinker(), table, output).resumed == 16


def test_the_size_of_a_chunk_does_not_matter(table, tmp_path):
    answers = set()
    for size in (1, 7, 8, 1_000):
        link_file(FakeLinker(), table, tmp_path / f"{size}.jsonl", chunk_size=size)
        answers.add(contents(tmp_path / f"{size}.jsonl"))
    assert len(answers) == 1
    with pytest.raises(ValueError, match="chunk_size must be at least 1"):
        link_file(FakeLinker(), table, tmp_path / "out.jsonl", chunk_size=0)


# ---- What is taken up ----


def interrupted(table, output, **options) -> None:
    def run():
        running._Run._linked = nth(4, running._Run._linked, die)
        link_file(FakeLinker(), table, output, chunk_size=1, **options)

    assert in_a_child(run) == -signal.SIGKILL
    assert json.loads((output.parent / f".{output.name}.partial" / "state.json").read_text())["rows"] == 24


CHANGES = {
    "input": {"row": {"id": "new", "mention": "a", "text": "a"}},
    "options": {"options": BatchOptions(top_k=2)},
    "index": {"linker": FakeLinker(generation=2)},
    "calibration": {"calibration": {"temperature": 2.0}},
    "model": {"setup": {"model": "other"}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_run_starts_anew_and_says_so(table, tmp_path, caplog, change):
    output, new = tmp_path / "out.jsonl", CHANGES[change]
    interrupted(table, output)
    linker = new.get("linker", FakeLinker())
    if "row" in new:
        with open(table, "a") as file:
            file.write(json.dumps(new["row"]) + "\n")
    if "calibration" in new:
        linker.calibration = type("Calibration", (), {"to_dict": lambda self: new["calibration"]})()
    if "setup" in new:
        linker.setup = new["setup"]
    report = link_file(linker, table, output, options=new.get("options"))
    assert report.resumed == 0 and report.rows == ROWS + ("row" in new)
    assert f"is of a run with another {change}: the run starts anew" in caplog.text
    link_file(linker, table, tmp_path / "undisturbed.jsonl", options=new.get("options"))
    assert contents(output) == contents(tmp_path / "undisturbed.jsonl")


def test_other_ways_of_reading_count_as_another_input(table, tmp_path, caplog):
    interrupted(table, tmp_path / "out.jsonl")
    source = TableInput(table, allow_missing_images=True)
    assert link_file(FakeLinker(), source, tmp_path / "out.jsonl").resumed == 0
    assert "another input" in caplog.text


def test_restart_does_not_go_on(table, tmp_path, caplog):
    interrupted(table, tmp_path / "out.jsonl")
    assert link_file(FakeLinker(), table, tmp_path / "out.jsonl", restart=True).resumed == 0
    assert "is not used" in caplog.text


def test_another_form_is_no_other_run(table, tmp_path):
    interrupted(table, tmp_path / "out.jsonl")
    assert link_file(FakeLinker(), table, tmp_path / "out.jsonl", format="csv").resumed == 24
    assert (tmp_path / "out.jsonl").read_text().startswith("id,mention")


@pytest.mark.parametrize("damage", ["state", "results", "version"])
def test_a_damaged_journal_is_not_taken_up(table, tmp_path, caplog, damage):
    output = tmp_path / "out.jsonl"
    interrupted(table, output)
    left = tmp_path / ".out.jsonl.partial"
    if damage == "state":
        (left / "state.json").write_text('{"rows": 2')
    elif damage == "version":
        state = json.loads((left / "state.json").read_text())
        (left / "state.json").write_text(json.dumps(state | {"version": 0}))
    else:
        os.truncate(left / "results.jsonl", 10)
    assert link_file(FakeLinker(), table, output).resumed == 0
    assert "the run starts anew" in caplog.text
    link_file(FakeLinker(), table, tmp_path / "undisturbed.jsonl")
    assert contents(output) == contents(tmp_path / "undisturbed.jsonl")


# ---- Files that are there ----


def test_what_is_there_is_not_overwritten(table, tmp_path):
    output = tmp_path / "out.jsonl"
    link_file(FakeLinker(), table, output)
    before = contents(output)
    called = []
    for path in (output, tmp_path / "out.jsonl.rejects.jsonl"):
        with pytest.raises(FileExistsError, match="overwrite"):
            link_file(lambda: called.append(1), table, output)
        path.unlink()
    assert not called, "the model is not loaded for that"
    link_file(FakeLinker(), table, output)
    assert contents(output) == before
    link_file(FakeLinker(), table, output, options=BatchOptions(top_k=1), overwrite=True)
    assert contents(output) != before and not list(tmp_path.glob(".*"))


def test_a_file_that_appeared_meanwhile_is_kept(table, tmp_path):
    output = tmp_path / "out.jsonl"
    linker = FakeLinker()
    link_queries = linker.link_queries

    def appears(*args, **kwargs):
        output.write_text("mine")
        return link_queries(*args, **kwargs)

    linker.link_queries = appears
    with pytest.raises(FileExistsError, match="move it away"):
        link_file(linker, table, output)
    assert output.read_text() == "mine"
    output.unlink()
    asked = FakeLinker()
    assert link_file(asked, table, output).resumed == ROWS and not asked.asked


def test_one_process_at_a_time(table, tmp_path):
    hidden = tmp_path / ".out.jsonl.partial"
    hidden.mkdir()
    with FileLock(hidden / "lock"), pytest.raises(BlockingIOError, match="another process is linking into"):
        link_file(FakeLinker(), table, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    assert link_file(FakeLinker(), table, tmp_path / "out.jsonl").rows == ROWS


def test_an_input_that_changes_while_it_is_read(table, tmp_path):
    linker = FakeLinker()
    link_queries = linker.link_queries

    def touched(*args, **kwargs):
        os.utime(table, ns=(1, 1))
        return link_queries(*args, **kwargs)

    linker.link_queries = touched
    with pytest.raises(ValueError, match="changed while it was read"):
        link_file(linker, table, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("output", "options", "error", "message"),
    [
        ("out.txt", {}, ValueError, "the suffix tells no format"),
        ("out.jsonl", {"format": "parqet"}, ValueError, "did you mean 'parquet'?"),
        ("no/out.jsonl", {}, FileNotFoundError, "make it first"),
        ("in.jsonl", {"overwrite": True}, ValueError, "is the input, too"),
        ("out.jsonl", {"rejects": "in.jsonl", "overwrite": True}, ValueError, "is the input, too"),
        ("out.jsonl", {"rejects": "out.jsonl"}, ValueError, "name two files"),
        (".", {}, IsADirectoryError, "name a file"),
        ("out.nt", {}, ValueError, "--base_iri"),
    ],
)
def test_bad_places(table, tmp_path, monkeypatch, output, options, error, message):
    monkeypatch.chdir(tmp_path)
    before = table.read_bytes()
    with pytest.raises(error, match=message):
        link_file(lambda: pytest.fail("the model was loaded"), table, output, **options)
    assert table.read_bytes() == before
