"""All results of a folder in one file."""

import json

import pytest

from hf_mel.evaluation import RESULTS_FILE, group_hits, load_results, save_result

from .test_evaluation_result import make_result


def test_a_rerun_replaces_its_split_and_leaves_the_others(tmp_path):
    groups = {"image_quality": group_hits([1, 2, 4], ["good", "good", "poor"], ["good", "poor"])}
    first = make_result(groups=groups, model_fingerprint="abc")
    path = save_result(first, tmp_path / "deep", "validation")
    save_result(make_result(seeds=[1]), tmp_path / "deep", "test")
    save_result(make_result(seeds=[2]), tmp_path / "deep", "test")
    assert [file.name for file in path.parent.iterdir()] == [RESULTS_FILE] == ["eval_results.json"]
    assert load_results(path) == load_results(path.parent) == {"validation": first, "test": make_result(seeds=[2])}
    assert list(load_results(path)) == ["validation", "test"]


def test_where_nothing_is_there_are_no_results(tmp_path):
    assert load_results(tmp_path) == load_results(tmp_path / "no.json") == load_results(tmp_path / "no") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "eval_results.json: "),
        ("[]", "must hold an object of results, by split"),
        ('{"test": 1}', "must hold an object of results, by split"),
        ('{"test": {"metrics": {}}}', r"eval_results.json: test: missing fields"),
        ('{"test": NaN}', "NaN is not strict JSON"),
    ],
)
def test_a_damaged_file_is_named_and_kept(tmp_path, content, message):
    path = tmp_path / RESULTS_FILE
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        load_results(tmp_path)
    with pytest.raises(ValueError, match=message):
        save_result(make_result(), tmp_path, "test")
    assert path.read_text() == content and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"a": 1}, "field 'groups.a' must be list"),
        ({"a": [{"name": "x"}]}, r"missing fields \['groups.a\[0\].count'"),
        ({"a": [{"name": "x", "count": 1, "metrics": {}, "interval": {}}]}, r"groups.a\[0\].interval.value"),
        (3, "field 'groups' must be"),
    ],
)
def test_damaged_groups(tmp_path, groups, message):
    path = tmp_path / RESULTS_FILE
    path.write_text(json.dumps({"test": make_result().to_dict() | {"groups": groups}}))
    with pytest.raises(ValueError, match=message):
        load_results(path)
