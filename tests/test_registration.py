"""transformers finds the models and the pipeline after `import hf_mel`, which imports neither."""

import importlib
import json
import os
import subprocess
import sys
import threading

import pytest
from transformers import CONFIG_MAPPING, AutoModel
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.pipelines import PIPELINE_REGISTRY

from hf_mel import KnowledgeBase
from hf_mel.compat import registration
from hf_mel.compat.registration import MODEL_TYPES, FilledOnDemand, after_import, register_lazily
from hf_mel.linking.pipeline import TASK
from tests.training.common import tiny_linker, tiny_processor


# ---- A new process ----

PROBE = """
import json, os, pickle, sys
import hf_mel
assert "transformers" not in sys.modules
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, AutoProcessor, pipeline
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

folder, entities = sys.argv[1:]
mention = {"mention": "Ada", "text": "Ada painted."}
cases = {
    "config": lambda: AutoConfig.from_pretrained(folder),
    "type": lambda: AutoConfig.for_model("mimic"),
    "model": lambda: AutoModel.from_pretrained(folder),
    "processor": lambda: AutoProcessor.from_pretrained(folder),
    "pipeline": lambda: pipeline("multimodal-entity-linking", model=folder, index=hf_mel.KnowledgeBase.load(entities)),
    "tasks": lambda: __import__("transformers.pipelines").pipelines.get_supported_tasks(),
    "pickled types": lambda: pickle.loads(pickle.dumps(CONFIG_MAPPING))["pgmel"](),
    "pickled processors": lambda: pickle.loads(pickle.dumps(PROCESSOR_MAPPING))[hf_mel.MIMICConfig],
}
found = {"imported before": [name for name in sys.modules if name.startswith("hf_mel.models")]}
for name, case in cases.items():
    reading, writing = os.pipe()
    if os.fork() == 0:  # each begins as the first look-up of a process
        try:
            value = case()
            answer = value if isinstance(value, list) else getattr(value, "__name__", type(value).__name__)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.wait()
    found[name] = json.loads(os.read(reading, 65536))
found["finders"] = [str(finder) for finder in sys.meta_path if "hf_mel" in type(finder).__module__]
print(json.dumps(found))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_the_first_look_up_of_a_process(tmp_path):
    tiny_linker().save_pretrained(tmp_path / "model")
    tiny_processor().save_pretrained(tmp_path / "model")
    KnowledgeBase.from_records([{"id": "1", "name": "Ada"}, {"id": "2", "name": "Boris"}]).save(tmp_path / "kb")
    command = [sys.executable, "-c", PROBE, str(tmp_path / "model"), str(tmp_path / "kb")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("imported before") == [] and found.pop("finders") == []
    assert TASK in found.pop("tasks")
    assert found == {
        "config": "PGMELConfig",
        "type": "MIMICConfig",
        "model": "PGMELModel",
        "processor": "PGMELProcessor",
        "pipeline": "MultimodalEntityLinkingPipeline",
        "pickled types": "PGMELConfig",
        "pickled processors": "MELProcessor",
    }


# ---- Tables ----


def test_the_tables_of_transformers_are_replaced_once():
    tables = [CONFIG_MAPPING._extra_content, PROCESSOR_MAPPING._extra_content, PIPELINE_REGISTRY.supported_tasks]
    assert all(type(table) is FilledOnDemand and type(table.table) is dict for table in tables)
    finders = list(sys.meta_path)
    register_lazily()
    again = [CONFIG_MAPPING._extra_content, PROCESSOR_MAPPING._extra_content, PIPELINE_REGISTRY.supported_tasks]
    assert all(one is other for one, other in zip(tables, again, strict=True)) and sys.meta_path == finders


def test_the_keys_that_are_added_are_those_of_the_package():
    from hf_mel.models import LINKING_MODELS

    added = {key for key, config in CONFIG_MAPPING._extra_content.items() if config.__module__.startswith("hf_mel.")}
    assert added == set(MODEL_TYPES) and set(LINKING_MODELS) < added
    for key in MODEL_TYPES:
        assert AutoModel._model_mapping[CONFIG_MAPPING[key]].config_class is CONFIG_MAPPING[key]
    assert registration._TASKS == (TASK,) and TASK in PIPELINE_REGISTRY.supported_tasks


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Writes modules that can be imported; forgets them afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    written = []

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        written.append(name)
        return name

    yield write
    for name in written:
        sys.modules.pop(name, None)


TABLES: list[FilledOnDemand] = []  # a module of the test below adds to the last one


def test_a_table_is_filled_before_an_added_entry_is_read(modules):
    name = modules("fills", "from tests.test_registration import TABLES\nTABLES[-1]['new'] = 3")
    for read in (
        lambda table: table["new"] == 3,
        lambda table: "new" in table,
        lambda table: table.get("new") == 3,
        lambda table: list(table) == ["old", "new"],
        lambda table: list(table.items()) == [("old", 1), ("new", 3)],
        lambda table: len(table) == 2,
        lambda table: dict(table) == {"old": 1, "new": 3},
        lambda table: table == {"old": 1, "new": 3},
    ):
        sys.modules.pop(name, None)
        TABLES.append(FilledOnDemand({"old": 1}, ("new",), name))
        table = TABLES[-1]
        assert table["old"] == 1 and "other" not in table and table.get("other") is None
        table["mine"] = 2
        del table["mine"]
        assert name not in sys.modules
        assert read(table) and name in sys.modules
        with pytest.raises(KeyError, match="other"):
            table["other"]


# ---- After an import ----


def test_calls_follow_the_import(modules):
    name, seen = modules("watched", "VALUE = 1\ndef f():\n    return 2"), []
    after_import(name, lambda module: seen.append(module.VALUE))
    assert importlib.util.find_spec(name) is not None and seen == [], "found is not imported"
    module = importlib.import_module(name)
    assert seen == [1]
    assert type(module.__loader__).__name__ == "SourceFileLoader" and module.__spec__.loader is module.__loader__
    assert not [finder for finder in sys.meta_path if isinstance(finder, registration._Finder)]
    after_import(name, lambda module: seen.append(module.f()))
    assert seen == [1, 2], "imported already"
    importlib.reload(module)
    assert seen == [1, 2]


def test_a_module_that_is_not_there_or_broken(modules):
    after_import("no_such_module_at_all", pytest.fail)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module_at_all")
    seen = []
    name = modules("broken", "raise ValueError('first')")
    after_import(name, lambda module: seen.append(module.VALUE))
    with pytest.raises(ValueError, match="first"):
        importlib.import_module(name)
    modules(name, "VALUE = 'mended, and longer than before'")
    importlib.import_module(name)
    assert seen == ["mended, and longer than before"]


STARTED, GO = threading.Event(), threading.Event()


def test_a_module_that_another_thread_is_importing(modules):
    name = modules("slow", "from tests import test_registration as t\nt.STARTED.set()\nt.GO.wait(20)\nVALUE = 1")
    seen = []
    importing = threading.Thread(target=importlib.import_module, args=(name,))
    importing.start()
    assert STARTED.wait(20)
    waiting = threading.Thread(target=after_import, args=(name, lambda module: seen.append(module.VALUE)))
    waiting.start()
    GO.set()
    importing.join()
    waiting.join()
    assert seen == [1]
