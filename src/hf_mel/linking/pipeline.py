"""
`pipeline("multimodal-entity-linking")` of transformers. [`~transformers.pipeline`] imports this file when the task is asked for
(`compat/registration.py`), and what the file needs of the package it imports when it is used.
"""

import os
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import HFValidationError
from torch.utils.data import Dataset
from transformers import AutoModel, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.utils import logging

from ..models.configuration_base import PIPELINE_TASK


if TYPE_CHECKING:
    from ..data.images import ReadPicture

logger = logging.get_logger(__name__)

TASK = PIPELINE_TASK
_FIELDS = ("mention", "text", "start", "image", "id")
_READ = (*_FIELDS, "end")
_REPEATED = ("given", "mention", "text", "sentence", "start", "id")
_NAMED = 5
_HUB = "_hub_arguments"
_NEEDS_INDEX = (
    f"`index` is missing: {TASK} links to the entities of an index. Pass the folder or the Hub id of one, which `hf-mel "
    "index build CHECKPOINT --kb ENTITIES` or `EntityIndex.build(model, processor, knowledge_base, folder)` makes, or an "
    "`EntityIndex`, or a `KnowledgeBase`, which is encoded now."
)


class _AutoModel(AutoModel):
    """
    Loads the model for [`~transformers.pipeline`], which does not pass on the revision and the token to the pipeline; the
    calibration that may be stored with the model is read the same way.
    """

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        model = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        names = ("revision", "token", "cache_dir", "local_files_only")
        model.__dict__[_HUB] = {name: kwargs[name] for name in names if name in kwargs}
        return model


