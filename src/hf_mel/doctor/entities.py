"""Checks of the knowledge base: names, ids and texts."""

from collections import Counter, defaultdict

from ..data import KnowledgeBase
from ..data.problems import listed
from .findings import Findings, Tally
from .texts import normal_name


_SHOWN = 4


def check_entities(kb: KnowledgeBase, findings: Findings) -> None:
    """Entities that cannot be told apart, or hardly. (Equal ids and empty names are refused when a KB is made.)"""
    _check_ids(kb, findings)
    _check_names(kb, findings)
    _check_identity(kb, findings)
    bare = Tally("entities_without_text", "entities")
    both = zip(kb.ids, kb.names(), *(kb.dataset[name][:] for name in ("attributes", "description")), strict=True)
    for entity_id, name, *texts in both:
        if not any((text or "").strip() for text in texts):
            bare.hit("entities", None, entity_id, name)
    findings.close(bare, len(kb))


def _check_ids(kb: KnowledgeBase, findings: Findings) -> None:
    tally = Tally("similar_entity_ids", "entities")
    for ids in _groups(kb.ids, map(normal_name, kb.ids)):
        tally.hit("entities", None, ids[0], ", ".join(ids), len(ids))
    findings.close(tally, len(kb))


def _check_names(kb: KnowledgeBase, findings: Findings) -> None:
    """Two counts that do not overlap in what they say: names that are equal, and names that become so."""
    names = kb.names()
    equal, normalised = Tally("duplicate_names", "entities"), Tally("names_equal_normalised", "entities")
    of_name = dict(zip(kb.ids, names, strict=True))
    for ids in sorted(_groups(kb.ids, names), key=len, reverse=True):
        equal.hit(
            "entities", None, ids[0], f"{of_name[ids[0]]!r}: {len(ids)} entities ({listed(ids, _SHOWN)})", len(ids)
        )
        equal.detail("names")
    for ids in _groups(kb.ids, map(normal_name, names)):
        spellings = Counter(of_name[entity_id] for entity_id in ids)
        if len(spellings) > 1:
            normalised.hit(
                "entities", None, ids[0], f"{listed(map(repr, spellings), _SHOWN)} ({listed(ids, _SHOWN)})", len(ids)
            )
            normalised.detail("names")
    findings.close_all((equal, normalised), len(kb))


def _check_identity(kb: KnowledgeBase, findings: Findings) -> None:
    tally = Tally("identical_entities", "entities")
    names, texts = dict(zip(kb.ids, kb.names(), strict=True)), dict(zip(kb.ids, kb.texts(), strict=True))
    for ids in _groups(kb.ids, kb.identity.tolist()):
        tally.hit("entities", None, ids[0], f"{listed(ids, _SHOWN)}: {names[ids[0]]!r}, {texts[ids[0]]!r}", len(ids))
        tally.detail("groups")
    findings.close(tally, len(kb))


def _groups(ids: list[str], keys) -> list[list[str]]:
    """Ids that share a key with another, in order of appearance."""
    groups = defaultdict(list)
    for entity_id, key in zip(ids, keys, strict=True):
        groups[key].append(entity_id)
    return [group for group in groups.values() if len(group) > 1]
