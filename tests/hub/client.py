"""Real clients: Hugging Face's libraries read `HF_ENDPOINT` when they are imported, hence a process of their own."""

import json
import os
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.processes import run_python

from .server import WRITE_TOKEN, Hub


_LEFT_OUT = ("HF_", "HUGGING", "TRANSFORMERS_", "DATASETS_", "XDG_", "PYTEST_")


@dataclass(frozen=True)
class ClientRun:
    """What a client process did."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def answer(self):
        """The last line it printed, read as JSON."""
        return json.loads(self.stdout.splitlines()[-1])


def run_client(
    code: str,
    hub: Hub,
    *arguments: str,
    token: str | None = WRITE_TOKEN,
    timeout: float = 300,
    fails=False,
    **env: str,
) -> ClientRun:
    """
    Runs Python code in a process for which `hub` is the Hub, with an empty cache and home unless `HF_HOME` is given.

    Args:
        code (`str`): the program; it may be indented. It prints JSON in its last line for [`ClientRun.answer`].
        hub ([`Hub`]): the server.
        arguments (`str`): `sys.argv[1:]` of the program.
        token (`str`, *optional*): whom it comes from, by default one who may write; `None` for nobody.
        timeout (`float`, *optional*, defaults to 300): in seconds.
        fails (`bool`, *optional*, defaults to `False`): whether it is to end with an error, which is an error otherwise.
        env (`str`): environment variables beside those of a clean client.

    Returns:
        [`ClientRun`]
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **{name: value for name, value in os.environ.items() if not _is_left_out(name)},
            "HOME": folder,
            "HF_HOME": str(Path(folder, "hf")),
            "HF_ENDPOINT": hub.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "OMP_NUM_THREADS": "1",
            "NO_PROXY": "*",
            **({} if token is None else {"HF_TOKEN": token}),
            **env,
        }
        paths = (env.get("PYTHONPATH"), os.environ.get("PYTHONPATH"))
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        done = run_python(textwrap.dedent(code), *arguments, env=environment, cwd=folder, timeout=timeout)
    assert (done.returncode != 0) == fails, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return ClientRun(done.returncode, done.stdout, done.stderr)


def _is_left_out(name: str) -> bool:
    return name.startswith(_LEFT_OUT) or name.lower().endswith("_proxy")
