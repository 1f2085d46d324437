"""Mentions inside running text: where they stand, given by the caller or found by a token-classification model."""

import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..data.mention_checks import place_mention, text_fault
from ..data.problems import Problems
from ..models.graphemes import in_one_word
from .linked_mention import MentionQuery, Picture


# A tokenizer whose window is not known says 1e30.
_NO_WINDOW = 1_000_000


@dataclass(frozen=True)
class Span:
    """
    A piece of a text.

    Args:
        start (`int`):
            Its first character. Characters are those of a Python string, code points: an emoji outside the basic plane
            counts one, though it counts two in JavaScript and four in UTF-8.
        end (`int`):
            The character after its last.
        text (`str`):
            The characters between.
        label (`str`, *optional*):
            What it is, such as `"PER"`.
        score (`float`, *optional*):
            The model's confidence.

    Example:

    ```python
    >>> from hf_mel.linking import Span

    >>> Span(0, 3, "Ada", label="PER")
    Span(start=0, end=3, text='Ada', label='PER', score=None)
    ```
    """

    start: int
    end: int
    text: str
    label: str | None = None
    score: float | None = None


# ---- Spans of the caller ----


def queries_of(
    text: str,
    spans: Iterable[Span | tuple[int, int] | Mapping],
    image: Picture | None = None,
    id: str | None = None,
) -> list[MentionQuery]:
    """
    The mentions of a text, ready for [`~Linker.link_queries`].

    Args:
        text (`str`):
            The text.
        spans (`Iterable` of [`Span`], `tuple[int, int]` or `Mapping`):
            Where the mentions stand: spans, pairs of start and end, or dictionaries with `start` and `end`. They may
            overlap and repeat; each becomes a query, in the given order.
        image (as in [`MentionQuery`], *optional*):
            The picture next to the text, which all of them share.
        id (`str`, *optional*):
            The caller's name for the text, which all answers repeat.

    Raises:
        `ValueError`: lists every span that is empty, blank, outside the text, or whose own `text` stands elsewhere.

    Example:

    ```python
    >>> from hf_mel.linking.spans import queries_of

    >>> [query.mention for query in queries_of("Ada Lovelace met Ada.", [(0, 12), (0, 3), (17, 20)])]
    ['Ada Lovelace', 'Ada', 'Ada']
    ```
    """
    problems = Problems(
        f"spans of {_shortened(text)!r}",
        "Offsets count the characters of a Python string: `start` is the first, `end` the one after the last.",
    )
    _check_text(text, "text", problems)
    queries = []
    for number, span in enumerate(spans):
        where = f"span {number}"
        offsets = _offsets(span, where, problems)
        if offsets is None:
            continue
        start, end = offsets
        wrong = _what_is_wrong(text, start, end, span.text if isinstance(span, Span) else None)
        if wrong is not None:
            problems.add(where, wrong)
        else:
            queries.append(MentionQuery(text[start:end], text, start=start, image=image, id=id))
    problems.raise_if_any()
    return queries


def _offsets(span: Span | tuple[int, int] | Mapping, where: str, problems: Problems) -> tuple[int, int] | None:
    if isinstance(span, Span):
        values = (span.start, span.end)
    elif isinstance(span, Mapping):
        values = (span.get("start"), span.get("end"))
    else:
        values = tuple(span) if isinstance(span, (tuple, list)) else (span,)
    try:
        start, end = (operator.index(value) for value in values)
    except (TypeError, ValueError):
        problems.add(where, f"{span!r} is no `Span`, no pair of start and end, and has no whole `start` and `end`")
        return None
    return start, end


def _what_is_wrong(text: str, start: int, end: int, said: str | None) -> str | None:
    if said is not None:
        try:
            place_mention(said, text, start, end)
        except ValueError as error:
            return str(error)
    if start < 0 or end > len(text):
        return f"{start}..{end} is outside the text of {len(text):,} characters"
    if start >= end:
        return f"{start}..{end} is empty: `end` is the character after the last"
    return None if text[start:end].strip() else f"{start}..{end} holds only spaces"


def _check_text(text: str, where: str, problems: Problems) -> None:
    if not isinstance(text, str):
        problems.add(where, f"is a {type(text).__name__}, no string")
        return
    fault = text_fault(text)
    if fault is not None:
        problems.add(where, fault)


def _shortened(text: str) -> str:
    return text if not isinstance(text, str) or len(text) <= 60 else f"{text[:57]}..."


# ---- Spans found by a model ----


def find_mentions(texts: Sequence[str], ner, *, batch_size: int = 8) -> list[list[Span]]:
    """
    Mentions that a token-classification model finds.

    The model sees every text whole: one that is longer than its window is read in windows that overlap by a quarter. A
    span is made of whole words, in scripts that have spaces between words, and begins and ends with no space.

    Args:
        texts (`Sequence[str]`):
            The texts.
        ner ([`~transformers.TokenClassificationPipeline`], `str` or `Path`):
            The pipeline, or the folder or Hub id of a model for one, which is loaded in each call. Any other callable
            will do that takes a list of texts and `aggregation_strategy` and `batch_size`, and returns for each text a
            list of dictionaries with `start` and `end`.
        batch_size (`int`, *optional*, defaults to 8):
            Texts that the model sees at once.

    Returns:
        `list[list[Span]]`: the spans of each text, by where they start.

    Raises:
        `ValueError`: a model without a head for token classification, a tokenizer without offsets, or texts which are too
            long for a model whose tokenizer does not know its window; or what is no text.

    Example:

    ```py
    >>> from transformers import pipeline
    >>> from hf_mel.linking import find_mentions

    >>> ner = pipeline("token-classification", model="dslim/bert-base-NER")
    >>> [span.text for span in find_mentions(["Ada Lovelace lived in London."], ner)[0]]
    ['Ada Lovelace', 'London']
    ```
    """
    if isinstance(texts, str):
        raise ValueError("`texts` is one string: give a list of texts")
    texts = list(texts)
    problems = Problems("texts in which to find mentions", "Give a list of strings.")
    for number, text in enumerate(texts):
        _check_text(text, f"text {number}", problems)
    problems.raise_if_any()
    recognise = load_ner(ner) if isinstance(ner, (str, os.PathLike)) else _checked_ner(ner)
    filled = [number for number, text in enumerate(texts) if text.strip()]
    found: list[list[Span]] = [[] for _ in texts]
    if filled:
        asked = [texts[number] for number in filled]
        options = {"aggregation_strategy": "simple", "batch_size": batch_size} | _windows(recognise, asked)
        for number, results in zip(filled, recognise(asked, **options), strict=True):
            found[number] = _spans(texts[number], results)
    return found


