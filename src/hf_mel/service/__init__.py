"""The service: linking over HTTP, also for OpenRefine. FastAPI is imported when an application is made."""

from typing import TYPE_CHECKING

from ..lazy import lazy_exports


_EXPORTS = {
    "app": ["create_app", "require_fastapi"],
    "config": ["ServiceConfig"],
    "server": ["make_server", "open_socket"],
}

if TYPE_CHECKING:  # `as` exports a name from a typed package
    # isort: off
    from .app import create_app as create_app, require_fastapi as require_fastapi
    from .config import ServiceConfig as ServiceConfig
    from .server import make_server as make_server, open_socket as open_socket
    # isort: on
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
