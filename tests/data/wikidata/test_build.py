"""A dump of 202 records becomes a knowledge base of 189: numbers by hand, every quirk, any number of processes."""

import bz2
import gzip
import io
import json
import re
from pathlib import Path

import datasets
import pytest
from datasets import load_dataset

from hf_mel import KnowledgeBase
from hf_mel.data import build_from_wikidata
from hf_mel.data.wikidata import source as source_of
from tests.data.wikidata.fixture import BAD_LINES, LEONARDO, dump_text, entities, item, texts, write_dump


PROPERTIES = ("P106", "P19", "P569", "P2048", "P1559", "P625")
GERMAN = {"languages": ("de", "en"), "properties": PROPERTIES}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def built(source, out="kb", **options) -> tuple[dict, KnowledgeBase]:
    report = build_from_wikidata(source, out, **options)
    assert json.loads(Path(out, "wikidata_report.json").read_text()) == report
    return report, KnowledgeBase.load(out)


def counts(report: dict, part: str = "left_out") -> dict[str, int]:
    return {kind: entry["count"] for kind, entry in report[part].items()}


# ---- The whole dump ----


def test_counts():
    assert len(entities()) == 202
    report, kb = built(write_dump(Path("dump.json")), **GERMAN)
    assert (report["lines"], report["entities_read"], report["entities"], len(kb)) == (206, 202, 189, 189)
    kinds = ("duplicate", "language", "lexeme", "malformed", "missing", "no_label", "not_an_entity", "other_kind")
    assert counts(report) == dict.fromkeys(kinds, 1) | {"property": 4, "redirect": 1}
    assert report["entities_read"] == report["entities"] + sum(counts(report).values())
    assert report["left_out"]["redirect"]["first"] == ["Q20003 -> Q762"]
    assert report["left_out"]["malformed"]["first"][0].startswith(
        "Q20005 in line 203: `labels` is not written as in a"
    )
    first, second = report["bad_lines"]["first"]
    assert first == "line 102: is not JSON: Expecting ':' delimiter (character 42)" and report["cut_off"] is False
    assert second == "line 205: a JSON object is expected, not '42'"
    # German: 90 of 180 persons, human, city, painter, Vienna, Leonardo. Only `mul`: Berlin, Caesar.
    assert report["languages"] == {"de": 95, "en": 92, "mul": 2}
    assert report["with"] == {"aliases": 96, "attributes": 182, "description": 61, "picture": 46, "types": 184}
    lost = {"deprecated": 2, "novalue": 1, "outranked": 1, "somevalue": 1, "unknown_type": 1}
    assert report["values_left_out"] == lost
    assert report["labels_not_found"] == {"count": 4, "first": ["Q404404", "P2048", "P1559", "P625"]}


def test_entities():
    _, kb = built(write_dump(Path("dump.json")), **GERMAN)
    leonardo = kb[kb.row("Q762")]
    assert (leonardo["name"], leonardo["description"]) == ("Leonardo", "Italian polymath")
    assert leonardo["aliases"] == [
        "Leonardo da Vinci", "Lionardo", "Da Vinci", "Leonardo di ser Piero", "L. da Vinci",
    ]  # fmt: skip
    assert leonardo["attributes"] == (
        "Tätigkeit: Maler, sculptor. Place of birth: Q404404. Geburtsdatum: 1452. P2048: 1.75 metre, -3. "
        "P1559: Leonardo da Vinci. P625: 43.7833 10.9167."
    )
    assert kb.attribute_sets([kb.row("Q762")])[0] >= {"Tätigkeit: sculptor", "P2048: -3", "Geburtsdatum: 1452"}
    assert (leonardo["types"], leonardo["image"], leonardo["image_status"]) == (["Q5", "Mensch"], None, "missing_file")
    assert leonardo["source_row"] == 60
    caesar = kb[kb.row("Q1048")]
    assert (caesar["name"], caesar["types"]) == ("Gaius Iulius Caesar", ["Q5", "Mensch"])
    assert caesar["attributes"] == "Geburtsdatum: 100 BC, 1950, 1952." and caesar["image_status"] == "none"
    # The labels of these values come after the entity in the dump.
    assert kb.texts([0]) == ["Tätigkeit: sculptor. Place of birth: Berlin. Geburtsdatum: 1401."]
    assert kb.ids[:2] == ["Q10001", "Q10002"] and kb.names([1]) == ["Mensch Nummer 2"]