class MultimodalEntityLinkingPipeline(Pipeline):
    """
    Links mentions to the entities of an index: the pipeline of the task `"multimodal-entity-linking"`, which
    `import hf_mel` makes known to [`~transformers.pipeline`].

    Args:
        model ([`MatchingModel`]):
            The model. `pipeline(model=...)` also takes a folder or a Hub id.
        index ([`EntityIndex`], [`KnowledgeBase`], `str` or `Path`):
            The entities: an index, its folder or Hub id, or a knowledge base, which is encoded now.
        processor ([`MELProcessor`]):
            Its processor, which `pipeline(...)` loads from the checkpoint.
        calibration ([`Calibration`] or `bool`, *optional*, defaults to `True`):
            Turns scores into probabilities. `True`: the one saved with the index or in the checkpoint, if it was fitted for
            both, otherwise the prior ([`choose_calibration`]). `False`: none.
        linker_options (`dict`, *optional*):
            Further arguments of [`Linker`], such as `{"candidates": "merged"}`.
        top_k, threshold, score_threshold, types, entity_ids, prediction_set (*optional*):
            Those of [`~Linker.link_queries`]; each call may give others.
        kwargs:
            Those of every pipeline, such as `device` and `batch_size`.

    Raises:
        `ValueError`: no index, an index of another model, or no processor.

    Example:

    ```python
    >>> from transformers import pipeline
    >>> from hf_mel import PGMELConfig, PGMELModel, MELProcessor, make_miniature, make_miniature_tokenizer

    >>> kb = make_miniature(num_entities=10, num_train=5, num_validation=5, num_test=5).entities
    >>> tower = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> model = PGMELModel(PGMELConfig(text_config=tower))
    >>> processor = MELProcessor(tokenizer=make_miniature_tokenizer(), max_length=32)

    >>> linker = pipeline("multimodal-entity-linking", model=model, processor=processor, index=kb, device="cpu")
    >>> linked = linker(mention="painter", text="A painter was here.", top_k=3)
    >>> linked["mention"], linked["start"], len(linked["candidates"])
    ('painter', 2, 3)
    >>> rows = [{"mention": "painter", "text": "A painter."}, {"mention": "river", "text": "The river."}]
    >>> [len(linked["candidates"]) for linked in linker(rows, batch_size=2)]
    [5, 5]
    ```
    """

    _load_processor = True
    _load_tokenizer = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_video_processor = False

    def __init__(self, model, index=None, *, processor=None, calibration=True, linker_options=None, **kwargs):
        if index is None:
            raise ValueError(_NEEDS_INDEX)
        parts = [
            name for name in ("tokenizer", "image_processor", "feature_extractor") if kwargs.get(name) is not None
        ]
        if processor is None or parts:
            instead = f", not {' and '.join(f'`{name}`' for name in parts)}" if parts else ""
            raise ValueError(f"pass `processor`, a `MELProcessor` with all parts that the model needs{instead}")
        super().__init__(model=model, processor=processor, **kwargs)
        self.linker = self._make_linker(index, calibration, linker_options or {})
        self._last_picture: tuple[Any, Any] = (None, None)
        self._rejected = 0

    def _make_linker(self, index, calibration, options: Mapping):
        from .linker import Linker

        hub = self.model.__dict__.pop(_HUB, {})
        given = None if isinstance(calibration, bool) else calibration
        try:
            linker = Linker(self.model, self.processor, index, calibration=given, **options)
        except ValueError as error:
            if self.model.dtype == torch.float32:
                raise
            raise ValueError(
                f"{error} The model is loaded in {self.model.dtype}, whose weights are not those of another precision: "
                "load it in that in which the index was built (`dtype=torch.float32`), or build one with this model."
            ) from error
        if calibration is True:
            try:
                linker.use_saved_calibration(self.model.name_or_path or None, **hub)
            except HFValidationError:
                logger.debug(
                    f"{self.model.name_or_path}, where the model came from, is gone: its calibration is not read"
                )
                linker.use_saved_calibration()
        return linker

    # ---- Calls ----

    def __call__(
        self,
        inputs=None,
        *,
        mention: str | Sequence[str] | None = None,
        text: str | Sequence[str] | None = None,
        start: int | Sequence[int | None] | None = None,
        image=None,
        **options,
    ):
        """
        Links mentions. The answers do not depend on how they are given.

        Args:
            inputs (`dict`, [`MentionQuery`], a list or a generator of these, a `Dataset` or a `DataFrame`, *optional*):
                `mention` and `text` of each, and if there are any, `start` (character at which the mention starts,
                otherwise it is found), `image` (a picture, or path or bytes of one) and `id`, which the answer
                repeats. `sentence` is read as `text` where there is no `text`. Other columns of a table are ignored; where it
                has no ids, these are the numbers of its rows.
            mention (`str` or `Sequence[str]`, *optional*), text, start, image:
                Instead of `inputs`: one of each, or lists of the same length.
            options:
                `batch_size`, `num_workers`, and the `top_k`, `threshold`, `score_threshold`, `types`, `entity_ids` and
                `prediction_set` of [`~Linker.link_queries`].

        Returns:
            `dict`: [`~LinkedMention.to_dict`] for one mention, a list of these for a list, and an iterator which links
            as it is read for a generator or a data set. Of several mentions, one that cannot be linked refuses no other: in
            place of an answer it gets a `dict` with `error`, its `mention`, `text` and `id`, and a warning is logged.

        Raises:
            `ValueError`, `FileNotFoundError`: a single mention without text or mention, with an unknown key, with a picture
                that cannot be read or that would have to be fetched; options or a table that cannot be used.
        """
        self._rejected = 0
        words = {"mention": mention, "text": text, "start": start, "image": image}
        if inputs is None:
            inputs = _rows_of(words)
        elif any(value is not None for value in words.values()):
            raise ValueError("give either `inputs`, or `mention` and `text`")
        if isinstance(inputs, str):
            raise ValueError('which mention in it? Give {"mention": ..., "text": ...}, or `mention=` and `text=`')
        if isinstance(inputs, (list, tuple)):
            return super().__call__(list(inputs), **options) if inputs else []
        if _is_table(inputs):
            inputs = _data_set(inputs)
        elif isinstance(inputs, Iterable) and not isinstance(inputs, (Mapping, Dataset, types.GeneratorType)):
            inputs = (
                row for row in inputs
            )  # an iterator of another kind, which the base class would take for one input
        return super().__call__(inputs, **options)

    def _sanitize_parameters(
        self, top_k=None, threshold=None, score_threshold=None, types=None, entity_ids=None, prediction_set=None
    ) -> tuple[dict, dict, dict]:
        given = {
            "top_k": top_k, "threshold": threshold, "score_threshold": score_threshold, "types": types,
            "entity_ids": entity_ids, "prediction_set": prediction_set,
        }  # fmt: skip
        return {}, {name: value for name, value in given.items() if value is not None}, {}

    # ---- Steps ----

    def run_single(self, inputs, preprocess_params, forward_params, postprocess_params) -> dict:
        return super().run_single(inputs, preprocess_params | {"alone": True}, forward_params, postprocess_params)

    def preprocess(self, input_, alone: bool = False) -> dict:
        """Checks one mention. One that cannot be linked raises an error if it is `alone`, else it is passed on as such."""
        from .linked_mention import MentionQuery

        if isinstance(input_, MentionQuery):
            input_ = {name: getattr(input_, name) for name in _FIELDS}
        fields, wrong = _fields(input_)
        kind = ValueError
        if not wrong:
            fields["image"], status, reason = self._picture(fields["image"])
            if status == "blank":
                logger.warning(
                    f"the picture of mention {fields['mention']!r} shows one colour: it is linked without it"
                )
            if reason is not None:
                wrong, kind = [f"`image`: {reason}"], FileNotFoundError if status == "missing_file" else ValueError
        if wrong and alone:
            raise kind(_message(input_, wrong))
        return {"query": _Rejected(input_, wrong) if wrong else MentionQuery(**fields)}

    def _picture(self, source) -> "ReadPicture":
        """The picture; one that several mentions in a row share is opened, and encoded, once."""
        from ..data.images import read_picture

        if source is None or source is not self._last_picture[0]:
            self._last_picture = (source, read_picture(source))
        return self._last_picture[1]

    def _forward(self, model_inputs: dict, **options) -> dict:
        query = model_inputs["query"]  # a list, where the base class made a batch
        queries = query if isinstance(query, list) else [query]
        linked = iter(
            self.linker.link_queries([each for each in queries if not isinstance(each, _Rejected)], **options)
        )
        answers = [each if isinstance(each, _Rejected) else next(linked) for each in queries]
        return {"linked": answers if isinstance(query, list) else answers[0]}

    def postprocess(self, model_outputs: dict) -> dict:
        linked = model_outputs["linked"]
        linked = linked[0] if isinstance(linked, list) else linked
        if isinstance(linked, _Rejected):
            self._rejected += 1
            if self._rejected <= _NAMED:
                more = "" if self._rejected < _NAMED else ". Further ones are not logged; their answers have `error`"
                logger.warning(f"not linked: {_message(linked.given, linked.wrong)}{more}")
        return linked.to_dict()

    # ---- Saving ----

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs) -> None:
        """
        Saves the model, its processor and the calibration that was fitted for them and the index. The index is no part of
        the checkpoint: it stays where it is.

        Args:
            save_directory (`str` or `os.PathLike`): A folder, which is made if it is not there.
            kwargs: Those of [`~transformers.PreTrainedModel.save_pretrained`].
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)
        if self.linker.calibration is not None and self.linker.calibration.kind != "prior":
            self.linker.calibration.save(save_directory)


PIPELINE_REGISTRY.register_pipeline(
    TASK, pipeline_class=MultimodalEntityLinkingPipeline, pt_model=_AutoModel, type="multimodal"
)


# ---- Inputs ----


class _Rows(Dataset):
    """The rows of a table, with a length. Where a row has no id, it is its number."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict:
        from ..data.mention_dataset import id_or_number

        found = self.rows[row]
        return found | {"id": id_or_number(found.get("id"), row)}


