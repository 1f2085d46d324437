"""
CPU seconds until the command line answers, and of imports, each in a process of its own.

    python benchmarks/startup.py [--repeats 5]

The smallest of `--repeats` runs, which take turns; user and system time of the process, so that waiting for a disk or for
another program does not count. Files are in the cache of the operating system after a first run, which is not counted. The
numbers go to docs/results/startup.json and docs/results.md.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path

from hf_mel.cli.main import COMMANDS
from hf_mel.evaluation import Environment, render_into


ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "results" / "startup.json"
PAGE = ROOT / "docs" / "results.md"
# What the scripts `hf-mel` and `hf` that pip installs do.
_SCRIPT = "import sys; from {} import main; sys.exit(main())"
HF_MEL, HF = _SCRIPT.format("hf_mel.cli.main"), _SCRIPT.format("huggingface_hub.cli.hf")
_ALL = "import hf_mel; from transformers import AutoModel, AutoProcessor, pipeline; "

COMMAND_LINES = {
    "hf-mel --help": [HF_MEL, "--help"],
    "hf-mel --version": [HF_MEL, "--version"],
    "hf-mel trian": [HF_MEL, "trian"],
    "hf-mel link model --topk 3": [HF_MEL, "link", "model", "--topk", "3"],
    **{f"hf-mel {name} --help": [HF_MEL, *name.split(), "--help"] for name in COMMANDS},
    "hf --help": [HF, "--help"],
}
IMPORTS = {
    "import torch, transformers": ["import torch, transformers"],
    "import hf_mel": ["import hf_mel"],
    "import hf_mel, torch, transformers": ["import hf_mel, torch, transformers"],
    "from transformers import AutoModel, AutoProcessor, pipeline": [_ALL.partition("; ")[2]],
    "the same after import hf_mel": [_ALL],
    'the same, then AutoConfig.for_model("pgmel")': [
        f'{_ALL} from transformers import AutoConfig; AutoConfig.for_model("pgmel")'
    ],
    "from transformers import PreTrainedModel": ["from transformers import PreTrainedModel"],
    "from hf_mel import PGMELModel": ["from hf_mel import PGMELModel"],
    "from datasets import load_dataset": ["from datasets import load_dataset"],
    "from hf_mel import load_benchmark": ["from hf_mel import load_benchmark"],
}
# Each import of this package, and what it is compared with.
RATIOS = {
    "import hf_mel": "import torch, transformers",
    "import hf_mel, torch, transformers": "import torch, transformers",
    "the same after import hf_mel": "from transformers import AutoModel, AutoProcessor, pipeline",
    'the same, then AutoConfig.for_model("pgmel")': "from transformers import AutoModel, AutoProcessor, pipeline",
    "from hf_mel import PGMELModel": "from transformers import PreTrainedModel",
    "from hf_mel import load_benchmark": "from datasets import load_dataset",
}


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of `python -c ARGUMENTS`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", *arguments], env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(programs: dict[str, list[str]], repeats: int) -> dict[str, float]:
    """The smallest CPU time of each program, after a run that is not counted."""
    runs = [{name: cpu_seconds(arguments) for name, arguments in programs.items()} for _ in range(repeats + 1)][1:]
    return {name: round(min(run[name] for run in runs), 3) for name in programs}


def table(record: dict) -> str:
    """Markdown; the help of all commands in one row, by the slowest."""
    seconds = record["seconds"]
    helps = [seconds[f"hf-mel {name} --help"] for name in COMMANDS if f"hf-mel {name} --help" in seconds]
    lines = ["| | CPU seconds | of |", "|---|---:|---|"]
    for name, value in seconds.items():
        if name.endswith(" --help") and name not in ("hf-mel --help", "hf --help"):
            continue
        if name == "hf --help":
            lines.append(f"| `hf-mel COMMAND --help`, the slowest of {len(helps)} | {max(helps):.2f} | |")
        base = RATIOS.get(name)
        ratio = "" if base is None else f"{value / seconds[base]:.2f} times `{base}`"
        shown = name if name.startswith("the same") else f"`{name}`"
        lines.append(f"| {shown} | {value:.2f} | {ratio} |")
    environment = record["environment"]
    lines += [
        "",
        f"User and system time of a process, the smallest of {record['repeats']} runs. `{record['command']}`; commit "
        f"{environment['git_commit']}, {environment['machine']}, {record['date']}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    record = {
        "command": "python benchmarks/startup.py",
        "repeats": options.repeats,
        "date": date.today().isoformat(),
        "environment": asdict(Environment.collect(repository=ROOT)),
        "seconds": measure(COMMAND_LINES | IMPORTS, options.repeats),
    }
    options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(record))
    if options.output == OUTPUT:
        render_into(PAGE, "startup", table(record))


if __name__ == "__main__":
    main()
