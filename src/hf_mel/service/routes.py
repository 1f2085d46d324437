"""Routes of the service."""

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qs

from ..data import UnknownEntityError
from ..data.thumbnails import data_uri
from ..linking.linked_mention import LinkedMention
from ..version import __version__
from . import answers
from .core import Item, LinkingService, Options
from .limits import Refused, wrong_values
from .pages import POLICY, page
from .reconciliation import Reconciler
from .requests import WrongMention


if TYPE_CHECKING:
    from fastapi import FastAPI

    from ..linking import IndexedEntity

WHAT = {
    400: "The body is no JSON.",
    404: "There is no such entity.",
    408: "The request arrived too slowly.",
    413: "The request, or the batch, is too large.",
    415: "The body is no form.",
    422: "Values of the request that cannot be used, each of them.",
    500: "A fault of the service, which its log tells of.",
    503: "Too many requests are waiting, or the index cannot be used; `Retry-After` says when to come back.",
    504: "The request took too long.",
}
_FORM = "application/x-www-form-urlencoded"
_QUERIES = 'A batch of queries as JSON: `{"q0": {"query": "Paris", "limit": 3}}`'
_AN_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Errors of an operation, for the OpenAPI document."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 500}):
        found[status] = {"model": answers.ErrorAnswer, "description": WHAT[status]}
        if status == 503:
            found[status]["headers"] = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds."}}
    return found


