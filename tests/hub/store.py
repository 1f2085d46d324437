"""What a Hub keeps, in memory: repositories with commits, branches and tags, and the storage of large files."""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property


LARGE_SUFFIXES = ("bin", "gz", "npy", "npz", "parquet", "pickle", "pkl", "pt", "safetensors", "tar", "zip")
GIT_ATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE_SUFFIXES).encode()
_FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)


class HubError(Exception):
    """An answer that is not the one asked for. `code` is what the client tells errors apart by."""

    def __init__(self, status: int, message: str, code: str | None = None):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


@dataclass(frozen=True)
class StoredFile:
    content: bytes
    large: bool = False

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """What git keeps of a large file."""
        lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{self.sha256}", f"size {self.size}", "")
        return "\n".join(lines).encode()

    @cached_property
    def blob_id(self) -> str:
        content = self.pointer if self.large else self.content
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.blob_id

    @property
    def size(self) -> int:
        return len(self.content)

    def entry(self, path: str) -> dict:
        """As trees and lists of paths show it."""
        entry = {"type": "file", "path": path, "oid": self.blob_id, "size": self.size}
        if self.large:
            entry["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": len(self.pointer)}
        return entry


@dataclass(frozen=True)
class Commit:
    number: int
    parent: str | None
    author: str
    title: str
    description: str
    files: dict[str, StoredFile]

    @cached_property
    def sha(self) -> str:
        files = sorted((path, file.blob_id) for path, file in self.files.items())
        content = (self.number, self.parent, self.author, self.title, self.description, files)
        return hashlib.sha1(repr(content).encode()).hexdigest()

    @property
    def date(self) -> str:
        """Deterministic: a minute after the commit before."""
        return (_FIRST_DAY + timedelta(minutes=self.number)).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def file(self, path: str) -> StoredFile:
        if path not in self.files:
            raise HubError(404, "Entry not found", "EntryNotFound")
        return self.files[path]

    def folder_entry(self, path: str) -> dict | None:
        below = sorted((name, file.blob_id) for name, file in self.files.items() if name.startswith(path + "/"))
        if not below:
            return None
        return {"type": "directory", "path": path, "oid": hashlib.sha1(repr(below).encode()).hexdigest(), "size": 0}

    def tree(self, folder: str, recursive: bool) -> list[dict]:
        """Entries of a folder, those below its subfolders too if told so."""
        if folder and self.folder_entry(folder) is None:
            raise HubError(404, f"{folder} does not exist on {self.sha}", "EntryNotFound")
        prefix = f"{folder}/" if folder else ""
        entries = {}
        for path, file in self.files.items():
            if not path.startswith(prefix):
                continue
            parts = path[len(prefix) :].split("/")
            for depth in range(1, len(parts) if recursive else min(2, len(parts))):
                parent = prefix + "/".join(parts[:depth])
                entries.setdefault(parent, self.folder_entry(parent))
            if recursive or len(parts) == 1:
                entries[path] = file.entry(path)
        return [entries[path] for path in sorted(entries)]


@dataclass
class Repository:
    kind: str
    """`"model"`, `"dataset"` or `"space"`."""
    id: str
    private: bool
    sdk: str | None = None
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.id.split("/")[0]

    def at(self, revision: str = "main") -> Commit:
        """The commit a branch, a tag or a (shortened) sha stands for."""
        sha = self.branches.get(revision) or self.tags.get(revision)
        if sha is None and re.fullmatch("[0-9a-f]{7,40}", revision):
            found = [known for known in self.commits if known.startswith(revision)]
            sha = found[0] if len(found) == 1 else None
        if sha is None:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[sha]

    def history(self, revision: str) -> list[Commit]:
        """From the newest to the first."""
        commits, commit = [], self.at(revision)
        while True:
            commits.append(commit)
            if commit.parent is None:
                return commits
            commit = self.commits[commit.parent]

    def record(self, branch: str, files: dict[str, StoredFile], author: str, title: str, text: str = "") -> Commit:
        commit = Commit(len(self.commits), self.branches.get(branch), author, title, text, files)
        self.commits[commit.sha] = commit
        self.branches[branch] = commit.sha
        return commit


class Store:
    """All repositories, and large files by their SHA-256. `lock` is held over every change."""

    def __init__(self):
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.large: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.lock = threading.RLock()

    def get(self, kind: str, repo_id: str) -> Repository | None:
        return self.repositories.get((kind, repo_id))

    def create(self, kind: str, repo_id: str, private: bool, author: str, sdk: str | None = None) -> Repository:
        repo = self.repositories[kind, repo_id] = Repository(kind, repo_id, private, sdk)
        repo.record("main", {".gitattributes": StoredFile(GIT_ATTRIBUTES)}, author, "initial commit")
        return repo

    def put_large(self, oid: str, content: bytes) -> None:
        found = hashlib.sha256(content).hexdigest()
        if found != oid:
            raise HubError(400, f"BadDigest: {len(content)} bytes with SHA-256 {found} were sent as {oid}")
        self.large[oid] = content

    def join_parts(self, oid: str, numbers: list[int]) -> None:
        missing = [number for number in numbers if (oid, number) not in self.parts]
        if missing:
            raise HubError(400, f"InvalidPart: {missing} of {oid} were not uploaded")
        self.put_large(oid, b"".join(self.parts[oid, number] for number in numbers))
        for number in numbers:
            del self.parts[oid, number]


def goes_to_large_storage(path: str, size: int, sample: bytes, limit: int) -> bool:
    """By its name, by its size, or because it is no text."""
    return path.rsplit(".", 1)[-1].lower() in LARGE_SUFFIXES or size > limit or b"\0" in sample


def apply_changes(lines: bytes, files: dict[str, StoredFile], large: dict[str, bytes]) -> tuple[dict, dict]:
    """The header of a commit and the files after it, from newline-delimited JSON."""
    header, files, problems = {}, dict(files), []
    for line in lines.splitlines():
        change = json.loads(line)
        key, value = change["key"], change["value"]
        path = value.get("path", "")
        if key == "header":
            header = value
        elif path.startswith("/") or {"", "..", ".git"} & set(path.split("/")):
            problems.append(f"{path!r} is no path for a file of a repository")
        elif key == "file":
            files[path] = StoredFile(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            if value["oid"] not in large:
                problems.append(f"{path}: its content, {value['oid']}, was not uploaded")
            else:
                files[path] = StoredFile(large[value["oid"]], large=True)
        elif key == "deletedFile":
            if files.pop(path, None) is None:
                problems.append(f"{path} cannot be deleted: it is not there")
        elif key == "deletedFolder":
            for name in [name for name in files if name.startswith(path.rstrip("/") + "/")]:
                del files[name]
        else:
            problems.append(f"{key} is no kind of change")
    if not header.get("summary"):
        problems.append("there is no summary")
    if problems:
        raise HubError(400, "; ".join(problems))
    return header, files
