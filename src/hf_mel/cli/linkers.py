"""Options of the commands that link: those of the linker, and the picture of a mention."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .options import OF_THE_COMMAND, print_error
from .wording import command_line_words


if TYPE_CHECKING:
    import torch
    from PIL import Image

    from ..data import KnowledgeBase
    from ..linking import Calibration, Linker
    from ..models import MatchingModel, MELProcessor


PROPOSALS_HELP = (
    "Entities which a backend other than exact proposes, to be scored; by default what is asked for twice and 16, and at least "
    "256 of a model whose score is no dot product."
)


@dataclass(kw_only=True)
class LinkerOptions:
    """Options for the retrieval and the order of candidates."""

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
    calibration: str | None = field(
        default=None,
        metadata={
            "help": "Folder with the calibration.json to use, also if it was fitted for another index: answers then say "
            "`transferred`. By default the one saved with the index or in the checkpoint, if it fits, or else the prior."
        },
    )
    batch_size: int = field(default=64, metadata={"help": "Rows encoded at once."})


def hide_weight_bars() -> None:
    """Turns off the progress bars of transformers, which read and write weights in no time. Those of downloads stay."""
    from huggingface_hub.utils import enable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    enable_progress_bars()  # transformers turned these off, too


def open_model(checkpoint: str, device: "torch.device | None" = None) -> "tuple[MatchingModel, MELProcessor]":
    """The model and the processor of a checkpoint, on a device: by default the one to run on."""
    from ..checkpoint import load_checkpoint, pick_device

    hide_weight_bars()
    model, processor = load_checkpoint(checkpoint)
    return model.to(pick_device() if device is None else device), processor


def open_entities(source: str) -> "KnowledgeBase":
    """
    The knowledge base of `--kb`, for commands that have no options for its columns.

    Raises:
        `ValueError`: Bad entities; the message names `hf-mel index build`, which has such options.
    """
    from ..data import open_knowledge_base

    options = set(OF_THE_COMMAND)
    OF_THE_COMMAND.clear()  # such as `--columns`, which are those of the mentions: the messages are about another table
    try:
        return open_knowledge_base(source)
    except ValueError as error:
        raise ValueError(f"--kb {command_line_words(str(error), ())}") from error
    finally:
        OF_THE_COMMAND.update(options)


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
        calibrated (`bool`): Take the calibration that is saved with the index or in the checkpoint, and its set-up where the
            options do not say another.
        otherwise (`str`): How candidates are found where neither the options nor a calibration say it.
    """
    from ..linking import CrossEncoderReranker, Linker

    model, processor = open_model(checkpoint)
    saved = _saved(checkpoint, entities, options) if calibrated else None
    setup = {} if saved is None else saved.setup
    linker = Linker(
        model,
        processor,
        entities,
        backend=options.backend,
        num_proposals=options.num_proposals,
        candidates=options.candidates or setup.get("candidates", otherwise),
        num_candidates=setup.get("num_candidates", 64) if options.num_candidates is None else options.num_candidates,
        reranker=None if options.rerank is None else CrossEncoderReranker(options.rerank),
        calibration=None,
        batch_size=options.batch_size,
        progress=progress,
    )
    if not calibrated:
        return linker
    if options.calibration is None:
        linker.use_saved_calibration(checkpoint)
        return linker
    linker.calibration = saved.transferred(linker.setup)
    if linker.calibration.kind == "transferred":
        print_error(
            f"warning: {options.calibration}: the calibration was fitted for another index; nothing says that its "
            "probabilities hold for this one"
        )
    return linker


def _saved(checkpoint: str, entities: "KnowledgeBase | str", options: LinkerOptions) -> "Calibration | None":
    """The calibration whose set-up counts where the options do not say another: one for these entities."""
    from ..linking.calibration import CALIBRATION_FILE, Calibration
    from ..linking.index.manifest import read_manifest
    from ..linking.index.source import find_index

    if options.calibration is not None:
        found = Calibration.load(options.calibration)
        if found is None:
            raise FileNotFoundError(f"--calibration {options.calibration}: there is no {CALIBRATION_FILE}")
        return found
    if isinstance(entities, (str, Path)):
        folder = find_index(str(entities))
        of_index, fingerprint = Calibration.load(folder), read_manifest(folder).kb_fingerprint
    else:
        of_index, fingerprint = None, entities.fingerprint
    for saved in (of_index, Calibration.load(checkpoint)):
        if saved is not None and saved.setup.get("knowledge_base") == fingerprint:
            return saved
    return None


def open_picture(path: str | None) -> "Image.Image | None":
    """
    Opens a picture file. A picture of one colour is ignored with a message.

    Raises:
        `FileNotFoundError`: There is no such file. `ValueError`: It is no picture, or ends too early.
    """
    if path is None:
        return None
    from ..data.images import read_picture

    image, status, reason = read_picture(path)
    if reason is not None:
        raise (FileNotFoundError if status == "missing_file" else ValueError)(
            f"--image {reason}: give another file, or leave --image out"
        )
    if status == "blank":
        print_error(f"--image {path} shows one colour: it is left out")
    return image
