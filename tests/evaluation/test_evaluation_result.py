import dataclasses
import json
import math
import subprocess

import numpy as np
import pytest

from hf_mel.evaluation import (
    Environment,
    EvaluationResult,
    Protocol,
    bootstrap_intervals,
    load_ranks,
    ranking_metrics,
    save_ranks,
    split_metrics,
)
from hf_mel.evaluation.environment import git_commit, machine_kind


FULL_KB = Protocol("full-kb", kb_size=18880, kb_text_field="attributes", num_mentions=3, num_nil=2)
MACHINE = Environment({"torch": "2.13.0"}, "3.11.9", "2 CPU cores, x86_64", 1, "abc1234")


def make_result(**changes) -> EvaluationResult:
    ranks = np.array([1, 2, 4])
    values = {
        "model_name": "PGMEL",
        "dataset": "WikiMEL, test",
        "metrics": ranking_metrics(ranks),
        "protocol": FULL_KB,
        "data_fingerprint": "0f3a",
        "seeds": [0],
        "command": "hf-mel evaluate",
        "date": "2025-11-20",
        "environment": MACHINE,
        "intervals": bootstrap_intervals(ranks, num_resamples=50),
        **split_metrics(ranks, [True, True, False]),
    }
    return EvaluationResult(**values | changes)


def test_round_trip(tmp_path):
    result = make_result(extra={"seconds_per_epoch": 12.5, "name": "Müller"}, ranks_file="r.npz")
    path = result.save(tmp_path / "deep" / "result.json")
    assert EvaluationResult.load(path) == result
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]
    assert "Müller" in path.read_text(encoding="utf-8")


def test_defaults_may_be_missing_from_a_file(tmp_path):
    values = make_result().to_dict()
    for name in ("seen", "unseen", "intervals", "extra", "ranks_file", "schema_version"):
        del values[name]
    path = tmp_path / "result.json"
    path.write_text(json.dumps(values))
    assert EvaluationResult.load(path) == make_result(seen=None, unseen=None, intervals={})


def change(path, value):
    def apply(values):
        *parents, name = path
        for parent in parents:
            values = values[parent]
        if value is None:
            del values[name]
        else:
            values[name] = value

    return apply


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change(["data_fingerprint"], None), r"missing fields \['data_fingerprint'\]"),
        (change(["protocol", "kb_size"], None), r"missing fields \['protocol.kb_size'\]"),
        (change(["intervals", "mrr", "low"], None), r"missing fields \['intervals.mrr.low'\]"),
        (change(["hits"], 1), r"unknown fields \['hits'\]"),
        (change(["environment", "host"], "x"), r"unknown fields \['environment.host'\]"),
        (change(["model_name"], 3), r"field 'model_name' must be str, got 3"),
        (change(["seeds"], 3), r"field 'seeds' must be list"),
        (change(["seeds"], ["a"]), r"seeds must be integers"),
        (change(["protocol"], "full-kb"), r"field 'protocol' must be dict"),
        (change(["protocol", "num_nil"], True), r"field 'protocol.num_nil' must be int, got True"),
        (change(["intervals", "mrr"], 0.5), r"field 'intervals.mrr' must be a JSON object"),
        (change(["protocol", "kind"], "top-k"), r"protocol.kind must be one of"),
        (change(["schema_version"], 2), r"schema_version is 2"),
        (change(["date"], "yesterday"), r"date must be an ISO date"),
        (change(["metrics", "mr"], math.inf), r"Infinity is not strict JSON"),
    ],
)
def test_a_bad_file_is_an_error_that_names_file_and_field(tmp_path, edit, message):
    values = make_result().to_dict()
    edit(values)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message) as caught:
        EvaluationResult.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_no_result_at_all(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="bad.json"):
        EvaluationResult.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": {"mr": math.inf}}, r"field 'metrics.mr' is inf"),
        ({"extra": {"losses": [0.1, math.nan]}}, r"field 'extra.losses\[1\]' is nan"),
        ({"extra": {"count": np.int64(3)}}, r"field 'extra.count' must be text, a number or null, got int64"),
        ({"extra": {1: "a"}}, r"keys of 'extra' must be strings"),
        ({"seeds": 0}, r"field 'seeds' must be list"),
    ],
)
def test_what_json_cannot_hold_is_refused_at_once(changes, message):
    with pytest.raises(ValueError, match=message):
        make_result(**changes)


def test_a_number_changed_afterwards_is_not_written_either(tmp_path):
    result = make_result()
    result.metrics["mr"] = math.nan
    with pytest.raises(ValueError, match="JSON"):
        result.save(tmp_path / "result.json")
    assert not any(tmp_path.iterdir())


def test_a_candidate_protocol_names_its_retriever():
    values = {"kb_size": 9, "kb_text_field": "description", "num_mentions": 3, "num_nil": 0}
    with pytest.raises(ValueError, match="needs retriever and num_candidates"):
        Protocol("candidate-k", **values)
    with pytest.raises(ValueError, match="belong to a candidate protocol"):
        Protocol("full-kb", **values, retriever="BM25")
    named = Protocol("candidate-k", **values, retriever="BM25", num_candidates=5)
    assert "5 candidates from BM25 of 9 entities, missed golds count as wrong" in named.describe()
    added = dataclasses.replace(named, kind="candidate-k, gold added")
    assert "optimistic" in added.describe()
    assert "2 NIL left out" in FULL_KB.describe()


def test_ranks_are_kept(tmp_path):
    ranks = np.array([[1, 2.5, math.inf], [1, 1, 3]])
    loaded, ids = load_ranks(save_ranks(tmp_path / "deep" / "r.npz", ranks, ["m0", "m1", "ü"]))
    assert loaded.tolist() == ranks.tolist()
    assert ids == ["m0", "m1", "ü"]
    assert load_ranks(save_ranks(tmp_path / "r.npz", [1.0]))[1] is None
    with pytest.raises(ValueError, match="2 mention ids for 3 ranks"):
        save_ranks(tmp_path / "r.npz", ranks, ["m0", "m1"])
    with pytest.raises(ValueError, match="ends in .npz"):
        save_ranks(tmp_path / "ranks", ranks)
    np.savez(tmp_path / "other.npz", scores=ranks)
    with pytest.raises(ValueError, match="no array named 'ranks'"):
        load_ranks(tmp_path / "other.npz")


def test_the_environment_is_collected(tmp_path):
    environment = Environment.collect(packages=["numpy", "no-such-package-here"])
    assert environment.packages == {"numpy": np.__version__, "no-such-package-here": "not installed"}
    assert environment.git_commit is None
    assert "CPU core" in machine_kind()
    assert git_commit(tmp_path / "nowhere") is None


def test_the_commit_says_when_files_were_changed(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    (tmp_path / "a.txt").write_text("1")
    git("add", "a.txt")
    git("commit", "-m", "first")
    head = git("rev-parse", "HEAD")
    assert git_commit(tmp_path) == head
    (tmp_path / "a.txt").write_text("2")
    assert git_commit(tmp_path) == head + "-dirty"
