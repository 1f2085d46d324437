"""Entities by the beginning of a name."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mel.names import fold
from hf_mel.service.names import NameSearch
from tests.service.common import FakeIndex


def ids(search, prefix, limit=10, skip=0):
    return [search.index.ids[row] for row in search.rows(prefix, limit, skip)]


def test_order():
    search = NameSearch(FakeIndex())
    assert ids(search, "paris") == ["Q1", "Q2", "Q3", "Q4"], "the very name, names that begin so, an alias"
    assert ids(search, "PARIS TX") == ["Q3"]
    assert ids(search, "city") == ["Q1"], "of an alias"
    assert ids(search, "île") == ids(search, "FRANCE") == ["Q4"]
    assert ids(search, "ile de fr") == ["Q4"], "typed without accents and hyphens"
    assert ids(search, "Q3") == ["Q3"] and ids(search, "q3") == []
    assert ids(search, "hil") == ["Q2"] and ids(search, "ilton") == []
    assert ids(search, "") == ids(search, "  ") == ids(search, "zzz") == []
    assert ids(search, "paris", limit=2) == ["Q1", "Q2"] and ids(search, "paris", limit=2, skip=3) == ["Q4"]
    assert "ghost" not in search.types() and search.types()["city"] == 2


def test_the_exact_name():
    rows = [("a", "Vale", [], "", []), ("b", "Vale (river)", [], "", []), ("c", "Vale Museum", ["VALE"], "", [])]
    search = NameSearch(FakeIndex([*rows, ("d", "Vale Road", ["Valence"], "", [])]))
    assert search.named("vale") == search.named("Vale (town)") == [0, 1, 2]
    assert search.named("Vale Museum") == [2] and search.named("Val") == search.named("") == []
    assert NameSearch(FakeIndex()).named("Parish removed") == []


def test_the_very_name_comes_first():
    rows = [("a", "Vale", ["the rest"], "", []), ("b", "Ada Vale", [], "", []), ("c", "Valence", ["Val"], "", [])]
    search = NameSearch(FakeIndex([("z", "Valentine", [], "", []), *rows]))
    assert ids(search, "vale") == ["a", "z", "c", "b"]
    assert ids(search, "val") == ["c", "z", "a", "b"], "an alias may be the very name too"


def test_removed_entities_are_not_offered_and_changes_are_seen():
    index = FakeIndex()
    search = NameSearch(index)
    assert "Q9" not in ids(search, "parish")
    index.alive = index.alive | True
    assert "Q9" not in ids(search, "parish"), "the same generation"
    index.generation += 1
    assert ids(search, "parish") == ["Q9"] and search.types()["ghost"] == 1


def test_no_entity():
    assert NameSearch(FakeIndex([])).rows("a", 5) == []


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(
    st.lists(st.tuples(st.text("aAbß -", max_size=6), st.text("aAbß -", max_size=4)), max_size=8),
    st.text("aAbß ", max_size=3),
)
def test_it_is_a_plain_search(names, prefix):
    """Against a search that looks at every name."""
    index = FakeIndex([(f"id{number}", name, [alias], "", []) for number, (name, alias) in enumerate(names)])
    folded = fold(prefix)

    def fits(text):
        text = fold(text)
        starts = [i for i in range(len(text)) if text[i] != " " and (i == 0 or text[i - 1] == " ")]
        return any(text.startswith(folded, start) for start in starts)

    expected = {id for id, name, (alias,), _, _ in index.rows[:-1] if folded and (fits(name) or fits(alias))}
    found = ids(NameSearch(index), prefix, limit=100)
    assert set(found) == expected and len(found) == len(expected)
