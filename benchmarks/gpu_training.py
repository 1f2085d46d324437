"""
Full fine-tuning on a GPU: examples a second, peak memory, and the time of an evaluation against a whole knowledge base.

    python benchmarks/gpu_training.py [--models pgmel mimic ...] [--negatives in_batch pg] [--precisions bf16 tf32]
    python benchmarks/gpu_training.py --tiny --output FILE [--device cpu]     # tiny towers, few steps: a trial of this command
    python benchmarks/gpu_training.py --report                                # only the table, from what is there

Both towers are those of CLIP ViT-B/32, from their configurations: the weights are random, on which speed does not depend.
Training is `PGMELTrainer`'s, with its collator, on generated pictures that lie on disk; the first steps are left out. The
evaluation encodes `--entities` entities and as many mentions, whose time is extrapolated to `--knowledge_base` and
`--mentions`, and ranks all of these pairs, with the encodings repeated. Results are merged into docs/results/gpu_training.json,
so it can be run in parts, and the table goes to docs/peers.md. What was not measured on a GPU, at these sizes, never does.
"""

import argparse
import gc
import json
import tempfile
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import torch
from synthetic_mel import synthetic_mel
from transformers import CLIPImageProcessorPil, TrainerCallback

from hf_mel import PGMELProcessor, PGMELTrainer, PGMELTrainingArguments
from hf_mel.data import MELData, make_miniature_tokenizer
from hf_mel.encoding import Encodings, SideInputs, encode_all, to_device
from hf_mel.evaluation import Environment, rank_gold, render_into
from hf_mel.models import LINKING_MODELS
from hf_mel.models.encodings import flatten, num_rows, select_rows


ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "results" / "gpu_training.json"
PAGE = ROOT / "docs" / "peers.md"
THIS = "benchmarks/gpu_training.py"
MODELS = ("pgmel", "mimic", "m3el", "melov")
PRECISIONS = ("bf16", "tf32", "fp32")
GENERATED = ("pgmel",)  # measured with the generator's negatives too
TEXT_TOKENS = 40
NOT_MEASURED = "not measured"

# What `--tiny` sets, and what it is otherwise: the evaluation is that of WikiMEL's test split, cleaned release.
FULL = {
    "batch_size": 128,
    "warmup_steps": 3,
    "steps": 10,
    "entities": 4096,
    "knowledge_base": 109_976,
    "mentions": 5_169,
    "workers": 8,
}
TINY = {
    "batch_size": 4,
    "warmup_steps": 1,
    "steps": 2,
    "entities": 24,
    "knowledge_base": 100,
    "mentions": 20,
    "workers": 0,
}
TINY_TOWER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


# ---- What is measured ----


def build(name: str, tiny: bool, separator: int):
    """A model on CLIP-shaped towers with random weights, none of them frozen."""
    model_class = LINKING_MODELS[name]
    # The last token of a text is where CLIP reads its feature.
    smaller = TINY_TOWER if tiny else {}
    text = {"model_type": "clip_text_model", "eos_token_id": separator}
    vision = {"model_type": "clip_vision_model", "image_size": 32 if tiny else 224, "patch_size": 16 if tiny else 32}
    projection = 8 if tiny else 512
    torch.manual_seed(0)
    return model_class(
        model_class.config_class(
            text_config=text | smaller,
            vision_config=vision | smaller,
            text_projection_dim=projection,
            vision_projection_dim=projection,
            **({} if name == "pgmel" else {"max_text_tokens": TEXT_TOKENS}),
        )
    )


def build_processor(name: str, tiny: bool) -> PGMELProcessor:
    side = 32 if tiny else 224
    images = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    return PGMELProcessor(
        images,
        make_miniature_tokenizer(),
        text_views="both" if name == "pgmel" else "context",
        max_length=TEXT_TOKENS,
    )