def load_ner(source: str | os.PathLike) -> Callable:
    """
    The pipeline of a token-classification model, for several calls of [`find_mentions`].

    Args:
        source (`str` or `os.PathLike`): Folder or Hub id.

    Raises:
        `ValueError`: the model has no head for token classification: a random one would find mentions at random.
    """
    from transformers import AutoConfig, pipeline

    config = AutoConfig.from_pretrained(source)
    architectures = config.architectures or []
    if not any("TokenClassification" in name for name in architectures):
        raise ValueError(
            f"{source} finds no mentions: it holds {' and '.join(architectures) or 'a model of no said kind'}, and needs "
            "a model for token classification, such as dslim/bert-base-NER"
        )
    ner = pipeline("token-classification", model=str(source))
    if ner.tokenizer.model_max_length > _NO_WINDOW and _positions(config) is not None:
        ner.tokenizer.model_max_length = _positions(config)
    return ner


def _checked_ner(ner) -> Callable:
    task = getattr(ner, "task", None)
    if not callable(ner) or (isinstance(task, str) and task not in ("", "token-classification", "ner")):
        kind = f"a pipeline for {task!r}" if callable(ner) else f"a {type(ner).__name__}"
        raise ValueError(f'`ner` is {kind}: give pipeline("token-classification", model=...), a folder or a Hub id')
    return ner


def _windows(ner, texts: Sequence[str]) -> dict[str, int]:
    """The option by which a pipeline of transformers reads all of a long text, which it would cut otherwise."""
    tokenizer = getattr(ner, "tokenizer", None)
    if tokenizer is None:
        return {}
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError("the tokenizer of `ner` gives no offsets: load the model with a fast tokenizer")
    window = tokenizer.model_max_length
    if window <= _NO_WINDOW and tokenizer.pad_token_id is not None:
        return {"stride": window // 4}
    longest = window if window <= _NO_WINDOW else _positions(ner.model.config)
    if longest is None:  # such as a model with relative positions, which has no window
        return {}
    problems = Problems(
        f"texts for a model of {longest:,} tokens",
        "So that they are read in windows, set `ner.tokenizer.model_max_length`, and a padding token if there is none.",
    )
    for number, text in enumerate(texts):
        length = len(tokenizer(text, verbose=False)["input_ids"])
        if length > longest:
            problems.add(f"text {number}", f"has {length:,} tokens")
    problems.raise_if_any()
    return {}


def _positions(config) -> int | None:
    """Returns the number of tokens that a model has positions for; `None` if its configuration does not have it."""
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:
        return None
    # RoBERTa and its kin count positions from after the padding token.
    shifted = any(name in config.model_type for name in ("roberta", "camembert", "longformer", "xmod"))
    return positions - (config.pad_token_id or 0) - 1 if shifted else positions


def _spans(text: str, results: Iterable[Mapping]) -> list[Span]:
    pieces = []
    for result in results:
        if result.get("start") is None or result.get("end") is None:
            raise ValueError(f"`ner` gave {dict(result)!r}, without `start` and `end`: load it with a fast tokenizer")
        start, end = int(result["start"]), int(result["end"])
        if not 0 <= start <= end <= len(text):
            raise ValueError(f"`ner` gave {start}..{end} for a text of {len(text):,} characters")
        inner = text[start:end].strip()
        if inner:
            start = text.index(inner, start)
            label = next((result[name] for name in ("entity_group", "entity", "label") if name in result), None)
            score = result.get("score")
            pieces.append(Span(start, start + len(inner), inner, label, None if score is None else float(score)))
    return _whole_words(text, sorted(pieces, key=lambda piece: (piece.start, piece.end)))


def _whole_words(text: str, pieces: list[Span]) -> list[Span]:
    """Pieces grown to whole words. Pieces which meet only by that were one word: they become one, with the label of the
    surest."""
    grown: list[tuple[Span, int]] = []  # with the end of its last piece
    for piece in pieces:
        start, end = _grown(text, piece.start, piece.end)
        if grown and start < grown[-1][0].end and piece.start >= grown[-1][1]:
            before = grown.pop()[0]
            start, end = min(start, before.start), max(end, before.end)
            piece_end = piece.end
            piece = max(before, piece, key=lambda each: -1.0 if each.score is None else each.score)
        else:
            piece_end = piece.end
        grown.append((Span(start, end, text[start:end], piece.label, piece.score), piece_end))
    return [span for span, _ in grown]


def _grown(text: str, start: int, end: int) -> tuple[int, int]:
    while in_one_word(text, start):
        start -= 1
    while in_one_word(text, end):
        end += 1
    return start, end
