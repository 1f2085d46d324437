"""A trained text tower on a CPU reads a batch in groups of similar length: the result is that of the whole batch."""

import pytest
import torch

from hf_mel import PGMELConfig, PGMELModel
from hf_mel.models.towers import LENGTH_GROUP, similar_lengths


BERT = {"model_type": "bert", "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
BERT |= {"intermediate_size": 32, "max_position_embeddings": 16}


def test_groups_need_no_more_columns_than_their_longest_row():
    mask = torch.zeros(70, 9, dtype=torch.long)
    mask[10, :9] = 1
    mask[20:50, :4] = 1
    groups = similar_lengths(mask)
    # Row 10 and the 30 of length 4; then row 0, which is empty, and the others like it.
    assert [len(rows) for rows, _ in groups] == [32, 32, 6]
    assert groups[0][0].tolist() == [10, *range(20, 50), 0] and groups[0][1] == 9
    assert [width for _, width in groups[1:]] == [1, 1]


def test_padding_on_the_left_is_kept():
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0]])
    assert [(rows.tolist(), width) for rows, width in similar_lengths(mask)] == [([0, 1], 4)]


@pytest.mark.parametrize("freeze", [False, True])
def test_features_and_gradients_are_those_of_the_whole_batch(freeze, monkeypatch):
    torch.manual_seed(0)
    config = PGMELConfig(text_config=BERT | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    config.text_views, config.freeze_text = "context", freeze
    model = PGMELModel(config).train()
    num_rows = 2 * LENGTH_GROUP + 3
    lengths = torch.randint(1, 12, (num_rows, 1))
    ids, mask = torch.randint(5, 50, (num_rows, 12)), (torch.arange(12) < lengths).long()
    seen, tower = [], model.text_model.forward
    monkeypatch.setattr(model.text_model, "forward", lambda **inputs: seen.append(inputs) or tower(**inputs))

    def features_and_gradient():
        model.zero_grad()
        features = model.tower_features({"input_ids": ids, "attention_mask": mask}).text_features
        if freeze:
            return features, None
        features.square().sum().backward()
        return features, model.text_model.embeddings.word_embeddings.weight.grad.clone()

    found, gradient = features_and_gradient()
    widths = [inputs["input_ids"].shape[1] for inputs in seen]
    assert len(widths) == (1 if freeze else 3) and widths == sorted(widths, reverse=True)
    monkeypatch.setattr("hf_mel.models.modeling_towers.LENGTH_GROUP", num_rows)
    whole, whole_gradient = features_and_gradient()
    torch.testing.assert_close(found, whole)
    if not freeze:
        torch.testing.assert_close(gradient, whole_gradient)
