"""A folder published on the Hub: checked, sent in one commit, and looked at afterwards."""

import json
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import validate_repo_id

from ..data.problems import listed, nearest
from ..linking.index.manifest import read_manifest
from .checking import KINDS, PlannedFile, check_folder, planned_files


@dataclass(frozen=True)
class Publication:
    """
    What was published, or would be.

    Args:
        repo_id (`str`): The repository.
        repo_type (`str`): `"model"`, `"dataset"` or `"space"`.
        files (`tuple[PlannedFile, ...]`): Its files, by path.
        commit (`str`, *optional*): The commit that holds them. `None`: nothing was sent.
        url (`str`, *optional*): Where it can be looked at.
    """

    repo_id: str
    repo_type: str
    files: tuple[PlannedFile, ...]
    commit: str | None = None
    url: str | None = None

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
) -> Publication:
    """
    Publishes a folder as a repository on the Hub.

    All files go in one commit, so that there is no half repository; what an interrupted call has sent of large files is not
    sent again by the next one. Afterwards the sizes in the repository are compared with those here.

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

    Raises:
        `FileNotFoundError`: no such folder.
        `ValueError`: an unknown kind, a bad name, or a folder that must not be published; see [`check_folder`].
        `OSError`: the Hub refused it, or could not be reached; or it holds something else than was sent.

    Example:

    ```python
    publish("runs/emojimel", "org/pgmel-emojimel")
    publish("runs/emojimel-index", "org/emojimel-index", "index", license="cc-by-sa-4.0")
    ```
    """
    folder = Path(folder)
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}{nearest(kind, KINDS)}; one of {listed(KINDS)}")
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    validate_repo_id(repo_id)
    files = planned_files(folder, kind)
    check_folder(folder, kind, files, license)
    operations = [CommitOperationAdd(file.path, folder / file.path) for file in files]
    if kind == "index" and not (folder / "README.md").is_file():
        card = index_card(folder, license).encode()
        operations.append(CommitOperationAdd("README.md", card))
        files = sorted([*files, PlannedFile("README.md", len(card))], key=lambda file: file.path)
    found = Publication(repo_id, KINDS[kind].repo_type, tuple(files))
    if dry_run:
        return found
    return _send(found, operations, kind, private, revision, message or f"Upload {kind}", HfApi(token=token))


def _send(
    found: Publication, operations: list, kind: str, private: bool, revision: str | None, message: str, api: HfApi
) -> Publication:
    where = {"repo_id": found.repo_id, "repo_type": found.repo_type}
    sdk = {"space_sdk": "gradio"} if kind == "space" else {}
    try:
        url = api.create_repo(**where, private=private, exist_ok=True, **sdk)
        if revision is not None:
            api.create_branch(**where, branch=revision, exist_ok=True)
        commit = api.create_commit(**where, operations=operations, commit_message=message, revision=revision)
        there = api.list_repo_tree(**where, recursive=True, revision=commit.oid)
        sizes = {entry.path: entry.size for entry in there if isinstance(entry, RepoFile)}
    except HfHubHTTPError as error:
        raise OSError(
            f"{found.repo_id} was not published: {error} What was sent of large files is kept: run the same again when the "
            "cause is gone."
        ) from error
    wrong = [file.path for file in found.files if sizes.get(file.path) != file.size]
    if wrong:
        raise OSError(
            f"{found.repo_id} does not hold what was sent, at commit {commit.oid}: {listed(wrong)}. Push it again."
        )
    return Publication(found.repo_id, found.repo_type, found.files, commit.oid, str(url))


def index_card(folder: Path, license: str | None) -> str:
    """The card of an index, from its manifest."""
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

```py
from huggingface_hub import snapshot_download
from hf_mel import Linker

linker = Linker.from_pretrained(CHECKPOINT, snapshot_download(REPO_ID, repo_type="dataset"))
```
"""