def test_the_second_table():
    built(write_dump(Path("dump.json")), **GERMAN)
    entities = load_dataset("./kb", split="train")
    more = load_dataset("./kb", "wikidata", split="train")
    assert more["id"][:] == entities["id"][:] and len(more) == 189
    url = "https://commons.wikimedia.org/wiki/Special:FilePath/Leonardo_%26_self.jpg"
    assert more[60] == {
        "id": "Q762", "language": "de", "types": ["Q5"], "sitelinks": 2, "picture": "Leonardo & self.jpg",
        "picture_url": url,
    }  # fmt: skip
    assert (more[0]["picture"], more[0]["picture_url"], more[0]["sitelinks"]) == (None, None, 1)


@pytest.mark.parametrize("name", ["dump.json.gz", "dump.json.bz2", "entities.jsonl"])
def test_forms_and_processes_do_not_change_the_result(name, monkeypatch):
    expected, _ = built(write_dump(Path("dump.json")), **GERMAN)
    text = dump_text()
    if name.endswith(".jsonl"):  # a line each, without brackets and commas; the empty lines keep the numbers
        text = "".join(f"{line.strip('[],')}\n" for line in text.splitlines())
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".jsonl": bytes}[Path(name).suffix]
    Path(name).write_bytes(pack(text.encode()))
    found, _ = built(name, "other", num_workers=2, **GERMAN)
    assert found == expected | {"source": name}
    # Smaller batches end elsewhere: the rows are the same.
    monkeypatch.setattr(source_of, "BATCH_BYTES", 5_000)
    small, _ = built(name, "small", num_workers=2, **GERMAN)
    assert small == found


def test_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(dump_text().encode())))
    report, _ = built("-", **GERMAN)
    assert (report["source"], report["entities"]) == ("-", 189)


# ---- Filters ----


@pytest.mark.parametrize(
    ("options", "kept", "left_out"),
    [
        # 180 persons, Leonardo and Caesar. The seven terms and the second Leonardo have no type or another.
        ({"types": ["Q5"]}, 182, {"type": 8}),
        ({"types": ["Q515", "Q7"]}, 2, {"type": 188}),
        # Of six persons in a row two have at least 4; the two cities have 9.
        ({"min_sitelinks": 4}, 62, {"sitelinks": 128}),
        # Four of six, and Leonardo; Caesar has one.
        ({"types": ["Q5"], "min_sitelinks": 2}, 121, {"type": 8, "sitelinks": 61}),
        # Leonardo, and the one with a French label only. `mul`: Berlin, Caesar, the metre.
        ({"languages": ["fr"]}, 5, {"language": 187, "property": 4}),
    ],
)
def test_filters(options, kept, left_out):
    report, kb = built(write_dump(Path("dump.json")), **({"languages": ("de", "en")} | options))
    assert len(kb) == report["entities"] == kept
    assert {kind: counts(report)[kind] for kind in left_out} == left_out
    assert report["entities_read"] == kept + sum(counts(report).values()) == 202
    assert kb.text_field == "description"


def test_labels_of_entities_that_are_left_out_are_still_labels():
    _, kb = built(write_dump(Path("dump.json")), types=["Q515"], languages=["de"])
    assert kb.dataset["types"][:] == [["Q515", "Stadt"], ["Q515", "Stadt"]]


def test_languages_fall_back_in_their_order():
    dump = write_dump(Path("dump.json"))
    names = {order: built(dump, "-".join(order), languages=order)[1] for order in (("fr", "de"), ("de", "fr"))}
    assert {order: kb.names([kb.row("Q762")]) for order, kb in names.items()} == {
        ("fr", "de"): ["Léonard"],
        ("de", "fr"): ["Leonardo"],
    }
    kb = names["fr", "de"]
    assert kb.aliases([kb.row("Q762")]) == [
        ["Leonardo", "Vinci", "Lionardo", "Leonardo di ser Piero", "L. da Vinci", "Da Vinci"]
    ]
    assert kb[kb.row("Q762")]["description"] == "peintre"


