"""Run by `torch.distributed.run`: tiny trainings, one after another in the same processes, their weights written to files."""

import sys
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import save_file

from hf_mel import PGMELModel
from hf_mel.models.encodings import flatten
from tests.training.common import make_trainer, tiny_data
from tests.training.mention_bank_common import bank, melov_trainer


MENTIONS = 16  # of a step, in all processes
CASES = {
    "pg": {"negatives": "pg", "generator_type": "query"},
    "pg-both": {"negatives": "pg", "generator_type": "both"},
    "cache in mini-batches": {"negatives": "cache", "mini_batch_size": 4},
    "names": {"negatives": "topk"},
    "lora": {"negatives": "pg", "peft_config": LoraConfig(r=2, lora_alpha=64), "learning_rate": 0.02},
}


def train(case: str, folder: Path, base: Path, processes: int) -> dict[str, torch.Tensor]:
    """
    Three steps with the same mentions, whatever the number of processes. `base` is the folder of the model to begin with.
    Returns the weights of both sides, the state of the sampler of negatives, and the MRR.
    """
    model = PGMELModel.from_pretrained(base)
    if case == "names":  # whose weights are not in the checkpoint, and begin at their prior
        model, _ = PGMELModel.from_pretrained(base, name_features=True, output_loading_info=True)
    options = {
        "model": model,
        "per_device_train_batch_size": MENTIONS // processes,
        "max_steps": 3,
        "optim": "sgd",
        "learning_rate": 2e-3,
        "generator_learning_rate": 2e-3,
        "max_grad_norm": 0.0,  # clipping would hide a wrong scale
        "baseline": "ema",
        "scale_advantage": False,  # a division by a small spread would make the most of rounding
        "dataloader_drop_last": True,  # accelerate fills a last batch that is not full with mentions from the beginning
    }
    options |= CASES[case] | ({"mini_batch_size": None} if processes == 1 else {})
    trainer = make_trainer(folder, **options)
    trainer.train()
    metrics = trainer.evaluate(tiny_data().mentions["test"])
    trainer.save_model()
    state = {name: value.detach().contiguous() for name, value in trainer.step.state_dict().items()}
    state["mrr"] = torch.tensor(metrics["eval_mrr"])
    for name, value in flatten(trainer.sampler.state_dict()).items():
        if value.dtype != torch.float32:
            state[f"sampler.{name}"] = value
    return state


def train_with_mention_bank(folder: Path) -> dict[str, torch.Tensor]:
    """With accumulation, in which `DistributedDataParallel` leaves the buffers of each process to itself."""
    options = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "dataloader_drop_last": True}
    trainer = melov_trainer(folder, max_steps=2, save_strategy="no", **options)
    trainer.train()
    metrics = trainer.evaluate()
    trainer.save_model()
    return bank(trainer.model) | {"mrr": torch.tensor(metrics["eval_mrr"])}


def main(folder: str) -> None:
    torch.set_num_threads(1)
    place = Path(folder)
    states = {case: train(case, place / case, place / "base", processes=2) for case in CASES}
    states["mention bank"] = train_with_mention_bank(place / "mention bank")
    rank = torch.distributed.get_rank()
    for case, state in states.items():
        save_file(state, place / case / f"state-{rank}.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])
