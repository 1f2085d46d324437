"""The bag-of-tokens tower: its formula by a plain loop, the weights by hand, and what does not count."""

import math

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModel

from hf_mel import BagOfTokensConfig, BagOfTokensModel, PGMELConfig, PGMELModel


@pytest.fixture
def tower():
    model = BagOfTokensModel(BagOfTokensConfig(vocab_size=12, hidden_size=8)).double().eval()
    with torch.no_grad():
        model.token_weights.copy_(torch.linspace(0.1, 1.2, 12))
    return model


def by_loop(tower, tokens):
    """The formula, one token at a time."""
    total = [0.0] * tower.config.hidden_size
    for token in sorted(set(tokens)):
        if token < tower.config.num_special:
            continue
        weight = tower.token_weights[token].item() * math.sqrt(tokens.count(token))
        for place in range(len(total)):
            total[place] += weight * tower.vectors.weight[token, place].item()
    length = math.sqrt(sum(value**2 for value in total))
    return [value / length * math.sqrt(len(total)) for value in total]


def test_the_formula(tower):
    tokens = [5, 7, 5, 2, 9, 5, 7]
    pooled = tower(torch.tensor([tokens])).pooler_output[0]
    assert pooled.tolist() == pytest.approx(by_loop(tower, tokens), rel=1e-12)
    assert pooled.norm().item() == pytest.approx(math.sqrt(8))


def test_padding_special_tokens_and_order_do_not_count(tower):
    alone = tower(torch.tensor([[5, 7, 9]])).pooler_output
    batch = torch.tensor([[9, 5, 7, 8, 8], [4, 4, 6, 10, 11]])
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    assert torch.allclose(tower(batch, mask).pooler_output[:1], alone)
    assert torch.allclose(tower(torch.tensor([[2, 5, 0, 7, 1, 9, 3]])).pooler_output, alone)
    assert not torch.allclose(tower(torch.tensor([[5, 7, 9, 9]])).pooler_output, alone)


def test_a_text_without_a_token_that_counts_is_zero_and_has_a_gradient(tower):
    output = tower(torch.tensor([[2, 1], [5, 6]])).pooler_output
    assert output[0].tolist() == [0.0] * 8
    output.sum().backward()
    assert torch.isfinite(tower.vectors.weight.grad).all() and tower.token_weights.grad[5] != 0


def test_weights_by_hand(tower):
    tower.fit_weights([[5, 6, 6], [5, 7], [5]])
    rarity = {d: math.sqrt(math.log(1 + (3 - d + 0.5) / (d + 0.5))) for d in (1, 3)}
    expected = {5: rarity[3] / rarity[1], 6: 1.0, 7: 1.0, 8: 0.1}
    assert {token: tower.token_weights[token].item() for token in expected} == pytest.approx(expected, rel=1e-6)
    tower.fit_weights([[5], [5, 6]], unseen=0.0)
    assert tower.token_weights[8] == 0 and tower.token_weights[6] == 1
    with pytest.raises(ValueError, match="no text"):
        tower.fit_weights([])


def test_saved_and_loaded(tower, tmp_path):
    tower.float().save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    ids = torch.tensor([[5, 9, 7]])
    assert type(loaded) is BagOfTokensModel and type(AutoConfig.from_pretrained(tmp_path)) is BagOfTokensConfig
    assert torch.equal(loaded(ids).pooler_output, tower(ids).pooler_output)


def test_as_the_text_tower_of_a_model(tmp_path):
    config = PGMELConfig(
        text_config={"model_type": "bag_of_tokens", "vocab_size": 20, "hidden_size": 16}, freeze_text=True
    )
    model = PGMELModel(config).train()
    assert isinstance(model.text_model, BagOfTokensModel)
    assert not any(parameter.requires_grad for parameter in model.text_model.parameters())
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert torch.equal(again.text_model.vectors.weight, model.text_model.vectors.weight)
    assert torch.equal(again.text_model.token_weights, model.text_model.token_weights)


@pytest.mark.parametrize("values", [{"num_special": 12}, {"num_special": -1}, {"hidden_size": 0}])
def test_bad_sizes(values):
    with pytest.raises(StrictDataclassError, match=next(iter(values))):
        BagOfTokensConfig(vocab_size=12, **values)
