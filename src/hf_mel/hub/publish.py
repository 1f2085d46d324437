"""A folder published on the Hub: checked, sent in one commit, and looked at afterwards."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import httpx, validate_repo_id

from ..data.problems import listed, nearest
from ..linking.index.manifest import Manifest, read_manifest
from ..linking.index.source import is_repo_id
from ..mteb.export import MTEBExport, write_mteb
from ..mteb.repository_files import TASK_FILE
from .cards import EVAL_RESULTS_FILE
from .faults import explained, is_fault, patiently
from .paths import content_to_publish
from .upload_checks import KINDS, PlannedFile, check_folder, planned_files


# Of an earlier push, and not in the folder: weights in another number of shards, which would be read instead of the new,
# what belongs to other weights, and rows, which would be read with the new.
_OUTDATED = {
    "model": rf"model[^/]*\.safetensors(\.index\.json)?|generator/.*|calibration\.json|{re.escape(EVAL_RESULTS_FILE)}",
    "dataset": rf".*\.parquet|{re.escape(TASK_FILE)}",
    "index": r"(shards|removed)/.*|calibration\.json",
}


@dataclass(frozen=True)
class Publication:
    """
    Result of [`publish`]: the files that were uploaded, or would be.

    Args:
        repo_id (`str`): The repository.
        repo_type (`str`): `"model"`, `"dataset"` or `"space"`.
        files (`tuple[PlannedFile, ...]`): Its files, by path.
        removed (`tuple[str, ...]`): Files of an earlier push that were taken out, as shards of which there are fewer now.
        commit (`str`, *optional*): The commit that holds them. `None`: nothing was sent.
        url (`str`, *optional*): Where it can be looked at.
        info (`CommitInfo`, *optional*): What the client says of the commit.
        mteb (`MTEBExport`, *optional*): Counts of the retrieval task, if it was written.
    """

    repo_id: str
    repo_type: str
    files: tuple[PlannedFile, ...]
    removed: tuple[str, ...] = ()
    commit: str | None = None
    url: str | None = None
    info: CommitInfo | None = None
    mteb: MTEBExport | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def publish(
    folder: str | Path,
    repo_id: str,
    kind: str = "model",
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    license: str | None = None,
    dry_run: bool = False,
    token: str | None = None,
    folders: Mapping[str, str | Path] | None = None,
    mteb: bool = False,
) -> Publication:
    """
    Publishes a folder as a repository on the Hub.

    All files go in one commit, so that there is no half repository: an interrupted call leaves it as it was, and what it has
    sent of large files is not sent again by the next one. Weights and rows of an earlier push that the folder no longer has
    go with the same commit. What may pass, such as an answer 429 or 500 or a broken connection, is tried three times.
    Afterwards the contents of the repository, at the commit that the Hub names, are compared with those here.

    Args:
        folder (`str` or `Path`):
            A checkpoint, a built data set, an index or a Space.
        repo_id (`str`):
            `org/name`. The repository is made if it is not there.
        kind (`str`, *optional*, defaults to `"model"`):
            `"model"`, `"dataset"`, `"index"` (a data set for the Hub) or `"space"` (of Gradio).
        private (`bool`, *optional*, defaults to `False`):
            Of a repository that is made now.
        revision (`str`, *optional*):
            A branch, which is made if it is not there; by default `main`.
        message (`str`, *optional*):
            Of the commit.
        license (`str`, *optional*):
            Of an index without a card: one is written.
        dry_run (`bool`, *optional*, defaults to `False`):
            Check the folder and list its files; nothing is sent.
        token (`str`, *optional*):
            By default that of `hf auth login`.
        folders (`Mapping[str, str | Path]`, *optional*):
            Folders of the repository and the folders here with what shall be in them, and nothing else: such as the state of
            a training, from which it can go on. They go with the same commit, and are not looked into.
        mteb (`bool`, *optional*, defaults to `False`):
            Of a data set: first write the files of a retrieval task of mteb into `folder`, also with `dry_run`; see
            [`write_mteb`].

    Raises:
        `FileNotFoundError`: no such folder.
        `ValueError`: an unknown kind, a bad name, or a folder that must not be published; see [`check_folder`].
        `OSError`: the Hub refused it, or could not be reached; or it holds something else than was sent. The message says
            what to do.

    Example:

    ```python
    publish("runs/emojimel", "org/pgmel-emojimel")
    publish("runs/emojimel-index", "org/emojimel-index", "index", license="cc-by-sa-4.0")
    ```
    """
    folder = Path(folder)
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}{nearest(kind, KINDS) or '.'} Use one of {listed(KINDS)}")
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    validate_repo_id(repo_id)
    if mteb and kind != "dataset":
        raise ValueError(f"mteb=True is for a dataset: there is no retrieval task of a {kind}")
    export = write_mteb(folder, repo_id) if mteb else None
    files = planned_files(folder, kind)
    check_folder(folder, kind, files, license)
    contents = {file.path: content_to_publish(folder / file.path) for file in files}
    if kind == "index" and not (folder / "README.md").is_file():
        contents["README.md"] = index_card(folder, repo_id, license).encode()
    contents = dict(sorted(contents.items()))
    for name, source in (folders or {}).items():
        paths = [path for path in sorted(Path(source).rglob("*")) if path.is_file()]
        contents |= {f"{name}/{path.relative_to(source).as_posix()}": content_to_publish(path) for path in paths}
    files = [PlannedFile(path, _size(content)) for path, content in contents.items()]
    found = Publication(repo_id, KINDS[kind].repo_type, tuple(files), mteb=export)
    if dry_run:
        return found
    api, message = HfApi(token=token), message or f"Upload {kind}"
    patterns = [_OUTDATED[kind]] if kind in _OUTDATED else []
    patterns += [f"{re.escape(name)}/.*" for name in folders or ()]
    try:
        return patiently(
            lambda: _send(found, contents, patterns, private, revision, message, api), f"publishing {repo_id}"
        )
    except (OSError, RuntimeError, httpx.HTTPError) as error:
        if not is_fault(error):
            raise
        raise OSError(f"{repo_id} was not published: {explained(error, repo_id, api)}") from error


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _send(
    found: Publication,
    contents: dict[str, Path | bytes],
    patterns: list[str],
    private: bool,
    revision: str | None,
    message: str,
    api: HfApi,
) -> Publication:
    """May be begun again wherever it breaks off: what is there already is not made, and not sent, a second time."""
    where = {"repo_id": found.repo_id, "repo_type": found.repo_type}
    sdk = {"space_sdk": "gradio"} if found.repo_type == "space" else {}
    url = api.create_repo(**where, private=private, exist_ok=True, **sdk)
    if revision is not None:
        api.create_branch(**where, branch=revision, exist_ok=True)
    operations = [CommitOperationAdd(path, content) for path, content in contents.items()]
    removed = _outdated(_files_at(api, where, revision), found, patterns)
    changes = [*operations, *map(CommitOperationDelete, removed)]
    commit = api.create_commit(**where, operations=changes, commit_message=message, revision=revision)
    try:
        there = _files_at(api, where, commit.oid)
    except RevisionNotFoundError as error:
        raise OSError(
            f"whether {found.repo_id} holds what was sent is not known: the Hub reports the commit {commit.oid}, and then "
            "knows none of that name. Run the same again: it looks anew, and sends what is missing."
        ) from error
    wrong = [each.path_in_repo for each in operations if not _holds(there, each)] + sorted(there.keys() & set(removed))
    if wrong:
        raise OSError(
            f"{found.repo_id} does not hold what was sent, at commit {commit.oid}: {listed(wrong)}. Run the same again."
        )
    return replace(found, removed=tuple(removed), commit=commit.oid, url=str(url), info=commit)


def _files_at(api: HfApi, where: dict[str, str], revision: str | None) -> dict[str, RepoFile]:
    entries = api.list_repo_tree(**where, recursive=True, revision=revision)
    return {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}


def _outdated(there: dict[str, RepoFile], found: Publication, patterns: list[str]) -> list[str]:
    """Files of an earlier push that would be read with the new ones, or in their place."""
    sent = {file.path for file in found.files}
    return sorted(
        path for path in there if path not in sent and any(re.fullmatch(pattern, path) for pattern in patterns)
    )


def _holds(there: dict[str, RepoFile], operation: CommitOperationAdd) -> bool:
    """
    Returns `True` if the repository has the file, byte for byte: it names large files by their SHA-256, others as git
    does.
    """
    entry = there.get(operation.path_in_repo)
    if entry is None or entry.size != operation.upload_info.size:
        return False
    if entry.lfs is not None:
        return entry.lfs.sha256 == operation.upload_info.sha256.hex()
    with operation.as_file() as file:
        content = file.read()
    return entry.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def index_card(folder: Path, repo_id: str, license: str | None) -> str:
    """The card of an index in this repository, from its manifest."""
    manifest = read_manifest(folder)
    about = {"license": license, "tags": ["hf_mel", "entity-linking", "index"]}
    front = "\n".join(f"{name}: {json.dumps(value)}" for name, value in about.items())
    model = manifest.model
    return f"""---
{front}
---

