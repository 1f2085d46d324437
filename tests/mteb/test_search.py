"""A model as mteb calls it: its ranks are those of `hf-mel evaluate`. Nothing here needs mteb."""

import sys

import numpy as np
import pytest
import torch

from hf_mel import KnowledgeBase, load_data
from hf_mel.data import MELData, UnknownEntityError
from hf_mel.evaluation.models import evaluate_model
from hf_mel.mteb import MTEBModel, write_mteb
from tests.mteb.common import LONG, build, tables, task_of
from tests.tiny_peers import peer_processor, tiny_peer
from tests.training.common import tiny_linker, tiny_processor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = build(tmp_path_factory.mktemp("search"))
    write_mteb(folder, "org/small")
    return folder


def searched(folder, model, processor, category="it2it", top_k=5):
    """Answer of a model for the test split, and its gold entities."""
    given, wrapped = tables(folder), MTEBModel(model, processor)
    wrapped.index(given["corpus"], task_metadata=task_of(category), hf_split="test", encode_kwargs={})
    quiet = {"show_progress_bar": False}
    found = wrapped.search(given["queries"], task_metadata=task_of(category), top_k=top_k, encode_kwargs=quiet)
    return found, given["gold"]


def evaluated(folder, model, processor, pictures=True) -> np.ndarray:
    """Ranks of `hf-mel evaluate`."""
    data = load_data(str(folder))
    if not pictures:
        none = {"image": None, "image_status": "none"}
        mentions = data.mentions.map(lambda row: none)
        data = MELData(mentions, KnowledgeBase(data.entities.dataset.map(lambda row: none)))
    return evaluate_model(model, processor, data, "test", "m", "d", "c", progress=False)[1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: (tiny_linker(), tiny_processor()),
        lambda: (tiny_linker(name_features=True), tiny_processor()),
        lambda: (tiny_linker(vision=False), tiny_processor(vision=False)),
        lambda: (tiny_peer("mimic").eval(), peer_processor()),
    ],
    ids=["vectors", "with names", "text alone", "mimic"],
)
def test_ranks_are_those_of_evaluate(folder, make):
    model, processor = make()
    found, gold = searched(folder, model, processor, top_k=2)
    assert list(found) == list(gold) and all(len(entities) == 2 for entities in found.values())
    assert found.gold_ranks(gold).tolist() == evaluated(folder, model, processor).tolist(), "also beyond `top_k`"
    text, gold = searched(folder, model, processor, "t2t")
    assert text.gold_ranks(gold).tolist() == evaluated(folder, model, processor, pictures=False).tolist()


def test_names_aliases_and_places_reach_the_model(folder):
    model, processor = tiny_linker(vision=False, name_features=True), tiny_processor(vision=False)
    without = tiny_linker(vision=False)
    without.load_state_dict(model.state_dict(), strict=False)
    (named, gold), (plain, _) = searched(folder, model, processor), searched(folder, without, processor)
    added = {
        query: {entity: named[query][entity] - plain[query][entity] for entity in plain[query]} for query in plain
    }
    assert added["m1"]["jug"] == pytest.approx(0.25, abs=1e-5), "its alias"
    assert added["m3"]["twin-a"] == pytest.approx(0.25, abs=1e-5) and added["m3"]["jug"] == pytest.approx(0, abs=1e-5)
    backwards = dict(reversed(gold.items()))
    assert named.gold_ranks(backwards).tolist() == named.gold_ranks(gold)[::-1].tolist()
    mention = processor.mentions("bowl", LONG, start=LONG.rindex("bowl"))
    entity = processor.entities("jug", "a vessel of stoneware")
    with torch.no_grad():
        score = (without.get_mention_features(**mention) * without.get_entity_features(**entity)).sum().item()
    assert plain["m5"]["jug"] == pytest.approx(score, abs=1e-5), "the second of two equal words"


def test_pictures_count_in_the_task_with_pictures_alone(folder):
    model, processor = tiny_linker(), tiny_processor()
    both, text = searched(folder, model, processor)[0], searched(folder, model, processor, "t2t")[0]
    assert both["m1"]["jug"] != pytest.approx(text["m1"]["jug"], abs=1e-4)
    # Neither side has a picture: the score is that of the texts.
    assert both["m2"]["twin-a"] == pytest.approx(text["m2"]["twin-a"], abs=1e-6)


def test_scores_are_those_of_the_model_and_equal_entities_tie(folder):
    model, processor = tiny_linker(vision=False), tiny_processor(vision=False)
    found, gold = searched(folder, model, processor)
    mention = processor.mentions("lamp", "The lamp went out.", start=4)
    entity = processor.entities("lamp", "gives light")
    with torch.no_grad():
        score = (model.get_mention_features(**mention) * model.get_entity_features(**entity)).sum().item()
    assert found["m3"]["twin-a"] == pytest.approx(score, abs=1e-5)
    assert found["m3"]["twin-b"] == pytest.approx(score, abs=1e-5)
    assert found.gold_ranks({"m3": {"twin-b"}})[0] % 1 == 0.5, "a tie of two is at their mean rank"
    best = min(found.gold_ranks({"m3": {"jug"}})[0], found.gold_ranks({"m3": {"twin-b"}})[0])
    assert found.gold_ranks({"m3": {"jug", "twin-b"}}).tolist() == [best], "of several gold entities the best counts"


def test_what_cannot_be_searched_is_named(folder):
    model, processor, given = tiny_linker(), tiny_processor(), tables(folder)
    wrapped = MTEBModel(model, processor)
    with pytest.raises(ValueError, match="call `index`"):
        wrapped.search(given["queries"], task_metadata=task_of("t2t"), top_k=1)
    with pytest.raises(ValueError, match="document table lacks the columns aliases.*--mteb"):
        wrapped.index(given["corpus"].remove_columns("aliases"), task_metadata=task_of("t2t"))
    with pytest.raises(ValueError, match="reranking"):
        wrapped.search(given["queries"], task_metadata=task_of("t2t"), top_k=1, top_ranked={})
    with pytest.raises(ValueError, match="org/name"):
        MTEBModel(model, processor, name="mine")
    found, _ = searched(folder, model, processor)
    with pytest.raises(ValueError, match="m9"):
        found.gold_ranks({"m9": {"jug"}})
    with pytest.raises(UnknownEntityError, match="cup"):
        found.gold_ranks({"m1": {"cup"}})


def test_a_saved_model_is_called_as_its_folder(tmp_path):
    tiny_linker(vision=False).save_pretrained(tmp_path / "mine")
    tiny_processor(vision=False).save_pretrained(tmp_path / "mine")
    assert MTEBModel.from_pretrained(str(tmp_path / "mine")).name == "hf_mel/mine"


def test_without_mteb_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mteb.models", None)
    with pytest.raises(ImportError, match=r"pip install 'hf-mel\[mteb\]'"):
        _ = MTEBModel(tiny_linker(vision=False), tiny_processor(vision=False)).mteb_model_meta
