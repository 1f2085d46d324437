"""The application: what is answered at which address."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ..version import __version__
from .config import ServiceConfig
from .core import LinkingService
from .limits import ANY_ORIGIN, BodyLimit, Refused, error_content, wrong_values
from .reconciliation import Reconciler
from .requests import place, request_models
from .routes import WHAT, add_linking, add_reconciliation


if TYPE_CHECKING:
    from fastapi import FastAPI

    from ..linking import Linker

_ABOUT = "Links mentions in text, with or without pictures, to the entities of a knowledge base."


def require_fastapi() -> None:
    """
    Raises:
        `ImportError`: what the service runs on is not installed; the message says how to install it.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ImportError(f'the service needs FastAPI and uvicorn ({error}): pip install "hf-mel[serve]"') from error


def create_app(linker: "Linker", config: ServiceConfig | None = None) -> "FastAPI":
    """
    An application that answers requests over HTTP with a linker: `/link`, `/entities/{id}`, `/health`, and the
    Reconciliation Service API 0.2 at `/reconcile`, which OpenRefine speaks. `/openapi.json` describes it.

    Args:
        linker ([`Linker`]):
            Links. It is used by one request at a time.
        config ([`ServiceConfig`], *optional*):
            Settings and limits.

    Returns:
        `fastapi.FastAPI`: the application, for uvicorn or any other ASGI server.

    Raises:
        `ImportError`: FastAPI is not installed (`pip install "hf-mel[serve]"`).
        `ValueError`: a threshold of probability is set, and the linker has no calibration.

    Example:

    ```py
    >>> import uvicorn
    >>> from hf_mel import Linker
    >>> from hf_mel.service import ServiceConfig, create_app

    >>> linker = Linker.from_pretrained("runs/emojimel", "index")
    >>> uvicorn.run(create_app(linker, ServiceConfig(name="Emoji")), host="127.0.0.1", port=8000)
    ```
    """
    require_fastapi()
    from fastapi import FastAPI
    from fastapi.middleware.cors import CORSMiddleware

    config = config or ServiceConfig()
    if linker.calibration is not None:
        # Probabilities are shared among so many candidates; there are none for more.
        config = replace(config, max_top_k=min(config.max_top_k, linker.calibration.num_candidates))
    service = LinkingService(linker, config)
    models = request_models(config)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.workshop.close()

    # The pages of documentation that FastAPI offers load their parts from elsewhere.
    app = FastAPI(
        title=config.name, version=__version__, description=_ABOUT, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    _add_errors(app)
    add_linking(app, service, models.link)
    add_reconciliation(app, Reconciler(service, models.queries), models.queries_schema)
    # The last one is the outermost: also what the limit refuses can be read from another origin.
    app.add_middleware(BodyLimit, max_body=config.max_body, timeout=config.timeout)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "POST"], allow_headers=["*"])
    return app


def _add_errors(app: "FastAPI") -> None:
    """One form of JSON for all errors, without what the request held and without the stack."""
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException

    async def refused(_, error: Refused) -> JSONResponse:
        return JSONResponse(error.content, error.status, error.headers)

    async def invalid(_, error: RequestValidationError) -> JSONResponse:
        found = [(place(each["loc"]) or "body", each["msg"]) for each in error.errors()]
        if any(each["type"] == "json_invalid" for each in error.errors()):
            return JSONResponse(error_content(WHAT[400], found), 400)
        return await refused(_, wrong_values(found))

    async def other(_, error: HTTPException) -> JSONResponse:
        return JSONResponse(error_content(str(error.detail)), error.status_code, error.headers)

    async def fault(_, error: Exception) -> JSONResponse:
        # The server logs it. This answer is made outside the middleware, so it says itself who may read it.
        return JSONResponse(error_content(WHAT[500]), 500, ANY_ORIGIN)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, other)
    app.add_exception_handler(Exception, fault)
