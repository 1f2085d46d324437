"""The Reconciliation Service API of the W3C community group, version 0.2: cells of a table in, candidates out."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..data.problems import nearest
from ..linking.linked_mention import LinkedEntity, LinkedMention
from ..models.graphemes import shortened
from ..version import __version__
from . import answers
from .core import Group, Item, LinkingService, Options
from .exact_names import exact_names_first, is_longer
from .limits import Refused, wrong_values
from .pages import HEIGHT, WIDTH, fragment
from .requests import place


if TYPE_CHECKING:
    from ..linking import IndexedEntity


ENTITY_TYPE = answers.TypeAnswer("entity", "Entity")
"""The type of every entity. Asking for it restricts nothing."""
PROPERTIES = {
    "image": answers.Suggestion(
        "image",
        "Picture",
        "The cell's picture, as a data URI or, where the service allows it, a URL. Of several, the first counts.",
    ),
    "text": answers.Suggestion("text", "Text", "The sentence in which the cell's words stand. Several are joined."),
}
ALIASES = {"picture": "image", "sentence": "text", "context": "text"}
_DESCRIPTION = 300  # characters


class Reconciler:
    """
    Answers the queries of OpenRefine and its kin.

    Args:
        service ([`LinkingService`]): links.
        adapter (`pydantic.TypeAdapter`): validates a batch of queries.
    """

    def __init__(self, service: LinkingService, adapter: Any):
        self.service = service
        self.config = service.config
        self.index = service.linker.index
        self.adapter = adapter

    def manifest(self, base: str) -> answers.Manifest:
        """Returns the manifest of the service. `base` is its address without a slash at the end."""
        config, path = self.config, f"{base}/reconcile"
        preview = f"{path}/preview?id={{{{id}}}}"
        view = preview if config.entity_url is None else config.entity_url.replace("{id}", "{{id}}")
        flyout = "/flyout/entity?id=${id}"
        return answers.Manifest(
            versions=["0.2"],
            name=config.name,
            identifierSpace=config.identifier_space or f"{base}/entities/",
            schemaSpace=config.schema_space,
            defaultTypes=[ENTITY_TYPE],
            serviceVersion=__version__,
            view=answers.Template(view),
            preview=answers.PreviewMetadata(preview, WIDTH, HEIGHT),
            suggest=answers.Suggesters(
                entity=answers.SuggestMetadata(path, "/suggest/entity", flyout),
                type=answers.SuggestMetadata(path, "/suggest/type"),
                property=answers.SuggestMetadata(path, "/suggest/property"),
            ),
            batchSize=config.max_mentions,
        )

    # ---- Queries ----

    async def answer(self, text: str) -> dict[str, answers.CandidateList]:
        """
        Candidates for a batch of queries.

        Args:
            text (`str`): the batch as JSON.

        Returns:
            `dict[str, CandidateList]`: for each query its candidates, best first.

        Raises:
            `Refused`: no batch of queries, too many, or values in it that cannot be used.
        """
        queries = self._parsed(text)
        items, problems = {}, []
        for key, query in queries.items():
            items[key], wrong = self._item(key, query)
            problems += wrong
        if problems:
            raise wrong_values(problems)
        groups, keys = await self.service.look_up(self._grouped, queries, items)
        linked = await self.service.link(groups, self.config.skip_broken_pictures) if groups else []
        found = {
            key: each for part, own in zip(linked, keys, strict=True) for key, each in zip(own, part, strict=True)
        }
        missed = await self.service.look_up(self._missed, queries, items, found)
        more = await self.service.link(list(missed.values()), self.config.skip_broken_pictures) if missed else []
        named = {key: each[0].candidates for key, each in zip(missed, more, strict=True)}
        return await self.service.look_up(self._answers, queries, found, named)

    def _parsed(self, text: str) -> Mapping[str, Any]:
        from pydantic import ValidationError

        try:
            queries = self.adapter.validate_json(text)
        except ValidationError as error:
            raise wrong_values([(place(["queries", *each["loc"]]), each["msg"]) for each in error.errors()]) from error
        if len(queries) > self.config.max_mentions:
            raise Refused(413, f"the batch has {len(queries)} queries, more than {self.config.max_mentions}")
        for key, query in queries.items():
            if query.query is None and not query.properties:
                raise wrong_values([(f"queries.{key}", "it has neither `query` nor `properties`")])
        return queries

    def _item(self, key: str, query: Any) -> tuple[Item | None, list[tuple[str, str]]]:
        """The mention of a query, `None` where no words are given that could be linked; and what is wrong."""
        given: dict[str, list[str]] = {name: [] for name in PROPERTIES}
        problems = []
        for number, each in enumerate(query.properties or []):
            name = ALIASES.get(each.pid, each.pid)
            if name not in PROPERTIES:
                known = [*PROPERTIES, *ALIASES]
                what = f"there is no property {each.pid!r}{nearest(each.pid, known)}; there are {', '.join(known)}"
                problems.append((f"queries.{key}.properties[{number}].pid", what))
                continue
            values = each.v if isinstance(each.v, list) else [each.v]
            given[name] += [shown for shown in map(_as_text, values) if shown.strip()]
        if not (query.query or "").strip():
            return None, problems
        item = Item(
            where=f"queries.{key}.",
            text=" ".join(given["text"]) or query.query,
            mention=query.query,
            image=given["image"][0] if given["image"] else None,
        )
        return item, problems

    def _grouped(self, queries: Mapping[str, Any], items: Mapping[str, Item | None]) -> tuple[list[Group], list]:
        """Queries with the same types are linked together; the others apart."""
        groups: dict[tuple, list[str]] = {}
        for key, item in items.items():
            if item is not None:
                types = self._types(queries[key])
                groups.setdefault((types, queries[key].type_strict == "all"), []).append(key)
        made = []
        for (types, all_types), keys in groups.items():
            options = Options(
                top_k=max(self._limit(queries[key]) for key in keys),
                types=types,
                all_types=all_types,
                types_where=f"queries.{keys[0]}.type",
            )
            made.append((options, [items[key] for key in keys]))
        return made, list(groups.values())

    def _types(self, query: Any) -> tuple[str, ...] | None:
        """The types asked for, `None` for any. Those of "should" are taken as a condition too, as OpenRefine means it."""
        wanted = _wanted(query)
        generic = ENTITY_TYPE.id in wanted and ENTITY_TYPE.id not in self.service.names.types()
        if generic and query.type_strict != "all":
            return None
        return tuple(name for name in wanted if not generic or name != ENTITY_TYPE.id) or None

    def _is_wanted(self, query: Any, types: Sequence[str]) -> bool:
        """True if an entity with these types may be a candidate."""
        wanted = self._types(query)
        return wanted is None or (all if query.type_strict == "all" else any)(name in types for name in wanted)

    def _limit(self, query: Any) -> int:
        return min(query.limit or self.config.top_k, self.config.max_top_k)

    # ---- Candidates ----

    def _missed(
        self, queries: Mapping[str, Any], items: Mapping[str, Item | None], found: Mapping[str, LinkedMention]
    ) -> dict[str, Group]:
        """For queries whose candidates have a longer name: the entities with the very name that are not among them."""
        missed = {}
        for key, linked in found.items():
            item, limit = items[key], self._limit(queries[key])
            if not any(is_longer(item.mention, each) for each in linked.candidates[:limit]):
                continue
            known = {each.entity_id for each in linked.candidates[:limit]}
            rows = self.service.names.named(item.mention)
            exact = [each for each in self.index.entities(rows) if each.id not in known] if rows else []
            exact = [each.id for each in exact if self._is_wanted(queries[key], each.types)]
            if exact:
                missed[key] = (Options(top_k=limit, entity_ids=tuple(exact)), [item])
        return missed

    def _answers(
        self,
        queries: Mapping[str, Any],
        found: Mapping[str, LinkedMention],
        named: Mapping[str, Sequence[LinkedEntity]],
    ) -> dict[str, answers.CandidateList]:
        return {
            key: answers.CandidateList(self._candidates(query, found.get(key), named.get(key, ())))
            for key, query in queries.items()
        }

    def _candidates(
        self, query: Any, linked: LinkedMention | None, missed: Sequence[LinkedEntity]
    ) -> list[answers.Candidate]:
        """Candidates of a query. Those that were missed are among them where they come before a longer name."""
        if linked is None:
            return []
        placed = exact_names_first(linked.mention, [*linked.candidates[: self._limit(query)], *missed])
        placed = [(each, moved) for each, moved in placed if moved or each not in missed]
        found = [self._candidate(each, linked) for each, _ in placed]
        for number in reversed(range(len(found))):
            after = found[number + 1 :]
            if placed[number][1]:  # its own score would contradict its place, and the model's best is no longer sure
                found[number].score = max(each.score for each in after)
                for each in after:
                    each.match = False
        found = found[: self._limit(query)]
        named = self._by_id(query)
        if named is not None:
            found = [named, *(each for each in found if each.id != named.id)][: self._limit(query)]
        return found

    def _by_id(self, query: Any) -> answers.Candidate | None:
        """The entity whose id the cell holds, which is expected to be found. Ids may be words too: it is no match yet."""
        wanted = query.query.strip()
        if wanted not in self.index:
            return None
        (entity,) = self.index.entities([self.index.row(wanted)])
        if not self._is_wanted(query, entity.types):
            return None
        features = [answers.Feature("identifier", True)]
        return answers.Candidate(
            entity.id, entity.name, _short(entity.text), 100.0, False, self.types_of(entity.types), features
        )

    def _candidate(self, candidate: LinkedEntity, linked: LinkedMention) -> answers.Candidate:
        best = candidate is linked.best
        # What a prior says is a hint: a cell is matched without being looked at only where a calibration was fitted.
        certain = (
            linked.calibration in ("fitted", "shrunk")
            and candidate.probability is not None
            and candidate.probability >= self.config.match_probability
        )
        numbers = {
            "model_score": candidate.score,
            "text_score": candidate.text_score,
            "image_score": candidate.image_score,
            "image_weight": candidate.image_weight,
            "name_score": candidate.name_score,
            "lexical_score": candidate.lexical_score,
            "margin": linked.margin if best else None,
            "has_image": linked.has_image,
            "name_matches": candidate.matched_alias is not None,
        }
        return answers.Candidate(
            id=candidate.entity_id,
            name=candidate.name,
            description=_short(candidate.text),
            score=100.0 * (candidate.score if candidate.probability is None else candidate.probability),
            match=best and certain and linked.is_nil is False,
            type=self.types_of(candidate.types),
            features=[answers.Feature(name, value) for name, value in numbers.items() if value is not None],
        )

    def types_of(self, types) -> list[answers.TypeAnswer]:
        """Types of an entity. One without a type is at least an entity."""
        return [answers.TypeAnswer(name, name) for name in types] or [ENTITY_TYPE]

    # ---- Suggestions ----

    def suggest_entities(self, prefix: str, cursor: int) -> answers.SuggestionList:
        """Entities whose name, alias or id begins so."""
        rows = self.service.names.rows(prefix, self.config.suggestions, cursor)
        return answers.SuggestionList(
            [
                answers.Suggestion(entity.id, entity.name, _short(entity.text), self.types_of(entity.types))
                for entity in self.index.entities(rows)
            ]
            if rows
            else []
        )

    def suggest_types(self, prefix: str, cursor: int) -> answers.SuggestionList:
        """Types whose name, or a word in it, begins so; the most frequent first."""
        counts = self.service.names.types()
        ranked = sorted(counts, key=lambda name: (-counts[name], name))
        known = [answers.Suggestion(name, name, f"Entities: {counts[name]:,}") for name in ranked]
        if ENTITY_TYPE.id not in counts:
            known.append(answers.Suggestion(ENTITY_TYPE.id, ENTITY_TYPE.name, f"All entities: {len(self.index):,}"))
        return self._beginning(known, prefix, cursor)

    def suggest_properties(self, prefix: str, cursor: int) -> answers.SuggestionList:
        """Properties that a query may have."""
        return self._beginning(list(PROPERTIES.values()), prefix, cursor)

    def _beginning(self, known: list[answers.Suggestion], prefix: str, cursor: int) -> answers.SuggestionList:
        folded = prefix.strip().casefold()
        fitting = [
            each
            for each in known
            if each.id.casefold().startswith(folded)
            or each.name.casefold().startswith(folded)
            or any(word.startswith(folded) for word in each.name.casefold().split())
        ]
        return answers.SuggestionList(fitting[cursor : cursor + self.config.suggestions])

    def flyout(self, entity: "IndexedEntity") -> answers.Flyout:
        """A small preview of an entity."""
        return answers.Flyout(entity.id, fragment(entity))


def _wanted(query: Any) -> tuple[str, ...]:
    """The types that a query names."""
    given = [query.type] if isinstance(query.type, str) else query.type or []
    return tuple(name for name in dict.fromkeys(given) if name)


def _short(text: str) -> str:
    """The text's beginning, cut between words."""
    return shortened(" ".join(text.split()), _DESCRIPTION, " ...")


def _as_text(value: Any) -> str:
    """A property's value. An entity stands for its name."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else value.name or value.id