def test_types_and_pictures_may_be_attributes():
    report, kb = built(write_dump(Path("dump.json")), properties=["P31", "P18"])
    assert kb.texts([kb.row("Q762")]) == ["P31: human. P18: Leonardo & self.jpg, Second.jpg."]
    assert report["values_left_out"] == {"deprecated": 2}


def test_the_description_as_an_attribute():
    _, kb = built(write_dump(Path("dump.json")), properties=["P19", "description", "P106"])
    assert kb.texts([kb.row("Q10003"), kb.row("Q10004"), kb.row("Q762"), kb.row("Q64")]) == [
        "Place of birth: Berlin. Description: the 3th person. Occupation: sculptor.",
        "Place of birth: Vienna. Occupation: painter.",
        "Place of birth: Q404404. Description: Italian polymath. Occupation: painter, sculptor.",
        "",
    ]


# ---- Single entities ----


@pytest.mark.parametrize("indent", [None, 1])
def test_entity_data(indent):
    human = item("Q5", texts(en="human"), redirects={"from": "Q43", "to": "Q5"})
    answer = {"entities": {"Q42": LEONARDO, "Q5": human, "Q6": 6}}
    Path("Q42.json").write_text(json.dumps(answer, indent=indent))
    report, kb = built("Q42.json")
    assert kb.ids == ["Q762", "Q5"] and counts(report) == {"malformed": 1}
    assert report["left_out"]["malformed"]["first"] == ["Q6 in line 1: is '6', not an object"]
    assert report["redirects_followed"] == {"count": 2, "first": ["Q42 -> Q762", "Q43 -> Q5"]}
    assert kb[0]["types"] == ["Q5", "human"]


def test_an_array_in_one_line_and_bytes_that_are_not_text():
    entity = json.dumps(item("Q1", {"en": {"language": "en", "value": "bro\ud800ken"}}))
    other = json.dumps(item("Q2", texts(en="two\n  lines")))
    null = json.dumps(item("Q4", {"en": {"language": "en", "value": "a\0b"}}))
    Path("one.json").write_bytes(
        f"\ufeff[{entity}, {other}, {null}]\n".encode() + b'{"id": "Q3", "labels": "\xff"}\n[[[\n'
    )
    report, kb = built("one.json")
    assert kb.names() == ["two lines"] and counts(report) == {"malformed": 2}
    first = report["left_out"]["malformed"]["first"]
    assert [re.search("half of a surrogate pair|null character", each)[0] for each in first] == [
        "half of a surrogate pair", "null character",
    ]  # fmt: skip
    assert "Q1 in line 1" in first[0] and "Q4 in line 1" in first[1]
    assert [line.split(":")[0] for line in report["bad_lines"]["first"]] == ["line 2", "line 3"]


# ---- Errors ----


