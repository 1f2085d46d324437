"""The layout `melart`: paintings with annotated sentences, and candidates as JSON lines."""

import json

import pytest

from hf_mel.cli import data_check
from hf_mel.cli.data_build import run
from hf_mel.data import load_data, load_layout
from hf_mel.doctor import diagnose

from .further_fixtures import MELART_ENTITIES, melart_annotations, write_lines, write_melart


KEYS = ("id", "mention", "text", "start", "end", "image_status", "entity_id", "entity_name", "sentence_type")
MENTIONS = {
    "train": [
        ("Q1000-v0-0", "Madonna", "The Madonna holds a child.", 4, 11, "ok", "Q345", "Virgin Mary", "visual"),
        ("Q1000-c0-0", "Paris", "It hangs in Paris.", 12, 17, "ok", "Q90", "Paris", "contextual"),
    ],
    # Offsets that do not lead to the mention become null.
    "validation": [
        ("Q1001-v0-0", "Mary", "Mary, seen by Mary.", None, None, "missing_file", "Q345", "Virgin Mary", "visual")
    ],
    "test": [
        ("Q1002-c0-0", "Madonna", "Madonna sings in Paris.", None, None, "none", "Q9", "Madonna", "contextual"),
        ("Q1002-c0-1", "Paris", "Madonna sings in Paris.", 17, 22, "none", "Q90", "Paris", "contextual"),
    ],
}


@pytest.mark.parametrize("inner", [False, True])
def test_every_record(tmp_path, inner):
    data = load_layout("auto", write_melart(tmp_path / "raw", inner=inner), check_images=True)
    for split, expected in MENTIONS.items():
        assert [tuple(row[key] for key in KEYS) for row in data.mentions[split].remove_columns("image")] == expected
    kb = data.entities.dataset
    assert kb["id"][:] == ["Q345", "Q9", "Q90"] and kb["name"][:] == ["Virgin Mary", "Madonna", "Paris"]
    assert kb["aliases"][:] == [["Madonna"], [], []] and kb["types"][:] == [["human"], ["human", "singer"], []]
    assert kb["description"][:] == ["mother of Jesus", "American singer", None]
    assert kb["image_status"][:] == ["ok", "missing_file", "none"], "the second picture of the first is there"
    report = data.report
    assert [counts["offsets_not_at_the_mention"] for counts in report["splits"].values()] == [0, 1, 1]
    assert [counts["paintings"] for counts in report["splits"].values()] == [1, 1, 1]
    assert (report["entities_named_by_another_label"], report["further_entity_pictures"]) == (1, 1)
    assert json.loads(json.dumps(report)) == report


def test_build_and_check(tmp_path, capsys):
    raw, out = write_melart(tmp_path / "raw"), tmp_path / "melart"
    run(["melart", "--raw", str(raw), "--out", str(out)])
    data = load_data(out)
    assert data.mentions["test"]["id"][:] == ["Q1002-c0-0", "Q1002-c0-1"]
    card = (out / "README.md").read_text()
    assert "| entities | 3 | 53,901 |" in card and "annotated by hand" in card and "`sentence_type`" in card
    capsys.readouterr()
    for target in ([str(raw), "--layout", "melart"], [str(out)]):
        assert data_check.run(target) == 1
        assert "[missing_pictures]" in capsys.readouterr().out


def edited(folder, change):
    """The fixture with changed annotations."""
    write_melart(folder, pictures=False)
    annotations = melart_annotations()
    change(annotations)
    (folder / "melart_annotations.json").write_text(json.dumps(annotations))
    return folder


def test_bad_records_are_left_out_and_named(tmp_path, capsys):
    def change(annotations):
        annotations["Q1000"]["visual_el_matches"][0] += [
            {"qid": "Q404", "text": "child", "start": 20, "end": 25},
            {"text": "child"},
            "child",
            {"qid": 5, "text": "child"},
            {"qid": "Q9", "text": " "},
        ]
        annotations["Q5"] = {**annotations["Q1000"], "contextual_el_matches": []}
        annotations["Q6"] = {**annotations["Q1000"], "split": "rest"}
        annotations["Q7"] = ["no painting"]

    raw = edited(tmp_path / "raw", change)
    bad = [{"qid": "Q1", "labels": {"main": "", "alt": []}}, {"labels": {}}, {"qid": "Q2", "labels": "Two"}, "{"]
    write_lines(raw / "el_candidates.jsonl", [*MELART_ENTITIES, *bad, MELART_ENTITIES[0]])
    data = load_layout("auto", raw, pictures=False)
    assert data.mentions["train"]["id"][:] == ["Q1000-v0-0", "Q1000-c0-0"] and len(data.entities) == 3
    assert data.report["splits"]["train"]["left_out"] == 6 and data.report["repeated_entities"] == 1
    assert data.report["other_records_left_out"] == {"entities": 4, "no split": 2}
    named = {entry["record"]: entry["reason"] for entry in data.report["records_left_out"]}
    assert named["Q1000-v0-1"] == "its gold entity, 'Q404', is not in el_candidates.jsonl"
    assert named["Q1000-v0-2"] == "`qid` is missing" and "`text` is ' '" not in named["Q1000-v0-3"]
    assert (
        named["painting Q5"] == "`contextual_el_matches` has no list of matches for each of 1 `contextual_sentences`"
    )
    assert "has no `split`" in named["painting Q6"] and "has no `split`" in named["painting Q7"]
    assert named["el_candidates.jsonl, line 4"] == "(Q1) has no label"
    found = diagnose(data).finding("records_left_out")
    assert found.count == 12 and found.details == {"train": 6, "entities": 4, "no split": 2}
    run(["melart", "--raw", str(raw), "--out", str(tmp_path / "out"), "--no_pictures"])
    assert "12 records that cannot be used: 6 of train, 4 of entities, 2 of no split" in capsys.readouterr().out
    with pytest.raises(ValueError, match="12 problems"):
        run(["melart", "--raw", str(raw), "--out", str(tmp_path / "strict"), "--strict", "--no_pictures"])


def test_files_that_are_missing_or_no_release(tmp_path):
    raw = write_melart(tmp_path / "raw", pictures=False)
    (raw / "el_candidates.jsonl").write_text("")
    with pytest.raises(ValueError, match="el_candidates.jsonl holds no entity that can be used"):
        load_layout("melart", raw)
    (raw / "el_candidates.jsonl").unlink()
    with pytest.raises(
        FileNotFoundError, match="layout 'melart' needs files that are not there: .*el_candidates.jsonl"
    ):
        load_layout("melart", raw)
    with pytest.raises(ValueError, match="benchmark='wikimel': .* holds melart"):
        load_layout("melart", raw, benchmark="wikimel")


def test_a_picture_name_does_not_lead_out(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"x")
    raw = edited(tmp_path / "raw", lambda annotations: annotations["Q1001"].update(img_url="x/..%2F..%2Fsecret.jpg"))
    assert load_layout("melart", raw).mentions["validation"]["image_status"][:] == ["none"]
