"""A recipe that trains in a second, in the shape of the recipe `miniature`."""

import copy

from tests.training.common import TEXT, VISION


DATA_OPTIONS = {"num_entities": 20, "num_train": 34, "num_validation": 10, "num_test": 10, "image_size": 16}
_RECIPE = {
    "data": {"benchmark": "miniature", "options": DATA_OPTIONS},
    "model": {
        "tokenizer": "miniature",
        "image_size": 16,
        "config": {"text_config": TEXT, "vision_config": VISION, "pooling": "mean", "projection_size": 8},
        "processor": {"max_length": 32, "surface_max_length": 8},
    },
    "training": {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 16,
        "per_device_eval_batch_size": 4,
        "discriminator_warmup_epochs": 1,
        "pool_size": 8,
        "pool_dense_neighbours": 10,
        "pool_lexical_neighbours": 10,
        "num_negatives": 2,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "logging_strategy": "epoch",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    },
}


def tiny_recipe(output_dir) -> dict:
    """The recipe as a nested dictionary, free to be changed."""
    recipe = copy.deepcopy(_RECIPE)
    recipe["training"]["output_dir"] = str(output_dir)
    return recipe
