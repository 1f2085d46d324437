"""A Hub on loopback that the real clients speak to, each in a process with an empty cache."""

from .client import ClientRun, run_client
from .server import READ_TOKEN, STRANGER_TOKEN, WRITE_TOKEN, Fault, Hub


__all__ = ["READ_TOKEN", "STRANGER_TOKEN", "WRITE_TOKEN", "ClientRun", "Fault", "Hub", "run_client"]
