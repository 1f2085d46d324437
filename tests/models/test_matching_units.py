"""The parts that models of matching units share: reader, global with local, the algebra of a direction, cross unit."""

import copy

import pytest
import torch
from torch.nn import functional as F

from hf_mel import MIMICConfig, MIMICModel
from hf_mel.models import matching_units
from hf_mel.models.matching_units import Direction, FeatureReader, GlobalLocalUnit, ReadFeatures, VisionUnit
from tests.models import plain
from tests.models.units_common import TINY, features, tiny_units


DOUBLE = torch.float64


# ---- FeatureReader ----


class TestFeatureReader:
    @torch.no_grad()
    def test_is_its_formula(self):
        model = tiny_units(MIMICModel)
        given = features(model)[0]
        found = model.reader(given)
        for i, row in enumerate(plain.read(model, given)):
            torch.testing.assert_close(found.text[i], row.text)
            torch.testing.assert_close(found.tokens[i][found.token_mask[i]], torch.stack(row.tokens))
            assert found.has_image[i].item() is (row.image is not None)
            if row.image is not None:
                torch.testing.assert_close(found.image[i], row.image)
                torch.testing.assert_close(found.patches[i], torch.stack(row.patches))

    def test_legacy_masking_counts_everything(self):
        given = features(tiny_units(MIMICModel))[0]
        for legacy in (False, True):
            read = tiny_units(MIMICModel, legacy_masking=legacy).reader(given)
            assert read.token_mask.all().item() is legacy and read.has_image.all().item() is legacy

    def test_text_only_has_no_parameters_of_pictures(self):
        reader = FeatureReader(MIMICConfig(**{**copy.deepcopy(TINY), "vision_config": None}))
        assert {name.split(".")[0] for name, _ in reader.named_parameters()} == {"text_norm", "token_norm"}

    def test_both_sides_share_it(self):
        model = tiny_units(MIMICModel)
        given = features(model)[0]
        mention, entity = model.encode("mention", given), model.encode("entity", given)
        for unit, part in (("text", "global"), ("cross", "vector")):
            assert torch.equal(mention[unit][part], entity[unit][part])


# ---- GlobalLocalUnit ----


def random_side(rows: int, tokens: int, seed: int, size: int = 5) -> ReadFeatures:
    """Texts of any length from 1 on, the places of whose tokens are not the first ones; every third row has no picture."""
    random = torch.Generator().manual_seed(seed)
    mask = torch.rand(rows, tokens, generator=random) < 0.5
    mask[torch.arange(rows), torch.randint(tokens, (rows,), generator=random)] = True

    def normal(*shape):
        return torch.randn(*shape, generator=random, dtype=DOUBLE)

    has_image = torch.arange(rows) % 3 != 2
    return ReadFeatures(
        normal(rows, 4), normal(rows, tokens, size), mask, normal(rows, 6), normal(rows, 3, 6), has_image
    )


