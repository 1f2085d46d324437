"""The service: linking over HTTP, also for OpenRefine. FastAPI is imported when an application is made."""

from .app import create_app, require_fastapi
from .config import ServiceConfig
from .server import make_server, open_socket


__all__ = ["ServiceConfig", "create_app", "make_server", "open_socket", "require_fastapi"]
