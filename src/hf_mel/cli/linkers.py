"""What the commands that link have in common: options of the linker, and the picture beside a mention."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .options import print_error


if TYPE_CHECKING:
    from PIL import Image

    from ..data import KnowledgeBase
    from ..linking import Linker


PROPOSALS_HELP = (
    "Entities which a backend other than exact proposes, to be scored; by default what is asked for twice and 16, and at least "
    "256 of a model whose score is no dot product."
)


@dataclass(kw_only=True)
class LinkerOptions:
    """How candidates are found and ordered."""

    candidates: str | None = field(
        default=None,
        metadata={"help": "dense, lexical or merged; by default what the calibration was fitted for, or else dense."},
    )
    num_candidates: int | None = field(
        default=None,
        metadata={"help": "Candidates that are compared; by default as many as the calibration has, or else 64."},
    )
    backend: str = field(
        default="exact", metadata={"help": "What searches the index: exact, two_stage, faiss or qdrant."}
    )
    num_proposals: int | None = field(default=None, metadata={"help": PROPOSALS_HELP})
    rerank: str | None = field(
        default=None, metadata={"help": "Folder or Hub id of a cross-encoder that orders them anew."}
    )
    batch_size: int = field(default=64, metadata={"help": "Rows encoded at once."})


def make_linker(
    checkpoint: str,
    entities: "KnowledgeBase | str",
    options: LinkerOptions,
    *,
    calibrated: bool = True,
    otherwise: str = "dense",
    progress: bool = False,
) -> "Linker":
    """
    The linker of a command.

    Args:
        checkpoint (`str`): Folder or Hub id of the model.
        entities ([`KnowledgeBase`] or `str`): The entities, or folder or Hub id of an index.
        options ([`LinkerOptions`]): What was asked for.
        calibrated (`bool`): Take the calibration in the checkpoint, and its set-up where the options do not say another.
        otherwise (`str`): How candidates are found where neither the options nor a calibration say it.
    """
    from ..checkpoint import load_checkpoint, pick_device
    from ..linking import Calibration, CrossEncoderReranker, Linker

    model, processor = load_checkpoint(checkpoint)
    saved = Calibration.load(checkpoint) if calibrated else None
    setup = {} if saved is None else saved.setup
    linker = Linker(
        model.to(pick_device()),
        processor,
        entities,
        backend=options.backend,
        num_proposals=options.num_proposals,
        candidates=options.candidates or setup.get("candidates", otherwise),
        num_candidates=setup.get("num_candidates", 64) if options.num_candidates is None else options.num_candidates,
        reranker=None if options.rerank is None else CrossEncoderReranker(options.rerank),
        batch_size=options.batch_size,
        progress=progress,
    )
    if calibrated:
        linker.use_saved_calibration(checkpoint)
    return linker


def open_picture(path: str | None) -> "Image.Image | None":
    """A picture file; one that shows one colour is left out, and the user is told."""
    if path is None:
        return None
    from ..data import open_image

    image, status = open_image(path, strict=True)
    if status == "blank":
        print_error(f"{path} shows one colour: it is left out")
    return image
