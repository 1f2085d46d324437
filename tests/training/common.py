"""A tiny training that runs in seconds: the generated miniature, two random towers, and a few steps."""

from functools import cache

import torch

from hf_mel import PGMELConfig, PGMELModel, PGMELProcessor, PGMELTrainer, PGMELTrainingArguments
from hf_mel.data import MELData, make_miniature, make_miniature_tokenizer


TEXT = {
    "model_type": "bert",
    "vocab_size": 1000,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 48,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
VISION = {
    "model_type": "clip_vision_model",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 16,
    "patch_size": 8,
    "projection_dim": 8,
}


@cache
def tiny_data() -> MELData:
    return make_miniature(num_entities=20, num_train=34, num_validation=10, num_test=10, image_size=16)


def tiny_processor(vision: bool = True) -> PGMELProcessor:
    from transformers import CLIPImageProcessorPil

    images = (
        CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}) if vision else None
    )
    return PGMELProcessor(
        image_processor=images, tokenizer=make_miniature_tokenizer(), max_length=32, surface_max_length=8
    )


def tiny_linker(vision: bool = True, seed: int = 0, **config) -> PGMELModel:
    torch.manual_seed(seed)
    towers = {"text_config": dict(TEXT), "vision_config": dict(VISION) if vision else None, "pooling": "mean"}
    return PGMELModel(PGMELConfig(**(towers | {"projection_size": 8} | config)))


def make_trainer(
    output_dir,
    model=None,
    vision: bool = True,
    train=None,
    evaluate=None,
    kb=None,
    peft_config=None,
    processor=None,
    lowest_is_best=False,
    **options,
) -> PGMELTrainer:
    defaults = {
        "max_steps": 4,
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 16,
        "discriminator_warmup_epochs": 0.0,
        "pool_size": 8,
        "pool_dense_neighbours": 10,
        "pool_lexical_neighbours": 10,
        "num_negatives": 3,
        "lr_scheduler_type": "linear",
        "weight_decay": 0.01,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    args = PGMELTrainingArguments(output_dir=str(output_dir), **(defaults | options))
    data = tiny_data()
    trainer = PGMELTrainer(
        model=tiny_linker(vision) if model is None else model,
        args=args,
        train_dataset=data.mentions["train"] if train is None else train,
        eval_dataset=data.mentions["validation"] if evaluate is None else evaluate,
        knowledge_base=data.entities if kb is None else kb,
        processing_class=tiny_processor(vision) if processor is None else processor,
        peft_config=peft_config,
    )
    if lowest_is_best:  # the arguments refuse a direction that is not the metric's
        trainer.args.greater_is_better = False
    return trainer


def weights(trainer: PGMELTrainer) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainer.step.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """The sides of which a parameter moved."""
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def assert_equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    """Bit for bit, and about something."""
    assert left and left.keys() == right.keys()
    different = [name for name in left if not torch.equal(left[name], right[name])]
    assert not different, f"differ: {different[:5]}"
