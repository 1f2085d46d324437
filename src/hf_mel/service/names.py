"""Entities by the beginning of a name, while a user types."""

import bisect
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ..names import fold, normal_name, token_starts


if TYPE_CHECKING:
    from ..linking import EntityIndex


class NameSearch:
    """
    Finds entities whose name or alias, or a word in it, begins with what a user has typed so far; both are folded
    ([`~hf_mel.names.fold`]). It is built again when the index has changed. One thread may use it.

    Args:
        index ([`EntityIndex`]): the entities.
    """

    def __init__(self, index: "EntityIndex"):
        self.index = index
        self._generation: int | None = None

    def rows(self, prefix: str, limit: int, skip: int = 0) -> list[int]:
        """
        Rows of living entities: that with this very id, then those with this very name, those whose name begins so, and
        those that have an alias or a word that begins so; each group in the order of the index.
        """
        folded = fold(prefix)
        if not folded:
            return []
        self._refresh()
        strings, owners, own_names = self._strings, self._owners, self._own_names
        string_of, offset_of = self._string_of, self._offset_of
        first, last = self._range(folded, strings, string_of, offset_of)
        found, offsets = string_of[first:last], offset_of[first:last]
        whole = np.fromiter((len(strings[i]) == len(folded) for i in found), dtype=bool, count=len(found))
        # 0: the whole string, 1: a name's beginning, 2: an alias's, 3: a word's
        rank = np.where(offsets > 0, 3, np.where(own_names[found], 1, 2))
        rank[whole & (offsets == 0)] = 0
        rows = owners[found]
        rows = rows[np.lexsort((rows, rank))]
        rows = list(dict.fromkeys(rows.tolist()))
        wanted = prefix.strip()
        if wanted in self.index:
            row = self.index.row(wanted)
            rows = [row, *(other for other in rows if other != row)]
        return rows[skip : skip + limit]

    def named(self, mention: str) -> list[int]:
        """Rows of living entities with exactly this name or alias, by its normal form ([`~hf_mel.names.normal_name`])."""
        wanted = normal_name(mention)
        if not wanted:
            return []
        self._refresh()
        strings, string_of, offset_of = self._strings, self._string_of, self._offset_of
        first, last = self._range(wanted, strings, string_of, offset_of)
        whole = string_of[first:last][offset_of[first:last] == 0]
        # The folded name, or what it begins with before a note in parentheses.
        rows = {int(self._owners[i]) for i in whole if strings[i] == wanted or strings[i].startswith(f"{wanted} ")}
        ordered = sorted(rows)
        names = zip(self.index.names(ordered), self.index.aliases(ordered), strict=True) if ordered else ()
        return [
            row
            for row, (name, aliases) in zip(ordered, names, strict=True)
            if any(normal_name(each) == wanted for each in [name, *aliases])
        ]

    def types(self) -> Counter[str]:
        """Types of living entities, and how many have each."""
        self._refresh()
        return self._types

    @staticmethod
    def _range(folded: str, strings: list[str], string_of: np.ndarray, offset_of: np.ndarray) -> tuple[int, int]:
        def beginning(place: int) -> str:
            offset = offset_of[place]
            return strings[string_of[place]][offset : offset + len(folded)]

        places = range(len(string_of))
        first = bisect.bisect_left(places, folded, key=beginning)
        return first, bisect.bisect_right(places, folded, lo=first, key=beginning)

    def _refresh(self) -> None:
        """A sorted list of all words of all names, each as a place in its name, so that the text is held once."""
        generation = self.index.generation
        if generation == self._generation:
            return
        living = np.flatnonzero(self.index.alive)
        names, aliases, types = (column(living) for column in (self.index.names, self.index.aliases, self.index.types))
        strings, owners, own_names = [], [], []
        for row, name, others in zip(living.tolist(), names, aliases, strict=True):
            for number, text in enumerate([name, *others]):
                strings.append(fold(text))
                owners.append(row)
                own_names.append(number == 0)
        starts = [(i, start) for i, text in enumerate(strings) for start in token_starts(text)]
        starts.sort(key=lambda start: (strings[start[0]][start[1] :], start))
        places = np.array(starts, dtype=np.int64).reshape(-1, 2)
        self._strings, self._owners = strings, np.array(owners, dtype=np.int64)
        self._own_names = np.array(own_names, dtype=bool)
        self._string_of, self._offset_of = places[:, 0].copy(), places[:, 1].copy()
        self._types = Counter(name for own in types for name in dict.fromkeys(own))
        self._generation = generation