# Index of {manifest.num_entities:,} entities

Encoded entities of a knowledge base, for linking with `hf_mel`: vectors in {manifest.precision}, made by a model of type
`{model["type"]}` with the fingerprint `{model["fingerprint"][:16]}`. With another model it is refused.
{_measured(manifest)}
```python
from hf_mel import Linker

linker = Linker.from_pretrained({json.dumps(_checkpoint(folder, manifest.model_source))}, "{repo_id}")
linker.link("mention", "A sentence with a mention.")
```

The files are fetched once and then read from the cache. They are not changed there: to add or remove entities, fetch a
copy with `hf download {repo_id} --repo-type dataset --local-dir DIR` and use `hf-mel index add DIR`.
"""


def _measured(manifest: Manifest) -> str:
    """Returns lines about the recall of the stored precision and of two-stage search, where the index has measured them."""
    about = {"Vectors in less than float32": manifest.recall}
    if manifest.proposals is not None:
        about[f"Two-stage search with {manifest.proposals['num_proposals']:,} proposals"] = manifest.proposals
    lines = []
    for what, measured in about.items():
        if measured is not None:
            shares = (f"{name} {value:.4f}" for name, value in measured.items() if name.startswith("recall@"))
            lines.append(f"- {what}: {', '.join(shares)} of an exact search, measured with {measured['queries']}.")
    return "\n".join(["", *lines, ""]) if lines else ""


def _checkpoint(folder: Path, source: str | None) -> str:
    """The model of an index by its name on the Hub; a folder of this machine is none."""
    named = source is not None and is_repo_id(source) and not (folder / source).exists()
    return source if named else "CHECKPOINT"