class Timed:
    """Inputs of one side, and how long it took to read, decode and tokenize them."""

    def __init__(self, inputs: SideInputs):
        self.inputs, self.side, self.seconds = inputs, inputs.side, 0.0

    def __len__(self) -> int:
        return len(self.inputs)

    def lengths(self) -> np.ndarray | None:
        return self.inputs.lengths()

    def __call__(self, rows) -> dict[str, torch.Tensor]:
        begin = time.perf_counter()
        found = self.inputs(rows)
        self.seconds += time.perf_counter() - begin
        return found


class TimedTrainer(PGMELTrainer):
    """A Trainer whose entities, which it reads within a step, are timed."""

    def inputs_of(self, mentions):
        inputs = super().inputs_of(mentions)
        if mentions is not None:
            return inputs
        if not hasattr(self, "entity_inputs"):
            self.entity_inputs = Timed(inputs)
        return self.entity_inputs


class Stopwatch(TrainerCallback):
    """Seconds of the steps after the warm-up, and how many of them went by while waiting for the mentions."""

    def __init__(self, device: str, warmup_steps: int):
        self.device, self.warmup_steps = device, warmup_steps
        self.total = self.waiting = self.entities = 0.0
        self.end: float | None = None
        self.trainer: TimedTrainer | None = None

    def on_step_begin(self, args, state, control, **kwargs):
        if self.end is not None:
            self.waiting += clock(self.device) - self.end

    def on_step_end(self, args, state, control, **kwargs):
        now = clock(self.device)
        if self.end is not None:
            self.total += now - self.end
        if state.global_step == self.warmup_steps:
            self.entities = -self.trainer.entity_inputs.seconds
        if state.global_step >= self.warmup_steps:
            self.end = now

    def on_train_end(self, args, state, control, **kwargs):
        self.entities += self.trainer.entity_inputs.seconds


def clock(device: str) -> float:
    """Now, when all that was asked of the device is done."""
    if device != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter()


def arguments(
    folder: str, name: str, negatives: str, precision: str, options: argparse.Namespace
) -> PGMELTrainingArguments:
    """As the recipes with published hyperparameters have them."""
    contrast = {"contrast_weight": 1.0} if name == "pgmel" else dict.fromkeys(("contrast_weight", "unit_weight"), 1.0)
    if name != "pgmel":
        contrast |= {"contrast_temperature": 1.0, "generator_init": "random"}
    return PGMELTrainingArguments(
        output_dir=folder,
        max_steps=options.warmup_steps + options.steps,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=2 * options.batch_size,
        dataloader_num_workers=options.workers,
        dataloader_drop_last=True,
        learning_rate=1e-5,
        weight_decay=1e-4,
        lr_scheduler_type="constant",
        discriminator_warmup_epochs=0,
        negatives=negatives,
        pool_size=min(64, options.entities),
        refresh_steps=1_000_000,  # once, in the steps that are left out
        bf16=precision == "bf16",
        tf32=None if options.device == "cpu" else precision == "tf32",
        use_cpu=options.device == "cpu",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **contrast,
    )


# ---- Measuring ----


def measure(name: str, negatives: str, precision: str, data: MELData, options: argparse.Namespace) -> dict:
    """Speed and memory of training and, for the first precision with negatives of the batch, the time of an evaluation."""
    cuda = options.device == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    watch = Stopwatch(options.device, options.warmup_steps)
    processor = build_processor(name, options.tiny)
    with tempfile.TemporaryDirectory() as folder:
        trainer = TimedTrainer(
            model=build(name, options.tiny, processor.tokenizer.sep_token_id),
            args=arguments(folder, name, negatives, precision, options),
            train_dataset=data.mentions["train"],
            knowledge_base=data.entities,
            processing_class=processor,
            callbacks=[watch],
        )
        watch.trainer = trainer
        trainer.train()
    found = {
        "examples_per_second": options.batch_size * options.steps / watch.total,
        "seconds_per_step": watch.total / options.steps,
        "mention_share": watch.waiting / watch.total,
        "entity_share": watch.entities / watch.total,
        "peak_bytes": torch.cuda.max_memory_allocated() if cuda else None,
    }
    if negatives == "in_batch" and precision == options.precisions[0]:
        found["evaluation"] = evaluate(trainer, options)
    return found


