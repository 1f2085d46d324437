"""
Python processes for tests that start fast: they are forked from one that has imported the large libraries which read no
settings, which takes most of the seconds of a start. Those of Hugging Face read theirs when they are imported, so that each
process imports them by itself, with its own environment.
"""

import atexit
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import types
from functools import cache
from pathlib import Path


# Imported before the fork: what a process with `transformers`, `datasets` and this package imports, except the libraries below.
LIBRARIES = (
    *("PIL.ImageOps", "aiohttp", "httpx", "ijson", "jinja2", "multiprocess.pool", "pandas", "pyarrow.dataset"),
    *("pyarrow.parquet", "safetensors.torch", "sklearn.feature_extraction.text", "sympy", "tokenizers"),
    *("torch._dynamo", "torch.distributed.checkpoint", "torch.distributed.fsdp", "torch.onnx"),
)
HASH_SEED = "77"  # of all processes: sets have another order than in the tests
READ_SETTINGS = ("accelerate", "datasets", "evaluate", "hf_mel", "huggingface_hub", "peft", "transformers")


def run_python(
    code: str, *arguments: str, env: dict[str, str], cwd: str | Path, timeout: float = 120
) -> subprocess.CompletedProcess:
    """
    Does what `python -c code arguments` does.

    Args:
        code (`str`): The program.
        arguments (`str`): `sys.argv[1:]` of the program.
        env (`dict[str, str]`): Its whole environment. `PYTHONHASHSEED` has no effect: it is always `HASH_SEED`.
        cwd (`str` or `Path`): Its working directory.
        timeout (`float`, *optional*, defaults to 120): In seconds.

    Returns:
        `subprocess.CompletedProcess`, with the output as text.

    Raises:
        `subprocess.TimeoutExpired`: it did not end in time, and was killed.
    """
    server = _server()
    with tempfile.TemporaryDirectory() as folder:
        outputs = [str(Path(folder, name)) for name in ("stdout", "stderr")]
        request = {"code": code, "arguments": list(arguments), "env": env, "cwd": str(cwd), "outputs": outputs}
        print(json.dumps(request), file=server.stdin, flush=True)
        process = int(server.stdout.readline())
        expired = threading.Event()
        timer = threading.Timer(timeout, lambda: (expired.set(), os.kill(process, signal.SIGKILL)))
        timer.start()
        returncode = int(server.stdout.readline())
        timer.cancel()
        stdout, stderr = (Path(path).read_text(encoding="utf-8") for path in outputs)
    if expired.is_set():
        raise subprocess.TimeoutExpired("python -c", timeout, stdout, stderr)
    return subprocess.CompletedProcess(["python", "-c", code, *arguments], returncode, stdout, stderr)


@cache
def _server() -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    server = subprocess.Popen(
        [sys.executable, __file__], env=environment | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": HASH_SEED}, **pipes
    )
    atexit.register(server.communicate)  # the end of its input ends it
    return server


# ---- In the server ----


def _import_libraries() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    early = [name for name in READ_SETTINGS if name in sys.modules]
    assert not early, f"these have read their settings: {early}"


def _serve() -> dict | None:
    """Forks a process for each request, and reports its id and its exit code. Returns the request in the new process."""
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            return json.loads(line)
        _report(process)
        _report(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
    return None


def _report(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _run(request: dict) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(request["outputs"], start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    own = [os.path.abspath(path) for path in request["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = ["", *own, *sys.path[1:]]
    sys.argv[:] = ["-c", *request["arguments"]]
    sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(request["code"], "<string>", "exec"), sys.modules["__main__"].__dict__)


if __name__ == "__main__":
    _import_libraries()
    asked = _serve()
    if asked is not None:
        _run(asked)
