"""A small Wikidata in the format of its JSON dumps, with every quirk that the reader handles.

The format: https://github.com/wikimedia/mediawiki-extensions-Wikibase/blob/master/docs/topics/json.md
"""

import json
from pathlib import Path


PEOPLE = 180
"""Persons without quirks: Q10001 to Q10180. Their occupation, place of birth, sitelinks and picture follow from the number."""


def texts(**by_language: str) -> dict:
    """Labels or descriptions. `_` in a language code is a hyphen."""
    codes = {name.replace("_", "-"): text for name, text in by_language.items()}
    return {code: {"language": code, "value": text} for code, text in codes.items()}


def aliases(**by_language: list[str]) -> dict:
    return {code: [{"language": code, "value": text} for text in found] for code, found in by_language.items()}


def item(qid: str, labels: dict, sitelinks: int = 0, statements: dict | None = None, **parts) -> dict:
    """An item; empty parts are `[]`, as they are in dumps."""
    sites = {f"wiki{number}": {"site": f"wiki{number}", "title": qid, "badges": []} for number in range(sitelinks)}
    found = {
        "type": "item", "id": qid, "labels": labels, "descriptions": {}, "aliases": {}, "claims": statements or {},
        "sitelinks": sites, "lastrevid": 1,
    }  # fmt: skip
    return {name: value if value != {} else [] for name, value in (found | parts).items()}


def statement(kind: str | None, value=None, rank: str = "normal", snaktype: str = "value") -> dict:
    snak = {"snaktype": snaktype, "property": "P1", "datatype": "string"}
    if snaktype == "value":
        snak["datavalue"] = {"value": value, "type": kind}
    return {"mainsnak": snak, "type": "statement", "id": "q$1", "rank": rank}


def ref(qid: str, rank: str = "normal") -> dict:
    value = {"entity-type": "item", "numeric-id": int(qid[1:]), "id": qid}
    return statement("wikibase-entityid", value, rank)


def string(text: str, rank: str = "normal") -> dict:
    return statement("string", text, rank)


def time(text: str, precision: int = 11) -> dict:
    calendar = "http://www.wikidata.org/entity/Q1985727"
    value = {"time": text, "timezone": 0, "before": 0, "after": 0, "precision": precision, "calendarmodel": calendar}
    return statement("time", value)


def quantity(amount: str, unit: str = "1") -> dict:
    return statement("quantity", {"amount": amount, "unit": unit})


HUMAN, CITY, PAINTER, SCULPTOR, METRE = "Q5", "Q515", "Q1028181", "Q1281618", "Q11573"
PLACES = ("Q1741", "Q64")

TERMS = [
    item(HUMAN, texts(en="human", de="Mensch"), 3),
    item(CITY, texts(en="city", de="Stadt"), 3),
    item(PAINTER, texts(en="painter", de="Maler"), 2),
    item(SCULPTOR, texts(en="sculptor"), 2),  # no German label
    item(METRE, texts(en="metre", mul="m"), 1),
    item("Q1741", texts(en="Vienna", de="Wien"), 9, {"P31": [ref(CITY)]}),
    item("Q64", texts(mul="Berlin"), 9, {"P31": [ref(CITY)]}),
]
PROPERTIES = [
    {"type": "property", "datatype": "wikibase-item", "id": "P106", "labels": texts(en="occupation", de="Tätigkeit")},
    {"type": "property", "datatype": "wikibase-item", "id": "P19", "labels": texts(en="place of birth")},
    {"type": "property", "datatype": "time", "id": "P569", "labels": texts(en="date of birth", de="Geburtsdatum")},
    {"type": "property", "datatype": "quantity", "id": "P2048", "labels": texts(fr="hauteur")},
]

