"""A linker whose answers can be told from its questions, and tables to be linked."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from PIL import Image

from hf_mel.linking import LinkedEntity, LinkedMention, MentionQuery


class FakeLinker:
    """Links each mention to entities named after it. Notes how many mentions it was asked for at once."""

    def __init__(self, batch_size: int = 2, generation: int = 1, pause: float = 0.0):
        self.batch_size, self.pause = batch_size, pause
        manifest = SimpleNamespace(
            processor={"fingerprint": "p"}, generation=generation, shards=[], removed_file=None, num_removed=0
        )
        self.index = SimpleNamespace(manifest=manifest)
        self.setup = {"model": "m", "candidates": "dense"}
        self.backend = SimpleNamespace(name="exact")
        self.model = SimpleNamespace(device=SimpleNamespace(type="cpu"))
        self.calibration = None
        self.asked: list[list[MentionQuery]] = []
        self.options: dict = {}

    def link_queries(self, queries: Sequence[MentionQuery], *, top_k: int, **options) -> list[LinkedMention]:
        self.asked.append(list(queries))
        self.options = {"top_k": top_k, **options}
        time.sleep(self.pause)
        return [self._linked(query, top_k) for query in queries]

    def _linked(self, query: MentionQuery, top_k: int) -> LinkedMention:
        candidates = tuple(
            LinkedEntity(
                f"{query.mention}/{number}", f"{query.mention} {number}", f"{query.mention}: \u00e4, \"b\".",
                score=1 / (number + 3), probability=2 / (number + 3), matched_alias=query.mention, types=("a", "b"),
            )
            for number in range(top_k)
        )  # fmt: skip
        nil = query.mention.startswith("Nil") or not candidates
        return LinkedMention(
            mention=query.mention,
            text=query.text,
            start=query.place,
            end=query.end,
            id=query.id,
            entity_id=None if nil else candidates[0].entity_id,
            name=None if nil else candidates[0].name,
            is_nil=nil,
            probability=candidates[0].probability if candidates else None,
            nil_probability=1 / 7,
            margin=1 / 3 - 1 / 4 if top_k > 1 else None,
            has_image=query.image is not None,
            image_weight=None,
            candidates=candidates,
        )


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n")[:-1]]


def write_lines(path: Path, rows: Sequence[dict]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def write_picture(path: Path, size: tuple[int, int] = (6, 4)) -> Path:
    """Two colours: one alone would count as blank."""
    image = Image.new("RGB", size, (200, 10, 10))
    image.paste((10, 10, 200), (size[0] // 2, 0, *size))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def mixed_rows(count: int) -> list[dict]:
    """Rows of which every fifth is NIL and every seventh is wrong."""
    rows = []
    for number in range(count):
        name = "Nil" if number % 5 == 4 else f"Name{number}"
        row = {"id": f"m{number}", "mention": name, "text": f"Here is {name}, \u00fcber \U0001f600 all."}
        rows.append(row | {"start": 99} if number % 7 == 3 else row)
    return rows
