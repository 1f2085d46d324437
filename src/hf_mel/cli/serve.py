"""`hf-mel serve CHECKPOINT`"""

import ipaddress
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from ..service import ServiceConfig
from .linkers import LinkerOptions, make_linker
from .options import parse, print_error


if TYPE_CHECKING:
    from ..linking import Linker


def _setting(name: str, help: str):
    """An option with the default of the service's setting."""
    return field(default=getattr(ServiceConfig, name), metadata={"help": help})


@dataclass(kw_only=True)
class ServeOptions(LinkerOptions):
    """Options of `hf-mel serve`."""

    index: str = field(metadata={"help": "Folder or Hub id of an index, made by `hf-mel index build`."})
    host: str = field(default="127.0.0.1", metadata={"help": "Address to listen at. By default only this machine."})
    port: int = field(default=8000, metadata={"help": "Port to listen at; 0 for any that is free."})
    name: str = _setting("name", "Name of the service, which OpenRefine shows.")
    identifier_space: str | None = _setting("identifier_space", "URI that the ids of the entities belong to.")
    schema_space: str = _setting("schema_space", "URI of the kind of thing that is linked to.")
    entity_url: str | None = _setting(
        "entity_url", "Where a reader finds an entity, such as https://www.wikidata.org/wiki/{id}."
    )
    public_url: str | None = _setting("public_url", "Address of the service behind a proxy.")
    top_k: int = _setting("top_k", "Candidates for a mention where a request does not say.")
    threshold: float | None = _setting("threshold", "NIL if the probability that the entity is a candidate is lower.")
    score_threshold: float | None = _setting("score_threshold", "Score below which a mention is NIL.")
    match_probability: float = _setting(
        "match_probability",
        "Probability from which a candidate is matched by itself in OpenRefine, if a calibration was fitted.",
    )
    skip_broken_pictures: bool = _setting(
        "skip_broken_pictures", "Reconcile a cell without its picture where that cannot be had, and say so."
    )
    max_body: int = _setting("max_body", "Bytes of a request.")
    max_mentions: int = _setting("max_mentions", "Mentions of a request.")
    max_text: int = _setting("max_text", "Characters of a text.")
    max_top_k: int = _setting("max_top_k", "Candidates for a mention at most.")
    max_image_bytes: int = _setting("max_image_bytes", "Bytes of a picture.")
    max_pixels: int = _setting("max_pixels", "Pixels of a picture.")
    timeout: float = _setting("timeout", "Seconds that a request may take.")
    max_waiting: int = _setting("max_waiting", "Requests that may wait for their turn.")
    allow_urls: bool = _setting("allow_urls", "Fetch pictures from URLs that a request names.")
    allow_private_urls: bool = _setting("allow_private_urls", "Also from addresses of the local network.")
    fetch_timeout: float = _setting("fetch_timeout", "Seconds that fetching a picture may take.")
    suggestions: int = _setting("suggestions", "Names offered at once while a user types.")


def run(argv: list[str]) -> int:
    """Answers requests until it is interrupted."""
    about = "Link over HTTP: /link, /entities/ID, /health, and /reconcile for OpenRefine."
    options, checkpoint = parse("serve", about, ServeOptions, argv, ("checkpoint", "Folder or Hub id of a model."))
    # Settings and address first: the model takes a while to load.
    config = ServiceConfig(**{each.name: getattr(options, each.name) for each in fields(ServiceConfig)})
    from datasets import disable_progress_bars

    from ..service import create_app, make_server, open_socket, require_fastapi

    require_fastapi()
    listening = open_socket(options.host, options.port)
    try:
        linker = load_linker(checkpoint, options)
        disable_progress_bars()  # a request is no occasion for one
        server = make_server(create_app(linker, config))
        _announce(linker, *listening.getsockname()[:2])
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        pass  # uvicorn has let the requests under way end; where interrupts are ignored it returns instead
    finally:
        listening.close()
    print("hf-mel serve: ended")
    return 0


def load_linker(checkpoint: str, options: ServeOptions) -> "Linker":
    """The linker, with the set-up that its calibration was fitted for unless the options say otherwise."""
    # Merged: an entity whose name is just what a cell says is always among the candidates.
    return make_linker(checkpoint, options.index, options, otherwise="merged")


def _announce(linker: "Linker", host: str, port: int) -> None:
    if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        print_error(
            f"warning: the service listens at {host}, so that every machine which reaches this one may use it; "
            "it asks for no password"
        )
    shown = f"[{host}]" if ":" in host else host
    kind = "none" if linker.calibration is None else linker.calibration.kind
    kind += ": `hf-mel calibrate` fits them" if kind in ("none", "prior") else ""
    print(f"entities       {len(linker.index):,}")
    print(f"probabilities  {kind}")
    print(f"link           http://{shown}:{port}/link")
    print(f"OpenRefine     http://{shown}:{port}/reconcile")
    print(f"description    http://{shown}:{port}/openapi.json", flush=True)
