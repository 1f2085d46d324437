"""What the page shows, as plain data: from the fields of the page to a query, and from a query to answers."""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from PIL import Image, ImageFilter

import first_start
from hf_mel import KnowledgeBase, LinkedMention, Linker, MentionQuery, explain, load_emojimel
from hf_mel.data import open_image
from hf_mel.linking import EntityIndex, Explanation


# What towers are trained on. Pillow reads more, some of it by starting other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_TEXT = 2_000
MAX_SHOWN = 20
# Mentions of the test split, written by hand: the clue is in the picture, in both, or in none that the model understands.
EXAMPLES = ("test-00010", "test-00763", "test-00533", "test-00112", "test-00501", "test-00282")
NEW_TEXT, NEW_MENTION = "The marimba player used four mallets.", "marimba"  # the knowledge base has none
PICTURES = 12


class Unusable(ValueError):
    """What was entered cannot be linked. The message says why and what to do, in words for the page."""


@dataclass(frozen=True)
class Example:
    """
    A sentence that can be tried with one click.

    Args:
        mention (`str`), text (`str`), start (`int`): The query.
        picture (`PIL.Image.Image`, *optional*): Its picture.
        note (`str`): What is to be seen.
    """

    mention: str
    text: str
    start: int
    picture: Image.Image | None
    note: str = ""


@dataclass(frozen=True)
class Variant:
    """
    The same mention with another picture.

    Args:
        name (`str`): What was done to the picture.
        picture (`PIL.Image.Image`, *optional*): What the model was shown.
        linked ([`LinkedMention`]): The answer.
        thumbnail (`bytes`, *optional*): Picture of its best candidate.
    """

    name: str
    picture: Image.Image | None
    linked: LinkedMention
    thumbnail: bytes | None


@dataclass(frozen=True)
class Threshold:
    """
    What NIL is decided by.

    Args:
        unit (`str`): `"probability"`, or `"score"` where there are no probabilities.
        lowest (`float`), highest (`float`), default (`float`): Of the slider.
        meaning (`str`): The sentence below it.
    """

    unit: str
    lowest: float
    highest: float
    default: float
    meaning: str