class TestGlobalLocalUnit:
    @torch.no_grad()
    def test_with_tokens_in_any_places(self):
        unit = GlobalLocalUnit(4, 5, 3).double()
        a, b = random_side(6, 7, seed=1), random_side(4, 2, seed=2)
        found = unit.match(unit.encode("mention", a), unit.encode("entity", b))
        for i in range(6):
            for j in range(4):
                sides = (a.text[i], a.tokens[i][a.token_mask[i]], b.text[j], b.tokens[j][b.token_mask[j]])
                torch.testing.assert_close(found[i, j], plain.global_local(unit, *sides))

    @torch.no_grad()
    def test_with_patches(self):
        unit = GlobalLocalUnit(6, 6, 3, kind="image").double()
        a, b = random_side(6, 7, seed=1), random_side(4, 2, seed=2)
        found = unit.match(unit.encode("mention", a), unit.encode("entity", b))
        for i in range(6):
            for j in range(4):
                expected = plain.global_local(unit, a.image[i], a.patches[i], b.image[j], b.patches[j])
                torch.testing.assert_close(found[i, j], expected * (a.has_image[i] & b.has_image[j]))

    def test_the_sides_differ(self):
        unit = GlobalLocalUnit(4, 5, 3).double()
        a, b = random_side(3, 4, seed=1), random_side(3, 4, seed=2)
        there = unit.match(unit.encode("mention", a), unit.encode("entity", b))
        back = unit.match(unit.encode("mention", b), unit.encode("entity", a))
        assert (there - back.mT).abs().max() > 1e-2

    @pytest.mark.parametrize("kind", ["text", "image"])
    def test_gradients(self, kind, monkeypatch):
        monkeypatch.setattr(matching_units, "RECOMPUTED", 20)  # several blocks
        unit = GlobalLocalUnit(*((4, 5, 3) if kind == "text" else (6, 6, 3)), kind=kind).double()
        a, b = random_side(3, 3, seed=1), random_side(4, 2, seed=2)

        def scores(*values):
            sides = []
            for read, (whole, local) in ((a, values[:2]), (b, values[2:])):
                changed = {"text": whole, "tokens": local} if kind == "text" else {"image": whole, "patches": local}
                sides.append(ReadFeatures(**{**vars(read), **changed}))
            return unit.match(unit.encode("mention", sides[0]), unit.encode("entity", sides[1]))

        names = ("text", "tokens") if kind == "text" else ("image", "patches")
        assert torch.autograd.gradcheck(
            scores, [getattr(r, n).requires_grad_() for r in (a, b) for n in names], fast_mode=True
        )

    def test_a_block_holds_no_more_than_it_may(self, monkeypatch):
        unit = GlobalLocalUnit(4, 5, 3).double()
        encoded = unit.encode("mention", random_side(6, 7, seed=1)), unit.encode("entity", random_side(9, 2, seed=2))
        sizes, block = [], GlobalLocalUnit._block

        def watched(self, keys, values, bias, queries, *rest):
            sizes.append(keys.shape[0] * keys.shape[1] * queries.shape[0] * queries.shape[1])
            return block(self, keys, values, bias, queries, *rest)

        monkeypatch.setattr(GlobalLocalUnit, "_block", watched)
        monkeypatch.setattr(matching_units, "CACHED", 200)
        with torch.no_grad():
            unit.match(*encoded)
        assert len(sizes) == 5 and max(sizes) <= 200 and sum(sizes) == 6 * 7 * 9 * 2


# ---- Direction: five products in place of a network that runs once a pair ----


def network(direction: Direction, image, patches, query_image) -> torch.Tensor:
    """The plain network, in the precision that it is given, for all pairs."""
    own, query = direction.class_map(image), direction.class_map(query_image)
    pair = direction.pair_norm(direction.token_map(patches).mean(dim=1)[:, None] + query)
    context = direction.context_map(pair)
    hidden = direction.result_norm(torch.tanh(direction.gate(context)) * context + own[:, None])
    return (hidden * direction.query_norm(query)).sum(dim=-1)


def weighted(direction: Direction, weight_std: float, bias_std: float) -> Direction:
    with torch.no_grad():
        for name, parameter in direction.named_parameters():
            parameter.normal_(std=bias_std if name.endswith("bias") else weight_std)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)
    return direction


def pictures(rows: int, size: int, seed: int, alike: float) -> ReadFeatures:
    """Normalised, as the reader gives them; `alike` is how much of each picture is the same in all."""
    random = torch.Generator().manual_seed(seed)
    common = torch.randn(size, generator=torch.Generator().manual_seed(9), dtype=DOUBLE)
    image = torch.randn(rows, size, generator=random, dtype=DOUBLE) + alike * common
    patches = torch.randn(rows, 5, size, generator=random, dtype=DOUBLE)
    return ReadFeatures(None, None, None, F.layer_norm(image, [size]), F.layer_norm(patches, [size]))


def cast(read: ReadFeatures, dtype: torch.dtype) -> ReadFeatures:
    return ReadFeatures(None, None, None, read.image.to(dtype), read.patches.to(dtype))


