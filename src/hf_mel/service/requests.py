"""Requests to the service, as models of pydantic. Their limits are those of a service, so they are created for one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from ..data.mention_checks import text_fault
from .config import ServiceConfig


MAX_IDS = 10_000
"""Ids, or types, that a request may name."""
TAGS = ("one", "many")
"""Names of the two forms of a body, which pydantic puts into the place of an error."""


@dataclass(frozen=True)
class WrongMention:
    """A mention of several that cannot be used: its name if it has a usable one, and what is wrong where."""

    id: str | None
    problems: list[tuple[str, str]]


class RequestModels(NamedTuple):
    """The body of `/link`; what validates a batch of reconciliation, and its JSON schema."""

    link: Any
    queries: Any
    queries_schema: dict[str, Any]


def place(parts: Sequence[str | int]) -> str:
    """Returns the place of a value, such as `mentions[2].start`."""
    shown = ""
    for part in parts:
        if isinstance(part, int):
            shown += f"[{part}]"
        elif part not in ("body", "query", "path", *TAGS) or shown:
            shown += f".{part}" if shown else part
    return shown


def request_models(config: ServiceConfig) -> RequestModels:
    """The models for a service with these limits."""
    queries = _query_batch(config)
    return RequestModels(_link_body(config), queries, _inline(queries.json_schema()))


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema with its definitions put where they are referred to: it becomes part of another document."""
    definitions = schema.pop("$defs", {})

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return resolved(definitions[value["$ref"].rsplit("/", 1)[-1]])
        return {name: resolved(each) for name, each in value.items()}

    return resolved(schema)


_THRESHOLD = "NIL if the probability that the entity is a candidate is lower. Null: that of the calibration."
_PREDICTION_SET = "Error rate of the set of answers one of which is right. Null: no set."


def _link_body(config: ServiceConfig) -> Any:
    from pydantic import AliasChoices, BaseModel, ConfigDict, Discriminator, Field, Tag
    from pydantic import BeforeValidator as Before
    from pydantic import WrapValidator as Wrap

    words = Annotated[str, Before(_usable), Field(max_length=config.max_text)]
    name = Annotated[str, Before(_usable), Field(min_length=1, max_length=1_000)]
    names = Annotated[list[name], Field(min_length=1, max_length=MAX_IDS)]

    class Mention(BaseModel):
        """A mention: a sentence, the words in it that name an entity, and the picture beside it."""

        model_config = ConfigDict(extra="forbid", strict=True)

        mention: words = Field(pattern=r"\S", description="The words that name an entity.")
        text: words = Field(
            validation_alias=AliasChoices("text", "sentence"), description="The sentence in which they stand."
        )
        start: Annotated[int | None, Before(_whole)] = Field(
            None, ge=0, description="Character at which the mention starts. Null: its first occurrence."
        )
        image: str | None = Field(
            None,
            max_length=config.max_body,
            description="A picture: base64 data, bare or as a data URI"
            + ("; or a URL, which is fetched." if config.allow_urls else ". This service fetches no URLs."),
        )
        id: name | None = Field(None, description="Your name for the mention, which the answer repeats.")

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)

        top_k: int = Field(config.top_k, ge=1, le=config.max_top_k, description="Candidates for each mention.")
        threshold: float | None = Field(None, ge=0, le=1, allow_inf_nan=False, description=_THRESHOLD)
        score_threshold: float | None = Field(
            None, allow_inf_nan=False, description="NIL if the best candidate's score is lower."
        )
        types: names | None = Field(None, description="Only entities of any of these types.")
        entity_ids: names | None = Field(None, description="Only these entities.")
        prediction_set: float | None = Field(None, gt=0, lt=1, allow_inf_nan=False, description=_PREDICTION_SET)

    class LinkOne(Mention, Options):
        """One mention."""

    class LinkMany(Options):
        """Several mentions."""

        mentions: list[Annotated[Mention, Wrap(_kept)]] = Field(min_length=1, max_length=config.max_mentions)

    def form(body: Any) -> str:
        given = body if isinstance(body, Mapping) else getattr(body, "__dict__", {})
        return TAGS["mentions" in given]

    return Annotated[Annotated[LinkOne, Tag("one")] | Annotated[LinkMany, Tag("many")], Discriminator(form)]


def _whole(value: Any) -> Any:
    """The number 4 for 4.0, as everywhere else."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _kept(value: Any, validate: Callable[[Any], Any]) -> Any:
    """The mention; one that is wrong is kept as such, so that it refuses no other of its request."""
    from pydantic import ValidationError

    try:
        return validate(value)
    except ValidationError as error:
        name = value.get("id") if isinstance(value, Mapping) else None
        name = name if isinstance(name, str) and text_fault(name) is None else None
        return WrongMention(name, [(place(each["loc"]), each["msg"]) for each in error.errors()])


def _usable(value: Any) -> Any:
    """The value, unless it is a string that is no text."""
    from pydantic_core import PydanticCustomError

    fault = text_fault(value) if isinstance(value, str) else None
    if fault is not None:
        raise PydanticCustomError("no_text", "{fault}", {"fault": fault})
    return value


def _query_batch(config: ServiceConfig) -> Any:
    from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

    words = Annotated[str, BeforeValidator(_usable), Field(max_length=config.max_text)]

    class EntityValue(BaseModel):
        id: str
        name: str | None = None

    value = str | float | bool | EntityValue

    class PropertyValue(BaseModel):
        pid: str
        v: value | list[value]

    class Query(BaseModel):
        # A field that is not known would change what is asked for: that of a later version, or a slip.
        model_config = ConfigDict(extra="forbid")

        query: words | None = None
        type: str | list[str] | None = None
        limit: int | None = Field(None, ge=1)
        properties: list[PropertyValue] | None = None
        type_strict: Literal["any", "should", "all"] | None = None

    return TypeAdapter(dict[str, Query])