class Demo:
    """
    Links what is entered on the page.

    Args:
        linker ([`Linker`]):
            What links it.
        model_name (`str`):
            What the page calls the model.
    """

    def __init__(self, linker: Linker, model_name: str):
        self.linker = linker
        self.model_name = model_name

    @classmethod
    def open(cls, environ: Mapping[str, str]) -> "Demo":
        """
        The demo that the environment asks for.

        Args:
            environ (`Mapping[str, str]`):
                `HF_MEL_MODEL`: folder or Hub id of a checkpoint. Without it a small one is trained on EmojiMEL, once.
                `HF_MEL_INDEX`: folder or Hub id of an index that was built with it; by default the entities of EmojiMEL.

        Raises:
            `ValueError`: an index without a model that fits, or a model or index that cannot be used; it is named.
        """
        model, index = environ.get("HF_MEL_MODEL") or None, environ.get("HF_MEL_INDEX") or None
        if model is None and index is not None:
            model = EntityIndex.load(index).model_source
            if model is None:
                raise ValueError(f"HF_MEL_INDEX={index} does not say with which model it was built: set HF_MEL_MODEL")
        if model is None:
            small = first_start.trained(first_start.cache_folder(environ))
            return cls(Linker.from_pretrained(small.model, small.index), "a small model, trained here on EmojiMEL")
        entities: str | KnowledgeBase = load_emojimel().entities if index is None else index
        name = Path(model).resolve().name if Path(model).is_dir() else model
        return cls(Linker.from_pretrained(model, entities), name)

    # ---- What can be set ----

    @property
    def sees(self) -> bool:
        """Whether the model looks at pictures."""
        return self.linker.model.sees_pictures

    @property
    def threshold(self) -> Threshold:
        """The slider for NIL."""
        calibration = self.linker.calibration
        if calibration is None:
            return Threshold("score", -1.0, 1.0, -1.0, "A mention is NIL if its best candidate has a lower score.")
        meaning = "A mention is NIL if the probability that one of the candidates is meant is lower."
        if calibration.kind == "prior":
            meaning += " Probabilities come from a prior: none were fitted for this knowledge base."
        return Threshold("probability", 0.0, 1.0, round(calibration.threshold, 2), meaning)

    @property
    def max_shown(self) -> int:
        """Most candidates that can be shown."""
        return min(MAX_SHOWN, self.linker.setup["num_candidates"], len(self.linker.index))

    # ---- Examples ----

    @cached_property
    def _mentions(self):
        return load_emojimel().mentions["test"]

    @cached_property
    def examples(self) -> list[Example]:
        """Those of EmojiMEL whose entity the index has, and one of no entity; none for another knowledge base."""
        places = {each: row for row, each in enumerate(self._mentions["id"][:])}
        found = []
        for each in EXAMPLES:
            record = self._mentions[places[each]]
            if record["entity_id"] in self.linker.index:
                picture, _ = open_image(record["image"])
                found.append(Example(record["mention"], record["text"], record["start"], picture))
        if found:
            found.append(
                Example(NEW_MENTION, NEW_TEXT, NEW_TEXT.index(NEW_MENTION), None, "not in the knowledge base")
            )
        return found

    @cached_property
    def pictures(self) -> list[tuple[Image.Image, str]]:
        """Pictures to pick, with their names: as drawn for mentions, by other vendors than the entities'."""
        if not self.examples:
            return []
        found: dict[str, Image.Image] = {}
        clear = [quality == "good" for quality in self._mentions["image_quality"][:]]
        for row in (row for row, good in enumerate(clear) if good):
            record = self._mentions[row]
            if record["entity_name"] not in (None, *found):
                picture, status = open_image(record["image"])
                if status == "ok":
                    found[record["entity_name"]] = picture
            if len(found) == PICTURES:
                break
        return [(picture, name) for name, picture in found.items()]

    # ---- From the page to a query ----

    def query(self, sentence: str | None, mention: str | None, start: int | None, file: str | None) -> MentionQuery:
        """
        The query that the fields of the page make.

        Args:
            sentence (`str`), mention (`str`): Their texts.
            start (`int`, *optional*): Where the mention was marked; a hint that may be out of date.
            file (`str`, *optional*): Path of the picture.

        Raises:
            [`Unusable`]: a field is empty, the mention does not occur, or the file is no picture.
        """
        sentence, mention = sentence or "", (mention or "").strip()
        if not sentence.strip():
            raise Unusable("The sentence is empty. Type one, or take one of the examples.")
        if len(sentence) > MAX_TEXT:
            raise Unusable(f"The sentence has {len(sentence):,} characters, more than {MAX_TEXT:,}. Shorten it.")
        if not mention:
            raise Unusable(
                "There is no mention. Select its words in the sentence, or type them into the field below it."
            )
        place = _place(sentence, mention, start)
        if place is None:
            other = re.search(re.escape(mention), sentence, re.IGNORECASE)
            hint = (
                f"It has “{other.group()}”: mark that." if other else "Select its words in the sentence to mark them."
            )
            raise Unusable(f"The mention “{mention}” does not occur in the sentence. {hint}")
        return MentionQuery(mention, sentence, place, self.picture(file))

    def picture(self, file: str | None) -> Image.Image | None:
        """
        A picture that was sent, `None` without one.

        Raises:
            [`Unusable`]: it cannot be read, or shows nothing.
        """
        if file is None:
            return None
        with open(file, "rb") as opened:
            content = opened.read()
        head = content[:512].lstrip().lower()
        if not content:
            reason = "the file is empty"
        elif head.startswith((b"<!doctype html", b"<html")):
            reason = "the file is a web page"
        elif b"<svg" in head:
            reason = "the file is an SVG drawing, which has no pixels"
        elif not _is_known(content):
            reason = f"the file is of no kind that is read here ({', '.join(FORMATS)}), or it is damaged"
        else:
            image, status = open_image(content)
            if image is not None:
                return image
            reason = "all of it has one colour" if status == "blank" else "the file is damaged, or far too large"
        raise Unusable(
            f"The picture cannot be used: {reason}. Choose another, or remove it to link by the text alone."
        )

    # ---- Answers ----

    def answer(self, query: MentionQuery, threshold: float, shown: int) -> Explanation:
        """The answer with its reasons; `threshold` is in the unit of the slider, `shown` the number of candidates."""
        return explain(self.linker, query, top_k=int(shown), max_words=0, **self._limits(threshold))

    def variants(self, query: MentionQuery, threshold: float, blur: float) -> list[Variant]:
        """
        The mention with its picture as it is, blurred, and without.

        Args:
            query ([`MentionQuery`]): The mention.
            threshold (`float`): In the unit of the slider.
            blur (`float`): Radius, in percent of the shorter side of the picture.

        Returns:
            `list[Variant]`, empty without a picture, or where the model does not look at it.
        """
        if query.image is None or not self.sees:
            return []
        blurred = query.image.filter(ImageFilter.GaussianBlur(min(query.image.size) * blur / 100))
        pictures = {"As it is": query.image, f"Blurred by {blur:g} %": blurred, "Dropped": None}
        queries = [replace(query, image=picture) for picture in pictures.values()]
        answers = self.linker.link_queries(queries, top_k=min(3, self.max_shown), **self._limits(threshold))
        return [
            Variant(name, picture, linked, self._thumbnail(linked))
            for (name, picture), linked in zip(pictures.items(), answers, strict=True)
        ]

    def _limits(self, threshold: float) -> dict[str, float]:
        """Where the slider stands as it was, the calibration's own threshold counts, which is not rounded."""
        if threshold == self.threshold.default:
            return {}
        return {"threshold" if self.threshold.unit == "probability" else "score_threshold": float(threshold)}

    def _thumbnail(self, linked: LinkedMention) -> bytes | None:
        if linked.best is None:
            return None
        (entity,) = self.linker.index.entities([self.linker.index.row(linked.best.entity_id)])
        return entity.thumbnail


def _place(sentence: str, mention: str, start: int | None) -> int | None:
    """Where the mention stands: the occurrence nearest to where it was marked, before the sentence was changed perhaps."""
    found = [place for place in range(len(sentence)) if sentence.startswith(mention, place)]
    return min(found, key=lambda place: abs(place - (start or 0)), default=None)


def _is_known(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS):
            return True
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