LEONARDO = item(
    "Q762",
    texts(en="Leonardo da Vinci", de="Leonardo", fr="Léonard", mul="Leonardo di ser Piero"),
    2,
    {
        "P31": [ref(HUMAN), ref("Q99999", "deprecated")],
        # Preferred statements win; one value stands twice.
        "P106": [ref(PAINTER, "preferred"), ref("Q1", "normal"), ref(SCULPTOR, "preferred"), ref(PAINTER, "preferred")],
        "P19": [statement(None, snaktype="somevalue"), ref("Q404404")],  # a place that is not in the dump
        "P569": [time("+1452-04-15T00:00:00Z"), statement(None, snaktype="novalue")],
        "P18": [string("Old one.jpg", "deprecated"), string("Leonardo & self.jpg"), string("Second.jpg")],
        "P2048": [quantity("+1.75", "http://www.wikidata.org/entity/Q11573"), quantity("-3"), statement("new-type", {})],
        "P1559": [statement("monolingualtext", {"text": "Leonardo\nda  Vinci", "language": "it"})],
        "P625": [statement("globecoordinate", {"latitude": 43.78333333, "longitude": "10.916667", "precision": None})],
    },
    descriptions=texts(en="Italian polymath", fr="peintre"),
    aliases=aliases(en=["Da Vinci", "Leonardo"], de=["Lionardo"], fr=["Vinci"], mul=["L. da Vinci", "Da Vinci"]),
)  # fmt: skip
CAESAR = item(
    "Q1048",
    texts(mul="Gaius Iulius Caesar"),
    1,
    {
        # As in dumps of before 2017: a number in place of the id.
        "P31": [statement("wikibase-entityid", {"entity-type": "item", "numeric-id": 5})],
        "P569": [time("-0100-07-12T00:00:00Z"), time("+00000001950-00-00T00:00:00Z", 8), time("+1952")],
    },
)
# None of these is kept. The comment says as what it is counted.
LEFT_OUT = [
    item("Q20001", {}, 5),  # no_label
    item("Q20002", texts(fr="seulement français"), 5),  # language
    {"type": "lexeme", "id": "L7", "lemmas": texts(en="first"), "claims": []},  # lexeme
    {"type": "mediainfo", "id": "M9", "labels": [], "statements": []},  # other_kind
    {"entity": "Q20003", "redirect": "Q762"},  # redirect
    {"id": "Q20004", "missing": ""},  # missing
    {"batchcomplete": ""},  # not_an_entity
    item("Q20005", {"en": "no object"}),  # malformed
    item("Q762", texts(en="a second Leonardo")),  # duplicate
]
BAD_LINES = ['{"type": "item", "id": "Q30001", "labels"', "42"]


def person(number: int) -> dict:
    """German names for the even ones only, a description for every third, a picture for every fourth."""
    statements = {
        "P31": [ref(HUMAN)],
        "P106": [ref((PAINTER, SCULPTOR)[number % 2])],
        "P19": [ref(PLACES[number % 2])],
        "P569": [time(f"+{1400 + number}-01-01T00:00:00Z")],
    }
    if number % 4 == 0:
        statements["P18"] = [string(f"Person {number}.jpg")]
    labels = texts(en=f"Person {number}") | (texts(de=f"Mensch Nummer {number}") if number % 2 == 0 else {})
    described = {"descriptions": texts(en=f"the {number}th person")} if number % 3 == 0 else {}
    return item(f"Q{10000 + number}", labels, number % 6, statements, **described)


def entities() -> list[dict]:
    """All records in the order of the dump. Labels of values come before and after the entities that need them."""
    people = [person(number) for number in range(1, PEOPLE + 1)]
    return [*people[:60], LEONARDO, *PROPERTIES, *people[60:], CAESAR, *TERMS, *LEFT_OUT]


def dump_text() -> str:
    """The array with one entity a line; one line is cut off and one is no object."""
    lines = [json.dumps(entity, ensure_ascii=number % 2 == 0) for number, entity in enumerate(entities())]
    lines[100:100] = BAD_LINES[:1]
    lines.append(BAD_LINES[1])
    return "[\n" + ",\n".join(lines) + "\n]\n"


def write_dump(path: Path) -> Path:
    path.write_text(dump_text(), encoding="utf-8")
    return path