def evaluate(trainer: TimedTrainer, options: argparse.Namespace) -> dict:
    """Encode some of both sides, then rank all pairs of the whole evaluation, with these encodings repeated."""
    entities, seconds = encoded(trainer, trainer.inputs_of(None), options)
    mentions, mention_seconds = encoded(trainer, trainer.inputs_of(trainer.train_mentions), options)
    stored = sum(value[0].numel() * value.element_size() for value in flatten(entities).values())
    entities, mentions = (
        repeated(side, number, trainer.model.device)
        for side, number in ((entities, options.knowledge_base), (mentions, options.mentions))
    )
    gold = np.random.default_rng(0).integers(options.knowledge_base, size=options.mentions)
    begin = clock(options.device)
    rank_gold(mentions, entities, gold, match=trainer.model.match)
    match_seconds = clock(options.device) - begin
    encode_seconds = options.knowledge_base * seconds + options.mentions * mention_seconds
    return {
        "encode_seconds": encode_seconds,
        "match_seconds": match_seconds,
        "entities_encoded_per_second": 1 / seconds,
        "bytes_per_entity": stored,
    }


def encoded(trainer: TimedTrainer, inputs: SideInputs, options: argparse.Namespace) -> tuple[Encodings, float]:
    """Encodings of a side, and the seconds of one row."""
    begin, batch_size = clock(options.device), trainer.args.per_device_eval_batch_size
    with trainer.accelerator.autocast():
        found, _ = encode_all(trainer.model, inputs, batch_size, num_workers=options.workers)
    return found, (clock(options.device) - begin) / len(inputs)


def repeated(side: Encodings, number: int, device: torch.device) -> Encodings:
    rows = torch.arange(number, device=device) % num_rows(side)
    return select_rows(to_device(side, device), rows)


