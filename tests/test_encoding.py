import numpy as np
import pytest
import torch

from hf_mel import EntityIndex, KnowledgeBase, MELProcessor, PGMELConfig, PGMELModel
from hf_mel.encoding import (
    EntityInputs,
    MentionInputs,
    encode_all,
    length_buckets,
    read_ahead,
    unknown_share,
    warn_of_unknown,
)
from tests.common import build_tokenizer
from tests.training.common import tiny_data, tiny_linker, tiny_processor


def sides(vision: bool = True):
    data, processor = tiny_data(), tiny_processor(vision)
    return MentionInputs(data.mentions["train"], processor), EntityInputs(data.entities, processor)


# ---- What a tokenizer knows ----


def knowledge_base(*names: str) -> KnowledgeBase:
    return KnowledgeBase.from_records([{"id": name, "name": name} for name in names])


def test_the_share_that_a_tokenizer_does_not_know():
    tokenizer = build_tokenizer()
    assert unknown_share(tokenizer, ["the river"]) == 0 and unknown_share(tokenizer, []) == 0
    assert unknown_share(tokenizer, ["the 東東東東東東東"]) == 0.7, "of ten letters, seven are unknown"
    assert unknown_share(tokenizer, ["", " "]) == 0


def test_many_unknown_words_are_reported_once(caplog):
    processor = MELProcessor(tokenizer=build_tokenizer(), max_length=16)
    with caplog.at_level("WARNING", logger="hf_mel"):
        warn_of_unknown(processor, knowledge_base("the river", "Jordan"))
        warn_of_unknown(processor, knowledge_base("the river", "東"), np.array([0]))
        assert not caplog.records
        warn_of_unknown(processor, knowledge_base("the river", "แม่น้ำ"))
    (record,) = caplog.records
    assert "does not know 43% of the names and texts of the entities (measured on 2 of them)" in record.message


def test_an_index_reports_a_script_that_the_tokenizer_does_not_know(tmp_path, caplog):
    torch.manual_seed(0)
    processor = MELProcessor(tokenizer=build_tokenizer(), max_length=16)
    shape = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes = {"intermediate_size": 8, "vocab_size": len(processor.tokenizer)}
    model = PGMELModel(PGMELConfig(text_config=shape | sizes, pooling="mean", projection_size=8)).eval()
    with caplog.at_level("WARNING", logger="hf_mel"):
        index = EntityIndex.build(model, processor, knowledge_base("the river", "Jordan"), tmp_path / "index")
        assert not caplog.records
        index.add(model, processor, knowledge_base("แม่น้ำ"))
        EntityIndex.build(model, processor, knowledge_base("東京"), tmp_path / "another")
    assert ["does not know 100%" in record.message for record in caplog.records] == [True, True]


# ---- Batches ----


@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.parametrize("equal", [False, True])
def test_buckets_hold_each_row_once_the_longest_first(size, equal):
    lengths = None if equal else np.array([3, 9, 1, 9, 2, 30, 4])
    buckets = length_buckets(lengths, 7, size)
    rows = np.concatenate(buckets)
    assert sorted(rows.tolist()) == list(range(7))
    assert [len(rows) for rows in buckets[:-1]] == [size] * (len(buckets) - 1) and 0 < len(buckets[-1]) <= size
    expected = list(range(7)) if equal else [5, 1, 3, 6, 0, 4, 2]
    assert rows.tolist() == expected


def test_lengths_are_those_of_the_rows():
    mentions, entities = sides()
    row = tiny_data().mentions["train"][4]
    assert mentions.lengths()[4] == len(row["mention"]) + len(row["text"])
    record = tiny_data().entities[5]
    assert entities.lengths()[5] == len(record["name"]) + len(record["attributes"])
    assert (len(mentions.lengths()), len(entities.lengths())) == (len(mentions), len(entities)) == (34, 20)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_what_is_read_ahead_is_the_same(num_workers):
    before = torch.get_rng_state()
    for inputs in sides():
        batches = [np.array([3, 1, 2]), np.array([9]), np.array([0, 5])]
        found = list(read_ahead(inputs, batches, num_workers))
        assert len(found) == 3
        for batch, rows in zip(found, batches, strict=True):
            expected = inputs(rows)
            assert batch.keys() == expected.keys()
            assert all(torch.equal(batch[name], value) for name, value in expected.items())
    assert torch.equal(torch.get_rng_state(), before), "others draw from the global generator"


