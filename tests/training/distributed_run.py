"""Run by `torch.distributed.run` (or plainly): a few steps of a tiny training, its weights written to a file."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.training.common import make_trainer, tiny_data, tiny_linker


def main(folder: str, batch_size: str, mini_batch_size: str, negatives: str) -> None:
    torch.set_num_threads(1)
    trainer = make_trainer(
        folder,
        model=tiny_linker(name_features=negatives.endswith("-names")),
        per_device_train_batch_size=int(batch_size),
        mini_batch_size=int(mini_batch_size),
        negatives=negatives.removesuffix("-both").removesuffix("-names"),
        generator_type="both" if negatives.endswith("-both") else "query",
        max_steps=3,
        optim="sgd",
        learning_rate=2e-3,
        generator_learning_rate=2e-3,
        max_grad_norm=0.0,  # clipping would hide a wrong scale
        baseline="ema",
        scale_advantage=False,  # a division by a small spread would make the most of rounding
        dataloader_drop_last=True,  # accelerate fills a last batch that is not full with mentions from the beginning
    )
    trainer.train()
    metrics = trainer.evaluate(tiny_data().mentions["test"])
    state = {name: value.contiguous() for name, value in trainer.step.state_dict().items()}
    state["mrr"] = torch.tensor(metrics["eval_mrr"])
    state |= {
        f"sampler.{name}": value
        for name, value in trainer.sampler.state_dict().items()
        if value.dtype != torch.float32
    }
    save_file(state, Path(folder) / f"state-{trainer.args.process_index}.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
