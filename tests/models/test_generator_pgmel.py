import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel

from hf_mel import PGMELGenerator, PGMELGeneratorConfig, TowerFeatures
from hf_mel.models.fusion import FUSIONS
from tests.models.conftest import side_inputs


@pytest.fixture(params=["query", "both"])
def generator(request, tiny_config):
    config = PGMELGeneratorConfig.from_model_config(tiny_config, projection_size=6, generator_type=request.param)
    return PGMELGenerator(config).eval()


@pytest.fixture
def features(tiny_model):
    tiny_model.eval()
    return tiny_model.extract(**side_inputs(3, seed=1)), tiny_model.extract(**side_inputs(6, seed=2))


def inputs_of(generator, mentions, entities, candidates):
    """A query-side generator is given vectors of an index, here of any length; another one the features."""
    if generator.config.generator_type == "both":
        return mentions, entities, candidates
    size = generator.config.projection_size
    vectors = torch.randn(len(entities.text_features), size, generator=torch.Generator().manual_seed(0))
    return mentions, vectors[candidates], None


CANDIDATES = torch.tensor([[0, 1, 2, 3], [5, 4, 3, 2], [1, 1, 0, 5]])


def test_logits_are_cosines_over_the_temperature(generator, features):
    mentions, entities, _ = given = inputs_of(generator, *features, CANDIDATES)
    logits = generator(*given)
    if generator.config.generator_type == "both":
        g_m = generator.heads("mention", mentions)["embeds"]
        g_e = generator.heads("entity", entities)["embeds"][CANDIDATES]
    else:
        g_m = generator.head(mentions.text_features, mentions.image_features, mentions.has_image)["embeds"]
        g_e = entities
    for row in range(3):
        for column in range(4):
            cosine = F.cosine_similarity(g_m[row], g_e[row, column], dim=0)
            assert logits[row, column].item() == pytest.approx(cosine.item() / 0.05, abs=1e-4)


def test_masked_candidates_are_never_sampled(generator, features):
    mask = torch.tensor([[True, True, False, False], [True] * 4, [False, True, False, True]])
    full = generator(*inputs_of(generator, *features, CANDIDATES))
    logits = generator(
        *inputs_of(generator, *features, CANDIDATES.masked_fill(~mask, -1)), mask
    )  # padding: any number
    assert (logits[~mask] == -torch.inf).all()
    assert torch.equal(logits[mask], full[mask])
    probabilities = logits.softmax(-1)
    assert (probabilities[~mask] == 0).all() and probabilities.isfinite().all()
    logits.log_softmax(-1)[mask].sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in generator.parameters())


def test_its_gradient_never_reaches_the_model(generator, features, tiny_model):
    assert features[0].text_features.requires_grad
    generator.train()(*inputs_of(generator, *features, CANDIDATES)).log_softmax(-1)[:, 0].sum().backward()
    assert all(parameter.grad is None for parameter in tiny_model.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in generator.parameters())


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("share_heads", [True, False])
def test_rows_do_not_see_each_other(tiny_config, features, fusion, share_heads):
    options = {"fusion": fusion, "share_heads": share_heads, "generator_type": "both"}
    config = PGMELGeneratorConfig.from_model_config(tiny_config, **options)
    generator = PGMELGenerator(config).eval()
    mentions, entities = features
    logits = generator(mentions, entities, CANDIDATES)
    for row in range(3):
        candidates = CANDIDATES[row : row + 1]
        alone = generator(mentions.select(slice(row, row + 1)), entities, candidates)
        torch.testing.assert_close(alone, logits[row : row + 1])
        own = generator(mentions.select([row]), entities.select(candidates[0]), torch.arange(4)[None])
        torch.testing.assert_close(own, logits[row : row + 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_comes_back_bit_exact_from_the_folder_of_its_model(generator, tiny_model, features, tmp_path, dtype):
    tiny_model.save_pretrained(tmp_path)
    generator.to(dtype).save_pretrained(tmp_path / "generator")
    for reloaded in (
        PGMELGenerator.from_pretrained(tmp_path, subfolder="generator"),
        AutoModel.from_pretrained(tmp_path / "generator"),
    ):
        assert type(reloaded) is PGMELGenerator and reloaded.dtype == dtype
        given = inputs_of(generator, *features, CANDIDATES)
        assert torch.equal(reloaded(*given), generator(*given))
    with pytest.raises(ValueError, match="'pgmel', not 'pgmel_generator'.*sub-folder `generator`"):
        PGMELGenerator.from_pretrained(tmp_path)


def test_meta_device(generator):
    with torch.device("meta"):
        empty = PGMELGenerator(PGMELGeneratorConfig(fusion="image", vision_feature_size=4))
    assert all(parameter.is_meta for parameter in empty.parameters())


def test_text_only():
    for kind in ("query", "both"):
        config = PGMELGeneratorConfig(text_feature_size=5, projection_size=4, generator_type=kind)
        mentions, entities = (TowerFeatures(text_features=torch.randn(n, 2, 5)) for n in (3, 6))
        generator = PGMELGenerator(config)
        assert generator(*inputs_of(generator, mentions, entities, CANDIDATES)).shape == (3, 4)
