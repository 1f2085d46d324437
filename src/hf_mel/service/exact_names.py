"""An entity whose name is exactly what a cell says comes before entities with a longer name that contains it."""

from collections.abc import Sequence

from ..linking.linked_mention import LinkedEntity
from ..names import name_tokens, normal_name


def is_exact(mention: str, candidate: LinkedEntity) -> bool:
    """True if a name or alias of the candidate is the mention, by its normal form ([`normal_name`])."""
    return candidate.matched_alias is not None and normal_name(candidate.matched_alias) == normal_name(mention)


def is_longer(mention: str, candidate: LinkedEntity) -> bool:
    """True if a name of the candidate contains the words of the mention and more, and none is the mention itself."""
    if candidate.matched_alias is None or is_exact(mention, candidate):
        return False
    return len(name_tokens(normal_name(candidate.matched_alias))) > len(name_tokens(normal_name(mention)))


def exact_names_first(mention: str, candidates: Sequence[LinkedEntity]) -> list[tuple[LinkedEntity, bool]]:
    """
    Moves candidates with exactly this name before those with a longer name that contains it. One stays behind a longer name
    where both have a picture and that of the longer name fits the mention's picture better.

    Args:
        mention (`str`): The words of a cell.
        candidates (`Sequence[LinkedEntity]`): Candidates, best first.

    Returns:
        `list[tuple[LinkedEntity, bool]]`: the candidates in their new order, each with `True` if it was moved forward.

    Example:

    ```python
    >>> from hf_mel import LinkedEntity
    >>> from hf_mel.service.exact_names import exact_names_first

    >>> museum = LinkedEntity("Q2", "Vale Museum", "", score=0.6, matched_alias="Vale Museum")
    >>> vale = LinkedEntity("Q1", "Vale", "", score=0.4, matched_alias="Vale")
    >>> [candidate.entity_id for candidate, _ in exact_names_first("Vale", [museum, vale])]
    ['Q1', 'Q2']
    ```
    """
    placed: list[tuple[LinkedEntity, bool]] = []
    for candidate in candidates:
        place = len(placed)
        if is_exact(mention, candidate):
            for above in range(len(placed) - 1, -1, -1):
                other = placed[above][0]
                if not is_longer(mention, other):
                    continue
                if _picture_prefers(other, candidate):
                    break
                place = above
        placed.insert(place, (candidate, place < len(placed)))
    return placed


def _picture_prefers(first: LinkedEntity, second: LinkedEntity) -> bool:
    """True if both were compared with the mention's picture, and the first fits it better."""
    scores = first.image_score, second.image_score
    return None not in scores and scores[0] > scores[1]
