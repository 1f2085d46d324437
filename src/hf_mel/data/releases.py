"""Releases of the benchmarks: who released which files, what they hold, and their known defects.

A benchmark has several releases, which differ in splits, knowledge base and even sentences. Numbers measured on one are
not comparable with those of another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Release:
    """One release of a benchmark.

    Args:
        benchmark (`str`): name of the benchmark in `BENCHMARKS`.
        layout (`str`): layout of its files, a name in `LAYOUTS`.
        title (`str`): what the package calls it, such as `"GHMFC"`.
        source (`str`): who released which files, and where.
        statistics (`dict`): counts of the complete files: mentions by split (`train`, `validation`, `test`) and in all
            (`mentions`), distinct `sentences`, `entities`. Splits that depend on a seed are not among them. Several values
            where files or sources differ.
        note (`str`): what the counts belong to, and how they compare to the other releases.
        defects (`tuple[str, ...]`): known defects of the files.
        other_captions (`bool`): `True` if the sentences are read from the captions of another release.
        in_papers (`bool`): `True` if the results that papers report are on this release.
    """

    benchmark: str
    layout: str
    title: str
    source: str
    statistics: dict[str, int | tuple[int, ...]] = field(default_factory=dict)
    note: str = ""
    defects: tuple[str, ...] = ()
    other_captions: bool = False
    in_papers: bool = False

    def fits(self, test: int, entities: int) -> bool:
        """Returns `True` if a test split of `test` mentions and a knowledge base of `entities` may be those of the release.

        A thousandth may be missing: unusable mentions and repeated entities are left out when the files are read.
        """
        return _is_about(test, self.statistics.get("test")) and _is_about(entities, self.statistics.get("entities"))


def _is_about(number: int, expected) -> bool:
    return any(0.999 * count <= number <= count for count in counts_of(expected))


def counts_of(value) -> list[int]:
    """The values of a statistic as a list; empty for what is no number."""
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return [each for each in values if isinstance(each, int) and not isinstance(each, bool)]


_MIMIC = "The cleaned release of MIMIC, which M3EL also gives. Start at <https://github.com/pengfei-luo/MIMIC>."
_GHMFC = "The release of GHMFC. Start at <https://github.com/seukgcode/MEL-GHMFC>."
_MELBENCH = "MELBench. <https://github.com/seukgcode/MELBench>"
_BY_MENTION = (
    "Its splits were dealt out mention by mention: captions with several mentions are in more than one split."
)
_OTHERS_IN_PAPERS = "Results in papers are on the cleaned release (layout `mimic`), which has"
_GOLD_ONLY = "Without a knowledge base of its own, the gold entities by name are the knowledge base, which makes linking easier."
_WIKIMEL_MENTIONS = (
    "740 of 25,846 mentions do not stand in their caption literally: they have no offsets.",
    "71 mentions repeat an earlier one; 24 have another gold entity than the same mention of the same sentence.",
)
_RICHPEDIA_RECORD = "The mention of record `Q79179` is two line breaks: it is left out."
_RICHPEDIA_TEXTS = "180 of 17,805 entities have no attributes."

RELEASES: tuple[Release, ...] = (
    Release(
        benchmark="wikimel",
        layout="mimic",
        title="cleaned release of MIMIC",
        source=_MIMIC,
        statistics={
            "train": 18_092,
            "validation": 2_585,
            "test": 5_169,
            "sentences": 22_070,
            "entities": 109_976,
        },
        note=f"Results in papers are on this release. {_BY_MENTION}",
        defects=("About a fifth of the test captions also occur in train.",),
        in_papers=True,
    ),
    Release(
        benchmark="wikimel",
        layout="ghmfc",
        title="GHMFC",
        source=f"{_GHMFC} It holds names and attributes of the entities, splits and pictures; captions and gold entities are "
        f"those of {_MELBENCH}",
        statistics={
            "train": 18_088,
            "validation": 2_627,
            "test": 5_131,
            "sentences": 22_070,
            "entities": 18_880,
        },
        note=f"Its splits go by caption. {_OTHERS_IN_PAPERS} other splits and 109,976 entities, among which linking is harder.",
        defects=(
            *_WIKIMEL_MENTIONS,
            "24 of 4,409 distinct test captions (0.5 %) also occur in train.",
            "The splits name 2,281 captions that MELBench does not hold; they are left out and counted.",
        ),
    ),
    Release(
        benchmark="wikimel",
        layout="melbench",
        title="MELBench",
        source=f"{_MELBENCH} It holds captions, gold entities and pictures.",
        statistics={"mentions": 25_846, "sentences": 22_070, "entities": (17_391, 18_880)},
        note=f"It has no splits: they are dealt out by a hash. {_GOLD_ONLY} {_OTHERS_IN_PAPERS} 109,976 entities.",
        defects=_WIKIMEL_MENTIONS,
    ),
    Release(
        benchmark="richpediamel",
        layout="mimic",
        title="cleaned release of MIMIC",
        source=_MIMIC,
        statistics={
            "train": 12_463,
            "validation": 1_780,
            "test": 3_562,
            "sentences": 17_724,
            "entities": (160_935, 160_933),
        },
        note="Results in papers are on this release. Papers count 160,935 entities, the configuration files of their code 160,933.",
        in_papers=True,
    ),
    Release(
        benchmark="richpediamel",
        layout="ghmfc",
        title="GHMFC",
        source=f"{_GHMFC} It holds sentences, gold entities, names and attributes of the entities, splits and pictures.",
        statistics={"mentions": 17_805, "test": 3_561, "sentences": 17_699, "entities": 17_805},
        note=f"A share of train's sentences becomes validation, by a hash. {_OTHERS_IN_PAPERS} other splits and 160,935 entities.",
        defects=(
            "16,899 of 17,805 sentences were replaced by the lead of a Wikipedia article; 1,771 mentions do not stand in "
            "their sentence literally. MELBench has the original sentences.",
            _RICHPEDIA_RECORD,
            _RICHPEDIA_TEXTS,
        ),
    ),
    Release(
        benchmark="richpediamel",
        layout="ghmfc",
        title="GHMFC with the sentences of MELBench",
        source=f"{_GHMFC} It holds names and attributes of the entities, splits and pictures. Sentences and gold entities are "
        f"those of {_MELBENCH}",
        statistics={"mentions": 17_805, "test": 3_561, "sentences": 17_724, "entities": 17_805},
        note=f"A share of train's sentences becomes validation, by a hash. {_OTHERS_IN_PAPERS} other splits and 160,935 entities.",
        defects=("664 mentions do not stand in their sentence literally.", _RICHPEDIA_RECORD, _RICHPEDIA_TEXTS),
        other_captions=True,
    ),
    Release(
        benchmark="richpediamel",
        layout="melbench",
        title="MELBench",
        source=f"{_MELBENCH} It holds sentences, gold entities and pictures.",
        statistics={"mentions": 17_805, "sentences": 17_724, "entities": 17_805},
        note=f"It has no splits: they are dealt out by a hash. {_GOLD_ONLY} {_OTHERS_IN_PAPERS} 160,935 entities.",
        defects=("664 mentions do not stand in their sentence literally.", _RICHPEDIA_RECORD),
    ),
    Release(
        benchmark="wikidiverse",
        layout="mimic",
        title="cleaned release of MIMIC",
        source=_MIMIC,
        statistics={
            "train": 11_351,
            "validation": 1_664,
            "test": 2_078,
            "sentences": 7_405,
            "entities": 132_460,
        },
        note="Results in papers are on this release, which has other splits than the original one.",
        in_papers=True,
    ),
    Release(
        benchmark="wikidiverse",
        layout="wikidiverse",
        title="original release",
        source="The original release: annotations by caption, or by mention with ten candidates each. "
        "<https://github.com/wangxw5/wikiDiverse>",
        statistics={"train": 13_205, "validation": 1_552, "test": 1_570},
        note=f"Its 6,312, 755 and 757 captions are linked to the whole of Wikipedia. {_OTHERS_IN_PAPERS} other splits and 132,460 "
        "entities.",
        defects=(
            "Gold URLs carry typing errors (`nhttps`, `hhttps`, `]https`, `ttps://`), which are repaired and counted.",
            "A picture is named by the MD5 of its URL's base name; drawings (`.svg`) lie there as `.png`.",
        ),
    ),
    Release(
        benchmark="wikidiverse",
        layout="kgmel",
        title="KGMEL",
        source="The release of KGMEL, which groups mentions by caption: captions, gold entities, splits and addresses of pictures.",
        statistics={
            "train": 11_204,
            "validation": 1_663,
            "test": 2_044,
            "mentions": 14_911,
            "sentences": 7_405,
            "entities": (7_643, 132_460),
        },
        note=f"{_GOLD_ONLY} {_OTHERS_IN_PAPERS} 15,093 mentions and 132,460 entities.",
        defects=(
            "23 captions are in several splits, and so are 60 of their mentions.",
            "174 mentions repeat an earlier one; 3 have another gold entity than the same mention of the same sentence.",
        ),
    ),
    *(
        Release(
            benchmark=benchmark,
            layout="fissfuse",
            title="FissFuse",
            source="The release of FissFuse, which ThinkLinker also uses: entities, mentions with candidates, pictures in one HDF5 "
            "file. Start at <https://github.com/pengfei-luo/FissFuse>.",
            note=f"The counts of its files are not known here. {_OTHERS_IN_PAPERS} no candidates.",
            defects=(
                "The first candidate of every mention is its gold entity: whatever uses their order is always right. They are "
                "sorted by id here.",
            ),
        )
        for benchmark in ("wikimel", "richpediamel", "wikidiverse")
    ),
    Release(
        benchmark="merlin",
        layout="merlin",
        title="MERLIN on the Hub",
        source="MERLIN on the Hub, five configs of one split each. <https://huggingface.co/datasets/neulab/merlin>",
        statistics={"train": 7_159},
        note="The count is that of its card: Hindi 1,414, Indonesian 1,428, Japanese 1,720, Tamil 1,254, Vietnamese 1,343. "
        f"{_GOLD_ONLY}",
        in_papers=True,
    ),
    Release(
        benchmark="melart",
        layout="melart",
        title="MELArt",
        source="The release of MELArt: annotations, candidates, pictures. <https://github.com/HPI-Information-Systems/MELArt>",
        statistics={"train": 4_632, "validation": 1_308, "test": 645, "entities": 53_901},
        note="The counts are those that the code of its experiments shows: mentions of 1,188, 328 and 100 paintings.",
        in_papers=True,
    ),
)
"""The known releases. The one with `other_captions` is that of files read with `captions=`."""


def releases_of(benchmark: str | None) -> list[Release]:
    """The known releases of a benchmark; none for data that are no released benchmark."""
    return [release for release in RELEASES if release.benchmark == benchmark]


def release_of(report: dict) -> Release | None:
    """The release that data were read from, by their report; `None` if it is not known.

    Example:

    ```python
    >>> from hf_mel.data.releases import release_of

    >>> release_of({"benchmark": "wikimel", "layout": "ghmfc"}).statistics["entities"]
    18880
    ```
    """
    layout = report.get("layout") or (report.get("origin") or {}).get("layout")
    found = [release for release in releases_of(report.get("benchmark")) if release.layout == layout]
    other_captions = "captions_file" in report
    return next((release for release in found if release.other_captions == other_captions), None)


def release_in_papers(benchmark: str | None) -> Release | None:
    """The release on which papers report results; `None` for a benchmark that papers do not use."""
    return next((release for release in releases_of(benchmark) if release.in_papers), None)
