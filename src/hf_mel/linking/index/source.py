"""Opening an index from a folder, or from a repository on the Hub, which is fetched into the client's cache."""

import os
import re
from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx  # that of the client, whose name changes with the version
from transformers.utils import logging

from ...data.problems import listed
from ...models.towers import is_repository
from .manifest import MANIFEST_FILE, Manifest, changed_files, read_manifest


logger = logging.get_logger(__name__)

_OWN_FILE = re.compile(r"shards/\d{6,}\.(safetensors|parquet)|removed/\d{6,}\.bin")


def find_index(source: str | os.PathLike, revision: str | None = None) -> Path:
    """
    The folder of an index.

    Args:
        source (`str` or `os.PathLike`):
            A folder; or, if there is none and this is a `str`, a dataset repository on the Hub, `org/name`. It is fetched
            if it is not in the cache, and what has arrived is compared with the digests in its manifest.
        revision (`str`, *optional*):
            A branch, tag or commit of the repository; by default `main`.

    Raises:
        `FileNotFoundError`: neither folder nor repository, or one of which the cache has only a part and that cannot be
            fetched now.
        `ValueError`: a file, a repository without index, or a `revision` of a folder.
        `TypeError`: neither a path nor a name.
        `OSError`: the Hub could not be reached, or what arrived is not what the manifest says.
    """
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            "entities are given as an `EntityIndex`, the folder or Hub id of one, or a `KnowledgeBase`, as "
            f"`KnowledgeBase.from_records` and `KnowledgeBase.from_csv` make one, not as {type(source).__name__}"
        )
    path = Path(source)
    if path.is_file():
        raise ValueError(
            f"{path} is a file, and an index is a folder. Read a table with `KnowledgeBase.from_csv` and the like, or build an "
            f"index of it: `hf-mel index build MODEL --kb {path} --out FOLDER`"
        )
    if path.exists():
        if revision is not None:
            raise ValueError(f"revision={revision!r}, but {path} is a folder, which has none: leave it out")
        return path
    if not isinstance(source, str) or not is_repo_id(source):
        raise FileNotFoundError(
            f"there is no index {source}: no such folder, and no name of a repository on the Hub (org/name). Build one "
            "with `hf-mel index build`"
        )
    return _fetch(source, revision)


def _fetch(repo_id: str, revision: str | None) -> Path:
    """All files of one commit: what the cache lacks is fetched, and only that."""
    folder = _fetch_manifest(repo_id, revision)
    manifest = read_manifest(folder)
    files = _files(manifest)
    foreign = [file for file in files if not _OWN_FILE.fullmatch(file)]
    if foreign:
        raise ValueError(f"{repo_id} on the Hub is no index: its manifest names {listed(foreign, 5)}")
    missing = [file for file in files if not (folder / file).is_file()]
    if not missing:
        return folder
    reason = ""
    try:
        snapshot_download(repo_id, repo_type="dataset", revision=folder.name, allow_patterns=missing)
    except (OSError, httpx.TransportError) as error:
        reason = f" ({_first_line(error)})"
    lacking = [file for file in missing if not (folder / file).is_file()]
    if lacking:
        raise FileNotFoundError(
            f"{repo_id}: {len(lacking)} of {len(files)} files of the index are neither in the cache nor to be had from the "
            f"Hub now{reason}: {listed(lacking, 5)}. What has arrived is kept: run the same again, connected to the Hub"
        )
    _check_arrived(repo_id, folder, manifest, missing)
    logger.info(f"{repo_id}: {len(missing)} files fetched into {folder}")
    return folder


def _fetch_manifest(repo_id: str, revision: str | None) -> Path:
    """The folder in the cache of the commit that a revision is now."""
    where = f"there is no folder {repo_id!r}, and as a repository on the Hub"
    try:
        return Path(hf_hub_download(repo_id, MANIFEST_FILE, repo_type="dataset", revision=revision)).parent
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"{where} there is no dataset of this name, or it is not open to you: log in with `hf auth login`, or build "
            "an index with `hf-mel index build`"
        ) from error
    except RevisionNotFoundError as error:
        raise FileNotFoundError(f"{repo_id} on the Hub has no revision {revision!r}") from error
    except LocalEntryNotFoundError as error:
        raise FileNotFoundError(f"{where} it is not in the cache: {_first_line(error)}") from error
    except EntryNotFoundError as error:
        raise ValueError(f"{repo_id} on the Hub is no index of entities: it has no {MANIFEST_FILE}") from error
    except (OSError, httpx.TransportError) as error:
        raise OSError(f"{where}: {_first_line(error)}") from error


def _check_arrived(repo_id: str, folder: Path, manifest: Manifest, files: list[str]) -> None:
    """Raises an `OSError` for files with another content than was built, and takes them out of the cache."""
    wrong = changed_files(folder, manifest, files)
    for file in wrong:
        stored = (folder / file).resolve()
        (folder / file).unlink()
        stored.unlink(missing_ok=True)  # the link was to it; on some systems the two are one
    if wrong:
        raise OSError(
            f"{repo_id} at commit {folder.name}: {listed(wrong, 5)} did not arrive as built. Run the same again; if it says "
            "so again, the repository is damaged: tell its owner"
        )


def _files(manifest: Manifest) -> list[str]:
    removed = [] if manifest.removed_file is None else [manifest.removed_file]
    return [*(file for shard in manifest.shards for file in shard.files), *removed]


def is_repo_id(name: str) -> bool:
    """Returns `True` if this can be the name of a repository with an owner, `org/name`; a path of two parts can be too."""
    return "/" in name and is_repository(
        name
    )  # a name without owner may be one of a data set, but an index is somebody's


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
