"""Runs all checks of a benchmark and collects what they find in a [`Diagnosis`]."""

from ..data import MELData
from ..data.releases import release_of
from .album import Album
from .candidates import check_candidates
from .diagnosis import Diagnosis
from .entities import check_entities
from .findings import Findings, Tally
from .leakage import check_leakage
from .linkability import measure_ambiguity, measure_candidates
from .mentions import check_left_out, check_mentions_of, text_columns
from .pictures import check_pictures
from .quoting import check_quoting
from .statistics import compare, measure_statistics


def diagnose(
    data: MELData, *, published: dict | None = None, pictures: bool = True, subject: str = "these data"
) -> Diagnosis:
    """Looks through a benchmark for what is wrong, odd, or worth knowing before a result is believed.

    Nothing is changed. Texts are held in memory, pictures are not: each file is read once and each different picture
    decoded once, one after the other.

    Args:
        data ([`MELData`]): mentions in splits (there may be none), entities, and the converter's report, from which missing files are named.
        published (`dict`, *optional*): expected numbers by name (`train`, `validation`, `test`, `mentions`, `sentences`,
            `entities`), which are compared with those found. By default those of the release that the report names.
        pictures (`bool`, *optional*, defaults to `True`): look at the pictures, too. Without, nothing is said of them.
        subject (`str`, *optional*): what the report calls the data.

    Returns:
        [`Diagnosis`]: findings, statistics, leakage between splits, ambiguity and recall of lexical candidates.

    Raises:
        `ValueError`: a split lacks a column of the schema.

    Example:

    ```python
    >>> from hf_mel.data import make_miniature
    >>> from hf_mel.doctor import diagnose

    >>> data = make_miniature(num_entities=20, num_train=60, num_validation=10, num_test=10)
    >>> diagnosis = diagnose(data)
    >>> diagnosis.statistics["mentions"], diagnosis.finding("unknown_gold")
    (80, None)
    >>> data.mentions["test"] = data.mentions["test"].map(lambda row: {"entity_id": "Q0"})
    >>> diagnose(data).finding("unknown_gold").count
    10
    ```
    """
    findings, album = Findings(), Album()
    splits, kb = text_columns(data.mentions), data.entities
    check_left_out(data.report, splits, len(kb), findings)
    check_mentions_of(splits, kb, findings)
    check_entities(kb, findings)
    check_quoting(splits, kb, findings)
    pictures = pictures and not data.report.get("no_pictures")
    seen = check_pictures(data, splits, findings, album) if pictures else None
    check_candidates(data, splits, findings)
    leakage = check_leakage(splits, findings)
    statistics = measure_statistics(splits, len(kb), data.report)
    release = release_of(data.report)
    if published is None:
        published = release.statistics if release is not None else {}
    compared = compare(statistics, published, data.report, findings)
    candidates = measure_candidates(splits, kb, findings) if splits else None
    return Diagnosis(
        subject=subject,
        findings=findings.ordered(),
        passed=findings.passed,
        statistics=statistics,
        published=compared,
        release=release,
        leakage=leakage,
        ambiguity=measure_ambiguity(splits, kb) if splits else None,
        candidates=candidates,
        pictures=seen,
        source={name: value for name, value in data.report.items() if _is_plain(value)},
        thumbnails=album.thumbnails,
    )


def _is_plain(value) -> bool:
    return isinstance(value, (str, int, float, bool)) or value is None


def unreadable(subject: str, problem: str) -> Diagnosis:
    """The diagnosis of data that could not be read at all; `problem` is what their reader said."""
    tally, findings = Tally("unreadable_data", "problems"), Findings()
    lines = [line.strip() for line in problem.splitlines() if line.strip()] or ["no reason was given"]
    for line in lines:
        tally.hit("files", None, None, line)
    findings.close(tally, tally.count)
    return Diagnosis(subject=subject, findings=findings.ordered())
