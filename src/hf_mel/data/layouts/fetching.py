"""Pictures that a release names by URL, fetched where its files lack them."""

import logging
from pathlib import Path

from ..own.urls import FetchLimits, PictureFetcher
from ..problems import counted, listed
from ..tables import NoPicture
from ..url_names import shown_url
from .base import RawBenchmark


logger = logging.getLogger(__name__)


def fetch_missing(raw: RawBenchmark, limits: bool | FetchLimits) -> None:
    """Fetches the pictures of mentions whose file is missing and whose URL the release has.

    The report gets `pictures_fetched`. A picture that could not be fetched stays missing, with the reason.

    Args:
        raw ([`RawBenchmark`]): the result of a reader, changed in place.
        limits (`bool` or [`FetchLimits`]): how far it may go; `True` for the default limits.

    Raises:
        `ValueError`: the release names no picture by URL.
    """
    if not raw.picture_urls:
        raise ValueError("`fetch_urls=True`: these files name no picture by URL; of the layouts, kgmel does")
    rows = [
        row
        for rows in raw.mentions.values()
        for row in rows
        if isinstance(row["image"], Path) and row["image"] in raw.picture_urls and not row["image"].is_file()
    ]
    wanted = list(dict.fromkeys(raw.picture_urls[row["image"]] for row in rows))
    fetcher = PictureFetcher(limits if isinstance(limits, FetchLimits) else None)
    fetched = fetcher.fetch(wanted)
    for row in rows:
        url = raw.picture_urls[row["image"]]
        file, reason = fetched[url]
        row["image"] = file if file is not None else NoPicture("missing_file", reason, shown_url(url))
    failed = [reason for file, reason in fetched.values() if file is None]
    raw.counts["pictures_fetched"] = len(fetched) - len(failed)
    if failed:
        logger.warning("%s could not be fetched: %s", counted(len(failed), "picture"), listed(failed, 5))