def plan(options: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Model, negatives and precision of each measurement that was asked for."""
    return [
        (name, negatives, precision)
        for name in options.models
        for negatives in options.negatives
        if negatives == "in_batch" or name in GENERATED
        for precision in options.precisions
    ]


def measure_all(options: argparse.Namespace) -> dict:
    """The record, with what was measured before; written after each measurement."""
    record = read(options.output) or {"sizes": sizes_of(options), "rows": {}}
    if record["sizes"] != sizes_of(options):
        raise SystemExit(f"{options.output} was measured at other sizes, {record['sizes']}: name another --output")
    environment = asdict(Environment.collect(repository=ROOT))
    about = {"device": options.device, "date": date.today().isoformat(), "environment": environment}
    with tempfile.TemporaryDirectory() as folder:
        mentions = max((options.warmup_steps + options.steps) * options.batch_size, options.entities)
        data = synthetic_mel(Path(folder), options.entities, mentions, (320, 256))
        for name, negatives, precision in plan(options):
            try:
                found = measure(name, negatives, precision, data, options)
            except torch.OutOfMemoryError:
                found = {"out_of_memory": True}
            record["rows"][f"{name} {negatives} {precision}"] = found | about
            options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            print(f"{name} {negatives} {precision}: {found}", flush=True)
            gc.collect()  # the model, before the next one is made
            if options.device == "cuda":
                torch.cuda.empty_cache()
    return record


def sizes_of(options: argparse.Namespace) -> dict:
    return {"towers": "tiny" if options.tiny else "CLIP ViT-B/32"} | {name: getattr(options, name) for name in FULL}


def read(path: Path) -> dict | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


# ---- The table ----


def is_real(record: dict) -> bool:
    """Whether all of it was measured on a GPU with the towers that the table is about."""
    return record["sizes"]["towers"] != "tiny" and all(row["device"] == "cuda" for row in record["rows"].values())


def table(record: dict | None) -> str:
    """The record as Markdown; what is not in it was not measured."""
    rows = {} if record is None else record["rows"]
    keys = [f"{name} in_batch {p}" for name in MODELS for p in PRECISIONS[:2]]
    keys += [f"{name} pg {p}" for name in GENERATED for p in PRECISIONS[:2]]
    lines = [
        "| model | negatives | precision | examples a second | waiting, reading entities | peak GPU memory, GB | "
        "encode all, s | match all, s |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for key in dict.fromkeys([*keys, *rows]):
        lines.append(f"| {' | '.join([*key.split(), *_cells(key, rows.get(key))])} |")
    lines += ["", _footnote(record)]
    if record is not None and not is_real(record):
        lines.insert(0, "**A trial of the command: not the towers of the table, or not on a GPU.**\n")
    return "\n".join(lines)


def _cells(key: str, row: dict | None) -> list[str]:
    not_planned = ["-"] * 2 if "in_batch bf16" not in key else [NOT_MEASURED] * 2
    if row is None:
        return [NOT_MEASURED] * 3 + not_planned
    if row.get("out_of_memory"):
        return ["out of memory"] * 5
    peak, evaluation = row["peak_bytes"], row.get("evaluation")
    cells = [f"{row['examples_per_second']:,.0f}", f"{row['mention_share']:.0%}, {row['entity_share']:.0%}"]
    cells.append(NOT_MEASURED if peak is None else f"{peak / 1e9:.1f}")
    if evaluation is None:
        return cells + not_planned
    return [*cells, f"{evaluation['encode_seconds']:,.0f}", f"{evaluation['match_seconds']:,.1f}"]


def _footnote(record: dict | None) -> str:
    sizes = FULL if record is None else record["sizes"]
    text = (
        f"Full fine-tuning, {sizes['batch_size']} mentions a batch, towers of the shape of CLIP ViT-B/32 with random weights (on "
        f"which speed does not depend), {TEXT_TOKENS} tokens a text, a JPEG of 320 x 256 for each mention and entity; steps "
        f"{sizes['warmup_steps'] + 1} to {sizes['warmup_steps'] + sizes['steps']}, {sizes['workers']} workers reading. "
        "Reading: share of a step in which it waited for its batch, and in which it read entities itself. "
        f"Evaluation: {sizes['mentions']:,} mentions against {sizes['knowledge_base']:,} entities; encoding is extrapolated from "
        f"{sizes['entities']:,} entities, reading included, and matching is measured on all pairs, with encodings repeated. "
    )
    if record is None:
        return text + f"No GPU was at hand: nothing of it was measured. `python {THIS}`."
    where = {
        f"{row['environment']['machine']}, commit {row['environment']['git_commit']}, {row['date']}"
        for row in record["rows"].values()
    }
    return text + f"`python {THIS}`; {'; '.join(sorted(where))}."


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--negatives", nargs="+", choices=("in_batch", "pg"), default=["in_batch", "pg"])
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="tiny towers and sizes")
    for name, value in FULL.items():
        parser.add_argument(f"--{name}", type=int, help=f"{value}, or {TINY[name]} with --tiny")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--report", action="store_true", help="measure nothing, write the table")
    options = parser.parse_args(arguments)
    for name, value in (TINY if options.tiny else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.precisions is None:
        options.precisions = ["bf16", "tf32" if options.device == "cuda" else "fp32"]
    if options.device == "cpu" and "tf32" in options.precisions:
        parser.error("tf32 is a precision of GPUs: name bf16 or fp32")
    if (options.tiny or options.device == "cpu") and not options.report and options.output == OUTPUT:
        parser.error(
            f"this would not measure what {OUTPUT.name} is about: name another file by --output, or use a GPU"
        )
    record = read(options.output) if options.report else measure_all(options)
    print(table(record))
    if record is None or is_real(record):
        render_into(options.page, "gpu-training", table(record))


if __name__ == "__main__":
    main()
