"""Corrections held against links and entities, the labelled mentions, and the agreement."""

from dataclasses import replace

import pytest

from hf_mel import KnowledgeBase, LinkedEntity, LinkedMention, load_mentions
from hf_mel.linking.review import Correction, ReviewReport, check_corrections, report_lines, write_mentions
from tests.linking.review.test_links import LINKS
from tests.test_museum import read


KB = KnowledgeBase.from_records(
    [{"id": "e1", "name": "Jug"}, {"id": "e2", "name": "Cup"}, {"id": "e10", "name": "cup"}]
)
BY_ID = {link.id: link for link in LINKS}


def said(name: str, answer: str | None = None, place: str = "line 2", **kept) -> Correction:
    return Correction(place, name, answer, column="corrected_entity_id", kept=kept)


def checked(*corrections: Correction, **options):
    return check_corrections(corrections, BY_ID, KB, links_name="links.jsonl", **options)


@pytest.mark.parametrize(
    ("correction", "entity_id", "verdict"),
    [
        (said("m1"), "e1", "confirmed"),
        (said("m1", "e1"), "e1", "confirmed"),
        (said("m1", "e2"), "e2", "corrected"),
        (said("m1", "nil"), None, "made_nil"),
        (said("m2"), None, "confirmed"),
        (said("m2", "NIL"), None, "confirmed"),
        (said("m2", "e10"), "e10", "corrected"),
        (said("m2", text='A  "cup"\r\nof tea.', entity_id=""), None, "confirmed"),
    ],
)
def test_verdicts(correction, entity_id, verdict):
    (found,), problems = checked(correction)
    assert (found.entity_id, found.verdict, problems) == (entity_id, verdict, [])


@pytest.mark.parametrize(
    ("correction", "message"),
    [
        (said(""), "line 2: column `id` is empty"),
        (said("m7"), "column `id`: 'm7' is not in links.jsonl. Spreadsheets change ids such as 007"),
        (
            said("m1", "e100"),
            "column `corrected_entity_id`: 'e100' is not the id of an entity (NIL, if there is none); did you",
        ),
        (said("m1", "CUP"), "'CUP' is not the id of an entity but the name of 'e2', 'e10': write the id"),
        (said("m2", "2"), "'2' is not the id of an entity; for candidate 2 write 'e1'"),
        (
            said("m1", entity_id="e2"),
            "column `entity_id` was changed from 'e1' to 'e2': leave it as it is, and write the right",
        ),
        (said("m1", text="A mug."), "column `text` was changed, or the line belongs to another id"),
        (Correction("line 9", fault="has 1 cell"), "line 9: has 1 cell"),
    ],
)
def test_what_is_wrong_is_named_and_keeps_nothing_else_out(correction, message):
    labelled, (problem,) = checked(correction, said("m3"))
    assert message in problem and [each.link.id for each in labelled] == ["m3"]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("ids", {"id": "x{0}"}),
        ("texts", {"text": "another caption"}),
        ("probabilities", {"probability": "0.31"}),
    ],
)
def test_another_file_of_links_is_recognised(kind, change):
    links = {f"m{number}": replace(LINKS[0], id=f"m{number}", is_nil=False, probability=0.77) for number in range(6)}

    def line(number: int, other: bool) -> Correction:
        kept = {"text": LINKS[0].text, "probability": "0,77"} | ({} if not other or "id" in change else change)
        return said(change.get("id", "m{0}").format(number) if other else f"m{number}", **kept)

    for wrong, refused in ((0, False), (2, False), (3, False), (4, True), (6, True)):
        given = [line(number, number < wrong) for number in range(6)]
        if not refused:
            labelled, problems = check_corrections(given, links, KB)
            assert len(labelled) + len(problems) == 6
            continue
        with pytest.raises(
            ValueError, match=f"{wrong} of 6 lines have {kind} that are not those of b.csv: it is not the file"
        ):
            check_corrections(given, links, KB, links_name="b.csv")
    # Who writes into the wrong column is told so, line by line.
    _, problems = check_corrections([said(f"m{number}", entity_id="e2") for number in range(6)], links, KB)
    assert len(problems) == 6 and all("leave it as it is" in each for each in problems)


