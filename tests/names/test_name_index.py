"""Features of pairs of mentions and entities from their names."""

import random

import numpy as np
import pytest
import torch

from hf_mel.models import PAIR_FEATURES
from hf_mel.names import NameIndex, name_tokens, normal_name
from hf_mel.names.normal_form import acronym_of, initials_of


NAMES = ["Robin Williams", "Serena Williams", "IBM", "Bat (animal)", "!!!", "毛泽东", "United Nations"]
ALIASES = [[], ["Williams", "Serena"], ["International Business Machines", "Big Blue"], [], [], ["毛主席"], ["UNO"]]
WORDS = ["ada", "Ada", "Vale", "van", "der", "AV", "VD", "(x)", "Stone", "北", "京", "UN", "Ünder", ".", "A.V."]


def features_of(mention: str, name: str, aliases: list[str]) -> list[float]:
    """The definition, pair by pair."""
    wanted, rows = set(name_tokens(normal_name(mention))), []
    for number, other in enumerate([name, *aliases]):
        own = set(name_tokens(normal_name(other)))
        same = normal_name(mention) == normal_name(other) != ""
        shared = len(wanted & own)
        acronym = acronym_of(mention) in initials_of(other) or acronym_of(other) in initials_of(mention)
        rows.append(
            [
                same and number == 0,
                same and number > 0,
                shared / max(len(wanted), 1),
                shared / max(len(own), 1),
                bool(wanted) and wanted <= own,
                acronym,
            ]
        )
    return np.max(np.array(rows, dtype=np.float32), axis=0).tolist()


@pytest.mark.parametrize(
    ("mention", "row", "expected"),
    [
        ("Robin Williams", 0, [1, 0, 1, 1, 1, 0]),
        ("robin  WILLIAMS", 0, [1, 0, 1, 1, 1, 0]),
        ("Williams", 0, [0, 0, 1, 0.5, 1, 0]),
        ("Williams", 1, [0, 1, 1, 1, 1, 0]),
        ("Robin Hood", 0, [0, 0, 0.5, 0.5, 0, 0]),
        ("Robin Hood", 1, [0, 0, 0, 0, 0, 0]),
        ("Serena Jameka Williams", 1, [0, 0, np.float32(2 / 3), 1, 0, 0]),
        ("International Business Machines", 2, [0, 1, 1, 1, 1, 1]),
        ("I.B.M.", 2, [0, 0, 0, 0, 0, 1]),
        ("BB", 2, [0, 0, 0, 0, 0, 1]),
        ("bb", 2, [0, 0, 0, 0, 0, 0]),
        ("Big", 2, [0, 0, 1, 0.5, 1, 0]),
        ("bat", 3, [1, 0, 1, 1, 1, 0]),
        ("!!!", 4, [1, 0, 1, 1, 1, 0]),
        ("毛", 5, [0, 0, 1, np.float32(1 / 3), 1, 0]),
        ("U.N.", 6, [0, 0, 0, 0, 0, 1]),
    ],
)
def test_features_by_hand(mention, row, expected):
    found = NameIndex(NAMES, ALIASES).features([mention]).at(torch.tensor([[row]]))
    assert found[0, 0].tolist() == expected


def random_name(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randrange(1, 4)))


@pytest.mark.parametrize("seed", range(3))
def test_sparse_and_dense_features_are_those_of_the_definition(seed):
    draw = random.Random(seed)
    names = [random_name(draw) for _ in range(30)]
    aliases = [[random_name(draw) for _ in range(draw.randrange(3))] for _ in names]
    mentions = [random_name(draw) for _ in range(20)] + ["nothing", "", "()"]
    index = NameIndex(names, aliases)
    features = index.features(mentions)
    expected = torch.tensor([[features_of(m, n, a) for n, a in zip(names, aliases, strict=True)] for m in mentions])
    assert torch.equal(features.with_all(torch.arange(len(names))), expected)
    # Held are the pairs that have any, in order, and each number lies in [0, 1].
    assert features.keys.tolist() == expected.any(dim=-1).flatten().nonzero().flatten().tolist()
    assert features.values.min() >= 0 and features.values.max() <= 1
    # A mention gets the same alone as among others; equal ones get the same.
    for number, mention in enumerate(mentions):
        assert torch.equal(index.features([mention]).with_all(torch.arange(len(names)))[0], expected[number])
    rows = torch.tensor([[draw.randrange(-1, len(names)) for _ in range(5)] for _ in mentions])
    taken = torch.where((rows < 0)[..., None], 0, expected[torch.arange(len(mentions))[:, None], rows])
    assert torch.equal(features.at(rows), taken)


def test_weighted_is_sparse_and_the_same_to_the_last_bit():
    features = NameIndex(NAMES, ALIASES).features(["Williams", "unknown", "IBM"])
    weights = torch.tensor([0.3, 0.2, 0.1, 0.05, 0.7, 0.11])
    weighted = features.weighted(lambda values: values @ weights)
    assert weighted.shape == (3, len(NAMES)) and weighted.nnz == len(features.keys) < 3 * len(NAMES)
    dense = features.with_all(torch.arange(len(NAMES))) @ weights
    torch.testing.assert_close(torch.from_numpy(weighted.toarray()), dense)


def test_nothing_to_compare():
    none = NameIndex([]).features(["Ada"])
    assert none.with_all(torch.zeros(0, dtype=torch.long)).shape == (1, 0, len(PAIR_FEATURES))
    assert none.weighted(lambda values: values[:, 0]).shape == (1, 0)
    assert NameIndex(NAMES).features([]).at(torch.zeros(0, 2, dtype=torch.long)).shape == (0, 2, len(PAIR_FEATURES))
