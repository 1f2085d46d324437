"""The review as tasks of Label Studio, and the annotations that it exports."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...data.url_names import is_url
from ...models.graphemes import shortened
from ..linked_mention import LinkedMention
from .corrections import Correction
from .links import InputRow, answer_of, certainty
from .table import CANDIDATES, CORRECTED, IMAGE_FILE, as_text, own_columns


CHOICE, OTHER, TEXT = "entity", CORRECTED, "text"
NIL_CHOICE = "NIL: none of these"
MODEL_VERSION = "hf-mel link"
_LOCAL_FILES = "/data/local-files/?d="
_DESCRIBED = 200
_RESERVED = (
    *("id", "mention", "text", "image", "candidates", "candidate_ids", "descriptions", "entity_id", "probability"),
    *(IMAGE_FILE, CORRECTED),
)
"""Names in the `data` of a task that are no columns of the input."""

_PICTURE = '  <Image name="picture" value="$image"/>\n'
_CONFIG = """<View>
  <Header value="$mention"/>
{picture}  <Text name="text" value="$text"/>
  <Choices name="entity" toName="text" value="$candidates" choice="single" required="true"/>
  <Text name="descriptions" value="$descriptions"/>
  <Header value="Another entity: its id"/>
  <TextArea name="corrected_entity_id" toName="text" maxSubmissions="1" rows="1"/>
</View>
"""
"""Labeling interface: one choice, from the list of candidates of each task, or the id of another entity."""


def write_tasks(
    links: Iterable[LinkedMention],
    path: str | os.PathLike,
    rows: Mapping[str, InputRow] | None = None,
    image_root: str | os.PathLike | None = None,
) -> tuple[int, Path]:
    """
    Writes links as tasks with a prediction each, and the labeling interface for them beside it.

    A task has the mention, its text and its picture, the columns of the input, the candidates as choices, and the link as the
    prediction, whose score is the probability. A column of the input whose name is taken is called `input_` and its name. A picture that is a file is named as Label Studio serves local files.

    Args:
        links (`Iterable[LinkedMention]`): the links, in the order of the tasks.
        path (`str` or `os.PathLike`): the file of the tasks, `.json`; the interface is beside it, with the suffix `.xml`.
        rows (`Mapping[str, InputRow]`, *optional*): rows of the input by id.
        image_root (`str` or `os.PathLike`, *optional*): the folder that Label Studio serves, its
            `LOCAL_FILES_DOCUMENT_ROOT`. Without, tasks have no pictures, but for those that are named by a URL.

    Returns:
        `tuple[int, Path]`: the number of tasks, and the file of the interface.

    Raises:
        `ValueError`: a picture that is not in `image_root`.
    """
    path, rows = Path(path), rows or {}
    root = None if image_root is None else Path(image_root).absolute()
    links = list(links)
    own = own_columns(links, rows, _RESERVED)
    tasks = [_task(number, link, rows.get(link.id or ""), root, own) for number, link in enumerate(links, start=1)]
    pictures = any(task["data"]["image"] for task in tasks)
    path.write_text(json.dumps(tasks, ensure_ascii=False, indent=1, default=str) + "\n", encoding="utf-8")
    interface = path.with_suffix(".xml")
    interface.write_text(_CONFIG.format(picture=_PICTURE if pictures else ""), encoding="utf-8")
    return len(tasks), interface


def _task(
    number: int, link: LinkedMention, row: InputRow | None, root: Path | None, own: Mapping[str, str]
) -> dict[str, Any]:
    candidates = link.candidates[:CANDIDATES]
    choices = {f"{each.name} ({each.entity_id})": each.entity_id for each in candidates}
    linked, sure = answer_of(link), certainty(link)
    if linked is not None and linked not in choices.values():
        choices[f"{link.name} ({linked})"] = linked
    choices[NIL_CHOICE] = "NIL"
    chosen = next(choice for choice, entity_id in choices.items() if entity_id == (linked or "NIL"))
    descriptions = [f"{each.name} ({each.entity_id}): {shortened(each.text, _DESCRIBED)}" for each in candidates]
    image = row.image if row is not None else None
    data = {
        "id": link.id,
        "mention": link.mention,
        "text": link.text,
        "image": "" if image is None else _served(image, root),
        "candidates": [{"value": choice} for choice in choices],
        "candidate_ids": choices,
        "descriptions": "\n".join(descriptions),
        "entity_id": linked,
        "probability": sure,
    }
    if image is not None:
        data[IMAGE_FILE] = image
    if row is not None:
        data |= {shown: as_text(row.values.get(name)) for name, shown in own.items()}
    result: dict[str, Any] = {"id": f"link-{number}", "from_name": CHOICE, "to_name": TEXT, "type": "choices"}
    result["value"] = {"choices": [chosen]}
    prediction: dict[str, Any] = {"model_version": MODEL_VERSION, "result": [result]}
    if sure is not None:
        prediction["score"] = sure
    return {"data": data, "predictions": [prediction]}


def _served(image: str, root: Path | None) -> str:
    if is_url(image):
        return image
    if root is None:
        return ""
    file = Path(image)
    if not file.is_relative_to(root):
        raise ValueError(f"the picture {file} is not in `image_root` {root}, the folder that Label Studio serves")
    return _LOCAL_FILES + quote(file.relative_to(root).as_posix())


# ---- The way back ----


def read_annotations(path: str | os.PathLike) -> Iterator[Correction]:
    """
    The annotations of an export of Label Studio, in its format JSON. A task without annotation is left out.

    Args:
        path (`str` or `os.PathLike`): the file.

    Raises:
        `ValueError`: no such export. `FileNotFoundError`: there is no such file.
    """
    try:
        tasks = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "data" in task for task in tasks):
        raise ValueError(f"{path} is no list of tasks with `data`: export the project as JSON, not as JSON-MIN")
    for number, task in enumerate(tasks, start=1):
        place = f"task {task.get('id', number)}"
        data = task["data"]
        if not isinstance(data, dict) or not isinstance(data.get("id"), str):
            yield Correction(
                place=place, fault="`data.id` is missing: it is no task that `hf-mel review export` wrote"
            )
            continue
        answers, fault = _answers(task)
        if fault is None and len(answers) > 1:
            fault = f"its annotations contradict each other: {', '.join(sorted(answers))}"
        if fault is not None:
            yield Correction(place=place, id=data["id"], fault=fault)
        elif answers:
            own = {name: as_text(value) for name, value in data.items() if name not in _RESERVED}
            yield Correction(place, data["id"], answers.pop(), data.get(IMAGE_FILE), column=CORRECTED, own=own)


def _answers(task: dict) -> tuple[set[str], str | None]:
    """The ids that people chose, and what is wrong."""
    known, answers = task["data"].get("candidate_ids") or {}, set()
    for annotation in task.get("annotations") or ():
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        found = {each.get("from_name"): each.get("value") or {} for each in annotation.get("result") or ()}
        written = [text.strip() for text in found.get(OTHER, {}).get("text") or () if text.strip()]
        chosen = found.get(CHOICE, {}).get("choices") or []
        if len(written) > 1 or (not written and len(chosen) != 1):
            return answers, f"an annotation has {len(chosen)} choices and {len(written)} ids, not one answer"
        if written:
            answers.add(written[0])
        elif chosen[0] not in known:
            return answers, f"the choice {chosen[0]!r} is none of the task's"
        else:
            answers.add(known[chosen[0]])
    return answers, None
