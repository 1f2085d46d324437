"""Runs an application at an address."""

import os
import socket
from typing import TYPE_CHECKING

from .app import require_fastapi


if TYPE_CHECKING:
    from fastapi import FastAPI


def open_socket(host: str, port: int) -> socket.socket:
    """
    A socket that listens. Done before the server starts, so that a port in use is an error like any other.

    Args:
        host (`str`): address or name of this machine.
        port (`int`): 0 for any that is free.

    Raises:
        `OSError`: the port is in use, or the address is not one of this machine.
    """
    listening = None
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        # With the protocol named, asyncio sends small answers at once; else each waits 40 ms for the client's receipt.
        listening = socket.socket(family, kind, protocol)
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
        return listening
    except OSError as error:
        if listening is not None:
            listening.close()
        raise OSError(
            f"cannot listen at {host}, port {port} ({error}): choose another `--port` or `--host`"
        ) from error


def make_server(app: "FastAPI", log_level: str = "info"):
    """
    A `uvicorn.Server` for an application, to be run with `server.run(sockets=[open_socket(host, port)])`.

    Args:
        app (`fastapi.FastAPI`): that of [`create_app`].
        log_level (`str`, *optional*, defaults to `"info"`): of uvicorn.
    """
    require_fastapi()
    import uvicorn

    # Requests under way may end; none holds up the end for longer.
    config = uvicorn.Config(app, log_level=log_level, server_header=False, timeout_graceful_shutdown=10)
    return uvicorn.Server(config)
