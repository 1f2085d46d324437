"""`hf-mel index build CHECKPOINT`"""

import os
from dataclasses import dataclass, field

from .index_info import summary_lines
from .linkers import open_model
from .options import parse, print_error
from .reading import KB_HELP, EntityTableOptions


@dataclass(kw_only=True)
class BuildOptions(EntityTableOptions):
    """Options of `hf-mel index build`."""

    kb: str = field(metadata={"help": f"The entities: {KB_HELP}"})
    out: str = field(metadata={"help": "The folder of the index. An interrupted build in it goes on."})
    precision: str = field(
        default="float32", metadata={"help": "How vectors are stored: float32, float16, bfloat16 or int8."}
    )
    encode_dtype: str = field(
        default="auto",
        metadata={"help": "In what the towers compute: float32, bfloat16, or auto: the latter where hardware has it."},
    )
    no_modalities: bool = field(
        default=False, metadata={"help": "Do not store encodings of text alone and image alone, for explanations."}
    )
    thumbnail_size: int = field(default=96, metadata={"help": "Longest side of the stored pictures; 0 stores none."})
    batch_size: int = field(default=64, metadata={"help": "Entities encoded at once."})
    shard_rows: int = field(default=8192, metadata={"help": "Entities in a file."})
    text_field: str = field(
        default="auto", metadata={"help": "What describes an entity: attributes, description, or auto."}
    )
    overwrite: bool = field(default=False, metadata={"help": "Replace an index that is there."})


def run(argv: list[str]) -> int:
    """Encodes a knowledge base and prints what the index holds."""
    about = (
        "Encode a knowledge base. Started by `python -m torch.distributed.run -m hf_mel.cli.main index build ...`, "
        "several processes share the work."
    )
    options, checkpoint = parse(
        "index build", about, BuildOptions, argv, ("checkpoint", "Folder or Hub id of a model.")
    )
    reading = options.reading()
    from ..data import open_knowledge_base
    from ..linking import EntityIndex

    knowledge_base = open_knowledge_base(options.kb, **reading, text_field=options.text_field)
    process = _processes()
    model, processor = open_model(checkpoint, None if process is None else process.device)
    features = _kept_features(checkpoint, model, processor, knowledge_base, options.encode_dtype)
    try:
        index = EntityIndex.build(
            model,
            processor,
            knowledge_base,
            options.out,
            precision=options.precision,
            encode_dtype=options.encode_dtype,
            modalities=not options.no_modalities,
            thumbnail_size=options.thumbnail_size,
            batch_size=options.batch_size,
            shard_rows=options.shard_rows,
            progress=True,
            overwrite=options.overwrite,
            process=process,
            features=features,
        )
    except KeyboardInterrupt:
        print_error("\ninterrupted; the same command goes on from there")
        return 130
    if process is None or process.is_main_process:
        for line in summary_lines(index):
            print(line)
    return 0


def _kept_features(checkpoint: str, model, processor, knowledge_base, encode_dtype: str):
    """
    Features of the frozen towers that the training of the checkpoint kept for these entities. `None`: there are none, or the
    towers are asked to compute in another precision.
    """
    from pathlib import Path

    from ..encoding import EntityInputs
    from ..linking.index.encoder import resolve_dtype
    from ..training import FeatureCache

    if resolve_dtype(encode_dtype, model) != "float32":
        return None
    inputs, place = EntityInputs(knowledge_base, processor), Path(checkpoint) / "feature_cache"
    found = FeatureCache.find(place, model, inputs, knowledge_base.fingerprint)
    if found is not None:
        print_error(f"{place}: the features of the towers are taken from here")
    return found


def _processes():
    """The processes of `torch.distributed.run`, if it started this one."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return None
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.accelerator.is_available())  # else it would not connect processes without one
