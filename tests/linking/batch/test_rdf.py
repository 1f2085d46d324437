"""Linked data: valid, the same in both forms, and honest about NIL."""

import json

import pytest

from hf_mel.linking import MentionQuery, Span
from hf_mel.linking.batch import WRITERS, RdfNames, TableInput, link_file
from hf_mel.linking.batch.formats.rdf import escaped
from tests.linking.batch.common import FakeLinker, write_lines


rdflib = pytest.importorskip("rdflib")
from rdflib.compare import isomorphic  # noqa: E402
from rdflib.namespace import RDF, RDFS  # noqa: E402


OA = rdflib.Namespace("http://www.w3.org/ns/oa#")
DOUBLE, WHOLE = (
    rdflib.URIRef(f"http://www.w3.org/2001/XMLSchema#{name}") for name in ("double", "nonNegativeInteger")
)
CONFIDENCE = rdflib.URIRef("http://www.w3.org/2005/11/its/rdf#taConfidence")
NAMES = RdfNames("https://example.org/", "http://www.wikidata.org/entity/{id}")
BASE = "https://example.org/annotation/"


def result(text="Here is Ann.", mention="Ann", name="1", start=None, **changes) -> dict:
    linked = FakeLinker()._linked(MentionQuery(mention, text, start, id=name), 1)
    return json.loads(linked.to_json()) | changes


def graphs(results, tmp_path, names=NAMES):
    found = []
    for form, parser in (("nt", "nt"), ("jsonld", "json-ld")):
        WRITERS[form](results, tmp_path / f"out.{form}", names)
        found.append(rdflib.Graph().parse(tmp_path / f"out.{form}", format=parser))
    return found


def test_both_forms_say_the_same_of_anything(tmp_path):
    nasty = ['"\\ \\u0041 \\" ', "a\nb\r\nc\rd", "\U0001f600\u2028\x85", "<b>\x1f</b>", "{@id: x}", "\u0627\u0644"]
    results = [result(f"{text} and {text}", text, f"m {number}", len(text) + 5) for number, text in enumerate(nasty)]
    results += [
        result("Nil here", "Nil", "nil"),
        result(name="no probability", probability=None, nil_probability=None),
        result(name="small", probability=1e-06),
        result("Nobody.", name="nowhere"),
        result("A b.", "A", "a/b?c#d%20<e>"),
        result(name="http://example.org/x"),
    ]
    triples, document = graphs(results, tmp_path)
    assert isomorphic(triples, document) and len(triples) > 150
    said = {str(value) for value in triples.objects(None, OA.exact)}
    assert said >= {text for text in nasty} - {"a\nb\r\nc\rd"}
    assert all(isinstance(node, rdflib.URIRef) for node in triples.subjects()), "no blank nodes"
    assert (tmp_path / "out.nt").read_bytes().count(b"\n") == len(triples)


def test_the_entities_of_a_prediction_set_are_close_matches_of_the_mention(tmp_path):
    chosen = {"one": ["Ann/0", None, "Ann/1"], "nil": [None], "none": None}
    for graph in graphs([result(name=name, prediction_set=value) for name, value in chosen.items()], tmp_path):
        found = {
            (str(mention), str(entity)) for mention, entity in graph.subject_objects(rdflib.namespace.SKOS.closeMatch)
        }
        entity = "http://www.wikidata.org/entity/Ann%2F"
        assert found == {(f"{BASE}one#target", f"{entity}{number}") for number in (0, 1)}


def test_what_is_said_of_an_entity(tmp_path):
    graph, _ = graphs([result("\U0001f600 Ann saw Ann.", "Ann", "1", 10)], tmp_path)
    node = rdflib.URIRef(f"{BASE}1")
    assert graph.value(node, RDF.type) == OA.Annotation and graph.value(node, OA.motivatedBy) == OA.identifying
    assert graph.value(node, OA.hasBody) == rdflib.URIRef("http://www.wikidata.org/entity/Ann%2F0")
    assert graph.value(node, CONFIDENCE) == rdflib.Literal(repr(2 / 3), datatype=DOUBLE)
    target = graph.value(node, OA.hasTarget)
    source = graph.value(target, OA.hasSource)
    assert source == rdflib.URIRef("https://example.org/text/1")
    text = str(graph.value(source, RDF.value))
    position, quote = (
        next(graph.subjects(RDF.type, kind)) for kind in (OA.TextPositionSelector, OA.TextQuoteSelector)
    )
    start, end = (graph.value(position, each) for each in (OA.start, OA.end))
    assert start.datatype == WHOLE and text[int(start) : int(end)] == "Ann" and int(start) == 10
    prefix, exact, suffix = (str(graph.value(quote, each)) for each in (OA.prefix, OA.exact, OA.suffix))
    assert prefix + exact + suffix == text and prefix == "\U0001f600 Ann saw "


