"""What this package relies on in transformers and datasets, beside their public API, is there."""

import inspect
import json
import subprocess
import sys

import pytest
from datasets import DatasetInfo, Features, List, SplitDict, SplitInfo, Value, load, packaged_modules
from huggingface_hub import DatasetCardData
from transformers import Trainer

import hf_mel.compat
from hf_mel.compat import PRIVATE_HOOKS, HookedTrainer
from hf_mel.compat import datasets as compat_datasets


@pytest.mark.parametrize("name", PRIVATE_HOOKS)
def test_the_trainer_has_the_hook(name):
    assert callable(getattr(Trainer, name))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_save", ["self", "output_dir", "state_dict"]),
        ("_save_checkpoint", ["self", "model", "trial"]),
        ("_load_from_checkpoint", ["self", "resume_from_checkpoint", "model"]),
        ("_load_best_model", ["self"]),
        ("_get_train_sampler", ["self", "train_dataset"]),
        ("_hp_search_setup", ["self", "trial"]),
        ("_push_from_checkpoint", ["self", "checkpoint_folder"]),
        ("training_step", ["self", "model", "inputs", "num_items_in_batch"]),
        ("compute_loss", ["self", "model", "inputs", "return_outputs", "num_items_in_batch"]),
        ("get_batch_samples", ["self", "epoch_iterator", "num_batches", "device"]),
        (
            "evaluation_loop",
            ["self", "dataloader", "description", "prediction_loss_only", "ignore_keys", "metric_key_prefix"],
        ),
        ("log", ["self", "logs", "start_time"]),
    ],
)
def test_what_is_overridden_has_the_signature_that_is_known(name, parameters):
    assert list(inspect.signature(getattr(Trainer, name)).parameters) == parameters


def test_the_loop_calls_the_hooks():
    """A hook that exists and is not called any more would be the silent way to lose a checkpoint."""
    source = inspect.getsource(Trainer)
    for name in (
        "_save",
        "_save_checkpoint",
        "_load_from_checkpoint",
        "_load_best_model",
        "_hp_search_setup",
        "get_batch_samples",
    ):
        assert f"self.{name}(" in source, name
    for name, caller in (
        ("_push_from_checkpoint", Trainer._save_checkpoint),
        ("init_hf_repo", Trainer.__init__),
        ("push_to_hub", Trainer.save_model),
    ):
        assert f"self.{name}(" in inspect.getsource(caller), name


def test_a_checkpoint_is_saved_before_the_event_on_which_it_is_pushed():
    source = inspect.getsource(Trainer)
    save, event = source.index("self._save_checkpoint(model, trial)"), source.index("callback_handler.on_save(")
    assert 0 < event - save < 200 and source.count("self._save_checkpoint(") == source.count(
        "callback_handler.on_save("
    )


def test_public_methods_of_publishing_take_what_those_of_the_trainer_take():
    """Nothing that the Trainer passes to itself may be refused, in this version or an older one."""
    for name in ("init_hf_repo", "push_to_hub", "create_model_card"):
        theirs = inspect.signature(getattr(Trainer, name)).parameters
        ours = inspect.signature(getattr(HookedTrainer, name)).parameters
        assert theirs.keys() <= ours.keys(), name
        assert {n: p.default for n, p in theirs.items()} == {n: ours[n].default for n in theirs}, name


def test_names_of_the_package_load_on_first_use():
    """The Trainer takes seconds to import, and nobody needs it to read data."""
    code = "import json, sys, hf_mel.compat.datasets; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert not {"transformers.trainer", "hf_mel.compat.trainer"} & set(json.loads(done.stdout))
    for name in hf_mel.compat.__all__:
        assert getattr(hf_mel.compat, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Trainer'"):
        hf_mel.compat.Trainer  # noqa: B018


# ---- datasets ----


def test_the_table_of_builders_has_the_known_form():
    table = packaged_modules._PACKAGED_DATASETS_MODULES
    assert load._PACKAGED_DATASETS_MODULES is table, "one table, which `load_dataset` looks into"
    module, digest = table["parquet"]
    assert module == "datasets.packaged_modules.parquet.parquet" and isinstance(digest, str)


def test_the_factory_is_the_known_one():
    factory = load.PackagedDatasetModuleFactory
    base = factory.__mro__[1] if factory is compat_datasets._Factory else factory
    assert list(inspect.signature(base.__init__).parameters) == [
        "self", "name", "data_dir", "data_files", "download_config", "download_mode",
    ]  # fmt: skip
    source = inspect.getsource(load.dataset_module_factory)
    assert "if path in _PACKAGED_DATASETS_MODULES" in source and "PackagedDatasetModuleFactory(" in source
    assert list(inspect.signature(load.DatasetModule).parameters)[:3] == ["module_path", "hash", "builder_kwargs"]


def test_configs_and_infos_of_a_card():
    data = DatasetCardData(license="mit")
    splits = SplitDict()
    splits.add(SplitInfo("train", num_bytes=12, num_examples=3))
    features = Features({"id": Value("string"), "names": List(Value("string"))})
    infos = {"rows": DatasetInfo(features=features, splits=splits, download_size=5, dataset_size=12)}
    compat_datasets.add_configs(data, {**infos, "more": infos["rows"]}, default="rows")
    content = data.to_dict()
    assert {config["config_name"]: config["data_files"] for config in content["configs"]} == {
        name: [{"split": "train", "path": f"{name}/train-*"}] for name in ("rows", "more")
    }
    assert [config.get("default") for config in content["configs"]].count(True) == 1
    configs, found = compat_datasets.read_configs(DatasetCardData(**content))
    assert configs["rows"]["default"] is True
    assert found["rows"].features == features and found["rows"].splits["train"].num_examples == 3