# As initialised; after some training; with biases that dwarf the weights; with weights that do.
WEIGHTS = [(0.02, 0.0), (0.1, 0.1), (0.1, 5.0), (0.5, 0.5)]


class TestDirection:
    @pytest.mark.parametrize("alike", [0.0, 10.0])
    @pytest.mark.parametrize(("weight_std", "bias_std"), WEIGHTS)
    @pytest.mark.parametrize("size", [6, 96])
    @torch.no_grad()
    def test_is_the_network(self, size, weight_std, bias_std, alike):
        direction = weighted(Direction(size).double(), weight_std, bias_std)
        key, query = pictures(20, size, 1, alike), pictures(60, size, 2, alike)
        exact = network(direction, key.image, key.patches, query.image)
        largest = exact.abs().max()
        found = direction(direction.as_key(key), direction.as_query(query))
        assert found.shape == (20, 60) and (found - exact).abs().max() < 1e-13 * size * largest

        single = copy.deepcopy(direction).float()
        keys, queries = single.as_key(cast(key, torch.float32)), single.as_query(cast(query, torch.float32))
        assert (single(keys, queries) - exact).abs().max() < 1e-5 * largest

        for dtype, bound in ((torch.float16, 5e-3), (torch.bfloat16, 4e-2)):
            # Stored in half precision; and all in half precision, where it has to be as good as the network is.
            stored = single(keys.to(dtype), queries.to(dtype))
            assert stored.dtype is dtype and (stored - exact).abs().max() < bound * largest
            half = copy.deepcopy(direction).to(dtype)
            k, q = cast(key, dtype), cast(query, dtype)
            error = (half(half.as_key(k), half.as_query(q)) - exact).abs().max()
            assert error < 1.5 * (network(half, k.image, k.patches, q.image) - exact).abs().max() + 1e-3 * largest

    @torch.no_grad()
    def test_one_pair_by_the_plain_loop(self):
        direction = weighted(Direction(6).double(), 0.5, 0.5)
        key, query = pictures(3, 6, 1, 0.0), pictures(2, 6, 2, 0.0)
        found = direction(direction.as_key(key), direction.as_query(query))
        for i in range(3):
            for j in range(2):
                expected = plain.direction(direction, key.image[i], list(key.patches[i]), query.image[j])
                torch.testing.assert_close(found[i, j], expected)

    def test_gradients(self):
        direction = weighted(Direction(4).double(), 0.5, 0.5)
        key, query = pictures(3, 4, 1, 0.0), pictures(2, 4, 2, 0.0)

        def scores(image, patches, query_image):
            asked = direction.as_key(ReadFeatures(None, None, None, image, patches))
            return direction(asked, direction.as_query(ReadFeatures(None, None, None, query_image)))

        given = [value.requires_grad_() for value in (key.image, key.patches, query.image)]
        assert torch.autograd.gradcheck(scores, given)

    def test_opposite_vectors_give_no_nan(self):
        """What the norms are of cancels, and rounding may make a variance negative."""
        direction = weighted(Direction(64), 0.1, 0.0)
        with torch.no_grad():
            direction.token_map.weight.copy_(-direction.class_map.weight)
            direction.token_map.bias.copy_(-direction.class_map.bias)
        image = 300 * torch.randn(50, 64)
        patches = image[:, None].expand(-1, 3, -1)
        query = direction.as_query(ReadFeatures(None, None, None, image))
        keys = [direction.as_key(ReadFeatures(None, None, None, each, patches)) for each in (image, 0 * image)]
        scores = torch.stack([direction(key, query) for key in keys])
        scores.sum().backward()
        assert scores.isfinite().all()
        assert all(parameter.grad.isfinite().all() for parameter in direction.parameters())

    def test_the_weights_of_the_two_directions_are_their_own(self):
        unit = VisionUnit(4)
        names = [set(dict(each.named_parameters())) for each in (unit.entity_to_mention, unit.mention_to_entity)]
        assert names[0] == names[1] and len(list(unit.parameters())) == 2 * len(names[0])
