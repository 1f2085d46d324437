"""`hf-mel init TEXT_TOWER [VISION_TOWER]`"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from .linkers import hide_weight_bars
from .options import parse


@dataclass
class InitOptions:
    """Options of `hf-mel init`."""

    out: str = field(metadata={"help": "The new folder of the checkpoint."})
    text_views: str = field(
        default="both",
        metadata={"help": "Texts that are compared: context (mention and sentence), surface (mention alone) or both."},
    )
    name_features: bool = field(
        default=True, metadata={"help": "Add features of the names to the score, with weights that need no training."}
    )
    no_vision: bool = field(default=False, metadata={"help": "Leave out the vision tower of TEXT_TOWER."})
    pooling: str | None = field(
        default=None, metadata={"help": "Text feature: mean, cls or pooler; by default the tower's own."}
    )
    max_length: int | None = field(default=None, metadata={"help": "Tokens of a mention with its sentence; 64."})
    train_towers: bool = field(
        default=False, metadata={"help": "Let fine-tuning change the towers; by default it changes the heads alone."}
    )
    revision: str | None = field(
        default=None, metadata={"help": "Branch, tag or commit of TEXT_TOWER, if it is on the Hub."}
    )
    vision_revision: str | None = field(default=None, metadata={"help": "The same for VISION_TOWER."})
    token: str | None = field(
        default=None, metadata={"help": "For private towers; by default that of `hf auth login`."}
    )
    local_files_only: bool = field(default=False, metadata={"help": "Take towers from the cache alone."})
    license: str = field(default="other", metadata={"help": "Of the weights, for the card, as the Hub writes it."})
    overwrite: bool = field(default=False, metadata={"help": "Replace what is in the folder."})


def run(argv: list[str]) -> None:
    """Writes a checkpoint that links without training."""
    about = (
        "Make a checkpoint that links without training: the score is the cosine of pretrained towers plus features of the "
        "names. It is indexed, calibrated and fine-tuned like any other."
    )
    positional = [
        ("text_tower", "Folder or Hub id of a text encoder, or of a checkpoint of both towers, as CLIP."),
        ("vision_tower", "Folder or Hub id of a vision encoder; by default that of TEXT_TOWER, if it has one.", "?"),
    ]
    options, (text, vision) = parse("init", about, InitOptions, argv, positional)
    folder = Path(options.out)
    _check(options, text, vision)
    # Not above: `--help` and a wrong call do not wait for them.
    from ..hub.cards import write_model_card
    from ..zero_shot import load_towers

    hide_weight_bars()
    model, processor = load_towers(
        text,
        False if options.no_vision else vision,
        text_views=options.text_views,
        name_features=options.name_features,
        pooling=options.pooling,
        max_length=options.max_length,
        text_kwargs={} if options.revision is None else {"revision": options.revision},
        vision_kwargs={} if options.vision_revision is None else {"revision": options.vision_revision},
        token=options.token,
        local_files_only=options.local_files_only,
        freeze_text=not options.train_towers,
        freeze_vision=not options.train_towers,
    )
    unfinished = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a call that was interrupted
    model.save_pretrained(unfinished)
    processor.save_pretrained(unfinished)
    write_model_card(unfinished, license=options.license)
    if folder.exists():
        shutil.rmtree(folder)
    unfinished.rename(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    towers = "a text tower" if model.vision_model is None else "a text and a vision tower"
    names = ", names in the score" if options.name_features else ""
    print(f"{towers}, {model.config.pooling} pooling, {model.config.projection_size} dimensions{names}, not trained")
    print(f"saved to {folder} ({size / 1e6:,.0f} MB)")


def _check(options: InitOptions, text: str, vision: str | None) -> None:
    """Finds what is wrong with the call before anything is loaded."""
    for name, value, allowed in (
        ("text_views", options.text_views, ("both", "context", "surface")),
        ("pooling", options.pooling, (None, "mean", "cls", "pooler")),
    ):
        if value not in allowed:
            raise ValueError(f"--{name} must be one of {', '.join(filter(None, allowed))}, got {value!r}")
    if options.no_vision and vision is not None:
        raise ValueError("--no_vision leaves out the vision tower, but VISION_TOWER names one: give one of them")
    if options.vision_revision is not None and vision is None:
        raise ValueError(
            "--vision_revision is for VISION_TOWER, which is not given: of one checkpoint, use --revision"
        )
    folder = Path(options.out)
    for name, tower in (("TEXT_TOWER", text), ("VISION_TOWER", vision)):
        if tower is not None and Path(tower).exists() and Path(tower).resolve() == folder.resolve():
            raise ValueError(f"--out {folder} is {name} itself: name another folder")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder} is a file: name a new folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not options.overwrite:
        raise ValueError(f"--out {folder} is not empty: name a new folder, or add --overwrite to replace a checkpoint")
    if not (folder / "config.json").is_file():
        raise ValueError(f"--overwrite replaces a checkpoint, but --out {folder} holds other files: name a new folder")
