import numpy as np
import pytest

from hf_mel.names import LexicalIndex
from hf_mel.negatives import attribute_neighbours


NAMES = ["Robin Williams", "Serena Williams", "Robin Hood", "Franz Kafka", "Venus Wiliams"]


def test_a_surname_finds_those_who_share_it():
    found = LexicalIndex(NAMES).search(["Williams"], 5)[0][0].tolist()
    assert set(found[:2]) == {0, 1}
    assert found[2] == 4  # trigrams see through the misspelling
    assert 3 not in found


def test_an_alias_counts_once_and_with_the_best_name():
    aliases = [[], [], [], ["the author of the trial", "author of the castle"], []]
    found = LexicalIndex(NAMES, aliases).search(["author of the castle"], 5)[0][0].tolist()
    assert found[0] == 3 and found.count(3) == 1


def test_lexical_blocks_and_order_do_not_matter():
    mentions = ["Williams", "Robin", "Kafka", "Williams", "nobody"]
    whole = LexicalIndex(NAMES).search(mentions, 3)[0]
    assert (whole == LexicalIndex(NAMES).search(mentions, 3, block_size=1)[0]).all()
    assert (whole[::-1] == LexicalIndex(NAMES).search(mentions[::-1], 3)[0]).all()
    assert (whole[0] == whole[3]).all()
    assert (whole[4] == -1).all()


def test_equal_scores_in_the_order_of_the_entities():
    assert LexicalIndex(["Ann", "Ann", "Ann"]).search(["Ann"], 2)[0].tolist() == [[0, 1]]


def test_jaccard_by_hand():
    sets = [frozenset("abc"), frozenset("ab"), frozenset("abcd"), frozenset("cx"), frozenset("z"), frozenset("ab")]
    # With entity 0: 2/3, 3/4, 1/4, 0 and 2/3; ties in the order of the entities.
    assert attribute_neighbours(sets, np.array([0]), num_neighbours=5).tolist() == [[2, 1, 5, 3, -1]]


def test_jaccard_of_blocks():
    rng = np.random.default_rng(0)
    sets = [frozenset(rng.choice(8, rng.integers(0, 5), replace=False).tolist()) for _ in range(30)]
    whole = attribute_neighbours(sets, np.arange(30), num_neighbours=6)
    assert (whole == attribute_neighbours(sets, np.arange(30), num_neighbours=6, block_size=7)).all()
    for row in range(30):
        jaccard = [len(sets[row] & other) / max(len(sets[row] | other), 1) for other in sets]
        expected = sorted((-value, other) for other, value in enumerate(jaccard) if value > 0 and other != row)[:6]
        assert [other for other in whole[row].tolist() if other >= 0] == [other for _, other in expected]


def test_more_neighbours_than_entities():
    assert attribute_neighbours([frozenset("a"), frozenset("a")], np.array([1]), 4).tolist() == [[0, -1, -1, -1]]


# ---- The lexical index ----


def test_similarities_by_hand():
    """Equal to the only name: cosine 1 of the words and 1 of the trigrams."""
    rows, scores = LexicalIndex(["Ada"]).search(["Ada", "zzz"], k=2)
    assert rows.tolist() == [[0, -1], [-1, -1]]
    assert scores[0, 0] == pytest.approx(2.0) and np.isneginf(scores[0, 1]) and np.isneginf(scores[1]).all()


def test_only_allowed_entities_and_none_is_lost_by_it():
    index = LexicalIndex(["Ann", "Ann", "Ann", "Ann Lee"])
    allowed = np.array([False, False, True, True])
    assert index.search(["Ann"], k=2, allowed=allowed)[0].tolist() == [[2, 3]]
    assert index.search(["Ann"], k=2, allowed=~allowed)[0].tolist() == [[0, 1]]


def test_names_without_a_letter():
    rows, _ = LexicalIndex(["★", "☀"]).search(["★"], k=2)
    assert rows.tolist() == [[0, -1]]


@pytest.mark.parametrize(
    ("names", "mention", "best"),
    [
        (["Gödel Kurt", "Gondel", "Model"], "GODEL", 0),
        (["南京", "北京大学", "东京"], "北大", 1),
        (["กรุงเทพมหานคร", "เชียงใหม่", "นครปฐม"], "กรุงเทพ", 0),
        (["モスクワ", "スカイツリー", "タワー"], "東京ｽｶｲﾂﾘｰ", 1),
        (["दिल्ली", "दल", "दाल"], "दल", 1),
        (["תל אביב", "אביב"], "תֵּל־אָבִיב", 0),
        (["الإسكندرية", "القاهرة"], "القاهره", 1),
        (["Iğdır", "Iğdırlı"], "IĞDIR", 0),
    ],
)
def test_names_of_any_script(names, mention, best):
    assert LexicalIndex(names).search([mention], 1)[0].tolist() == [[best]]


def test_marks_do_not_part_words():
    """Else all words of Devanagari are single consonants, and these two share both of theirs."""
    _, scores = LexicalIndex(["कि", "रि"]).search(["रे"], 1)
    assert np.isneginf(scores).all()
