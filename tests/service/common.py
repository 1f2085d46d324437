"""A linker without a model, which is quick and can be told to dawdle; and ways to ask a service."""

import base64
import hashlib
import io
import threading
import time
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hf_mel.data import UnknownEntityError
from hf_mel.data.problems import nearest
from hf_mel.linking.linked_mention import LinkedEntity, LinkedMention
from hf_mel.service import ServiceConfig, create_app


pytest.importorskip("fastapi", reason='needs pip install "hf-mel[serve]"')


def picture(size=(6, 4), color="red", kind="PNG") -> bytes:
    image, buffer = Image.new("RGB", size, color), io.BytesIO()
    image.putpixel((0, 0), (0, 0, 255))
    image.save(buffer, kind)
    return buffer.getvalue()


def data_uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


ENTITIES = [
    ("Q1", "Paris", ["City of Light"], "capital of France", ["city", "capital"]),
    ("Q2", "Paris Hilton", [], "American media personality", ["person"]),
    ("Q3", "Paris, Texas", ["paris tx"], "city in the United States", ["city"]),
    ("Q4", "Île-de-France", ["Parisian Region"], "region <b>of</b> France", ["region"]),
    ("Q5", "O'Hare & Sons", [], '"><script>alert(1)</script>', []),
    ("ids/with slash", "Slash", [], "an id that has to be encoded", ["person"]),
]


class FakeIndex:
    """What the service asks of an `EntityIndex`, in memory. The last entity is a removed one."""

    def __init__(self, entities=ENTITIES):
        self.rows = [*entities, ("Q9", "Parish removed", [], "gone", ["ghost"])]
        self.ids = [row[0] for row in self.rows]
        self.alive = np.arange(len(self.rows)) < len(self.rows) - 1
        self.generation = 1
        self.manifest = SimpleNamespace(model={"type": "fake", "name": "fake", "fingerprint": "0"})

    def refresh(self):
        return False

    def __len__(self):
        return int(self.alive.sum())

    def __contains__(self, entity_id):
        return entity_id in self.ids and bool(self.alive[self.ids.index(entity_id)])

    def row(self, entity_id):
        if entity_id not in self:
            raise UnknownEntityError(f"no entity {entity_id!r}")
        return self.ids.index(entity_id)

    def entities(self, rows):
        return [
            SimpleNamespace(
                id=id, name=name, aliases=aliases, text=text, description=text, attributes=None, types=types,
                image_status="ok" if id == "Q1" else "none", thumbnail=picture(kind="JPEG") if id == "Q1" else None,
            )
            for id, name, aliases, text, types in (self.rows[row] for row in rows)
        ]  # fmt: skip

    def names(self, rows):
        return [self.rows[row][1] for row in rows]

    def aliases(self, rows):
        return [self.rows[row][2] for row in rows]

    def types(self, rows):
        return [self.rows[row][4] for row in rows]

    def rows_of(self, types=None, ids=None):
        allowed = self.alive.copy()
        if types is not None:
            known = {name for row in np.flatnonzero(self.alive) for name in self.rows[row][4]}
            for name in types:
                if name not in known:
                    raise ValueError(f"no entity has the type {name!r}{nearest(name, known)}")
            allowed &= [bool(set(types) & set(row[4])) for row in self.rows]
        if ids is not None:
            allowed &= np.isin(np.arange(len(self.rows)), [self.row(entity_id) for entity_id in ids])
        return allowed


class FakeLinker:
    """Scores are digests of the query, so that every part of it counts; `calibrated` makes them probabilities."""

    def __init__(self, calibrated=False, index=None):
        self.index = index or FakeIndex()
        self.calibration = None
        if calibrated:
            self.calibration = SimpleNamespace(
                threshold=0.5, num_candidates=9, to_dict=lambda: {"threshold": 0.5}, kind="fitted", sets=None, setup={}
            )
        self.calls, self.running, self.most = [], 0, 0
        self.gate = threading.Event()
        self.gate.set()
        self.pause = 0.0
        self.fault = None

    def score(self, query, row):
        size = "" if query.image is None else f"{query.image.size}{query.image.getpixel((1, 1))}"
        key = f"{query.text}|{query.mention}|{query.place}|{size}|{row}"
        return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 2**32

    def link_queries(
        self, queries, top_k=5, threshold=None, score_threshold=None, types=None, entity_ids=None, prediction_set=None
    ):
        assert prediction_set is None  # no fake calibration has sets
        assert top_k >= 1 and (threshold is None or self.calibration is not None)
        self.calls.append(len(queries))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            self.gate.wait(10)
            time.sleep(self.pause)
            if self.fault is not None:
                raise self.fault
            allowed = np.flatnonzero(self.index.rows_of(types=types, ids=entity_ids))
            if self.calibration is not None and threshold is None:
                threshold = self.calibration.threshold
            return [self._linked(query, allowed, top_k, threshold, score_threshold) for query in queries]
        finally:
            self.running -= 1

    def _linked(self, query, allowed, top_k, threshold, score_threshold):
        scores = sorted(((self.score(query, row), row) for row in allowed.tolist()), reverse=True)
        candidates = tuple(
            LinkedEntity(
                entity_id=entity.id, name=entity.name, text=entity.text, score=score,
                probability=None if self.calibration is None else score, text_score=score / 2,
                image_weight=0.25, types=tuple(entity.types),
            )
            for (score, row), entity in zip(scores, self.index.entities([row for _, row in scores]), strict=True)
        )[:top_k]  # fmt: skip
        is_nil = None
        if threshold is not None or score_threshold is not None:
            is_nil = not candidates or candidates[0].score < (score_threshold if threshold is None else threshold)
        chosen = candidates[0] if candidates and not is_nil else None
        return LinkedMention(
            mention=query.mention, text=query.text, start=query.place, end=query.end, id=query.id,
            entity_id=chosen and chosen.entity_id, name=chosen and chosen.name, is_nil=is_nil,
            probability=candidates[0].probability if candidates else None,
            margin=scores[0][0] - scores[1][0] if len(scores) > 1 else None,
            has_image=query.image is not None, candidates=candidates,
            calibration=None if self.calibration is None else getattr(self.calibration, "kind", "fitted"),
        )  # fmt: skip


def client(linker=None, **settings):
    """Asks without a socket. What the service could not answer is an answer too, not an error of the test."""
    if linker is None:
        return _shared_client(tuple(sorted(settings.items())))
    return _client(linker, settings)


@cache
def _shared_client(settings):
    """Made once: the models of an application take most of the time of a short test."""
    return _client(FakeLinker(), dict(settings))


def _client(linker, settings):
    from starlette.testclient import TestClient

    app = create_app(linker, ServiceConfig(**settings))
    return TestClient(app, raise_server_exceptions=False, base_url="http://service.test")


@contextmanager
def served(app, host="127.0.0.1"):
    """A real server on this machine; gives its address."""
    from hf_mel.service import make_server, open_socket

    server = make_server(app, log_level="warning")
    opened = open_socket(host, 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
    thread.start()
    try:
        end = time.monotonic() + 10
        while not server.started and time.monotonic() < end:
            time.sleep(0.01)
        assert server.started
        yield f"http://{host}:{opened.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        opened.close()
        assert not thread.is_alive()
