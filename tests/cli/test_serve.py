"""`hf-mel serve`: what it listens to, what it refuses, how it ends."""

import builtins
import multiprocessing
import os
import re
import signal
import socket
import sys
import time
from dataclasses import fields

import pytest

from hf_mel import Calibration, EntityIndex, Linker
from hf_mel.cli import serve
from hf_mel.cli.main import main
from hf_mel.service import ServiceConfig
from tests.training.common import tiny_data, tiny_linker, tiny_processor


pytest.importorskip("fastapi", reason='needs pip install "hf-mel[serve]"')


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    model, processor = tiny_linker(), tiny_processor()
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    EntityIndex.build(model, processor, tiny_data().entities, folder / "index")
    return folder


@pytest.fixture
def command(folder):
    return ["serve", str(folder / "model"), "--index", str(folder / "index"), "--port", "0"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command with a server that is interrupted as soon as it runs; gives the application and what was said."""
    made = {}

    class Server:
        def run(self, sockets):
            made["address"] = sockets[0].getsockname()
            raise KeyboardInterrupt

    def make_server(app):
        made["app"] = app
        return Server()

    monkeypatch.setattr("hf_mel.service.make_server", make_server)

    def running(words, code=0):
        made.clear()
        assert main([str(word) for word in words]) == code
        said = capsys.readouterr()
        return made, said.out, said.err

    return running


def test_what_it_says(command, run):
    made, out, err = run(command)
    port = made["address"][1]
    assert made["address"][0] == "127.0.0.1" and "warning" not in err
    assert f"http://127.0.0.1:{port}/link" in out and f"http://127.0.0.1:{port}/reconcile" in out
    assert re.search(r"^entities +20$", out, re.MULTILINE) and "prior: `hf-mel calibrate`" in out
    assert out.endswith("hf-mel serve: ended\n")


def test_other_machines_may_reach_it_with_a_warning(command, run):
    made, _, err = run([*command, "--host", "0.0.0.0"])
    assert made["address"][0] == "0.0.0.0"
    (line,) = [line for line in err.splitlines() if line.startswith("warning")]
    assert "0.0.0.0" in line and "no password" in line


def test_every_setting_is_an_option():
    options = {each.name: each.default for each in fields(serve.ServeOptions)}
    for setting in fields(ServiceConfig):
        assert options[setting.name] == setting.default, setting.name


def test_options_reach_the_service(command, run):
    from starlette.testclient import TestClient

    words = [
        "--name",
        "Mine",
        "--entity_url",
        "https://x.org/{id}",
        "--max_mentions",
        "3",
        "--allow_urls",
        "--max_body",
        "999",
    ]
    made, _, _ = run([*command, *words])
    ask = TestClient(made["app"])
    manifest = ask.get("/reconcile").json()
    assert (manifest["name"], manifest["batchSize"], manifest["view"]["url"]) == ("Mine", 3, "https://x.org/{{id}}")
    assert ask.post("/link", content=b"x" * 1_000).status_code == 413
    found = ask.post("/link", json={"text": "Vale came.", "mention": "Vale"})
    assert found.status_code == 200 and len(found.json()["candidates"]) == 5


def test_the_set_up_is_that_of_the_calibration(folder, command, run, tmp_path):
    import shutil

    assert serve.load_linker(command[1], options(folder)).finder.mode == "merged"
    model = tmp_path / "model"
    shutil.copytree(folder / "model", model)
    linker = Linker.from_pretrained(model, folder / "index", candidates="lexical", num_candidates=9)
    Calibration(0.5, 0.1, 0.2, num_candidates=9, setup=linker.setup).save(model)
    loaded = serve.load_linker(str(model), options(folder))
    assert (loaded.finder.mode, loaded.finder.num_candidates) == ("lexical", 9) and loaded.calibration is not None
    loaded = serve.load_linker(str(model), options(folder, candidates="dense"))
    assert loaded.finder.mode == "dense" and loaded.calibration is None
    _, out, _ = run(["serve", model, *command[2:]])
    assert re.search(r"^probabilities +fitted$", out, re.MULTILINE)


def options(folder, **more) -> serve.ServeOptions:
    return serve.ServeOptions(index=str(folder / "index"), **more)


def refused(words, capsys) -> str:
    assert main([str(word) for word in words]) == 2
    _, prefix, error = capsys.readouterr().err.rpartition("hf-mel serve: ")
    assert prefix
    return error


def test_what_is_refused(command, folder, capsys):
    error = refused([*command, "--timeout", "0", "--max_body", "-1"], capsys)
    assert "2 problems" in error and "timeout" in error and "max_body" in error
    assert "no/index" in refused([*command, "--index", "no/index"], capsys)
    assert "no folder 'no/model'" in refused(["serve", "no/model", *command[2:]], capsys)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        error = refused([*command, "--port", taken.getsockname()[1]], capsys)
    assert "cannot listen at 127.0.0.1" in error and "--port" in error


def test_a_missing_extra_is_named(command, capsys, monkeypatch):
    load = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "uvicorn":
            raise ImportError("No module named 'uvicorn'")
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert 'pip install "hf-mel[serve]"' in refused(command, capsys)


def serving(command, path):
    """What a child does: the command, with its words written into files."""
    for number, name in ((1, "out"), (2, "err")):
        file = open(path / name, "w", buffering=1)
        os.dup2(file.fileno(), number)
        setattr(sys, f"std{name}", file)
    code = main(command)
    sys.stdout.flush()
    os._exit(code)


@pytest.mark.loopback
def test_ctrl_c_ends_it(command, tmp_path):
    """The command in a process of its own: it answers, and an interrupt ends it without a word of a stack."""
    from huggingface_hub.utils import httpx  # that of the hub's client, whatever its name

    child = multiprocessing.get_context("fork").Process(target=serving, args=(command, tmp_path))
    child.start()
    try:
        out, end = tmp_path / "out", time.monotonic() + 60
        while not (out.exists() and "openapi.json" in out.read_text()) and time.monotonic() < end:
            time.sleep(0.02)
        url = re.search(r"(http://\S+)/link", out.read_text())[1]
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as ask:
            answer = ask.post("/link", json={"text": "Vale came.", "mention": "Vale"})
            assert answer.status_code == 200 and answer.json()["candidates"]
            os.kill(child.pid, signal.SIGINT)
            child.join(30)
        assert child.exitcode == 0
        assert "Traceback" not in (tmp_path / "err").read_text()
        assert out.read_text().endswith("hf-mel serve: ended\n")
    finally:
        if child.is_alive():
            child.kill()
        child.join()
