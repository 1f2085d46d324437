"""Models with LoRA adapters, and their scores."""

import torch
from peft import LoraConfig

from hf_mel import PGMELModel, PGMELTrainer
from tests.training.common import make_trainer, tiny_data, tiny_processor


DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}  # of BERT by default


def adapted(base, **options) -> PGMELModel:
    """A model with adapters that change its scores."""
    model = PGMELModel.from_pretrained(base)
    model.add_adapter(LoraConfig(**({"r": 2} | options)))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if ".lora_B." in name:
                value.normal_()
    return model


def lora_trainer(folder, base, config=None, **options) -> PGMELTrainer:
    config = LoraConfig(r=2, lora_dropout=0.1) if config is None else config
    return make_trainer(folder, PGMELModel.from_pretrained(base), peft_config=config, learning_rate=0.01, **options)


def scores(model) -> torch.Tensor:
    data, processor = tiny_data(), tiny_processor()
    mentions = processor.mentions(*(data.mentions["test"][:4][name] for name in ("mention", "text", "start", "image")))
    rows = range(5)
    read = (data.entities.names(rows), data.entities.texts(rows), data.entities.images(rows))
    with torch.no_grad():
        sides = [model.extract(**inputs) for inputs in (mentions, processor.entities(*read))]
        return model.match(model.encode("mention", sides[0]), model.encode("entity", sides[1]))


def tower_weights(model) -> dict[str, torch.Tensor]:
    parts = ("text_model", "vision_model")
    state = {name.replace(".base_layer", ""): value.clone() for name, value in model.state_dict().items()}
    return {name: value for name, value in state.items() if name.startswith(parts) and ".lora_" not in name}
