"""Results as linked data: annotations in the vocabulary of the W3C (https://www.w3.org/TR/annotation-vocab/)."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote


OA = "http://www.w3.org/ns/oa#"
RDF_NS = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
ITSRDF = "http://www.w3.org/2005/11/its/rdf#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
DCTYPES = "http://purl.org/dc/dcmitype/"
XSD = "http://www.w3.org/2001/XMLSchema#"

# The names that the context of the W3C gives them, for those that are used here, so that nothing has to be fetched.
CONTEXT = {
    "oa": OA,
    "rdf": RDF_NS,
    "rdfs": RDFS,
    "itsrdf": ITSRDF,
    "skos": SKOS,
    "dctypes": DCTYPES,
    "xsd": XSD,
    "id": "@id",
    "type": "@type",
    "Annotation": "oa:Annotation",
    "SpecificResource": "oa:SpecificResource",
    "TextPositionSelector": "oa:TextPositionSelector",
    "TextQuoteSelector": "oa:TextQuoteSelector",
    "TextualBody": "oa:TextualBody",
    "Text": "dctypes:Text",
    "motivation": {"@id": "oa:motivatedBy", "@type": "@vocab"},
    "purpose": {"@id": "oa:hasPurpose", "@type": "@vocab"},
    "identifying": "oa:identifying",
    "classifying": "oa:classifying",
    "body": {"@id": "oa:hasBody", "@type": "@id"},
    "target": {"@id": "oa:hasTarget", "@type": "@id"},
    "source": {"@id": "oa:hasSource", "@type": "@id"},
    "selector": {"@id": "oa:hasSelector", "@type": "@id"},
    "start": {"@id": "oa:start", "@type": "xsd:nonNegativeInteger"},
    "end": {"@id": "oa:end", "@type": "xsd:nonNegativeInteger"},
    "exact": "oa:exact",
    "prefix": "oa:prefix",
    "suffix": "oa:suffix",
    "value": "rdf:value",
    "label": "rdfs:label",
    "closeMatch": {"@id": "skos:closeMatch", "@type": "@id"},
    "confidence": {"@id": "itsrdf:taConfidence", "@type": "xsd:double"},
}

_AROUND = 32
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|urn:[A-Za-z0-9]")
_FORBIDDEN = re.compile(r'[\x00-\x20<>"{}|\\^`\x7f-\x9f]')
_NO_STEP = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:@-]")
_FOUND = re.compile(r"#[0-9]+\Z")


@dataclass(frozen=True)
class RdfNames:
    """
    IRIs of annotations, entities and texts.

    Args:
        base_iri (`str`):
            Where the names of annotations begin, an IRI of one's own such as `"https://example.org/links/"`.
        entity_iri (`str`, *optional*):
            The IRI of an entity, with `{id}` for its id, such as `"http://www.wikidata.org/entity/{id}"`. An id that is an
            IRI stays as it is. Defaults to `entity/{id}` below `base_iri`.
        source_iri (`str`, *optional*):
            The IRI of a text, with `{id}` for the id of the row, or without for rows of one document. Defaults to
            `text/{id}` below `base_iri`.
        found (`bool`, *optional*, defaults to `False`):
            Whether the mentions were found in the texts of rows, whose ids theirs continue with `#` and a number.

    Raises:
        `ValueError`: what is no IRI, or an `entity_iri` without `{id}`.

    Example:

    ```python
    >>> from hf_mel.linking.batch import RdfNames

    >>> names = RdfNames("https://example.org/links/", "http://www.wikidata.org/entity/{id}")
    >>> names.entity("Q42"), names.annotation("m 1")
    ('http://www.wikidata.org/entity/Q42', 'https://example.org/links/annotation/m%201')
    ```
    """

    base_iri: str
    entity_iri: str | None = None
    source_iri: str | None = None
    found: bool = False

    def __post_init__(self):
        for name in ("base_iri", "entity_iri", "source_iri"):
            given = getattr(self, name)
            plain = (given or "").replace("{id}", "1") if name != "base_iri" else given
            if given is not None and (not _IRI.match(given) or _FORBIDDEN.search(plain)):
                raise ValueError(f"{name} {given!r} is no IRI: begin with a scheme, such as https://, without spaces")
        if self.entity_iri is not None and "{id}" not in self.entity_iri:
            raise ValueError(f"entity_iri {self.entity_iri!r} has no {{id}}: all entities would be the same")

    def annotation(self, mention_id: str) -> str:
        """The IRI of what is said about a mention."""
        return f"{self.base_iri}annotation/{escaped(mention_id)}"

    def entity(self, entity_id: str) -> str:
        """The IRI of an entity."""
        if _IRI.match(entity_id):
            return _FORBIDDEN.sub(lambda found: quote(found[0]), entity_id)
        return (self.entity_iri or f"{self.base_iri}entity/{{id}}").replace("{id}", escaped(entity_id))

    def text(self, mention_id: str) -> str:
        """The IRI of the text in which a mention stands; mentions that were found in one row share it."""
        row = _FOUND.sub("", mention_id) if self.found else mention_id
        return (self.source_iri or f"{self.base_iri}text/{{id}}").replace("{id}", escaped(row))

    @property
    def one_text_a_row(self) -> bool:
        """`True` if each row has a text with an IRI of its own."""
        return self.source_iri is None or "{id}" in self.source_iri


def escaped(text: str) -> str:
    """An id as one step of a path. Letters of any script stay, as an IRI may have them."""

    def kept(found: re.Match) -> str:
        return found[0] if found[0] > "\x9f" and found[0].isprintable() else quote(found[0], safe="")

    return _NO_STEP.sub(kept, text)


def annotation(result: dict, names: RdfNames) -> dict:
    """
    A result as an object of JSON-LD with the names of `CONTEXT`.

    An entity is the body of an annotation with the motivation `identifying`. NIL is one with the motivation `classifying`
    and the text "NIL" for a body. `confidence` is the calibrated probability of that which is said. Offsets are in
    characters (code points), as the vocabulary wants them. A mention that does not stand in its text has no selector, and
    in all cases is the label of the annotation. Where a prediction set was asked for, its entities are the `closeMatch`
    (`skos:closeMatch`) of the target, the mention: one of these, or NIL where it is in the set.
    """
    name = names.annotation(result["id"])
    nil = result["entity_id"] is None
    said: dict = {"id": name, "type": "Annotation", "label": result["mention"]}
    if nil:
        said["motivation"] = "classifying"
        said["body"] = {"id": f"{name}#nil", "type": "TextualBody", "value": "NIL", "purpose": "classifying"}
    else:
        said["motivation"] = "identifying"
        said["body"] = names.entity(result["entity_id"])
    probability = result["nil_probability" if nil else "probability"]
    if probability is not None:
        said["confidence"] = repr(probability)
    source: dict = {"id": names.text(result["id"])}
    if names.one_text_a_row:
        source |= {"type": "Text", "value": result["text"]}
    said["target"] = {"id": f"{name}#target", "type": "SpecificResource", "source": source}
    close = [names.entity(each) for each in result.get("prediction_set") or () if each is not None]
    if close:
        said["target"]["closeMatch"] = close
    if result["start"] is not None:
        said["target"]["selector"] = _selectors(name, result["text"], result["start"], result["end"])
    return said


def _selectors(name: str, text: str, start: int, end: int) -> list[dict]:
    return [
        {"id": f"{name}#position", "type": "TextPositionSelector", "start": start, "end": end},
        {
            "id": f"{name}#quote",
            "type": "TextQuoteSelector",
            "exact": text[start:end],
            "prefix": text[max(start - _AROUND, 0) : start],
            "suffix": text[end : end + _AROUND],
        },
    ]


def write_json_ld(results: Iterable[dict], path: Path, names: RdfNames | None = None) -> None:
    """One document whose context is in it, an annotation a line."""
    context = json.dumps(CONTEXT, ensure_ascii=False)
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(f'{{"@context": {context},\n"@graph": [')
        between = "\n"
        for result in results:
            file.write(f"{between}{json.dumps(annotation(result, _given(names)), ensure_ascii=False)}")
            between = ",\n"
        file.write("\n]}\n")


def write_n_triples(results: Iterable[dict], path: Path, names: RdfNames | None = None) -> None:
    """A line a triple: those of a mention together, sorted, in the order of the mentions. There are no blank nodes."""
    rdflib = import_rdflib()
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for result in results:
            graph = rdflib.Graph()
            for subject, predicate, value in _triples(annotation(result, _given(names))):
                term = rdflib.URIRef(value[0]) if value[1] == "@id" else _literal(rdflib, *value)
                graph.add((rdflib.URIRef(subject), rdflib.URIRef(predicate), term))
            lines = graph.serialize(format="nt", encoding="utf-8").decode().split("\n")
            file.writelines(f"{line}\n" for line in sorted(filter(None, lines)))


def import_rdflib():
    """
    rdflib, which writes the terms.

    Raises:
        `ImportError`: it is not there.
    """
    try:
        import rdflib
    except ImportError as error:
        raise ImportError('N-Triples need rdflib: pip install "hf-mel[rdf]"') from error
    return rdflib


def _literal(rdflib, value: str, datatype: str | None):
    # Not normalized: the file says what the results say.
    return rdflib.Literal(value, datatype=rdflib.URIRef(datatype) if datatype else None, normalize=False)


def _triples(node: dict) -> Iterator[tuple[str, str, tuple[str, str | None]]]:
    """An object with the names of `CONTEXT` as triples: subject, predicate, and value with `"@id"` or its datatype."""
    for key, value in node.items():
        if key == "id":
            continue
        term = CONTEXT[key]
        predicate = f"{RDF_NS}type" if key == "type" else _full(term if isinstance(term, str) else term["@id"])
        kind = "@vocab" if key == "type" else term.get("@type") if isinstance(term, dict) else None
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield node["id"], predicate, (each["id"], "@id")
                yield from _triples(each)
            elif kind == "@vocab":
                yield node["id"], predicate, (_full(CONTEXT[each]), "@id")
            elif kind == "@id":
                yield node["id"], predicate, (each, "@id")
            else:
                yield node["id"], predicate, (str(each), _full(kind) if kind else None)


def _full(name: str) -> str:
    prefix, _, rest = name.partition(":")
    return f"{CONTEXT[prefix]}{rest}"


def _given(names: RdfNames | None) -> RdfNames:
    if names is None:
        raise ValueError("RDF needs names: pass `rdf`, with an IRI of your own where those of annotations begin")
    return names