def _form_body(queries: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": ["queries"], "properties": {"queries": {"type": "string", **queries}}}
    return {"required": True, "content": {_FORM: {"schema": schema}}}


def add_linking(app: "FastAPI", service: LinkingService, link_body: Any) -> None:
    """`/link`, `/entities/{id}` and `/health`."""
    from fastapi import Body
    from fastapi.responses import JSONResponse

    @app.post(
        "/link",
        summary="Link one mention, or several",
        response_model=LinkedMention | list[LinkedMention | answers.WrongMentionAnswer],
        responses=responses(400, 408, 413, 422, 503, 504),
    )
    async def link(body: Annotated[link_body, Body()]) -> JSONResponse:
        """
        For a body with `mentions` a list of answers in the same order, else one answer. One of several mentions that cannot
        be used refuses no other: in place of its answer is an object with `error`.
        """
        single = not hasattr(body, "mentions")
        wrong, items = {}, []
        for number, each in enumerate([body] if single else body.mentions):
            where = "" if single else f"mentions[{number}]"
            if isinstance(each, WrongMention):
                wrong[number] = [(f"{where}.{part}" if part else where, what) for part, what in each.problems]
            else:
                where += "" if single else "."
                items.append(Item(where, each.text, each.mention, each.start, each.image, each.id))
        options = Options(
            top_k=body.top_k,
            threshold=body.threshold,
            score_threshold=body.score_threshold,
            types=None if body.types is None else tuple(body.types),
            entity_ids=None if body.entity_ids is None else tuple(body.entity_ids),
            prediction_set=body.prediction_set,
        )
        (linked,) = await service.link([(options, items)], each_alone=not single)
        if single:
            return JSONResponse(linked[0].to_dict())
        found = iter(linked)
        every = [wrong.get(number) or next(found) for number in range(len(body.mentions))]
        return JSONResponse([_answer(each, mention.id) for each, mention in zip(every, body.mentions, strict=True)])

    _add_facts(app, service)


def _answer(found: LinkedMention | list[tuple[str, str]], name: str | None) -> dict[str, Any]:
    """JSON of one of several answers, or of what is wrong with its mention."""
    return {"error": wrong_values(found).content, "id": name} if isinstance(found, list) else found.to_dict()


def _add_facts(app: "FastAPI", service: LinkingService) -> None:
    """Adds the routes that describe the index and the service."""
    from fastapi.responses import JSONResponse

    linker = service.linker

    @app.get(
        "/entities/{entity_id:path}",
        summary="An entity",
        response_model=answers.EntityAnswer,
        responses=responses(404, 422, 503, 504),
    )
    async def entity(entity_id: str) -> JSONResponse:
        """Everything that the index holds of an entity."""
        found = await service.look_up(known, service, entity_id)
        return JSONResponse(
            {
                "id": found.id,
                "name": found.name,
                "aliases": list(found.aliases),
                "text": found.text,
                "description": found.description,
                "attributes": found.attributes,
                "types": list(found.types),
                "image_status": found.image_status,
                "thumbnail": data_uri(found.thumbnail),
            }
        )

    @app.get("/health", summary="What the service runs on", response_model=answers.HealthAnswer, responses=responses())
    async def health() -> JSONResponse:
        """Model, index and calibration."""
        calibration = None if linker.calibration is None else linker.calibration.to_dict()
        return JSONResponse(
            {
                "status": "ok",
                "version": __version__,
                "model": dict(linker.index.manifest.model),
                "entities": len(linker.index),
                "generation": linker.index.generation,
                "calibration": calibration,
            }
        )


def known(service: LinkingService, entity_id: str) -> "IndexedEntity":
    """An entity by its id, or a refusal."""
    index = service.linker.index
    try:
        row = index.row(entity_id)
    except UnknownEntityError:
        raise Refused(404, f"there is no entity {entity_id!r}") from None
    return index.entities([row])[0]


def add_reconciliation(app: "FastAPI", reconciler: Reconciler, queries_schema: dict[str, Any]) -> None:
    """`/reconcile`, what it suggests, and previews."""
    from fastapi import Query, Request
    from fastapi.responses import JSONResponse

    batch = dict[str, answers.CandidateList]
    queries_are = {"contentMediaType": "application/json", "contentSchema": queries_schema, "description": _QUERIES}

    @app.get(
        "/reconcile",
        summary="The manifest or, with `queries`, candidates",
        response_model=answers.Manifest | batch,
        responses=responses(413, 422, 503, 504),
    )
    async def manifest(
        request: Request, queries: Annotated[str | None, Query(json_schema_extra=queries_are)] = None
    ) -> JSONResponse:
        """The Reconciliation Service API 0.2."""
        if queries is not None:
            return await reconciled(queries)
        if "extend" in request.query_params:
            raise Refused(422, "this service extends no data: its manifest has no `extend`")
        base = reconciler.config.public_url or str(request.base_url)
        return JSONResponse(answers.plain(reconciler.manifest(base.rstrip("/"))))

    @app.post(
        "/reconcile",
        summary="Candidates for a batch of queries",
        response_model=batch,
        responses=responses(408, 413, 415, 422, 503, 504),
        openapi_extra={"requestBody": _form_body(queries_are)},
    )
    async def reconcile(request: Request) -> JSONResponse:
        """The Reconciliation Service API 0.2."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _FORM:
            raise Refused(415, f"the body is of type {kind!r}, not {_FORM}")
        try:
            form = parse_qs((await request.body()).decode("ascii"), errors="strict", max_num_fields=100)
        except ValueError as error:
            raise Refused(422, f"the form cannot be read ({error})") from error
        if "queries" not in form:
            raise Refused(422, "the form has no element `queries`")
        return await reconciled(form["queries"][0])

    async def reconciled(queries: str) -> JSONResponse:
        found = await reconciler.answer(queries)
        return JSONResponse({key: answers.plain(each) for key, each in found.items()})

    _add_previews(app, reconciler)
    _add_suggestions(app, reconciler)


def _add_previews(app: "FastAPI", reconciler: Reconciler) -> None:
    """Adds the routes of previews, which help to distinguish entities."""
    from fastapi.responses import HTMLResponse, JSONResponse

    service = reconciler.service
    # FastAPI takes an answer in HTML to have errors in HTML.
    errors = {
        status: {**{name: value for name, value in each.items() if name != "model"}, "content": _AN_ERROR}
        for status, each in responses(404, 422, 503, 504).items()
    }

    @app.get(
        "/reconcile/preview",
        summary="A small page about an entity",
        response_class=HTMLResponse,
        responses=errors,
    )
    async def preview(id: str) -> HTMLResponse:
        """For a frame of the size that the manifest says."""
        entity = await service.look_up(known, service, id)
        return HTMLResponse(page(entity), headers=POLICY)

    @app.get(
        "/reconcile/flyout/entity",
        summary="A small preview of a suggestion",
        response_model=answers.Flyout,
        responses=responses(404, 422, 503, 504),
    )
    async def flyout(id: str) -> JSONResponse:
        """A piece of HTML."""
        return JSONResponse(answers.plain(reconciler.flyout(await service.look_up(known, service, id))))


def _add_suggestions(app: "FastAPI", reconciler: Reconciler) -> None:
    """Adds the routes of suggestions while a user types."""
    from fastapi import Query
    from fastapi.responses import JSONResponse

    prefix = Annotated[str, Query(max_length=1_000, description="What was typed so far.")]
    cursor = Annotated[int, Query(ge=0, le=1_000_000, description="Suggestions to skip.")]

    def add(kind: str, suggest: Any) -> None:
        @app.get(
            f"/reconcile/suggest/{kind}",
            name=f"suggest_{kind}",
            summary=f"Suggestions: {kind}",
            response_model=answers.SuggestionList,
            responses=responses(422, 503, 504),
        )
        async def suggestions(prefix: prefix, cursor: cursor = 0) -> JSONResponse:
            return JSONResponse(answers.plain(await reconciler.service.look_up(suggest, prefix, cursor)))

    add("entity", reconciler.suggest_entities)
    add("type", reconciler.suggest_types)
    add("property", reconciler.suggest_properties)