def test_ids_that_stand_twice_and_words_for_nil():
    labelled, problems = checked(said("m1"), said("m1", "e2", "line 3"))
    assert len(labelled) == 1 and problems == ["line 3: column `id`: 'm1' is already that of line 2"]
    (found,), _ = checked(said("m1", "none"), nil_values=["None", "-"])
    assert found.verdict == "made_nil"
    with pytest.raises(ValueError, match="'e1' is the id of an entity, so it cannot stand for NIL"):
        checked(nil_values=["e1"])


def test_a_number_that_a_spreadsheet_wrote_anew_is_no_change():
    candidates = (LinkedEntity("0070", "Jug", "", 0.4), LinkedEntity("1955.20", "Wagon", "", 0.3))
    link = LinkedMention("a", "a", id="007", entity_id="0070", is_nil=False, candidates=candidates)
    kb = KnowledgeBase.from_records([{"id": name, "name": "Jug"} for name in ("0070", "1955.20", "002", "8", "8.0")])
    answers = {None: "0070", "70": "0070", "1955.2": "1955.20", "1955,2": "1955.20", "8": "8", "8.0": "8.0"}
    for answer, expected in answers.items():
        (found,), problems = check_corrections([said("7", answer, entity_id="70")], {"007": link}, kb)
        assert (found.link.id, found.entity_id, problems) == ("007", expected, [])
    # What may count a candidate, and what several ids may be.
    for answer, message in (("2", "for candidate 2 write '1955.20'"), ("8.00", "is not the id of an entity")):
        labelled, (problem,) = check_corrections([said("7", answer, entity_id="70")], {"007": link}, kb)
        assert not labelled and message in problem
    labelled, (problem,) = check_corrections([said("7.5")], {"007": link}, kb)
    assert not labelled and "column `id`: '7.5' is not in" in problem


def test_an_entity_that_is_gone_cannot_be_confirmed():
    labelled, (problem,) = check_corrections(
        [said("m1")], BY_ID, KnowledgeBase.from_records([{"id": "e9", "name": "a"}])
    )
    assert not labelled and "the linked entity 'e1' is not in the knowledge base" in problem


def test_the_table_of_labelled_mentions_is_read(tmp_path):
    labelled, _ = checked(said("m1", "e2"), said("m2"), said("m3", "NIL"))
    path = tmp_path / "mentions.csv"
    write_mentions(labelled, path, KB)
    found = load_mentions(path, kb=KB)
    assert found["id"][:] == ["m1", "m2", "m3"] and found["entity_id"][:] == ["e2", None, None]
    assert found["entity_name"][:] == ["Cup", None, None] and found["start"][:] == [2, 3, 2]
    assert found["text"][:] == [link.text for link in LINKS] and "image" not in path.read_text().splitlines()[0]


def test_columns_of_the_input_are_written_again(tmp_path):
    own = {"shelf": "A 3", "start": "17", "topic": "kitchen"}
    labelled, _ = checked(replace(said("m1", "e2"), own=own), said("m2"))
    write_mentions(labelled, tmp_path / "mentions.csv", KB)
    first, second = read(tmp_path / "mentions.csv")
    assert list(first)[-3:] == ["entity_name", "shelf", "topic"] and first["start"] == "2"
    assert (first["shelf"], second["shelf"]) == ("A 3", "")
    assert load_mentions(tmp_path / "mentions.csv", kb=KB)["id"][:] == ["m1", "m2"]


def test_agreement_by_hand():
    labelled, problems = checked(said("m1"), said("m2", "e1"), said("m3", "NIL"), said("x"))
    report = ReviewReport.of(labelled, 5, problems)
    assert (report.reviewed, report.confirmed, report.corrected, report.made_nil) == (3, 1, 1, 1)
    assert (report.nil_corrected, report.not_reviewed, report.agreement) == (1, 2, 1 / 3)
    assert [
        (each["from"], each["to"], each["links"], each["confirmed"], each["probability"]) for each in report.bins
    ] == [
        (0.5, 0.6, 1, 0, 0.5),
        (0.6, 0.7, 1, 0, 0.625),
        (0.7, 0.8, 1, 1, 0.75),
    ]
    lines = report_lines(report)
    assert lines[0] == "3 of 5 links reviewed" and lines[2].endswith("33.3 %   1 of them had been NIL")
    assert lines[-1].split() == "0.7 to 0.8 1 100.0 % 75.0 %".split()
    assert report_lines(ReviewReport.of([], 5)) == ["0 of 5 links reviewed"]
