"""Between requests and the linker: checks, pictures, and the one thread that links."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers.utils import logging

from ..data import UnknownEntityError
from ..data.mention_dataset import checked_mention
from ..data.problems import RecordProblems
from ..linking.choose_calibration import check_prediction_set
from ..linking.linked_mention import LinkedMention, MentionQuery
from .config import ServiceConfig
from .limits import Refused, Workshop, wrong_values
from .names import NameSearch
from .pictures import Picture, PictureReader


if TYPE_CHECKING:
    from ..linking import Linker

logger = logging.get_logger(__name__)

_LOOK_AGAIN = 1.0  # seconds between looks at the folder of the index


@dataclass(frozen=True)
class Item:
    """A mention as it was sent: its picture is still text. `where` names it in errors."""

    where: str
    text: str
    mention: str
    start: int | None = None
    image: str | None = None
    id: str | None = None


@dataclass(frozen=True)
class Options:
    """Options for linking a group of mentions. `types_where` names its types in errors."""

    top_k: int
    threshold: float | None = None
    score_threshold: float | None = None
    types: tuple[str, ...] | None = None
    all_types: bool = False
    entity_ids: tuple[str, ...] | None = None
    types_where: str = "types"
    prediction_set: float | None = None


Group = tuple[Options, Sequence[Item]]
Problems = list[tuple[str, str]]
"""Faults of a mention or of options: place and reason of each."""


class LinkingService:
    """
    Links what requests ask for, one request at a time.

    Args:
        linker ([`Linker`]): links.
        config ([`ServiceConfig`]): settings and limits.

    Raises:
        `ValueError`: a threshold of probability is set, and the linker has no calibration.
    """

    def __init__(self, linker: "Linker", config: ServiceConfig):
        if config.threshold is not None and linker.calibration is None:
            raise ValueError(
                f"threshold={config.threshold} is one of probability, and there is no calibration: fit one "
                "(`hf-mel calibrate`), or set a `score_threshold`"
            )
        self.linker = linker
        self.config = config
        self.names = NameSearch(linker.index)
        self.workshop = Workshop(config.max_waiting, config.timeout)
        self._pictures = PictureReader(config)
        self._next_look = 0.0
        self._fault: str | None = None

    async def link(
        self, groups: Sequence[Group], skip_broken: bool = False, each_alone: bool = False
    ) -> list[list[LinkedMention | Problems]]:
        """
        Links groups of mentions, each with its own options.

        Args:
            groups (`Sequence[tuple[Options, Sequence[Item]]]`): the mentions.
            skip_broken (`bool`, *optional*, defaults to `False`): link without a picture that cannot be had.
            each_alone (`bool`, *optional*, defaults to `False`): answer a mention that cannot be used with its problems,
                instead of refusing all.

        Returns:
            `list[list[LinkedMention]]`: the answers, in the order of groups and mentions.

        Raises:
            `Refused`: values that cannot be used, a full queue, or too long a time.
        """
        values = [item.image for _, items in groups for item in items if item.image]
        async with self.workshop.place():
            fetched: dict[str, bytes | str] = {}
            if self._pictures.needs_fetching(values):
                fetched = await self.workshop.fetch(self._pictures.fetch, values)
            return await self.workshop.compute(self._link, groups, values, fetched, skip_broken, each_alone)

    async def look_up(self, work: Callable, *args: Any) -> Any:
        """The result of other work with the index. Its files are read by one thread, the same that links."""

        def looked_up() -> Any:
            self._follow_index()
            return work(*args)

        async with self.workshop.place():
            return await self.workshop.compute(looked_up)

    def _link(
        self, groups: Sequence[Group], values: list[str], fetched: dict, skip_broken: bool, each_alone: bool
    ) -> list:
        self._follow_index()
        # Pictures are opened here, in the one thread of the model: those of one request at a time are in memory.
        pictures = self._pictures.open(values, fetched)
        needed = {} if skip_broken else pictures
        wrong = [[self._wrong_item(item, needed) for item in items] for _, items in groups]
        problems = [problem for options, _ in groups for problem in self._wrong_options(options)]
        if not each_alone:
            problems += [problem for items in wrong for item in items for problem in item]
        if problems:
            raise wrong_values(list(dict.fromkeys(problems)))
        answers = []
        for (options, items), found in zip(groups, wrong, strict=True):
            good = [item for item, problem in zip(items, found, strict=True) if not problem]
            linked = iter(self._link_group(options, good, pictures))
            answers.append([problem or next(linked) for problem in found])
        return answers

    def _follow_index(self) -> None:
        """Takes over what another process has added to the index or removed from it."""
        if time.monotonic() >= self._next_look:
            index = self.linker.index
            try:
                changed = index.refresh()
            except (OSError, ValueError) as error:
                logger.warning(f"the index is used as it was: {error}")
                changed = False
            if changed:
                try:
                    index.check_model(self.linker.model, self.linker.processor)
                    self._fault = None
                    self._follow_calibration()
                except ValueError as error:
                    logger.error(f"the index was replaced, and cannot be used: {error}")
                    self._fault = "the index was replaced by one that this service cannot use; it has to be restarted"
            self._next_look = time.monotonic() + _LOOK_AGAIN
        if self._fault is not None:
            raise Refused(503, self._fault, headers={"Retry-After": "60"})

    def _link_group(self, options: Options, items: Sequence[Item], pictures: dict[str, Picture]) -> list:
        config = self.config
        queries = [
            MentionQuery(
                text=item.text,
                mention=item.mention,
                start=item.start,
                image=pictures[item.image].image if item.image else None,
                id=item.id,
            )
            for item in items
        ]
        types, entity_ids = options.types, options.entity_ids
        if types is not None and options.all_types:
            types, entity_ids = None, self._with_all(types)
        return self.linker.link_queries(
            queries,
            top_k=options.top_k,
            threshold=config.threshold if options.threshold is None else options.threshold,
            score_threshold=config.score_threshold if options.score_threshold is None else options.score_threshold,
            types=None if types is None else list(types),
            entity_ids=None if entity_ids is None else list(entity_ids),
            prediction_set=options.prediction_set,
        )

    def _with_all(self, types: Sequence[str]) -> list[str]:
        index = self.linker.index
        allowed = np.logical_and.reduce([index.rows_of(types=[name]) for name in types])
        return [index.ids[row] for row in np.flatnonzero(allowed)]

    def _follow_calibration(self) -> None:
        """An index that was replaced by one of another knowledge base has another calibration, or the prior."""
        calibration = self.linker.calibration
        if calibration is not None and calibration.setup.get("knowledge_base") != self.linker.setup["knowledge_base"]:
            self.linker.use_saved_calibration()

    # ---- What is wrong with a request ----

    def _wrong_options(self, options: Options) -> Problems:
        problems = []
        if options.threshold is not None and self.linker.calibration is None:
            what = "this service has no calibration, hence no probabilities; `score_threshold` is one of scores"
            problems.append(("threshold", what))
        if options.prediction_set is not None:
            restricted = options.types is not None or options.entity_ids is not None
            try:
                check_prediction_set(self.linker.calibration, options.prediction_set, restricted)
            except ValueError as error:
                problems.append(("prediction_set", str(error)))
        for where, restriction in (
            (options.types_where, {"types": options.types}),
            ("entity_ids", {"ids": options.entity_ids}),
        ):
            (given,) = restriction.values()
            if given is None:
                continue
            try:
                self.linker.index.rows_of(**{name: list(value) for name, value in restriction.items()})
            except (ValueError, UnknownEntityError) as error:
                problems.append((where, str(error.args[0] if error.args else error)))
        return problems

    def _wrong_item(self, item: Item, pictures: dict[str, Picture]) -> Problems:
        found = RecordProblems("the request")
        given = {"mention": item.mention, "text": item.text, "start": item.start, "id": item.id}
        checked_mention(given, item.where, found)
        problems = [(f"{item.where}{problem.field}", problem.what) for problem in found.take()]
        if item.image in pictures and pictures[item.image].problem:
            problems.append((f"{item.where}image", pictures[item.image].problem))
        return problems
