"""Answers of the service, as values that become JSON. The OpenAPI document is generated from them."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Problem:
    """Fault of one part of a request."""

    where: str
    what: str


@dataclass
class ErrorAnswer:
    """Answer to a request that is refused, with the reasons."""

    message: str
    problems: list[Problem] = field(default_factory=list)


@dataclass
class WrongMentionAnswer:
    """In place of an answer, for one of several mentions that cannot be used; the others are linked."""

    error: ErrorAnswer
    id: str | None = None


@dataclass
class EntityAnswer:
    """An entity of the index. `thumbnail` is a data URI."""

    id: str
    name: str
    aliases: list[str]
    text: str
    description: str | None
    attributes: str | None
    types: list[str]
    image_status: str
    thumbnail: str | None


@dataclass
class HealthAnswer:
    """Model and index of the service. `generation` grows with every change of the index."""

    status: str
    version: str
    model: dict[str, Any]
    entities: int
    generation: int
    calibration: dict[str, Any] | None


# ---- Reconciliation: names are those of the specification ----


@dataclass
class TypeAnswer:
    """A type of entities."""

    id: str
    name: str


@dataclass
class Template:
    """A URL with `{{id}}` in it."""

    url: str


@dataclass
class PreviewMetadata:
    """Address of previews, and the size of the frame they fit in."""

    url: str
    width: int
    height: int


@dataclass
class SuggestMetadata:
    """Address of suggestions."""

    service_url: str
    service_path: str
    flyout_service_path: str | None = None


@dataclass
class Suggesters:
    """Kinds of values that can be suggested."""

    entity: SuggestMetadata
    type: SuggestMetadata
    property: SuggestMetadata


@dataclass
class Manifest:
    """Manifest of the reconciliation service."""

    versions: list[str]
    name: str
    identifierSpace: str
    schemaSpace: str
    defaultTypes: list[TypeAnswer]
    serviceVersion: str
    view: Template
    preview: PreviewMetadata
    suggest: Suggesters
    batchSize: int


@dataclass
class Feature:
    """A number or truth that speaks for or against a candidate."""

    id: str
    value: bool | float


@dataclass
class Candidate:
    """An entity that a cell may mean."""

    id: str
    name: str
    description: str
    score: float
    match: bool
    type: list[TypeAnswer]
    features: list[Feature]


@dataclass
class CandidateList:
    """Candidates for a query, best first."""

    result: list[Candidate]


@dataclass
class Suggestion:
    """An entity, a type or a property for what a user is typing."""

    id: str
    name: str
    description: str | None = None
    notable: list[TypeAnswer] | None = None


@dataclass
class SuggestionList:
    """Suggestions, best first."""

    result: list[Suggestion]


@dataclass
class Flyout:
    """A small preview of a suggested entity."""

    id: str
    html: str


def plain(answer: Any) -> dict[str, Any]:
    """An answer as JSON has it; what it has not is left out."""
    return _without_none(asdict(answer))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(each) for name, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, list) else value