def test_nil_is_written_and_has_no_entity(tmp_path):
    graph, _ = graphs([result("Nil was here", "Nil", "1")], tmp_path)
    node = rdflib.URIRef(f"{BASE}1")
    assert graph.value(node, OA.motivatedBy) == OA.classifying
    body = graph.value(node, OA.hasBody)
    assert graph.value(body, RDF.type) == OA.TextualBody and str(graph.value(body, RDF.value)) == "NIL"
    assert "wikidata" not in (tmp_path / "out.nt").read_text()
    assert graph.value(node, CONFIDENCE) == rdflib.Literal(repr(1 / 7), datatype=DOUBLE)


def test_a_mention_that_stands_nowhere_has_a_label_and_no_selector(tmp_path):
    graph, _ = graphs([result("Nobody.", "Ann", "1")], tmp_path)
    assert not list(graph.triples((None, OA.hasSelector, None)))
    assert str(graph.value(rdflib.URIRef(f"{BASE}1"), RDFS.label)) == "Ann"


def test_mentions_of_one_row_share_its_text(tmp_path):
    table = write_lines(tmp_path / "in.jsonl", [{"id": "r", "text": "Ann saw Bo"}, {"id": "s", "text": "Ann saw Bo"}])
    find = lambda texts: [[Span(0, 3, "Ann"), Span(8, 10, "Bo")] for _ in texts]  # noqa: E731
    source = TableInput(table, find_mentions=find, finder="f")
    link_file(FakeLinker(), source, tmp_path / "out.nt", rdf=NAMES)
    graph = rdflib.Graph().parse(tmp_path / "out.nt")
    assert sorted(map(str, set(graph.objects(None, OA.hasSource)))) == [
        "https://example.org/text/r", "https://example.org/text/s",
    ]  # fmt: skip
    assert len(set(graph.subjects(RDF.type, OA.Annotation))) == 4
    # Ids of the input that look like that are ids of rows.
    graph, _ = graphs([result(name="doc#1"), result("Ann too", name="doc#2")], tmp_path)
    assert len(set(graph.objects(None, OA.hasSource))) == 2


def test_the_document_needs_nothing_from_elsewhere(tmp_path):
    WRITERS["jsonld"]([result()], tmp_path / "out.jsonld", NAMES)
    document = json.loads((tmp_path / "out.jsonld").read_text())
    assert isinstance(document["@context"], dict)
    assert document["@graph"][0]["body"] == "http://www.wikidata.org/entity/Ann%2F0"
    WRITERS["jsonld"]([], tmp_path / "out.jsonld", NAMES)
    assert json.loads((tmp_path / "out.jsonld").read_text())["@graph"] == []


def test_names():
    assert escaped("K\u00f6ln, (Rhein)/a b?#%<>\u200f") == "K\u00f6ln,%20(Rhein)%2Fa%20b%3F%23%25%3C%3E%E2%80%8F"
    plain = RdfNames("https://e.org/x#")
    assert plain.entity("Q1") == "https://e.org/x#entity/Q1" and plain.text("a") == "https://e.org/x#text/a"
    assert NAMES.entity("http://dbpedia.org/resource/A b") == "http://dbpedia.org/resource/A%20b"
    assert NAMES.entity("urn:isbn:1") == "urn:isbn:1" and NAMES.entity("wd:Q1").endswith("/wd:Q1")


def test_rows_of_one_document(tmp_path):
    """Their texts are parts of it: none of them is its value."""
    names = RdfNames("https://e.org/", source_iri="https://e.org/book.txt")
    graph, document = graphs([result(name="1"), result(name="2")], tmp_path, names)
    assert isomorphic(graph, document)
    assert list(graph.triples((rdflib.URIRef("https://e.org/book.txt"), None, None))) == []
    assert len(list(graph.triples((None, OA.hasSource, rdflib.URIRef("https://e.org/book.txt"))))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("example.org/",), "base_iri 'example.org/' is no IRI"),
        (("https://e.org/{id}",), "is no IRI"),
        (("https://e.org/", "http://www.wikidata.org/entity/"), "has no {id}"),
        (("https://e.org/", "http://e.org/a b/{id}"), "entity_iri .* is no IRI"),
        (("https://e.org/", None, "{id}"), "source_iri"),
    ],
)
def test_what_is_no_iri(arguments, message):
    with pytest.raises(ValueError, match=message):
        RdfNames(*arguments)
