"""What a Hub answers: every address a client asks for, over a [`Store`]."""

import base64
import re
from urllib.parse import parse_qs, quote, unquote

import yaml

from .protocol import Question, Reply, User, error_reply, ranged
from .store import Commit, HubError, Repository, Store, StoredFile, apply_changes, goes_to_large_storage


KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}
REPO = "(?P<prefix>datasets/|spaces/)?(?P<id>[^/]+/[^/]+?)"
API_REPO = "/api/(?P<kinds>models|datasets|spaces)/(?P<id>[^/]+/[^/]+)"


class Api:
    """
    Answers questions.

    Args:
        store ([`Store`]): what is kept.
        users (`dict[str, User]`): by their tokens.
        url (`str`): where the server stands.
        storage_url (`str`): the same under another name: the clients take large files to be elsewhere, and send no token.
    """

    prefixes = PREFIXES

    def __init__(self, store: Store, users: dict[str, User], url: str, storage_url: str):
        self.store, self.users, self.url, self.storage_url = store, users, url, storage_url
        self.large_from = 10_000_000
        """From how many bytes on any file goes to the storage of large files."""
        self.part_size: int | None = None
        """Larger files than this many bytes are asked for in parts of that size."""
        self.page_size = 1000
        self.routes = [
            ("GET", "/api/whoami-v2", self.whoami),
            ("POST", "/api/repos/create", self.create),
            ("DELETE", "/api/repos/delete", self.delete),
            ("POST", "/api/validate-yaml", self.validate_card),
            ("GET", API_REPO, self.info),
            ("PUT", f"{API_REPO}/settings", self.settings),
            ("GET", f"{API_REPO}/revision/(?P<revision>[^/]+)", self.info),
            ("GET", f"{API_REPO}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?", self.tree),
            ("POST", f"{API_REPO}/paths-info/(?P<revision>[^/]+)", self.paths_info),
            ("GET", f"{API_REPO}/refs", self.refs),
            ("GET", f"{API_REPO}/auth-check(?P<write>/write)?", self.auth_check),
            ("GET", f"{API_REPO}/commits/(?P<revision>[^/]+)", self.commits),
            ("POST|DELETE", f"{API_REPO}/branch/(?P<name>[^/]+)", self.branch),
            ("POST|DELETE", f"{API_REPO}/tag/(?P<name>[^/]+)", self.tag),
            ("POST", f"{API_REPO}/preupload/(?P<revision>[^/]+)", self.preupload),
            ("POST", f"{API_REPO}/commit/(?P<revision>[^/]+)", self.commit),
            ("POST", f"/{REPO}\\.git/info/lfs/objects/batch", self.large_batch),
            ("GET|HEAD", f"/{REPO}/(?:resolve|raw)/(?P<revision>[^/]+)/(?P<path>.+)", self.resolve),
            ("GET|HEAD", "/_large/(?P<oid>[0-9a-f]{64})", self.large_get),
            ("PUT", "/_large/(?P<oid>[0-9a-f]{64})(?:/(?P<part>[0-9]+))?", self.large_put),
            ("POST", "/_large/(?P<oid>[0-9a-f]{64})/(?P<step>complete|verify)", self.large_post),
        ]

    def answer(self, question: Question) -> Reply:
        try:
            with self.store.lock:
                for methods, pattern, route in self.routes:
                    found = re.fullmatch(pattern, question.path)
                    if found and question.method in methods.split("|"):
                        self.user(question)  # a token nobody knows is refused everywhere
                        names = {name: value and unquote(value) for name, value in found.groupdict().items()}
                        return route(question, **names)
            without_owner = re.fullmatch(r"/[^/]+/resolve/.+|/api/(models|datasets|spaces)/[^/]+", question.path)
            code = "RepoNotFound" if without_owner else None
            raise HubError(404, f"No such page: {question.method} {question.path}", code)
        except HubError as error:
            return error_reply(error)
        except (KeyError, TypeError, ValueError) as error:
            return error_reply(HubError(400, f"Malformed request: {error!r}"))

    # ---- Who may ----

    def user(self, question: Question) -> User | None:
        header = question.headers.get("authorization")
        if header is None:
            return None
        user = self.users.get(header.removeprefix("Bearer "))
        if user is None:
            raise HubError(401, "Invalid credentials in Authorization header")
        return user

    def writer(self, question: Question, namespace: str) -> User:
        user = self.user(question)
        if user is None:
            raise HubError(401, "Invalid username or password.")
        if user.role != "write":
            raise HubError(403, "Forbidden: you must use a write token to upload to a repository.")
        if not user.belongs_to(namespace):
            raise HubError(403, f'You don\'t have the rights to create or change anything under "{namespace}"')
        return user

    def readable(self, question: Question, kind: str, repo_id: str) -> Repository:
        """One that is private does not exist for others, and who says no name is told to."""
        user, repo = self.user(question), self.store.get(kind, repo_id)
        if repo is None or (repo.private and not (user and user.belongs_to(repo.namespace))):
            if user is None:
                raise HubError(401, "Invalid username or password.", "RepoNotFound")
            raise HubError(404, "Repository not found", "RepoNotFound")
        return repo

    def writable(self, question: Question, kind: str, repo_id: str) -> tuple[Repository, User]:
        repo = self.readable(question, kind, repo_id)
        return repo, self.writer(question, repo.namespace)

    # ---- Accounts and repositories ----

    def whoami(self, question: Question) -> Reply:
        user = self.user(question)
        if user is None:
            raise HubError(401, "Invalid username or password.")
        token = {"accessToken": {"displayName": "token", "role": user.role}}
        organizations = [{"type": "org", "name": name} for name in user.organizations]
        return Reply.of({"type": "user", "name": user.name, "orgs": organizations, "auth": token})

    def create(self, question: Question) -> Reply:
        asked = question.json()
        user = self.user(question)
        namespace = asked.get("organization") or (user.name if user else "")
        user = self.writer(question, namespace)
        kind, repo_id = asked.get("type") or "model", f"{namespace}/{asked['name']}"
        url = f"{self.url}/{PREFIXES[kind]}{repo_id}"
        if self.store.get(kind, repo_id):
            message = "You already created this repo"
            return Reply.of({"error": f"{message}: {kind} {repo_id}", "url": url}, 409, {"X-Error-Message": message})
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        self.store.create(kind, repo_id, private, user.name, asked.get("sdk"))
        return Reply.of({"url": url, "name": repo_id})

    def delete(self, question: Question) -> Reply:
        asked = question.json()
        user = self.user(question)
        namespace = asked.get("organization") or (user.name if user else "")
        kind = asked.get("type") or "model"
        repo, _ = self.writable(question, kind, f"{namespace}/{asked['name']}")
        del self.store.repositories[kind, repo.id]
        return Reply()

    def settings(self, question: Question, kinds: str, id: str) -> Reply:
        repo, _ = self.writable(question, KINDS[kinds], id)
        asked = question.json()
        if "private" in asked or "visibility" in asked:
            repo.private = bool(asked.get("private")) or asked.get("visibility") == "private"
        return Reply.of({"private": repo.private})

    def validate_card(self, question: Question) -> Reply:
        try:
            metadata = card_metadata(question.json().get("content", ""))
        except yaml.YAMLError as error:
            return Reply.of({"errors": [{"message": str(error)}], "warnings": []}, 400)
        warnings = [] if metadata else [{"message": "empty or missing yaml metadata in repo card"}]
        return Reply.of({"errors": [], "warnings": warnings})

    def info(self, question: Question, kinds: str, id: str, revision: str = "main") -> Reply:
        repo = self.readable(question, KINDS[kinds], id)
        commit = repo.at(revision)
        files = []
        for path, file in sorted(commit.files.items()):
            files.append({"rfilename": path})
            if "blobs" in question.query:
                files[-1].update({"size": file.size, "blobId": file.blob_id})
                if file.large:
                    files[-1]["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
        card = commit.files.get("README.md")
        info = {
            "id": repo.id, "author": repo.namespace, "sha": commit.sha, "private": repo.private, "gated": False,
            "disabled": False, "downloads": 0, "likes": 0, "tags": [], "siblings": files,
            "createdAt": repo.history("main")[-1].date, "lastModified": commit.date,
            "cardData": card_metadata(card.content.decode()) if card else {},
            **({"modelId": repo.id} if repo.kind == "model" else {}), **({"sdk": repo.sdk} if repo.sdk else {}),
        }  # fmt: skip
        asked = question.query.get("expand", []) + question.query.get("expand[]", [])
        return Reply.of({key: value for key, value in info.items() if not asked or key in ("id", *asked)})

    # ---- Reading ----

    def tree(self, question: Question, kinds: str, id: str, revision: str, folder: str | None) -> Reply:
        commit = self.readable(question, KINDS[kinds], id).at(revision)
        recursive = question.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        expand = question.query.get("expand", ["false"])[0].lower() in ("true", "1")
        return self.page(question, with_commit(commit.tree((folder or "").strip("/"), recursive), commit, expand))

    def paths_info(self, question: Question, kinds: str, id: str, revision: str) -> Reply:
        commit = self.readable(question, KINDS[kinds], id).at(revision)
        asked = parse_qs(question.body.decode())
        entries = []
        for path in asked.get("paths", []):
            entry = commit.files[path].entry(path) if path in commit.files else commit.folder_entry(path)
            entries += [entry] if entry else []
        return Reply.of(with_commit(entries, commit, asked.get("expand", [""])[0].lower() == "true"))

    def refs(self, question: Question, kinds: str, id: str) -> Reply:
        repo = self.readable(question, KINDS[kinds], id)
        refs = {"branches": [], "tags": [], "converts": [], "pullRequests": []}
        for kind, folder, known in (("branches", "heads", repo.branches), ("tags", "tags", repo.tags)):
            for name, sha in known.items():
                pull = name.startswith("refs/pr/")
                ref = name if pull else f"refs/{folder}/{name}"
                refs["pullRequests" if pull else kind].append({"name": name, "ref": ref, "targetCommit": sha})
        return Reply.of(refs)

    def auth_check(self, question: Question, kinds: str, id: str, write: str | None) -> Reply:
        (self.writable if write else self.readable)(question, KINDS[kinds], id)
        return Reply.of({})

    def commits(self, question: Question, kinds: str, id: str, revision: str) -> Reply:
        history = self.readable(question, KINDS[kinds], id).history(revision)
        rows = [
            {"id": c.sha, "title": c.title, "message": c.description, "date": c.date, "authors": [{"user": c.author}]}
            for c in history
        ]
        return self.page(question, rows)

    def page(self, question: Question, rows: list[dict]) -> Reply:
        start = int(question.query.get("cursor", ["0"])[0])
        stop = start + self.page_size
        reply = Reply.of(rows[start:stop])
        if stop < len(rows):
            kept = {name: values for name, values in question.query.items() if name != "cursor"} | {"cursor": [stop]}
            query = "&".join(f"{quote(name)}={quote(str(value))}" for name, values in kept.items() for value in values)
            reply.headers["Link"] = f'<{self.url}{question.path}?{query}>; rel="next"'
        return reply

    def resolve(self, question: Question, prefix: str | None, id: str, revision: str, path: str) -> Reply:
        repo = self.readable(question, {"datasets/": "dataset", "spaces/": "space"}.get(prefix, "model"), id)
        commit = repo.at(revision)
        headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        try:
            file = commit.file(path)
        except HubError as error:
            reply = error_reply(error)
            reply.headers.update(headers)
            return reply
        headers["ETag"] = f'"{file.etag}"'
        if not file.large or "/raw/" in question.path:
            return ranged(question, file.pointer if file.large else file.content, headers)
        self.store.large.setdefault(file.sha256, file.content)
        headers.update({"X-Linked-ETag": f'"{file.etag}"', "X-Linked-Size": str(file.size)})
        headers["Location"] = f"{self.storage_url}/_large/{file.sha256}?filename={quote(path)}"
        return Reply(302, b"Found. Redirecting.", headers)

    # ---- Writing ----

    def branch(self, question: Question, kinds: str, id: str, name: str) -> Reply:
        repo, _ = self.writable(question, KINDS[kinds], id)
        if question.method == "DELETE":
            if name == "main" or name not in repo.branches:
                raise HubError(404 if name != "main" else 403, f"{name} cannot be deleted", "RevisionNotFound")
            del repo.branches[name]
        elif name in repo.branches:
            raise HubError(409, f"Reference already exists: refs/heads/{name}")
        else:
            repo.branches[name] = repo.at(question.json().get("startingPoint") or "main").sha
        return Reply.of({})

    def tag(self, question: Question, kinds: str, id: str, name: str) -> Reply:
        """Setting one names the revision in the address and the tag in the body, removing one the tag in the address."""
        repo, _ = self.writable(question, KINDS[kinds], id)
        if question.method == "DELETE":
            if repo.tags.pop(name, None) is None:
                raise HubError(404, f"No tag {name}", "RevisionNotFound")
            return Reply.of({})
        tag = question.json()["tag"]
        if tag in repo.tags:
            raise HubError(409, f"Tag reference exists already: {tag}")
        repo.tags[tag] = repo.at(name).sha
        return Reply.of({})

    def preupload(self, question: Question, kinds: str, id: str, revision: str) -> Reply:
        repo, _ = self.writable(question, KINDS[kinds], id)
        commit = repo.at(revision)
        files = []
        for asked in question.json()["files"]:
            sample = base64.b64decode(asked["sample"])
            large = goes_to_large_storage(asked["path"], asked["size"], sample, self.large_from)
            known = commit.files.get(asked["path"])
            mode = {"uploadMode": "lfs" if large else "regular", "oid": known.etag if known else None}
            files.append({"path": asked["path"], "shouldIgnore": False, **mode})
        return Reply.of({"files": files})

    def commit(self, question: Question, kinds: str, id: str, revision: str) -> Reply:
        """All of it or nothing."""
        repo, user = self.writable(question, KINDS[kinds], id)
        head = repo.at(revision)
        header, files = apply_changes(question.body, head.files, self.store.large)
        if header.get("parentCommit") not in (None, head.sha):
            raise HubError(
                412, f"A commit has happened since. {revision} is at {head.sha}. Please refresh and try again."
            )
        pull = "create_pr" in question.query
        number = 1 + sum(name.startswith("refs/pr/") for name in repo.branches)
        branch = f"refs/pr/{number}" if pull else revision
        if pull:
            repo.branches[branch] = head.sha
        elif branch not in repo.branches:
            raise HubError(400, f"{revision} is no branch: only to a branch can be committed")
        commit = repo.record(branch, files, user.name, header["summary"], header.get("description", ""))
        url = f"{self.url}/{PREFIXES[repo.kind]}{repo.id}"
        done = {"success": True, "commitOid": commit.sha, "commitUrl": f"{url}/commit/{commit.sha}", "hookOutput": ""}
        return Reply.of(done | ({"pullRequestUrl": f"{url}/discussions/{number}"} if pull else {}))

    # ---- Storage of large files ----

    def large_batch(self, question: Question, prefix: str | None, id: str) -> Reply:
        self.writable(question, {"datasets/": "dataset", "spaces/": "space"}.get(prefix, "model"), id)
        asked, objects, multipart = question.json(), [], False
        for wanted in asked["objects"]:
            oid, size = wanted["oid"], wanted["size"]
            objects.append({"oid": oid, "size": size})
            if oid in self.store.large:
                continue  # no action: it is here already
            href = f"{self.storage_url}/_large/{oid}"
            upload = {"href": href, "header": {}}
            if self.part_size and size > self.part_size and "multipart" in asked.get("transfers", []):
                multipart = True
                numbers = range(1, -(-size // self.part_size) + 1)
                parts = {f"{number:05}": f"{href}/{number}" for number in numbers}
                upload = {"href": f"{href}/complete", "header": {"chunk_size": str(self.part_size), **parts}}
            objects[-1]["actions"] = {"upload": upload, "verify": {"href": f"{href}/verify", "header": {}}}
        return Reply.of({"transfer": "multipart" if multipart else "basic", "objects": objects})

    def large_get(self, question: Question, oid: str) -> Reply:
        if oid not in self.store.large:
            raise HubError(404, f"No large file {oid}")
        return ranged(question, self.store.large[oid], {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})

    def large_put(self, question: Question, oid: str, part: str | None) -> Reply:
        if part is None:
            self.store.put_large(oid, question.body)
        else:
            self.store.parts[oid, int(part)] = question.body
        return Reply(headers={"ETag": f'"{StoredFile(question.body).blob_id}"'})

    def large_post(self, question: Question, oid: str, step: str) -> Reply:
        asked = question.json()
        if step == "complete":
            self.store.join_parts(oid, [part["partNumber"] for part in asked["parts"]])
        elif len(self.store.large.get(oid, b"")) != asked["size"]:
            raise HubError(404, f"No large file {oid} of {asked['size']} bytes")
        return Reply.of({})


def card_metadata(text: str) -> dict:
    found = re.match(r"---\r?\n(.*?)\r?\n?---(?:\r?\n|$)", text, flags=re.DOTALL)
    metadata = yaml.safe_load(found[1]) if found else {}
    if not isinstance(metadata or {}, dict):
        raise yaml.YAMLError("the metadata of a card is a mapping")
    return metadata or {}


def with_commit(entries: list[dict], commit: Commit, expand: bool) -> list[dict]:
    """Each file's last change is that of the whole commit: no client of ours asks for more."""
    last = {"id": commit.sha, "title": commit.title, "date": commit.date}
    return [entry | {"lastCommit": last} for entry in entries] if expand else entries
