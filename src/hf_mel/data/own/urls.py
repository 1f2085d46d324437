"""Pictures from the web, only where they are asked for, and within limits."""

import hashlib
import ipaddress
import logging
import os
import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

from datasets import config
from datasets.utils import tqdm
from huggingface_hub.utils import httpx  # that of the hub's client; its name changes with the hub's version

from ...version import __version__
from ..images import read_picture
from ..url_names import shown_url


logger = logging.getLogger(__name__)

_REDIRECTS = (301, 302, 303, 307, 308)
_TRY_AGAIN = (429, 500, 502, 503, 504)
_LONGEST_WAIT = 60.0
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class FetchLimits:
    """Limits of downloading pictures. Pass one as `fetch_urls=` in place of `True`.

    Args:
        timeout (`float`, *optional*, defaults to 20.0): seconds that one picture may take, redirects included.
        max_bytes (`int`, *optional*, defaults to 20,000,000): a larger file is not read to its end.
        parallel (`int`, *optional*, defaults to 8): pictures that are fetched at the same time.
        max_redirects (`int`, *optional*, defaults to 5): redirects that are followed, each checked like the URL.
        retries (`int`, *optional*, defaults to 3): further tries after a failed connection, 429, 500, 502, 503, 504.
        backoff (`float`, *optional*, defaults to 1.0): seconds before the second try, twice as many before each
            further one; a `Retry-After` of the server counts if it is longer, up to a minute.
        allow_private (`bool`, *optional*, defaults to `False`): also fetch from addresses that are not public, such as
            those of this machine and of a local network. A table of unknown origin must not be able to reach these.
        cache_dir (`str` or `os.PathLike`, *optional*): where fetched pictures are kept, so that another run does not
            fetch them again; `hf_mel/pictures` in the cache folder of Hugging Face (`HF_HOME`) by default.

    Example:

    ```python
    >>> from hf_mel.data.own.urls import FetchLimits

    >>> FetchLimits(parallel=2, max_bytes=5_000_000).retries
    3
    ```
    """

    timeout: float = 20.0
    max_bytes: int = 20_000_000
    parallel: int = 8
    max_redirects: int = 5
    retries: int = 3
    backoff: float = 1.0
    allow_private: bool = False
    cache_dir: str | os.PathLike | None = None

    def __post_init__(self):
        for name, least in (("timeout", 0.001), ("max_bytes", 1), ("parallel", 1), ("max_redirects", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)!r} must be at least {least}")
        for name in ("retries", "backoff"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must not be negative")


class _Refused(Exception):
    """Failed download of a picture: the reason, and how soon another try makes sense."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class PictureFetcher:
    """Fetches pictures into a folder, several at a time.

    Args:
        limits ([`FetchLimits`], *optional*): how far it may go.
    """

    def __init__(self, limits: FetchLimits | None = None):
        self.limits = limits or FetchLimits()
        self.folder = Path(self.limits.cache_dir or Path(config.HF_CACHE_HOME, "hf_mel", "pictures")).absolute()

    def fetch(self, urls: Iterable[str]) -> dict[str, tuple[Path | None, str | None]]:
        """For each URL the file of its picture, or `None` and the reason why there is none.

        A URL that was fetched before is taken from the folder. What is no picture is not kept, so that the next run tries
        again.
        """
        urls = list(dict.fromkeys(urls))
        found = {url: (self._file(url), None) for url in urls if self._file(url).is_file()}
        wanted = [url for url in urls if url not in found]
        if not wanted:
            return found
        # Connections are not shared: they go to an address, and two hosts may have the same.
        client = httpx.Client(
            trust_env=False,  # a proxy would look up the names itself, and the check of addresses would be void
            headers={"User-Agent": f"hf-mel/{__version__}", "Accept": "image/*", "Accept-Encoding": "identity"},
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        pool = ThreadPoolExecutor(self.limits.parallel)
        try:
            results = pool.map(lambda url: self._fetched(client, url), wanted)
            found |= dict(zip(wanted, tqdm(results, total=len(wanted), desc="Fetching pictures"), strict=True))
        finally:
            pool.shutdown(cancel_futures=True)
            client.close()
        return found

    def _file(self, url: str) -> Path:
        key = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
        return self.folder / key[:2] / key

    def _fetched(self, client, url: str) -> tuple[Path | None, str | None]:
        attempt = 0
        while True:
            try:
                content = self._content(client, url)
                read = read_picture(content, called="its content")
                if read.status == "unreadable":
                    raise _Refused(read.reason)
                return self._kept(url, content), None
            except _Refused as refused:
                if refused.wait is None or attempt == self.limits.retries:
                    return None, f"{shown_url(url)} was not fetched: {refused}"
                time.sleep(max(refused.wait, self.limits.backoff * 2**attempt))
                attempt += 1

    def _kept(self, url: str, content: bytes) -> Path:
        file = self._file(url)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{os.getpid()}.{id(content)}.tmp")
        try:
            part.write_bytes(content)
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)
        return file

    # ---- One request after another ----

    def _content(self, client, url: str) -> bytes:
        end = time.monotonic() + self.limits.timeout
        try:
            for _ in range(self.limits.max_redirects + 1):
                content, url = self._answer(client, url, end)
                if content is not None:
                    return content
        except httpx.TimeoutException as error:
            raise _Refused(f"it took longer than {self.limits.timeout:g} s", wait=0.0) from error
        except httpx.InvalidURL as error:
            raise _Refused(f"it is no URL ({error})") from error
        except httpx.TransportError as error:
            raise _Refused(f"the connection failed ({error})", wait=0.0) from error
        raise _Refused(f"more than {self.limits.max_redirects} redirects")

    def _answer(self, client, url: str, end: float) -> tuple[bytes | None, str]:
        """The content, or where the server redirects to."""
        left = end - time.monotonic()
        if left <= 0:
            raise httpx.ReadTimeout("no time left")
        target, host, netloc = self._target(url)
        request = client.build_request(
            "GET", target, headers={"Host": netloc}, extensions={"sni_hostname": host}, timeout=left
        )
        response = client.send(request, stream=True)
        try:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                return None, str(httpx.URL(url).join(response.headers["location"]))
            if response.status_code != 200:
                wait = _retry_after(response) if response.status_code in _TRY_AGAIN else None
                raise _Refused(f"HTTP {response.status_code}", wait=wait)
            return self._body(response, end), url
        finally:
            response.close()

    def _body(self, response, end: float) -> bytes:
        most = self.limits.max_bytes
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise _Refused("it is compressed, though that was not asked for")
        body = bytearray()
        for part in response.iter_raw():
            body += part
            if len(body) > most:
                raise _Refused(f"it is larger than {most:,} bytes")
            if time.monotonic() > end:
                raise httpx.ReadTimeout("no time left")
        return bytes(body)

    def _target(self, url: str):
        """The URL with an address that was checked in place of its host; and the host, to be asked for by name.

        The address is looked up once: a name that changes between check and connection leads nowhere else.
        """
        parsed = httpx.URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise _Refused("only http and https are fetched")
        host = parsed.raw_host.decode("ascii")
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            wait = 0.0 if getattr(error, "errno", None) == socket.EAI_AGAIN else None
            raise _Refused(f"its host is not known ({error})", wait=wait) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self.limits.allow_private:
            for address in addresses:
                if not is_public(address):
                    raise _Refused(f"its host has the address {address}, which is not public (`allow_private`)")
        # A machine often has no route for IPv6, and every host has one for IPv4.
        address = next((address for address in addresses if "." in address), addresses[0])
        return parsed.copy_with(host=address, fragment=None, userinfo=b""), host, parsed.netloc.decode("ascii")


def is_public(address: str) -> bool:
    """Returns `True` if an IP address belongs to the public internet, also where an IPv6 address wraps one of IPv4.

    Example:

    ```python
    >>> from hf_mel.data.own.urls import is_public

    >>> [is_public(address) for address in ("8.8.8.8", "10.0.0.1", "::ffff:127.0.0.1", "169.254.169.254")]
    [True, False, False, False]
    ```
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo or (None, None))[1]
        if parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return parsed.is_global and not parsed.is_multicast


def _retry_after(response) -> float:
    value = response.headers.get("retry-after", "")
    return min(float(value), _LONGEST_WAIT) if value.isdecimal() else 0.0
