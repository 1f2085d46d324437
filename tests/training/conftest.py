"""Fixtures of the tests of training."""

import pytest

from tests.training.common import TEXT, tiny_linker, tiny_processor
from tests.training.lora_common import DROPOUT


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """The folder of a model without adapters."""
    folder = tmp_path_factory.mktemp("base")
    tiny_linker(text_config=TEXT | DROPOUT).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder
