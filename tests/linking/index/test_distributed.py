"""Processes that share a build; two real ones are started by the tests of the command line."""

from types import SimpleNamespace

import pytest

from tests.linking.index.common import build, contents


def test_each_process_writes_its_share(tmp_path):
    """One after the other, without waiting: the second finds what the first has noted, and commits."""
    second = SimpleNamespace(num_processes=2, process_index=1, is_main_process=False, wait_for_everyone=lambda: None)
    first = SimpleNamespace(num_processes=2, process_index=0, is_main_process=True, wait_for_everyone=lambda: None)
    place = tmp_path / "index"
    with pytest.raises(FileNotFoundError, match="shards 000001, 000003 .* do all processes see this folder"):
        build(place, process=first)
    assert sorted(path.stem for path in place.glob(".pending/0*")) == ["000000", "000002", "000004"]
    with pytest.raises(ValueError, match="did not end"):
        build(place, process=second)
    assert len(list(place.glob(".pending/0*"))) == 5
    build(place)
    build(tmp_path / "alone")
    for process in (first, second):  # it is there already
        assert len(build(place, process=process)) == 20
    assert contents(place) == contents(tmp_path / "alone")


def test_processes_need_a_folder():
    processes = SimpleNamespace(num_processes=2)
    with pytest.raises(ValueError, match="several processes need a folder"):
        build(process=processes)