def _is_table(inputs) -> bool:
    """Returns `True` for many mentions in one object: a data set, a data frame, a dict of columns or of splits."""
    if isinstance(inputs, Mapping):
        return not any(name in inputs for name in (*_FIELDS, "sentence")) or isinstance(
            inputs.get("mention"), (list, tuple)
        )
    return hasattr(inputs, "columns") or (hasattr(inputs, "select_columns") and hasattr(inputs, "column_names"))


def _data_set(rows):
    """Its columns that matter, with the pictures as they are stored: the message about a broken one names it."""
    from ..data.images import undecoded
    from ..data.mention_dataset import mention_rows

    streamed = hasattr(rows, "select_columns") and not hasattr(rows, "__len__")
    rows = rows if streamed else mention_rows(rows, "inputs")
    if isinstance(rows, list):
        return _Rows([{name: value for name, value in row.items() if name in _READ} for row in rows])
    if rows.column_names is not None:
        if "sentence" in rows.column_names and "text" not in rows.column_names:
            rows = rows.rename_column("sentence", "text")
        rows = rows.select_columns([name for name in rows.column_names if name in _READ])
    if rows.features is not None:
        rows = undecoded(rows)
    return (row for row in rows) if streamed else _Rows(rows)


def _rows_of(words: Mapping[str, Any]) -> dict | list[dict]:
    mention, text = words["mention"], words["text"]
    if text is None or mention is None:
        raise ValueError("nothing to link: give `inputs`, or `mention` and `text`")
    if isinstance(text, str) and isinstance(mention, str):
        return dict(words)
    if isinstance(text, str) or isinstance(mention, str):
        raise ValueError("`mention` and `text` must both be strings, or both lists of strings")
    columns = {name: value for name, value in words.items() if value is not None}
    single = [name for name, value in columns.items() if not isinstance(value, (list, tuple))]
    if single:
        raise ValueError(f"`text` is a list, and so must be {' and '.join(f'`{name}`' for name in single)}")
    lengths = {name: len(value) for name, value in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{number} of `{name}`" for name, number in lengths.items())
        raise ValueError(f"lists of the same length are needed, not {told}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@dataclass(frozen=True)
class _Rejected:
    """A mention that cannot be linked, as it was given, and the reasons."""

    given: Any
    wrong: list[str]

    def to_dict(self) -> dict:
        given = self.given if isinstance(self.given, Mapping) else {"given": str(self.given)}
        return {"error": "; ".join(self.wrong)} | {name: given[name] for name in _REPEATED if name in given}


def _message(given, wrong: list[str]) -> str:
    from ..data.problems import Problems

    name = f"mention {given.get('mention')!r:.80}" if isinstance(given, Mapping) else "the input"
    if len(wrong) == 1:
        return f"{name}: {wrong[0]}"
    problems = Problems(name, f"The keys are {', '.join(_FIELDS)}.")
    problems.found = wrong
    return problems.message()


def _fields(row) -> tuple[dict[str, Any], list[str]]:
    """The fields of a query, and everything that is wrong with them."""
    from ..data.mention_dataset import checked_mention
    from ..data.problems import RecordProblems, nearest

    if not isinstance(row, Mapping):
        return {}, [f"a mention is a dictionary with `mention` and `text`, not a {type(row).__name__}: {row!r:.80}"]
    if "sentence" in row and "text" not in row:
        row = {"text" if name == "sentence" else name: value for name, value in row.items()}
    found = RecordProblems("mention")
    checked = checked_mention({name: row.get(name) for name in _READ}, "mention", found)
    wrong = [f"{name!r} is no key{nearest(name, _FIELDS)}" for name in row if name not in _READ]
    wrong += [problem.what for problem in found.take()]
    return {} if wrong else {name: checked[name] for name in _FIELDS}, wrong
