"""Processes that tests fork are like those that `python -c` starts."""

import os
import subprocess

import pytest

from tests.processes import READ_SETTINGS, run_python


def test_a_process_has_its_arguments_environment_and_folder(tmp_path):
    code = "import os, sys; print(sys.argv, os.getcwd(), os.environ['ONE'], 'HOME' in os.environ, __name__)"
    done = run_python(code, "a", "b c", env={"ONE": "1"}, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"['-c', 'a', 'b c'] {tmp_path} 1 False __main__\n"
    assert run_python("import os; print(os.environ.get('ONE'))", env={}, cwd=tmp_path).stdout == "None\n"


def test_libraries_read_their_settings_in_the_process(tmp_path):
    code = (
        f"import sys; print([name for name in {READ_SETTINGS} if name in sys.modules]);"
        "import huggingface_hub.constants as c; print(c.ENDPOINT, c.HF_HUB_OFFLINE, c.HF_HOME)"
    )
    env = {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    expected = f"[]\nhttp://127.0.0.1:1 True {tmp_path}\n"
    assert run_python(code, env=env, cwd=tmp_path).stdout == expected


def test_modules_come_from_the_path_of_the_process(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.py").write_text("print('mine')")
    assert run_python("import mine", env={"PYTHONPATH": str(tmp_path / "there")}, cwd=tmp_path).stdout == "mine\n"
    done = run_python("import mine", env={}, cwd=tmp_path)
    assert done.returncode == 1 and "ModuleNotFoundError: No module named 'mine'" in done.stderr


@pytest.mark.parametrize(
    ("code", "returncode", "stderr"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('no')", 1, "no\n"),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        ("import atexit, sys; atexit.register(print, 'end', file=sys.stderr)", 0, "end\n"),
    ],
)
def test_the_end_of_a_process(code, returncode, stderr, tmp_path):
    done = run_python(code, env=dict(os.environ), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (returncode, stderr)


def test_a_process_that_takes_too_long_is_killed(tmp_path):
    with pytest.raises(subprocess.TimeoutExpired):
        run_python("import time; time.sleep(60)", env={}, cwd=tmp_path, timeout=0.3)
    assert run_python("print(1)", env={}, cwd=tmp_path).stdout == "1\n"
