"""Facts about each benchmark that hold for all its releases: contents, terms, citation. `releases.py` has the rest."""

from dataclasses import dataclass

from .releases import Release, release_in_papers, release_of


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as its releases and the literature describe it. Each [`Release`] has the facts of its files.

    Args:
        name (`str`): what [`load_benchmark`] and the folders call it.
        title (`str`): what papers call it.
        description (`str`): a paragraph.
        languages (`tuple[str, ...]`): codes of ISO 639-1.
        license (`str`): an identifier of the Hub.
        license_text (`str`): what may be done with which part.
        source (`str`): who released files of it.
        homepage (`str`): the repository of the release; empty for what is made here.
        citation (`str`): BibTeX.
        defects (`tuple[str, ...]`): known defects of all releases.
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
    defects: tuple[str, ...] = ()

    @property
    def in_papers(self) -> Release | None:
        """The release on which papers report results, if they use the benchmark."""
        return release_in_papers(self.name)

    def release(self, report: dict | None) -> Release | None:
        """The release that a report of reading or building names, if it is one of this benchmark and known."""
        found = release_of(report or {})
        return found if found is not None and found.benchmark == self.name else None


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
            defects=("Every gold entity has one mention: all entities of the test split are unseen in training.",),
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
            source="WikiDiverse (annotations, candidates), MIMIC (cleaned re-split), KGMEL (grouped by caption), FissFuse (candidates).",
            homepage="https://github.com/wangxw5/wikiDiverse",
            citation=_WIKIDIVERSE_CITATION,
        ),
        Benchmark(
            name="merlin",
            title="MERLIN",
            description=(
                "Titles of BBC news articles in Hindi, Indonesian, Japanese, Tamil and Vietnamese, with the picture of the "
                "article; named entities are linked to Wikidata."
            ),
            languages=("hi", "id", "ja", "ta", "vi"),
            license="unknown",
            license_text=(
                "No licence of the data is known here; titles and pictures are those of news articles. Look at its page on the "
                "Hub before you publish a converted copy."
            ),
            source="MERLIN on the Hub, a config for each language.",
            homepage="https://huggingface.co/datasets/neulab/merlin",
            citation="""@article{ramamoorthy2026merlin,
  title = {{MERLIN}: A Testbed for Multilingual Multimodal Entity Recognition and Linking},
  author = {Ramamoorthy, Sathyanarayanan and Shah, Vishwa and Khanuja, Simran and Sheikh, Zaid and Jie, Shan and Chia, Ann and Chua, Shearman and Neubig, Graham},
  journal = {Transactions of the Association for Computational Linguistics},
  volume = {14},
  pages = {399--417},
  year = {2026},
}""",
            defects=(
                "Its one split is called train, though it is made for evaluation.",
                "Mentions in Hindi, Japanese and Tamil are in other scripts than the names of the entities, which are English.",
            ),
        ),
        Benchmark(
            name="melart",
            title="MELArt",
            description=(
                "Sentences about paintings, with the picture of the painting; entities that the paintings depict are linked to "
                "Wikidata."
            ),
            languages=("en",),
            license="unknown",
            license_text=(
                "No licence of the data is known here: look at the page of the release before you publish a converted copy. "
                "Wikidata facts are CC0; each picture of Wikimedia Commons has a licence of its own."
            ),
            source="MELArt: annotations, candidates with their descriptions, pictures.",
            homepage="https://github.com/HPI-Information-Systems/MELArt",
            citation="""@article{sierra2024melart,
  title = {{MELArt}: A Multimodal Entity Linking Dataset for Art},
  author = {Sierra-M{\'u}nera, Alejandro and Le, Linh and Demartini, Gianluca and Krestel, Ralf},
  journal = {Transactions on Graph Data and Knowledge},
  volume = {2},
  number = {2},
  pages = {8:1--8:22},
  year = {2024},
}""",
            defects=(
                "Mentions of the test split were annotated by hand; those of train and validation were found by the labels of the "
                "entities that a painting depicts.",
            ),
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
        ),
    )
}
