"""Configuration of a service: its offers, and the limits of a request."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..data.problems import Problems


if TYPE_CHECKING:
    from ..data import FetchLimits


@dataclass(frozen=True)
class ServiceConfig:
    """
    Settings of a service. The defaults suit one machine and its users.

    Args:
        name (`str`, *optional*, defaults to `"Multimodal entity linking"`):
            Name of the service, which OpenRefine shows.
        identifier_space (`str`, *optional*):
            URI that the ids of the entities belong to, such as `"http://www.wikidata.org/entity/"`. `None`: that of the
            service's own `/entities/`.
        schema_space (`str`, *optional*, defaults to `"https://schema.org/Thing"`):
            URI of the kind of thing that is linked to.
        entity_url (`str`, *optional*):
            Where a reader finds an entity, with `{id}` in it: `"https://www.wikidata.org/wiki/{id}"`. `None`: the
            service's own preview.
        public_url (`str`, *optional*):
            Address of the service as its users see it, where a proxy stands before it. `None`: what the request says.
        top_k (`int`, *optional*, defaults to 5):
            Candidates for a mention where the request does not say.
        threshold (`float`, *optional*):
            Probability that the entity is a candidate below which a mention is NIL, where the request does not say. `None`: that of the calibration.
        score_threshold (`float`, *optional*):
            Score below which a mention is NIL, where the request does not say.
        match_probability (`float`, *optional*, defaults to 0.9):
            A candidate of a reconciliation is marked as a match from this probability on, if the calibration was fitted for
            the index. With the prior, none is.
        skip_broken_pictures (`bool`, *optional*, defaults to `False`):
            Reconcile a cell without its picture where that cannot be had; its candidates then have the feature
            `has_image` false. By default the request is refused, with the reason.
        max_body (`int`, *optional*, defaults to 16,000,000):
            Bytes of a request.
        max_mentions (`int`, *optional*, defaults to 64):
            Mentions of a request, and queries of a batch of reconciliation.
        max_text (`int`, *optional*, defaults to 20,000):
            Characters of a text.
        max_top_k (`int`, *optional*, defaults to 100):
            Candidates for a mention. With a calibration also no more than it was fitted with.
        max_image_bytes (`int`, *optional*, defaults to 8,000,000):
            Bytes of a picture.
        max_pixels (`int`, *optional*, defaults to 25,000,000):
            Pixels of a picture. The pictures of a request may have four times as many in all.
        timeout (`float`, *optional*, defaults to 30.0):
            Seconds that a request may take, waiting for its turn included.
        max_waiting (`int`, *optional*, defaults to 32):
            Requests that may wait for their turn; a further one is told to come back.
        allow_urls (`bool`, *optional*, defaults to `False`):
            Fetch pictures from URLs that a request names.
        allow_private_urls (`bool`, *optional*, defaults to `False`):
            Also from addresses that are not public: those of this machine and of the local network.
        fetch_timeout (`float`, *optional*, defaults to 5.0):
            Seconds that fetching one picture may take.
        suggestions (`int`, *optional*, defaults to 10):
            Names offered at once while a user types.

    Example:

    ```python
    >>> from hf_mel.service import ServiceConfig

    >>> ServiceConfig(entity_url="https://www.wikidata.org/wiki/{id}", max_pixels=4_000_000).max_mentions
    64
    ```
    """

    name: str = "Multimodal entity linking"
    identifier_space: str | None = None
    schema_space: str = "https://schema.org/Thing"
    entity_url: str | None = None
    public_url: str | None = None
    top_k: int = 5
    threshold: float | None = None
    score_threshold: float | None = None
    match_probability: float = 0.9
    skip_broken_pictures: bool = False
    max_body: int = 16_000_000
    max_mentions: int = 64
    max_text: int = 20_000
    max_top_k: int = 100
    max_image_bytes: int = 8_000_000
    max_pixels: int = 25_000_000
    timeout: float = 30.0
    max_waiting: int = 32
    allow_urls: bool = False
    allow_private_urls: bool = False
    fetch_timeout: float = 5.0
    suggestions: int = 10

    def __post_init__(self):
        problems = Problems("settings of the service", "Change these settings.")
        counts = ("top_k", "max_body", "max_mentions", "max_text", "max_top_k", "max_image_bytes", "max_pixels")
        for name in (*counts, "suggestions"):
            if getattr(self, name) < 1:
                problems.add(name, f"{getattr(self, name)!r} must be at least 1")
        if self.max_waiting < 0:
            problems.add("max_waiting", f"{self.max_waiting!r} must not be negative")
        for name in ("timeout", "fetch_timeout"):
            if not getattr(self, name) > 0:
                problems.add(name, f"{getattr(self, name)!r} must be more than 0")
        for name in ("threshold", "match_probability"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                problems.add(name, f"{value!r} must be a probability, from 0 to 1")
        if self.top_k > self.max_top_k:
            problems.add("top_k", f"{self.top_k} is more than max_top_k={self.max_top_k}")
        for name in ("identifier_space", "schema_space", "entity_url", "public_url"):
            value = getattr(self, name)
            if value is not None and not value.startswith(("http://", "https://", "urn:")):
                problems.add(name, f"{value!r} is no URI: it must start with http://, https:// or urn:")
        if self.entity_url is not None and "{id}" not in self.entity_url:
            problems.add("entity_url", f"{self.entity_url!r} must contain {{id}}, where the id of the entity goes")
        if not self.name.strip():
            problems.add("name", "it is empty")
        problems.raise_if_any()

    @property
    def max_total_pixels(self) -> int:
        """Pixels of all pictures of a request: they are in memory at the same time."""
        return 4 * self.max_pixels

    def fetch_limits(self, folder: str) -> "FetchLimits":
        """Limits of fetching pictures: one try each, into a folder that is deleted with the request."""
        from ..data import FetchLimits  # here: the command line reads the defaults above

        return FetchLimits(
            timeout=self.fetch_timeout,
            max_bytes=self.max_image_bytes,
            parallel=4,
            retries=0,
            allow_private=self.allow_private_urls,
            cache_dir=folder,
        )
