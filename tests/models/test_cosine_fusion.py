"""The fusion whose scores begin as cosines of tower features."""

import math

import pytest
import torch
from torch.nn import functional as F

from hf_mel import PGMELConfig, PGMELModel, TowerFeatures
from hf_mel.models.cosine_fusion import CosineFusion
from hf_mel.models.fusion import TextViews
from tests.conftest import TINY_TEXT, TINY_VISION


TEXT, IMAGE = 16, 16  # sizes of the tiny towers' features


def model_of(shared: bool = False, vision: bool = True, **fields) -> PGMELModel:
    config = PGMELConfig(text_config=dict(TINY_TEXT), vision_config=dict(TINY_VISION) if vision else None, **fields)
    model = PGMELModel(config).eval()
    model.use_cosine_heads(shared_space=shared)
    return model


def features(seed: int, views: int = 2, images: tuple[bool, ...] = (True, False, True, False)) -> TowerFeatures:
    random = torch.Generator().manual_seed(seed)
    rows = len(images)
    return TowerFeatures(
        text_features=3 * torch.randn(rows, views, TEXT, generator=random),
        image_features=5 * torch.randn(rows, IMAGE, generator=random),
        has_image=torch.tensor(images),
    )


def scores(model, mentions: TowerFeatures, entities: TowerFeatures) -> torch.Tensor:
    return model.match(model.encode("mention", mentions), model.encode("entity", entities))


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return F.cosine_similarity(a.double(), b.double(), dim=0).item()


def expected(m: TowerFeatures, e: TowerFeatures, i: int, j: int, shared: bool) -> float:
    """The documented formula, for one pair."""
    weights = (2 / 3, 1 / 3) if m.text_features.shape[1] == 2 else (1.0,)
    texts = [cosine(a, b) for a, b in zip(m.text_features[i], e.text_features[j], strict=True)]
    score = 0.75 * sum(w * each for w, each in zip(weights, texts, strict=True))
    if m.has_image[i] and e.has_image[j]:
        score += 0.25 * cosine(m.image_features[i], e.image_features[j])
    for texts, image, there in (
        (m.text_features[i], e.image_features[j], e.has_image[j]),
        (e.text_features[j], m.image_features[i], m.has_image[i]),
    ):
        if shared and there:
            across = sum(w * cosine(text, image) for w, text in zip(weights, texts, strict=True))
            score += math.sqrt(3) / 4 * across
    return score


@pytest.mark.parametrize("text_views", ["both", "context"])
@pytest.mark.parametrize("shared", [False, True])
def test_scores_are_the_documented_sum_of_cosines(shared, text_views):
    """Over all four cases: an image on both sides, on one of them, on none."""
    views = 2 if text_views == "both" else 1
    model = model_of(shared, text_views=text_views)
    m, e = features(1, views), features(2, views, (True, True, False, False))
    found = scores(model, m, e)
    for i in range(4):
        for j in range(4):
            assert found[i, j].item() == pytest.approx(expected(m, e, i, j, shared), abs=1e-5), (i, j)


def test_a_text_tower_alone_gives_the_cosine_of_the_texts():
    model = model_of(vision=False)
    m, e = (TowerFeatures(text_features=features(seed).text_features) for seed in (1, 2))
    found = scores(model, m, e)
    for i in range(4):
        c, s = (cosine(m.text_features[i, view], e.text_features[3, view]) for view in (0, 1))
        assert found[i, 3].item() == pytest.approx(2 / 3 * c + 1 / 3 * s, abs=1e-5)
    assert model.config.projection_size == 2 * TEXT


def test_a_mention_without_image_ranks_entities_by_their_texts():
    """An entity is neither better nor worse for having an image."""
    model = model_of()
    m, e = features(1, images=(False,) * 4), features(2)
    bare = TowerFeatures(**(dict(e) | {"has_image": torch.zeros(4, dtype=torch.bool)}))
    torch.testing.assert_close(scores(model, m, e), scores(model, m, bare))


def test_scores_of_text_and_image_alone_add_up():
    model = model_of()
    m, e = features(1, images=(True,) * 4), features(2, images=(True,) * 4)

    def alone(side: TowerFeatures, modality: str) -> TowerFeatures:
        other = {"has_image": torch.zeros(4, dtype=torch.bool)}
        return TowerFeatures(
            **(dict(side) | (other if modality == "text" else {"text_features": 0 * side.text_features}))
        )

    parts = [scores(model, alone(m, modality), alone(e, modality)) for modality in ("text", "image")]
    torch.testing.assert_close(sum(parts), scores(model, m, e))


@pytest.mark.parametrize("shared", [False, True])
def test_gradients_reach_every_head(shared):
    model = model_of(shared)
    found = scores(model, features(1), features(2))
    F.cross_entropy(found / 0.05, torch.tensor([3, 2, 1, 0])).backward()
    for name, parameter in model.heads.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_untrained_until_a_weight_moves(tmp_path):
    model = model_of()
    assert model.is_untrained
    model.save_pretrained(tmp_path)
    loaded = PGMELModel.from_pretrained(tmp_path)
    assert loaded.is_untrained
    m, e = features(1), features(2)
    assert torch.equal(scores(loaded.eval(), m, e), scores(model, m, e))
    with torch.no_grad():
        model.heads.heads["shared"].fusion.gate.bias.add_(1e-3)
    assert not model.is_untrained
    model.save_pretrained(tmp_path)
    assert not PGMELModel.from_pretrained(tmp_path).is_untrained
    assert not PGMELModel(PGMELConfig(text_config=dict(TINY_TEXT))).is_untrained


def test_the_type_of_number_stays():
    model = PGMELModel(PGMELConfig(text_config=dict(TINY_TEXT))).to(torch.bfloat16)
    model.use_cosine_heads()
    assert {parameter.dtype for parameter in model.heads.parameters()} == {torch.bfloat16} and model.is_untrained


def test_a_shared_space_needs_features_of_one_size():
    model = PGMELModel(PGMELConfig(text_config=dict(TINY_TEXT)))
    with pytest.raises(ValueError, match="`shared_space`.*text has 16 and image none"):
        model.use_cosine_heads(shared_space=True)


def test_without_room_for_the_copies_it_begins_orthogonal():
    config = PGMELConfig(text_config=dict(TINY_TEXT), fusion="cosine", view_fusion="stack", projection_size=8)
    weight = PGMELModel(config).heads.heads["shared"].fusion.text_transform.weight
    torch.testing.assert_close(weight @ weight.T, torch.eye(8), atol=1e-5, rtol=0)


def test_by_hand():
    """Text and image have one dimension each; the gate is sigmoid(log 3) = 3/4."""
    fusion = CosineFusion(TextViews(1, 1, "stack", 2), 1, 2)
    with torch.no_grad():
        fusion.text_transform.weight.copy_(torch.tensor([[1.0], [0.0]]))
        fusion.image_transform.weight.copy_(torch.tensor([[0.0], [-2.0]]))
        fusion.gate.weight.zero_()
        fusion.gate.bias.fill_(math.log(3))
    hidden, weight = fusion(torch.tensor([[7.0], [7.0]]), torch.tensor([[4.0], [4.0]]), torch.tensor([True, False]))
    assert hidden.flatten().tolist() == pytest.approx([math.sqrt(0.75), -0.5, math.sqrt(0.75), 0.0])
    assert weight.tolist() == pytest.approx([0.25, 0.0])
