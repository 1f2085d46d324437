"""Facts about each benchmark: source, terms, published numbers, known faults."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as its release and the literature describe it. Numbers that a build counts stand elsewhere.

    Args:
        name (`str`): what [`load_benchmark`] and the folders call it.
        title (`str`): what papers call it.
        description (`str`): a paragraph.
        languages (`tuple[str, ...]`): codes of ISO 639-1.
        license (`str`): an identifier of the Hub.
        license_text (`str`): what may be done with which part.
        source (`str`): who released which files, and where.
        homepage (`str`): the repository of the release; empty for what is made here.
        citation (`str`): BibTeX.
        statistics (`dict[str, int]`): published numbers: mentions by split, `sentences`, `entities`.
        statistics_note (`str`): to what the published numbers belong, and why a build may differ.
        defects (`tuple[str, ...]`): known ones of the data.
        layouts (`tuple[str, ...]`): in which it is released.
    """

    name: str
    title: str
    description: str
    languages: tuple[str, ...]
    license: str
    license_text: str
    source: str
    homepage: str
    citation: str
    statistics: dict[str, int] = field(default_factory=dict)
    statistics_note: str = ""
    defects: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ()


_MIMIC_LICENSE = (
    "The cleaned release (MIMIC, M3EL) and the release of GHMFC carry no licence file: convert them for yourself, do not "
    "publish the result without permission. Wikidata facts are CC0, Wikipedia text is CC BY-SA; each picture of Wikimedia "
    "Commons has a licence of its own."
)
_MELBENCH_CITATION = """@inproceedings{zhou2021weibo,
  title = {Weibo-{MEL}, {Wikidata-MEL} and {Richpedia-MEL}: Multimodal Entity Linking Benchmark Datasets},
  author = {Zhou, Xingchen and Wang, Peng and Li, Guozheng and Xie, Jiafeng and Wu, Jiangheng},
  booktitle = {China Conference on Knowledge Graph and Semantic Computing},
  year = {2021},
}"""
GHMFC_CITATION = """@inproceedings{wang2022ghmfc,
  title = {Multimodal Entity Linking with Gated Hierarchical Fusion and Contrastive Training},
  author = {Wang, Peng and Wu, Jiangheng and Chen, Xiaohang},
  booktitle = {Proceedings of SIGIR},
  year = {2022},
}"""
_WIKIDIVERSE_CITATION = """@inproceedings{wang2022wikidiverse,
  title = {{WikiDiverse}: A Multimodal Entity Linking Dataset with Diversified Contextual Topics and Entity Types},
  author = {Wang, Xuwu and Tian, Junfeng and Gui, Min and Li, Zhixu and Wang, Rui and Yan, Ming and Chen, Lihan and Xiao, Yanghua},
  booktitle = {Proceedings of ACL},
  year = {2022},
}"""
_SPLIT_NOTE = (
    "Published numbers are those of the cleaned release (layout `mimic`). Its splits were dealt out mention by mention, so "
    "that captions with several mentions stand in more than one split; the splits of GHMFC's release go by caption."
)

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            name="wikimel",
            title="WikiMEL",
            description=(
                "People (mostly) from Wikidata, mentioned in captions of Wikipedia and Wikimedia Commons, with the photograph "
                "of the caption."
            ),
            languages=("en",),
            license="other",
            license_text=f"Captions and answers as MELBench released them: MIT. {_MIMIC_LICENSE}",
            source=(
                "MELBench (captions and answers), GHMFC (knowledge base of 18,880 entities with attributes, splits, "
                "pictures), MIMIC (cleaned: knowledge base of 109,976 entities with pictures, splits)."
            ),
            homepage="https://github.com/seukgcode/MELBench",
            citation=f"{_MELBENCH_CITATION}\n{GHMFC_CITATION}",
            statistics={
                "train": 18_092,
                "validation": 2_585,
                "test": 5_169,
                "sentences": 22_070,
                "entities": 109_976,
            },
            statistics_note=_SPLIT_NOTE,
            defects=(
                "740 of 25,846 mentions do not stand in their caption literally: they have no offsets.",
                "In the published splits, by mention, about a fifth of the test captions also occur in train; in GHMFC's "
                "splits, by caption, about 0.5 % do.",
                "GHMFC's splits name 2,281 captions that MELBench does not hold; they are left out and counted.",
                "71 mentions repeat an earlier one; 24 have another gold entity than the same mention of the same sentence.",
            ),
            layouts=("mimic", "ghmfc", "melbench"),
        ),
        Benchmark(
            name="richpediamel",
            title="RichpediaMEL",
            description="Entities of Richpedia, mentioned in a sentence about each, with one picture.",
            languages=("en",),
            license="other",
            license_text=f"Sentences and answers as MELBench released them: MIT. {_MIMIC_LICENSE}",
            source="MELBench (sentences and answers), GHMFC (attributes, splits, pictures), MIMIC (cleaned).",
            homepage="https://github.com/seukgcode/MELBench",
            citation=f"{_MELBENCH_CITATION}\n{GHMFC_CITATION}",
            statistics={
                "train": 12_463,
                "validation": 1_780,
                "test": 3_562,
                "sentences": 17_724,
                "entities": 160_935,
            },
            statistics_note=(
                "Published numbers are those of the cleaned release (layout `mimic`). Papers count 160,935 entities, the "
                "configuration files of their code 160,933."
            ),
            defects=(
                "Every gold entity is distinct in MELBench's files: all entities of the test split are unseen in training.",
                "GHMFC's release has no validation split: a share of train's sentences is set apart, by a hash.",
            ),
            layouts=("mimic", "ghmfc", "melbench"),
        ),
        Benchmark(
            name="wikidiverse",
            title="WikiDiverse",
            description=(
                "Captions of Wikinews on many topics, with entities of many types annotated by hand and linked to Wikipedia, "
                "and the picture of the caption."
            ),
            languages=("en",),
            license="cc-by-sa-4.0",
            license_text=(
                "Annotations: CC BY-SA 4.0. The cleaned release (MIMIC, M3EL) carries no licence file. Each picture of "
                "Wikimedia Commons has a licence of its own."
            ),
            source="WikiDiverse (annotations, candidates), MIMIC (cleaned re-split), KGMEL (grouped by caption).",
            homepage="https://github.com/wangxw5/wikiDiverse",
            citation=_WIKIDIVERSE_CITATION,
            statistics={
                "train": 11_351,
                "validation": 1_664,
                "test": 2_078,
                "sentences": 7_405,
                "entities": 132_460,
            },
            statistics_note=(
                "Published numbers are those of the cleaned re-split. The original release has 13,205, 1,552 and 1,570 "
                "mentions in 6,312, 755 and 757 captions, linked to the whole of Wikipedia."
            ),
            defects=(
                "Gold URLs of the original release carry typing errors (`nhttps`, `hhttps`, `]https`, `ttps://`), which are "
                "repaired and counted.",
                "In the original release a picture is named by the MD5 of its URL's base name; drawings (`.svg`) lie "
                "there as `.png`.",
            ),
            layouts=("mimic", "wikidiverse", "kgmel"),
        ),
        Benchmark(
            name="emojimel",
            title="EmojiMEL",
            description=(
                "A small benchmark that is part of the package: 416 things with definitions, most of which share a name with "
                "others, mentions in sentences written for it, and pictures drawn by other vendors than the entities'. Its "
                "scores are not comparable with those of the other benchmarks."
            ),
            languages=("en",),
            license="cc-by-sa-4.0",
            license_text=(
                "As a whole CC BY-SA 4.0. Pictures: Twemoji (CC BY 4.0, modified), OpenMoji (CC BY-SA 4.0), Noto Emoji "
                "(Apache-2.0 and OFL), Fluent Emoji (MIT). Texts: written for it."
            ),
            source="Built by `dataset_scripts/emojimel` from texts in the same folder and drawings pinned by version and checksum.",
            homepage="",
            citation="""@misc{hf_mel_emojimel,
  title = {EmojiMEL: an embedded benchmark for multimodal entity linking},
  author = {{The hf_mel authors}},
  year = {2026},
}""",
            defects=("Sentences with `source` = `template`, in the training split, are put together from templates.",),
            layouts=(),
        ),
    )
}