def test_a_damaged_file_leaves_nothing_behind():
    packed = gzip.compress(dump_text().encode())
    Path("cut.json.gz").write_bytes(packed[: len(packed) // 2])
    Path("no.json.bz2").write_bytes(b"not bz2")
    for name in ("cut.json.gz", "no.json.bz2"):
        with pytest.raises(ValueError, match=rf"{name} cannot be read to its end .*is it complete\?"):
            build_from_wikidata(name, "kb", num_workers=2)
    assert sorted(path.name for path in Path().iterdir() if path.name != "cache") == ["cut.json.gz", "no.json.bz2"]


def test_nothing_left():
    Path("spread.json").write_text(json.dumps(entities()[:3], indent=1))
    with pytest.raises(
        ValueError, match=r"no entity is left of 0 that were read:\n  \d+ bad_lines, the first: line 2: is not"
    ):
        build_from_wikidata("spread.json", "kb")
    Path("empty.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="the source is empty"):
        build_from_wikidata("empty.jsonl", "kb")
    with pytest.raises(ValueError, match="no entity is left of 202") as error:
        build_from_wikidata(write_dump(Path("dump.json")), "kb", types=["Q7"])
    assert "\n  1 malformed, the first: Q20005 in line 203: `labels` is not" in str(error.value)
    assert "\n  190 type, the first: Q" in str(error.value) and "not closed" not in str(error.value)
    Path("cut.json").write_text("[\n" + json.dumps(item("Q6", 6)) + ",\n")
    with pytest.raises(
        ValueError, match=r"1 malformed, the first: Q6 in line 2: .labels.*\n  the array .* is not closed"
    ):
        build_from_wikidata("cut.json", "kb")
    assert not Path("kb").exists()


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("labels", {"en": {"value": 5}}),
        ("descriptions", ["a"]),
        ("aliases", {"en": "Ada"}),
        ("sitelinks", 7),
        ("claims.P31", {"P31": [{"mainsnak": {"snaktype": "value"}}]}),
        ("claims.P106", {"P106": 5}),
        ("claims.P18", []),
    ],
)
def test_what_is_malformed_is_named_without_words_of_python(part, value):
    record = item("Q1", texts(en="Ada")) | {part.split(".")[0]: value}
    Path("two.jsonl").write_text(f"{json.dumps(record)}\n{json.dumps(item('Q2', texts(en='Bob')))}\n")
    report, kb = built("two.jsonl", properties=["P106"])
    if part == "claims.P18":
        assert kb.ids == ["Q1", "Q2"], "an empty part is [] in many dumps"
        return
    assert kb.ids == ["Q2"]
    assert report["left_out"]["malformed"]["first"] == [
        f"Q1 in line 1: `{part}` is not written as in a dump of Wikidata"
    ]


@pytest.mark.parametrize(
    ("text", "cut_off"),
    [
        ("[\n{0},\n{1}\n]\n", False),
        ("[\n{0},\n{1}\n]\n\n\n", False),
        ("\n\ufeff[{0},{1}]", False),
        ("{0}\n{1}\n", False),
        ("[\n{0},\n{1},\n", True),
        ("[\n{0},\n{1}", True),
        ("[{0},\n{1},\n\n", True),
    ],
)
def test_a_dump_that_is_cut_off_between_two_entities_is_named(text, cut_off, monkeypatch, caplog):
    monkeypatch.setattr(source_of, "BATCH_BYTES", 10)
    lines = [json.dumps(item(name, texts(en=name))) for name in ("Q1", "Q2")]
    Path("dump.json").write_text(text.format(*lines))
    report, kb = built("dump.json")
    assert report["cut_off"] is cut_off and kb.ids == ["Q1", "Q2"]
    assert ("dump.json: the array that begins with [ is not closed" in caplog.text) is cut_off


def test_a_folder_is_replaced_only_if_asked_and_only_our_own():
    dump = write_dump(Path("dump.json"))
    built(dump, languages=["de", "en"])
    with pytest.raises(FileExistsError, match="overwrite=True"):
        build_from_wikidata(dump, "kb")
    with pytest.raises(ValueError, match="no entity is left"):
        build_from_wikidata(dump, "kb", types=["Q7"], overwrite=True)
    assert len(KnowledgeBase.load("kb")) == 189, "a run that fails leaves the old folder"
    _, kb = built(dump, types=["Q515"], overwrite=True)
    assert len(kb) == 2
    Path("mine").mkdir()
    Path("mine", "thesis.txt").write_text("")
    with pytest.raises(FileExistsError, match="not written by this command"):
        build_from_wikidata(dump, "mine", overwrite=True)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("dump.json", {"languages": []}, "name at least one"),
        ("dump.json", {"languages": "en"}, "pass a list of strings"),
        ("dump.json", {"languages": ["EN_us"]}, "languages='EN_us' is not of the form de or pt-br"),
        ("dump.json", {"properties": ["Q5"]}, "'Q5' is not of the form P106"),
        ("dump.json", {"types": ["human"]}, "'human' is not of the form Q5"),
        ("dump.json", {"min_sitelinks": -1}, "must not be negative"),
        ("dump.json", {"num_workers": 0}, "num_workers=0"),
        ("dump.json", {"endpoint": "wikidata.org"}, "'wikidata.org' is no URL"),
        ("dump.json", {"endpoint": "https://example.org/w/api.php"}, "holds entities already"),
        ("ids.txt", {}, "needs `endpoint`"),
    ],
)
def test_wrong_options(source, options, message):
    write_dump(Path("dump.json"))
    Path("ids.txt").write_text("Q42\n")
    with pytest.raises(ValueError, match=message):
        build_from_wikidata(source, "kb", **options)
    assert not Path("kb").exists()


def test_the_fixture_has_bad_lines():
    assert all(line in dump_text() for line in BAD_LINES)
