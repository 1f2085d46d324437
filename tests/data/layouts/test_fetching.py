"""Pictures of KGMEL's layout that are fetched by their URL, from a server on this machine."""

import json

import pytest

from hf_mel.cli.data_build import run
from hf_mel.data import FetchLimits, build_benchmark, load_data, load_layout
from hf_mel.data.own.urls import PictureFetcher
from tests.data.own.test_urls import limits, server  # noqa: F401

from .fixtures import kgmel_captions, write_json, write_kgmel, write_mimic


pytestmark = pytest.mark.loopback


@pytest.fixture
def raw(tmp_path, server):  # noqa: F811
    """The picture of caption 0 is there; 1 and 40 are served, in 2 no picture is named, 41 is in no split."""
    folder = write_kgmel(tmp_path / "raw")
    (folder / "mention_image" / "mention_2.jpg").unlink()
    captions = kgmel_captions()
    for caption, name in zip(
        captions, ("never.png", "good.png", "never.png", "slow.png?key=secret", "never.png"), strict=True
    ):
        caption["img-url"] = f"{server.url}/{name}"
    return write_json(folder, WikiDiverse=captions)


def point(folder, number, url):
    captions = json.loads((folder / "WikiDiverse.json").read_text())
    captions[number]["img-url"] = url
    write_json(folder, WikiDiverse=captions)


def test_only_what_is_missing_is_fetched(raw, server, limits):  # noqa: F811
    before = load_layout("kgmel", raw)
    assert not server.asked and "pictures_fetched" not in before.report
    data = load_layout("kgmel", raw, fetch_urls=FetchLimits(**limits), check_images=True)
    assert server.asked == {"/good.png": 1, "/slow.png": 1}
    assert data.report["pictures_fetched"] == 2 and data.report["pictures"] == []
    assert data.mentions["train"]["image_status"][:] == ["ok", "ok", "ok", "none", "none", "ok"]
    assert data.mentions["test"][0]["image"].size == (6, 4), "the picture of the server"
    load_layout("kgmel", raw, fetch_urls=FetchLimits(**limits))
    assert server.asked == {"/good.png": 1, "/slow.png": 1}, "they are kept"
    load_layout("kgmel", raw, fetch_urls=FetchLimits(**limits), pictures=False)
    assert server.asked == {"/good.png": 1, "/slow.png": 1}


@pytest.mark.parametrize(
    ("name", "more", "reason"),
    [
        ("gone", {}, "HTTP 404"),
        ("html", {}, "its content is a web page, not a picture"),
        ("large", {"max_bytes": 1_000}, "it is larger than 1,000 bytes"),
        ("endless", {"timeout": 0.3, "retries": 0}, "it took longer than 0.3 s"),
        ("hop3", {"max_redirects": 2}, "more than 2 redirects"),
        ("good.png", {"allow_private": False}, "its host has the address 127.0.0.1, which is not public"),
    ],
)
def test_limits(raw, server, limits, name, more, reason, caplog, tmp_path):  # noqa: F811
    point(raw, 3, f"{server.url}/{name}?key=secret")
    report = build_benchmark(
        "wikidiverse", raw, tmp_path / "out", options={"fetch_urls": FetchLimits(**{**limits, **more})}
    )
    entry = report["pictures"][-1]
    assert (entry["split"], entry["record"], entry["status"]) == ("test", "test-40-0", "missing_file")
    assert entry["file"] == f"{server.url}/{name}" and reason in entry["reason"]
    assert (
        f"{server.url}/{name} was not fetched: {reason}" in caplog.text and "secret" not in str(report) + caplog.text
    )
    # One picture that cannot be fetched refuses nothing else.
    data = load_data(tmp_path / "out")
    assert data.mentions["train"]["image_status"][0] == "ok" and data.mentions["test"]["image_status"][:] == [
        "missing_file"
    ]
    assert data.report["pictures_fetched"] == (0 if "allow_private" in more else 1)


def test_from_the_command_line(raw, server, limits, tmp_path, monkeypatch, capsys):  # noqa: F811
    out = tmp_path / "out"
    argv = ["wikidiverse", "--raw", str(raw), "--out", str(out), "--fetch_urls"]
    # By default nothing is fetched from addresses of this machine.
    run([*argv, "--overwrite"])
    assert not server.asked and "3 broken pictures" in capsys.readouterr().out
    fetcher = PictureFetcher(FetchLimits(**limits))
    monkeypatch.setattr("hf_mel.data.layouts.fetching.PictureFetcher", lambda limits: fetcher)
    run([*argv, "--overwrite"])
    assert "no broken picture" in capsys.readouterr().out
    report = json.loads((out / "build_report.json").read_text())
    assert report["origin"]["options"] == {"fetch_urls": True} and report["pictures_fetched"] == 2
    assert load_data(out).mentions["test"][0]["image"].size == (6, 4)


def test_a_release_without_urls(tmp_path):
    with pytest.raises(ValueError, match="these files name no picture by URL; of the layouts, kgmel does"):
        load_layout("mimic", write_mimic(tmp_path), fetch_urls=True)
