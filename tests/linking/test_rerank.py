"""Rerankers: candidates in another order, by a model of this package or by a cross-encoder."""

from types import SimpleNamespace

import numpy as np
import pytest

from hf_mel import CrossEncoderReranker, EntityIndex, KnowledgeBase, Linker, ModelReranker
from hf_mel.data import UnknownEntityError
from tests.training.common import tiny_data, tiny_linker, tiny_processor


TEXT, MENTION = "Vale came.", "Vale"


@pytest.fixture(scope="module")
def index():
    return EntityIndex.build(tiny_linker(False), tiny_processor(False), tiny_data().entities, encode_dtype="float32")


class LongestName:
    """A cross-encoder that likes long names."""

    config = SimpleNamespace(name_or_path="longest")

    def __init__(self):
        self.pairs = []

    def predict(self, pairs, **options):
        self.pairs += pairs
        return np.array([len(entity.split(" | ")[0]) for _, entity in pairs])


def linker(index, reranker=None, **options) -> Linker:
    return Linker(tiny_linker(False), tiny_processor(False), index, reranker=reranker, **options)


def test_a_model_with_an_index_of_its_own(index):
    """Ten candidates of the one model in the order of the other, whose index holds them in other rows."""
    other = tiny_linker(seed=7)
    kb = tiny_data().entities
    backwards = KnowledgeBase(kb.dataset.select(range(len(kb) - 1, -1, -1)))
    reranker = ModelReranker(
        other, tiny_processor(), EntityIndex.build(other, tiny_processor(), backwards, encode_dtype="float32")
    )
    first = linker(index, num_candidates=10).link(MENTION, TEXT, top_k=10)
    second = linker(index, reranker, num_candidates=10).link(MENTION, TEXT, top_k=10)
    own = {each.entity_id: each.score for each in first.candidates}
    assert {each.entity_id for each in second.candidates} == set(own)
    assert {each.entity_id: each.retrieval_score for each in second.candidates} == pytest.approx(own)
    alone = Linker(other, tiny_processor(), backwards).link(MENTION, TEXT, top_k=20)
    expected = {each.entity_id: each.score for each in alone.candidates if each.entity_id in own}
    assert [each.entity_id for each in second.candidates] == list(expected)
    assert [each.score for each in second.candidates] == pytest.approx(list(expected.values()), abs=1e-5)
    assert second.margin == pytest.approx(second.candidates[0].score - second.candidates[1].score)


def test_an_index_that_lacks_a_candidate(index):
    other, few = tiny_linker(False, seed=7), KnowledgeBase(tiny_data().entities.dataset.select(range(19)))
    reranker = ModelReranker(
        other, tiny_processor(False), EntityIndex.build(other, tiny_processor(False), few), name="other"
    )
    with pytest.raises(UnknownEntityError, match=tiny_data().entities.ids[19]):
        linker(index, reranker).link(MENTION, TEXT)


def test_a_cross_encoder_reads_mention_and_entity(index):
    model = LongestName()
    found = linker(index, CrossEncoderReranker(model), num_candidates=6).link([MENTION] * 2, [TEXT, TEXT], top_k=6)
    assert len(model.pairs) == 12
    assert model.pairs[0][0] == "Vale | Vale came." and " | " in model.pairs[0][1]
    for each in found:
        lengths = [len(candidate.name) for candidate in each.candidates]
        assert lengths == sorted(lengths, reverse=True) == [candidate.score for candidate in each.candidates]


def test_a_real_cross_encoder(index, tmp_path):
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(vocab_size=1000, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_labels=1)
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    tiny_processor(False).tokenizer.save_pretrained(tmp_path)
    reranker = CrossEncoderReranker(str(tmp_path), batch_size=4)
    found = linker(index, reranker, num_candidates=6).link(MENTION, TEXT, top_k=6)
    scores = [candidate.score for candidate in found.candidates]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) > 1
    small = CrossEncoderReranker(str(tmp_path), batch_size=1)
    again = linker(index, small, num_candidates=6).link(MENTION, TEXT, top_k=6)
    assert [each.score for each in again.candidates] == pytest.approx(scores, abs=1e-5)


def test_two_numbers_a_pair(index):
    model = LongestName()
    model.predict = lambda pairs, **options: np.zeros((len(pairs), 2))
    with pytest.raises(ValueError, match="one"):
        linker(index, CrossEncoderReranker(model)).link(MENTION, TEXT)


def test_the_set_up_names_the_reranker(index):
    assert linker(index).setup["reranker"] is None
    assert linker(index, CrossEncoderReranker(LongestName())).setup["reranker"] == "cross-encoder longest"
