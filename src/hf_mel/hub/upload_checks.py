"""Checks a folder before it is uploaded: which files go to the Hub, and which must not."""

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import RepoCard

from ..checkpoint import BEST_FOLDER, LAST_CHECKPOINT, RUN_STATE
from ..data.problems import Problems
from ..linking.index.manifest import read_manifest
from .paths import content_to_publish


@dataclass(frozen=True)
class Kind:
    """
    A kind of thing that is published.

    Args:
        repo_type (`str`): What the Hub calls its repository.
        needs (`tuple[str, ...]`): Files that have to be there, as patterns.
        leaves_out (`tuple[str, ...]`): Files that stay here, as patterns of the path in the folder.
    """

    repo_type: str
    needs: tuple[str, ...]
    leaves_out: tuple[str, ...] = ()


_EVERYWHERE = (".git/*", ".cache/*", "__pycache__/*", "*/__pycache__/*", "*.tmp", "lock", "*.lock", ".DS_Store")
_OF_A_RUN = ("checkpoint-*", f"{LAST_CHECKPOINT}/*", f"{BEST_FOLDER}/*", *RUN_STATE)
_OF_A_RUN += ("feature_cache/*", "runs/*", "report/*")
KINDS = {
    "model": Kind("model", ("config.json", "*.safetensors", "README.md"), _OF_A_RUN),
    "dataset": Kind("dataset", ("README.md", "*.parquet")),
    "index": Kind("dataset", ("manifest.json", "shards/*"), ("backends/*", ".pending/*", ".reference/*")),
    "space": Kind("space", ("README.md", "app.py")),
}

_PICKLES = ("*.pkl", "*.pickle", "*.pt", "*.pth", "*.bin", "*.ckpt", "*.joblib")
_PRIVATE = (".env", "*.pem", "*.key", "id_rsa", "id_ed25519", ".netrc", "token")
_SECRETS = {
    "a token of the Hub": r"hf_[A-Za-z0-9]{30,}",
    "a key of AWS": r"AKIA[0-9A-Z]{16}",
    "a token of GitHub": r"gh[pousr]_[A-Za-z0-9]{36}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a key of an API": r"\bsk-[A-Za-z0-9_-]{32,}",
}
_TEXT = (".json", ".jsonl", ".md", ".py", ".txt", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".sh", ".html", ".csv")
_READ = 5_000_000  # bytes of a text that are searched
_LOCAL_PATH = re.compile(
    r"(/(home|Users|root|tmp|mnt|media|data|srv|opt|var|work|scratch|content)/|[A-Za-z]:[\\/]|~/)"
)
_CURE = "Mend the folder, then push it again; nothing was sent."


@dataclass(frozen=True)
class PlannedFile:
    """
    A file that is to be sent.

    Args:
        path (`str`): Its path in the repository.
        size (`int`): Bytes.
    """

    path: str
    size: int


def planned_files(folder: Path, kind: str) -> list[PlannedFile]:
    """Files of a folder that belong into the repository, by path."""
    left_out = (*_EVERYWHERE, *KINDS[kind].leaves_out)
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(_matches(name, pattern) for pattern in left_out):
            found.append(PlannedFile(name, path.stat().st_size))
    return found


def check_folder(folder: Path, kind: str, files: list[PlannedFile], license: str | None = None) -> None:
    """
    Looks for what must not be published.

    Args:
        license (`str`, *optional*): Said by the caller, for a folder without a card.

    Raises:
        `ValueError`: something is missing, a file is a pickle or private, a text holds a secret, a configuration a path of
            this machine, or no licence is said. All problems are listed.
    """
    problems = Problems(str(folder), _CURE)
    for pattern in KINDS[kind].needs:
        if not any(_matches(file.path, pattern) for file in files):
            problems.add(pattern, f"is missing: a {kind} has it{_how_to_get(kind, pattern)}")
    # Names what is wrong with the manifest of an index; the rows that it says are removed are numbers.
    is_index = kind == "index" and (folder / "manifest.json").is_file()
    removed = read_manifest(folder).removed_file if is_index else None
    for file in files:
        name = Path(file.path).name
        if any(fnmatch(name, pattern) for pattern in _PICKLES) and file.path != removed:
            problems.add(file.path, "may be a pickle, which can run code: keep weights as safetensors")
        elif any(fnmatch(name, pattern) for pattern in _PRIVATE):
            problems.add(file.path, "is private")
        elif Path(name).suffix in _TEXT:
            _check_text(folder / file.path, file.path, problems)
    if kind != "space" and not _licence_of(folder, license):
        problems.add(
            "README.md", "says no licence: name it as `license:` in its front matter (--license for an index)"
        )
    problems.raise_if_any()


def _matches(name: str, pattern: str) -> bool:
    return fnmatch(name, pattern) or ("/" not in pattern and fnmatch(name.split("/")[0], pattern))


def _how_to_get(kind: str, pattern: str) -> str:
    commands = {("model", "README.md"): "hf-mel card", ("dataset", "*.parquet"): "hf-mel data build"}
    commands |= {("index", each): "hf-mel index build" for each in KINDS["index"].needs}
    return f" (`{commands[kind, pattern]}` writes it)" if (kind, pattern) in commands else ""


def _check_text(path: Path, name: str, problems: Problems) -> None:
    content = content_to_publish(path)
    if isinstance(content, Path):
        with open(content, "rb") as file:
            content = file.read(_READ)
    text = content[:_READ].decode("utf-8", "replace")
    for what, pattern in _SECRETS.items():
        if re.search(pattern, text):
            problems.add(name, f"holds what looks like {what}")
    if path.suffix == ".json":
        try:
            values = json.loads(text)
        except ValueError:
            return  # a long or damaged one: its reader will say so
        for key, value in _local_paths(values):
            problems.add(name, f"{key} is a path of this machine: {value!r}")


def _local_paths(value: Any, key: str = "") -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(f"`{key}`", value)] if _LOCAL_PATH.match(value) else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for name, each in pairs for found in _local_paths(each, f"{key}.{name}" if key else str(name))]


def _licence_of(folder: Path, given: str | None) -> str | None:
    """The licence in the front matter of the card; one that is `unknown` is none."""
    card = folder / "README.md"
    if not card.is_file():
        return given
    license = RepoCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).data.to_dict().get("license")
    license = license[0] if isinstance(license, list) and license else license
    return given if license in (None, "", "unknown") else license
