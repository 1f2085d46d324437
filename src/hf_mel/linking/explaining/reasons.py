"""Reasons for an answer, as sentences. Each is computed from numbers; where a number is missing, there is no sentence."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...data.problems import listed
from ...names import normal_name
from ..linked_mention import LinkedEntity, LinkedMention
from .explanation import Explanation


@dataclass(frozen=True)
class Facts:
    """
    Numbers and names from which the sentences are written.

    Args:
        explanation ([`Explanation`]): The numbers, without sentences.
        linked ([`LinkedMention`]): The answer with all candidates.
        names (`list[list[str]]`): Name and aliases of each candidate.
        reranked (`bool`): Whether a reranker gave the scores.
    """

    explanation: Explanation
    linked: LinkedMention
    names: list[list[str]]
    reranked: bool

    @property
    def best(self) -> LinkedEntity:
        return self.linked.candidates[0]

    @property
    def second(self) -> LinkedEntity | None:
        return self.linked.candidates[1] if len(self.linked.candidates) > 1 else None


def reasons(facts: Facts) -> Iterator[str]:
    """The sentences, the most important first."""
    yield from _decision(facts)
    if facts.linked.candidates:
        for paragraph in (_names, _runner_up, _names_part, _reranker, _modalities, _gates, _without_picture, _words):
            yield from paragraph(facts)
    yield from _gold(facts)


def called(entity: LinkedEntity) -> str:
    """Name and id, by which entities of the same name are told apart."""
    return f"{entity.name} ({entity.entity_id})"


def apart(*values: float) -> list[str]:
    """Numbers with two decimals, or as many as it takes to see that they differ, at most six."""
    for decimals in range(2, 6):
        shown = [f"{value:.{decimals}f}" for value in values]
        if len(set(shown)) == len(set(values)):
            return shown
    return [f"{value:.6f}" for value in values]


# ---- The decision ----


def _decision(facts: Facts) -> Iterator[str]:
    linked, explanation = facts.linked, facts.explanation
    if not linked.candidates:
        yield "NIL: no entity is a candidate."
        return
    best = called(facts.best)
    tests = []
    if explanation.threshold is not None and linked.nil_probability is not None:
        tests.append(("the probability that a candidate is meant", 1 - linked.nil_probability, explanation.threshold))
    if explanation.score_threshold is not None:
        tests.append((f"the score of {best}", facts.best.score, explanation.score_threshold))
    failed = [test for test in tests if test[1] < test[2]]
    shown = [
        f"{name} is {apart(value, least)[0]}, {'below' if value < least else 'not below'} the threshold "
        f"{apart(value, least)[1]}"
        for name, value, least in (failed or tests)
    ]
    if linked.is_nil:
        yield f"NIL: {' and '.join(shown)}."
    elif linked.is_nil is False:
        yield f"Linked to {best}: {' and '.join(shown)}."
    else:
        yield (
            f"{best} ranks first with score {apart(facts.best.score)[0]}. Whether it fits at all is not decided: there are "
            "neither probabilities nor a threshold."
        )


def _runner_up(facts: Facts) -> Iterator[str]:
    best, second = facts.best, facts.second
    if second is None:
        yield f"{called(best)} is the only candidate."
        return
    if best.score == second.score:
        place = f"{called(second)} has exactly the same score: their order in the index decides"
    else:
        high, low = apart(best.score, second.score)
        margin = best.score - second.score
        behind = f"{margin:.2f}" if margin >= 0.005 else f"{margin:.1g}"
        place = f"{called(second)} comes second, {behind} behind ({low} against {high})"
    if best.probability is not None:
        place += f", with probability {' against '.join(reversed(apart(best.probability, second.probability)))}"
    yield f"{place}. {_confusion(facts)}"


def _confusion(facts: Facts) -> str:
    """Returns a sentence about what the first two candidates have in common."""
    first, second = (set(map(normal_name, names)) - {""} for names in facts.names[:2])
    types = sorted(set(facts.best.types) & set(facts.second.types))
    if normal_name(facts.best.name) == normal_name(facts.second.name):
        common = "Both have the same name"
    elif first & second:
        shared = next(name for name in facts.names[0] if normal_name(name) in second)
        common = f"Both are called {shared!r}"
    else:
        common = "Their names differ"
    if types:
        joint = "and" if common.startswith("Both") else "but they share"
        noun = "the type" if len(types) == 1 else "the types"
        return f"{common} {joint} {noun} {', '.join(types)}."
    if facts.best.types and facts.second.types:
        return f"{common} {'but their types differ' if common.startswith('Both') else 'and so do their types'}."
    return f"{common}."


def _names(facts: Facts) -> Iterator[str]:
    best, mention = facts.best, facts.linked.mention
    equal = [normal_name(mention) in map(normal_name, names) for names in facts.names]
    if best.matched_alias is None:
        yield f"No name of {called(best)} fits the mention {mention!r}."
    else:
        kind = "name" if best.matched_alias == best.name else "alias"
        if normal_name(best.matched_alias) == normal_name(mention):
            relation = "equals"
        else:
            relation = "contains" if normal_name(mention) in normal_name(best.matched_alias) else "is part of"
        yield f"Its {kind} {best.matched_alias!r} {relation} the mention."
    others = [called(each) for each, same in list(zip(facts.linked.candidates, equal, strict=True))[1:] if same]
    if others:
        verb = "has" if len(others) == 1 else "have"
        also = ", as well" if equal[0] else ""
        yield f"{listed(others, 3)} {verb} a name that equals the mention{also}."


def _names_part(facts: Facts) -> Iterator[str]:
    best, second = facts.best, facts.second
    if best.name_score is None or second is None or second.name_score is None:
        return
    first, other = apart(best.name_score, second.name_score)
    yield f"The names add {first} to the model's score of {called(best)}, and {other} to that of {called(second)}."
    without = [each.retrieval_score - each.name_score for each in (best, second)]
    if best.retrieval_score > second.retrieval_score and without[0] < without[1]:
        high, low = apart(without[1], without[0])
        yield f"Without the names {called(second)} would rank before it ({high} against {low})."


def _reranker(facts: Facts) -> Iterator[str]:
    if not facts.reranked:
        return
    scored = [each for each in facts.linked.candidates if each.retrieval_score is not None]
    first = max(scored, key=lambda each: each.retrieval_score, default=None)
    if first is not None and first.entity_id != facts.best.entity_id and facts.best.retrieval_score is not None:
        high, low = apart(first.retrieval_score, facts.best.retrieval_score)
        yield f"The model ranks {called(first)} first ({high} against {low}); the reranker decides otherwise."


# ---- The modalities ----


def _modalities(facts: Facts) -> Iterator[str]:
    if not facts.linked.has_image:
        return
    best, candidates = facts.best, facts.linked.candidates
    number = f"of the {len(candidates):,} candidates" if len(candidates) > 1 else ""
    for plural, other, score_of in (
        ("Texts", "pictures", lambda each: each.text_score),
        ("Pictures", "texts", lambda each: each.image_score),
    ):
        first = _first_by(candidates, score_of)
        if first is None or number == "":
            continue
        if score_of(best) is None:
            yield f"{called(best)} has no picture to compare; {plural.lower()} alone would rank {called(first)} first."
        elif first.entity_id == best.entity_id:
            yield f"{plural} alone rank {called(best)} first {number} as well ({apart(score_of(best))[0]})."
        else:
            high, low = apart(score_of(first), score_of(best))
            yield (
                f"{plural} alone would rank {called(first)} first {number} ({high} against {low}); together with the "
                f"{other} {called(best)} is ahead."
            )


def _first_by(candidates: tuple, score_of: Callable) -> LinkedEntity | None:
    return max((each for each in candidates if score_of(each) is not None), key=score_of, default=None)


def _gates(facts: Facts) -> Iterator[str]:
    weights = [("the mention", facts.linked.image_weight if facts.linked.has_image else None)]
    weights += [(called(each), each.image_weight) for each in (facts.best, facts.second) if each is not None]
    shown = [(name, weight) for name, weight in weights if weight is not None]
    if any(weight > 0 for _, weight in shown):
        yield f"Share of the picture in the embedding: {', '.join(f'{name} {weight:.0%}' for name, weight in shown)}."


def _without_picture(facts: Facts) -> Iterator[str]:
    other = facts.explanation.without_picture
    if other is None or other.best is None:
        return
    if other.entity_id is None:
        yield f"Without its picture the mention would be NIL; the best candidate would be {called(other.best)}."
    elif facts.linked.entity_id is None:
        yield f"Without its picture the mention would be linked to {called(other.best)}."
    elif other.entity_id != facts.linked.entity_id:
        against = ""
        if other.winner_score is not None:
            high, low = apart(other.best.score, other.winner_score)
            against = f" ({high} against {low} for {called(facts.best)})"
        yield f"Without its picture the mention would be linked to {called(other.best)}{against}."
    elif other.margin is not None and facts.linked.margin is not None:
        without, with_picture = apart(other.margin, facts.linked.margin)
        yield (
            f"Without its picture the mention would be linked to the same entity, {without} ahead of the runner-up "
            f"instead of {with_picture}."
        )


def _words(facts: Facts) -> Iterator[str]:
    explanation = facts.explanation
    for effect in explanation.words:
        if effect.entity_id != facts.linked.entity_id:
            to = "NIL" if effect.entity_id is None else f"{effect.name} ({effect.entity_id})"
            yield f"Without the word {effect.word!r} the answer would be {to}."


# ---- The gold entity ----


def _gold(facts: Facts) -> Iterator[str]:
    gold = facts.explanation.gold
    if gold is None:
        return
    entity = gold.candidate.entity
    if not gold.allowed:
        yield f"{called(entity)} could not win: `types` or `entity_ids` leave it out."
        return
    if facts.linked.candidates and entity.entity_id == facts.best.entity_id:
        yield f"{called(entity)}, which should win, {'ranks first but counts as NIL' if facts.linked.is_nil else 'ranks first'}."
        return
    behind = ""
    if gold.behind is not None and not (facts.reranked and not gold.considered):
        high, low = apart(facts.best.score, entity.score)
        behind = f" with {low} against {high} for {called(facts.best)}"
    if gold.considered:
        yield f"{called(entity)}, which should win, is in place {gold.candidate.rank}{behind}."
        yield from _gold_alone(facts, entity)
    else:
        rank = "beyond the first million" if gold.candidate.rank is None else f"in place {gold.candidate.rank:,}"
        yield (
            f"{called(entity)}, which should win, was no candidate ({len(facts.linked.candidates):,} compared): of "
            f"{gold.among:,} entities the model ranks it {rank}{behind}."
        )
    if entity.matched_alias is None:
        yield f"No name of {called(entity)} fits the mention {facts.linked.mention!r}."
    if facts.linked.has_image and entity.image_score is None and entity.text_score is not None:
        yield f"{called(entity)} has no picture to compare."


def _gold_alone(facts: Facts, entity: LinkedEntity) -> Iterator[str]:
    if not facts.linked.has_image:
        return
    for plural, score_of in (("Texts", lambda each: each.text_score), ("Pictures", lambda each: each.image_score)):
        own = score_of(entity)
        scores = [score_of(each) for each in facts.linked.candidates if score_of(each) is not None]
        if own is not None:
            place = 1 + sum(score > own for score in scores)
            yield f"{plural} alone would put {called(entity)} in place {place} of {len(scores):,} candidates."
