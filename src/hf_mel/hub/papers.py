"""The papers of the models that link: what a card says of whose idea a model is, and what it cites."""

from dataclasses import dataclass

from ..data.benchmarks import GHMFC_CITATION


@dataclass(frozen=True)
class Paper:
    """
    Publication of a model.

    Args:
        name (`str`): The model, as the paper calls it.
        reference (`str`): Authors, title and place, with a link, in Markdown.
        source (`str`): From what of the paper the model was made here.
        citation (`str`): BibTeX.
    """

    name: str
    reference: str
    source: str
    citation: str


PAPERS = {
    "pgmel": Paper(
        "PGMEL",
        "[arXiv 2510.02726](https://arxiv.org/abs/2510.02726)",
        "public description",
        """@article{pooja2025pgmel,
  title = {PGMEL: Policy Gradient-based Generative Adversarial Network for Multimodal Entity Linking},
  author = {Pooja, KM and Long, Cheng and Sun, Aixin},
  journal = {arXiv preprint arXiv:2510.02726},
  url = {https://arxiv.org/abs/2510.02726},
  year = {2025},
}""",
    ),
    "mimic": Paper(
        "MIMIC",
        "Luo et al.: *Multi-Grained Multimodal Interaction Network for Entity Linking*, KDD 2023, "
        "[arXiv 2307.09721](https://arxiv.org/abs/2307.09721)",
        "formulas",
        """@inproceedings{luo2023mimic,
  title = {Multi-Grained Multimodal Interaction Network for Entity Linking},
  author = {Luo, Pengfei and Xu, Tong and Wu, Shiwei and Zhu, Chen and Xu, Linli and Chen, Enhong},
  booktitle = {Proceedings of the 29th ACM SIGKDD Conference on Knowledge Discovery and Data Mining},
  url = {https://arxiv.org/abs/2307.09721},
  year = {2023},
}""",
    ),
    "m3el": Paper(
        "M3EL",
        "Hu et al.: *Multi-level Matching Network for Multimodal Entity Linking*, KDD 2025, "
        "[arXiv 2412.10440](https://arxiv.org/abs/2412.10440)",
        "formulas",
        """@inproceedings{hu2025m3el,
  title = {Multi-level Matching Network for Multimodal Entity Linking},
  author = {Hu, Zhiwei and others},
  booktitle = {Proceedings of the 31st ACM SIGKDD Conference on Knowledge Discovery and Data Mining},
  url = {https://arxiv.org/abs/2412.10440},
  year = {2025},
}""",
    ),
    "melov": Paper(
        "MELOV",
        "Sui et al.: *MELOV: Multimodal Entity Linking with Optimized Visual Features in Latent Space*, Findings of ACL 2024, "
        "[2024.findings-acl.46](https://aclanthology.org/2024.findings-acl.46/)",
        "formulas",
        """@inproceedings{sui2024melov,
  title = {MELOV: Multimodal Entity Linking with Optimized Visual Features in Latent Space},
  author = {Sui, Xuhui and others},
  booktitle = {Findings of the Association for Computational Linguistics: ACL 2024},
  url = {https://aclanthology.org/2024.findings-acl.46/},
  year = {2024},
}""",
    ),
    "ghmfc": Paper(
        "GHMFC",
        "Wang et al.: *Multimodal Entity Linking with Gated Hierarchical Fusion and Contrastive Training*, SIGIR 2022, "
        "[10.1145/3477495.3531867](https://doi.org/10.1145/3477495.3531867)",
        "public description",
        GHMFC_CITATION,
    ),
}
"""By the type in the configuration of a model."""

SOFTWARE = """@software{hf_mel,
  title = {hf-mel: multimodal entity linking on the Hugging Face stack},
  author = {{The hf-mel authors}},
  license = {Apache-2.0},
}"""


def shown_name(model_type: str) -> str:
    """Returns the default name of a model type in results."""
    return PAPERS[model_type].name if model_type in PAPERS else model_type


def citation(model_type: str | None, with_generator: bool = False) -> str:
    """
    BibTeX of a model's paper, where it has one, and of this package.

    Args:
        model_type (`str`, *optional*): The type in its configuration.
        with_generator (`bool`, *optional*, defaults to `False`): It was trained against PGMEL's generator of negatives.

    Example:

    ```python
    >>> from hf_mel.hub.papers import citation

    >>> [line for line in citation("mimic").splitlines() if line.startswith("@")]
    ['@inproceedings{luo2023mimic,', '@software{hf_mel,']
    ```
    """
    types = [model_type, *(["pgmel"] if with_generator else [])]
    papers = [PAPERS[each].citation for each in dict.fromkeys(types) if each in PAPERS]
    return "\n\n".join([*papers, SOFTWARE])