def test_what_is_wrong_with_a_row_is_told_by_a_worker_too(monkeypatch):
    mentions, _ = sides()
    monkeypatch.setattr(MentionInputs, "__call__", lambda self, rows: int("broken"))
    with pytest.raises(ValueError, match="broken"):
        list(read_ahead(mentions, [np.array([0])], 1))


# ---- Encoding ----


@pytest.mark.parametrize("vision", [False, True])
def test_every_batch_size_gives_the_rows_one_by_one(vision):
    model = tiny_linker(vision).eval()
    for inputs in sides(vision):
        with torch.no_grad():
            features = [model.extract(**inputs([row])) for row in range(len(inputs))]
            alone = [model.encode(inputs.side, feature) for feature in features]
        for size in (1, 3, 100):
            encoded, kept = encode_all(model, inputs, size, with_features=True)
            assert encoded.keys() == alone[0].keys() and kept.keys() == features[0].keys()
            for name, value in encoded.items():
                torch.testing.assert_close(value, torch.cat([row[name] for row in alone]), rtol=1e-4, atol=1e-6)
            for name, value in kept.items():
                torch.testing.assert_close(value, torch.cat([row[name] for row in features]), rtol=1e-4, atol=1e-6)
        assert encode_all(model, inputs)[1] is None
        assert encoded["embeds"].std(dim=0).max() > 1e-3, "all rows are equal: nothing was shown"


@pytest.mark.parametrize("training", [False, True])
def test_encodes_in_evaluation_mode_and_restores_the_mode(training, monkeypatch):
    model = tiny_linker(False).train(training)
    inputs, modes = sides(False)[1], []
    encode = type(model).encode
    monkeypatch.setattr(type(model), "encode", lambda self, *a: modes.append(self.training) or encode(self, *a))
    encoded, _ = encode_all(model, inputs, 8)
    assert model.training is training and modes == [False] * 3 and not encoded["embeds"].requires_grad

    def broken(rows):
        raise OSError("no row")

    with pytest.raises(OSError):
        encode_all(
            model,
            type(
                "Broken",
                (),
                {
                    "side": "entity",
                    "lengths": inputs.lengths,
                    "__len__": lambda s: 20,
                    "__call__": lambda s, rows: broken(rows),
                },
            )(),
        )
    assert model.training is training


def test_there_must_be_a_row():
    inputs = MentionInputs(tiny_data().mentions["train"].select([]), tiny_processor(False))
    with pytest.raises(ValueError, match="no mention to encode"):
        encode_all(tiny_linker(False), inputs)


# ---- Several processes ----


def shared(model, inputs, size: int, count: int):
    """What each process hands to `reduce`, and what comes out of their sum, with one process after the other."""
    handed = []
    for index in range(count):
        own = []
        encode_all(
            model,
            inputs,
            size,
            with_features=True,
            process=(index, count),
            reduce=lambda t, own=own: own.append(t) or t,
        )
        handed.append(own)
    sums = [sum(parts) for parts in zip(*handed, strict=True)]
    replies = iter(sums)
    return handed, encode_all(
        model, inputs, size, with_features=True, process=(0, count), reduce=lambda t: next(replies)
    )


@pytest.mark.parametrize(("size", "count"), [(3, 2), (8, 2), (8, 3), (16, 4), (100, 2)])
def test_the_shares_of_the_processes_sum_to_the_whole(size, count):
    """With (16, 4) and (100, 2) there are fewer batches than processes."""
    model, inputs = tiny_linker().eval(), sides()[1]
    whole, features = encode_all(model, inputs, size, with_features=True)
    handed, (encoded, kept) = shared(model, inputs, size, count)
    assert encoded.keys() == whole.keys() and kept.keys() == features.keys()
    for name, value in [*whole.items(), *features.items()]:
        other = encoded[name] if name in encoded else kept[name]
        assert torch.equal(value, other) and value.dtype == other.dtype, name
    # Each row comes from one process, all others hand zeros.
    owners = sum((own[0].abs().sum(dim=1) > 0).int() for own in handed)
    assert owners.tolist() == [1] * len(inputs)
    # The same collectives in the same order with the same shapes, also in a process without a share.
    assert all([(t.shape, t.dtype) for t in own] == [(t.shape, t.dtype) for t in handed[0]] for own in handed)
    assert not any(t.dtype == torch.bool for t in handed[0]), "booleans cannot be summed"
