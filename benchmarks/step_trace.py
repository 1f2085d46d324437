"""
What one training step passes through: files, functions and calls of this package, for each strategy of negatives.

    python benchmarks/step_trace.py [--write]

A tiny model trains for three steps in one process; its second `Trainer.training_step` is traced: forward, losses and backward
of one batch. What the data loader does for its batch is counted apart. `--write` puts the table into docs/training.md.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

import hf_mel
from hf_mel import PGMELConfig, PGMELModel, PGMELProcessor, PGMELTrainer, PGMELTrainingArguments
from hf_mel.data import make_miniature, make_miniature_tokenizer
from hf_mel.evaluation import render_into


PACKAGE = Path(hf_mel.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "training.md"
STRATEGIES = ("in_batch", "random", "topk", "pg")
TOWER = {"model_type": "bert", "vocab_size": 1000, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


class TracedTrainer(PGMELTrainer):
    """Counts the calls of functions of the package in the second step and in what precedes it: the fetching of its batch."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.steps, self.in_step, self.in_loader = 0, Counter(), Counter()

    def _count(self, calls: Counter):
        def note(frame, event, argument):
            code = frame.f_code
            is_function = not code.co_name.startswith("<")  # no comprehensions, lambdas and class bodies
            if event == "call" and is_function and code.co_filename.startswith(str(PACKAGE)):
                calls[code.co_filename, code.co_qualname] += 1

        return note

    def get_batch_samples(self, *args, **kwargs):
        sys.setprofile(self._count(self.in_loader) if self.steps == 1 else None)
        try:
            return super().get_batch_samples(*args, **kwargs)
        finally:
            sys.setprofile(None)

    def training_step(self, *args, **kwargs):
        self.steps += 1
        sys.setprofile(self._count(self.in_step) if self.steps == 2 else None)
        try:
            return super().training_step(*args, **kwargs)
        finally:
            sys.setprofile(None)


def trace(negatives: str) -> TracedTrainer:
    """A trainer of which one step was traced."""
    data = make_miniature(num_entities=20, num_train=34, num_validation=10, num_test=10, image_size=16)
    config = {"text_config": TOWER, "pooling": "mean", "projection_size": 8, "freeze_text": True}
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        args = PGMELTrainingArguments(
            folder,
            negatives=negatives,
            max_steps=3,
            per_device_train_batch_size=8,
            discriminator_warmup_epochs=0.0,
            pool_size=8,
            pool_dense_neighbours=10,
            pool_lexical_neighbours=10,
            num_negatives=3,
            contrast_weight=0.3,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = TracedTrainer(
            model=PGMELModel(PGMELConfig(**config)),
            args=args,
            train_dataset=data.mentions["train"],
            knowledge_base=data.entities,
            processing_class=PGMELProcessor(tokenizer=make_miniature_tokenizer(), max_length=32, surface_max_length=8),
        )
        trainer.train()
    return trainer


def sizes(calls: Counter) -> tuple[int, int, int]:
    """Files, functions and calls."""
    return len({file for file, _ in calls}), len(calls), sum(calls.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--write", action="store_true", help="put the table into docs/training.md")
    arguments = parser.parse_args()
    kinds = ("files", "functions", "calls")
    rows = [
        f"| negatives | {' | '.join(kinds)} | {' | '.join(f'loader: {kind}' for kind in kinds)} |",
        f"|---|{'---:|' * 6}",
    ]
    for negatives in STRATEGIES:
        trainer = trace(negatives)
        numbers = sizes(trainer.in_step) + sizes(trainer.in_loader)
        rows.append(f"| `{negatives}` | " + " | ".join(map(str, numbers)) + " |")
    table = "\n".join(rows)
    print(table)
    if arguments.write:
        render_into(PAGE, "step-trace", table)


if __name__ == "__main__":
    main()
