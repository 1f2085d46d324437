import hashlib
import json
from pathlib import Path

import pytest
from datasets import Features, List, Value

from hf_mel.data import MENTION_FEATURES, load_layout
from hf_mel.data.layouts import read_layout
from hf_mel.data.layouts.wikidiverse_entities import WikimediaPictures, title_of

from .fixtures import WIKIDIVERSE_IMAGES, picture_name, wiki, wikidiverse_captions, write_json, write_wikidiverse
from .test_mimic import KEYS, rows


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


LIONS = md5("Detroit_Lions%27_Play.2007.JPG") + ".JPG"
FLAG = md5("Flag_of_Rome.svg") + ".png"
DANCE = md5("Dance.gif") + ".gif"
SENTENCES = (
    "The Lions versus the Packers (2007).",
    "Beyoncé and AC/DC met nobody.",
    'A writing "HDTV is worth every cent" in it',
    "The flag of Rome, not of the Lions.",
    "Nothing to see in Rome.",
)
MENTIONS = {  # the id at passage level, then as in KEYS, then type and topic
    "train": [
        ("train-0-0", "Lions", SENTENCES[0], 4, 9, LIONS, "ok", "Detroit_Lions", "Detroit Lions", "Organization", "sports"),
        ("train-0-1", "Packers", SENTENCES[0], 21, 28, LIONS, "ok", "Green_Bay_Packers", "Green Bay Packers", "Organization", "sports"),
        ("train-1-0", "Beyoncé", SENTENCES[1], 0, 7, DANCE, "ok", "Beyoncé", "Beyoncé", "Person", "entertainment"),
        ("train-1-1", "AC/DC", SENTENCES[1], 12, 17, DANCE, "ok", "AC/DC", "AC/DC", "Organization", "entertainment"),
        ("train-1-2", "nobody", SENTENCES[1], 22, 28, DANCE, "ok", None, None, "Person", "entertainment"),
    ],
    "validation": [
        ("validation-0-0", "HDTB", SENTENCES[2], None, None, None, "missing_file", "High-definition_television",
         "High-definition television", "Other", "entertainment"),
    ],
    "test": [
        ("test-0-0", "Rome", SENTENCES[3], 12, 16, FLAG, "ok", "Rome", "Rome", "Location", None),
        ("test-0-1", "Lions", SENTENCES[3], None, None, FLAG, "ok", "Detroit_Lions", "Detroit Lions", None, None),
        ("test-1-0", "Rome", SENTENCES[4], 18, 22, None, "none", "Rome", "Rome", "Location", "disaster"),
    ],
}  # fmt: skip
ROMES = [f"Rome,_{state}" for state in "ABCDEFGHI"] + ["Rome"]
CANDIDATES = {
    "train": [
        ["Lion", "Detroit_Lions", "British_&_Irish_Lions"],
        ["Meat_packing", "Green_Bay_Packers"],
        ["Beyoncé", "Beyoncé_(album)"],
        ["Alternating_current"],
        [],
    ],
    "validation": [[]],
    "test": [ROMES, ["Lion", "Detroit_Lions", "British_&_Irish_Lions"], ROMES],
}


@pytest.mark.parametrize("level", ["passage", "mention", "both"])
def test_every_mention(tmp_path, level):
    data = load_layout("wikidiverse", write_wikidiverse(tmp_path, level), check_images=True)
    for split, expected in MENTIONS.items():
        found = rows(data.mentions[split])
        records = [tuple(row[key] for key in (*KEYS, "mention_type", "topic")) for row in found]
        if level == "passage":
            assert data.mentions[split].features == MENTION_FEATURES
            assert records == expected
        else:
            candidates = Features({**MENTION_FEATURES, "candidates": List(Value("string"))})
            assert data.mentions[split].features == candidates
            assert records == [(f"{split}-{number}", *row[1:]) for number, row in enumerate(expected)]
            assert [row["candidates"] for row in found] == CANDIDATES[split]
    assert data.report["level"] == ("passage" if level == "passage" else "mention")


def test_entities_of_the_tables(tmp_path):
    data = load_layout("wikidiverse", write_wikidiverse(tmp_path))
    found = rows(data.entities.dataset)
    beyonce = md5("Beyonc%C3%A9.jpg") + ".jpg"
    assert [
        (row["id"], row["name"], row["description"], row["image"], row["image_status"], row["source_row"])
        for row in found[:5]
    ] == [
        ("Detroit_Lions", "Detroit Lions", "The Detroit Lions are a team.\tThey play @@ home.", None, "none", 0),
        # The first of its two images is not there, the second is an SVG.
        ("Rome", "Rome", "Rome is the capital of Italy.", md5("Rome_skyline.SVG") + ".png", "ok", 1),
        ("Beyoncé", "Beyoncé", "An American singer.", None, "missing_file", 2),
        ("Green_Bay_Packers", "Green Bay Packers", None, None, "none", 3),
        ("Lion", "Lion", "A large cat.", None, "none", 4),
    ]
    # What only the annotations name comes after: gold entities, then candidates. They have no row in a file.
    assert [row["id"] for row in found[5:]] == [
        "AC/DC", "High-definition_television", "British_&_Irish_Lions", "Meat_packing", "Beyoncé_(album)",
        "Alternating_current", *ROMES[:-1],
    ]  # fmt: skip
    assert {row["source_row"] for row in found[5:]} == {None}
    assert [Path(entry["file"]).name for entry in data.report["pictures"] if entry["table"] == "entities"] == [beyonce]


def test_report(tmp_path):
    report = load_layout("auto", write_wikidiverse(tmp_path)).report
    assert json.loads(json.dumps(report)) == report
    expected = {
        "layout": "wikidiverse",
        "benchmark": "wikidiverse",
        "level": "mention",
        "split_rule": "train_w_10cands.json, valid_w_10cands.json, test_w_10cands.json",
        "knowledge_base": "entity2desc_filtered.tsv, wikipedia_entity2imgs.tsv",
        "repeated_entities": 0,
        "gold_only_in_annotations": 2,
        "candidates_only_in_annotations": 13,
        "entities_with_a_picture_name": 2,
        "further_entity_pictures": 1,
        "picture_lines_of_no_entity": 1,
        "entities": 20,
    }
    assert {key: report[key] for key in expected} == expected
    assert report["splits"]["train"] == {
        "mentions": 5, "nil": 1, "not_in_text": 0, "offset_mismatch": 0, "captions": 2, "gold_links_repaired": 2,
        "gold_links_not_to_wikipedia": 0,
        "offsets_not_at_the_mention": 0, "gold_among_candidates": 3, "left_out": 0, "images": {"ok": 5},
    }  # fmt: skip
    counts = report["splits"]["test"]
    assert (counts["gold_links_repaired"], counts["offsets_not_at_the_mention"], counts["offset_mismatch"]) == (
        1,
        1,
        0,
    )


def test_report_of_the_passage_level_without_tables(tmp_path):
    data = load_layout("wikidiverse", write_wikidiverse(tmp_path, "passage", tables=False))
    assert data.report["knowledge_base"] == "gold entities"
    assert data.entities.ids == ["Detroit_Lions", "Green_Bay_Packers", "Beyoncé", "AC/DC", "High-definition_television", "Rome"]  # fmt: skip
    counts = data.report["splits"]["train"]
    assert (counts["captions"], counts["captions_without_mention"], counts["nil"]) == (3, 1, 1)
    data = load_layout("wikidiverse", write_wikidiverse(tmp_path / "b", tables=False))
    assert data.report["knowledge_base"] == "gold entities and candidates"
    assert len(data.entities) == 20  # those of the tables are all gold or candidates
    raw = read_layout("wikidiverse", tmp_path / "b")[1]
    assert [path.name for path in raw.files] == [
        "train_w_10cands.json", "valid_w_10cands.json", "test_w_10cands.json"
    ]  # fmt: skip


def test_one_table_alone(tmp_path):
    write_wikidiverse(tmp_path)
    (tmp_path / "entity2desc_filtered.tsv").unlink()
    data = load_layout("wikidiverse", tmp_path)
    # The header of the images is no entity; Paris now is one.
    assert data.entities.ids[:5] == ["Detroit_Lions", "Rome", "Beyoncé", "Paris", "Green_Bay_Packers"]
    assert data.entities.dataset["source_row"][:5] == [0, 1, 2, 3, None]
    assert data.entities.text_field == "description" and not any(data.entities.texts())
    assert data.report["entity_images"] == {"missing_file": 2, "none": 18, "ok": 1}


def test_a_gold_link_to_elsewhere_is_kept_and_counted(tmp_path):
    sentence, url, topic, mentions = wikidiverse_captions()["train"][0]
    link = "https://commons.wikimedia.org/wiki/Lions"
    other = [sentence, url, topic, [[*mentions[0][:4], link], mentions[1]]]
    write_json(tmp_path, train=[other], valid=[other], test=[other])
    data = load_layout("wikidiverse", tmp_path)
    assert data.mentions["train"]["entity_id"][:] == [link, "Green_Bay_Packers"]
    assert data.report["splits"]["train"]["gold_links_not_to_wikipedia"] == 1


def test_sorted_into_folders(tmp_path):
    """As some keep it: all pictures in one folder."""
    write_wikidiverse(tmp_path, "both")
    for path in [path for path in tmp_path.iterdir() if path.is_file()]:
        place = "entities" if path.suffix == ".tsv" else "candidates" if "cands" in path.name else "mentions"
        (tmp_path / place).mkdir(exist_ok=True)
        path.rename(tmp_path / place / path.name)
    for path in (tmp_path / "entity_images").iterdir():
        path.rename(tmp_path / WIKIDIVERSE_IMAGES / path.name)
    (tmp_path / "entity_images").rmdir()
    (tmp_path / WIKIDIVERSE_IMAGES).rename(tmp_path / "images")
    data = load_layout("auto", tmp_path, check_images=True)
    assert data.report["level"] == "mention"
    assert {entry["status"] for entry in data.report["pictures"]} == {"missing_file"}, "one folder has those of both"
    assert data.report["splits"]["train"]["images"] == {"ok": 5}
    assert data.report["entity_images"] == {"missing_file": 1, "none": 18, "ok": 1}


# ---- Links and pictures ----


@pytest.mark.parametrize(
    ("link", "title", "repaired"),
    [
        (wiki("Detroit_Lions"), "Detroit_Lions", False),
        ("n" + wiki("Rome"), "Rome", True),
        ("h" + wiki("Rome"), "Rome", True),
        ("]" + wiki("Rome"), "Rome", True),
        (wiki("Rome")[1:], "Rome", True),
        (f" {wiki('AC/DC')}\n", "AC/DC", False),
        ("https://en.wikipedia.org//wiki/Cuneiform", "Cuneiform", False),
        ("http://en.m.wikipedia.org/wiki/C%2B%2B", "C++", False),
        (wiki("Rome#History"), "Rome", False),
        (wiki("Beyonc%C3%A9 Knowles"), "Beyoncé_Knowles", False),
        ("https://de.wikipedia.org/wiki/Rom", "de:Rom", False),
        ("https://commons.wikimedia.org/wiki/Rome", "https://commons.wikimedia.org/wiki/Rome", False),
        ("Green Bay Packers", "Green_Bay_Packers", False),
        ("British %26 Irish Lions", "British_&_Irish_Lions", False),
    ],
)
def test_title_of(link, title, repaired):
    assert title_of(link) == (title, repaired)


def test_what_picture_files_are_called(tmp_path, write_picture):
    urls = [
        f"https://upload.wikimedia.org/x/{name}"
        for name in ("a.gif", "b.JPG", "c%27s.png", "d.SVG", "e.tif", "no_suffix")
    ]
    names = [md5("a.gif") + "a.gif", md5("b.JPG") + ".jpg", md5("c's.png") + ".png", md5("d.SVG") + ".png"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / (md5("d.SVG") + ".SVG")).write_bytes(b"<svg/>")  # what `.svg` was drawn from, if it was kept
    pictures = WikimediaPictures(tmp_path / "nowhere", tmp_path)
    assert [pictures.path(url) for url in urls[:4]] == [tmp_path / name for name in names]
    # Not there: the name by the rule of the release, in the first folder that is there.
    assert pictures.path(urls[4]) == tmp_path / (md5("e.tif") + ".tif")
    assert pictures.path(urls[5]) == tmp_path / md5("no_suffix")
    assert pictures.first([urls[4], urls[0]]) == tmp_path / names[0]
    assert picture_name(urls[3]) == names[3]


def test_missing_folders_of_pictures(tmp_path, caplog):
    write_wikidiverse(tmp_path, pictures=False)
    data = load_layout("wikidiverse", tmp_path)
    [message] = [record.message for record in caplog.records if record.levelname == "ERROR"]
    for name, number in (("wikinewsImgs", 8), ("entity_images", 2)):
        place = f"the folder of pictures {tmp_path / name} is empty or not there"
        assert f"{place}, records without their picture: {number}" in message
    folders = [(entry["split"], Path(entry["file"]).name, entry["status"]) for entry in data.report["pictures"]]
    assert folders == [
        *((split, "wikinewsImgs", "missing_folder") for split in ("train", "validation", "test")),
        ("train", "entity_images", "missing_folder"),
    ]
    assert data.report["splits"]["test"]["images"] == {"missing_file": 2, "none": 1}


def test_a_dirty_folder_of_pictures(tmp_path):
    write_wikidiverse(tmp_path)
    (tmp_path / WIKIDIVERSE_IMAGES / LIONS).write_bytes(b"")
    (tmp_path / WIKIDIVERSE_IMAGES / FLAG).write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    data = load_layout("wikidiverse", tmp_path, check_images=True)
    assert data.report["splits"]["train"]["images"] == {"ok": 3, "unreadable": 2}
    reasons = [entry["reason"] for entry in data.report["pictures"] if entry["split"] == "test"]
    assert len(reasons) == 1 and "is an SVG drawing, which has no pixels" in reasons[0]
    with pytest.raises(FileNotFoundError, match=r"2 pictures cannot be used \(2 missing_file\)"):
        load_layout("wikidiverse", tmp_path, strict_images=True)


# ---- Bad input ----


def test_malformed_captions_are_all_listed(tmp_path):
    good = wikidiverse_captions()["train"][0]
    mention = good[3][0]
    bad = [
        good[:3], [None, *good[1:]], [*good[:3], [mention[:4]]], [*good[:3], ["Lions"]],
        [*good[:3], [["", *mention[1:4], wiki("Rome#")], [*mention[:2], "4", 9, None]]], [*good[:2], 7, []], [*good[:3], "x"],
    ]  # fmt: skip
    write_json(tmp_path, train=[good, *bad], valid=[good], test=[good])
    with pytest.raises(ValueError) as raised:
        load_layout("wikidiverse", tmp_path)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path}: 6 problems")
    for line in (
        "train.json, record 2: has 3 fields, not 4 (sentence, image_url, topic, mentions)",
        "train.json, record 4, mention 1: has 4 fields, not 5 (mention, mention_type, start, end, entity)",
        "train.json, record 5, mention 1: is 'Lions', not a list of fields",
        "train.json, record 6, mention 2: `start` is '4', not an offset",
        "train.json, record 7: `topic` is 7, not a string",
        "train.json, record 8: `mentions` is 'x', not a list",
    ):
        assert line in message


def test_malformed_candidates(tmp_path):
    write_wikidiverse(tmp_path, pictures=False)
    good = json.loads((tmp_path / "train_w_10cands.json").read_text())[0]
    bad = [[*good[:7], ["Rome", None], *good[8:]], [*good[:7], None, *good[8:]], [*good[:10], -1]]
    write_json(tmp_path, test_w_10cands=[good, *bad])
    with pytest.raises(ValueError) as raised:
        load_layout("wikidiverse", tmp_path)
    for line in (
        "test_w_10cands.json, record 2: `candidates` is ['Rome', None], not a list of links",
        "test_w_10cands.json, record 3: `candidates` is None, not a list",
        "test_w_10cands.json, record 4: `end` is -1, not an offset",
    ):
        assert line in str(raised.value)


def test_malformed_tables_are_all_listed(tmp_path):
    write_wikidiverse(tmp_path, pictures=False)
    table = tmp_path / "entity2desc_filtered.tsv"
    table.write_bytes(table.read_bytes() + b"\nNo separator\nRome@@@@caf\xe9\n@@@@nobody\r\n")
    with pytest.raises(ValueError) as raised:
        load_layout("wikidiverse", tmp_path)
    message = str(raised.value)
    assert message.startswith(f"{table}: 3 problems")  # the empty line 6 is none
    assert "line 7: 'No separator' has no '@@@@' between entity and text" in message
    assert "line 8: is not UTF-8" in message and "line 9: names no entity" in message
    write_wikidiverse(tmp_path, pictures=False)
    (tmp_path / "wikipedia_entity2imgs.tsv").write_text("Rome@@@@Rome.jpg\n")
    with pytest.raises(
        ValueError, match=r"wikipedia_entity2imgs\.tsv: 1 problem\n  line 1: 'Rome\.jpg' are no image URLs"
    ):
        load_layout("wikidiverse", tmp_path)


def test_repeated_lines_of_an_entity(tmp_path, caplog):
    write_wikidiverse(tmp_path)
    with open(tmp_path / "entity2desc_filtered.tsv", "a", encoding="utf-8") as file:
        file.write(f"Rome@@@@Another text.\n{wiki('Paris')}@@@@A city.\n")
    data = load_layout("wikidiverse", tmp_path)
    assert data.report["repeated_entities"] == 1
    assert "entity2desc_filtered.tsv: duplicate ids Rome; the first line of each is used" in caplog.text
    assert data.entities.texts([data.entities.row("Rome")]) == ["Rome is the capital of Italy."]
    assert data.entities.dataset["source_row"][:6] == [0, 1, 2, 3, 4, 6]


def test_files_that_are_missing_doubled_or_another_benchmark(tmp_path):
    write_wikidiverse(tmp_path, "passage", pictures=False)
    (tmp_path / "valid.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"layout 'wikidiverse' needs files that are not there: .*valid\.json"):
        load_layout("wikidiverse", tmp_path)
    write_json(tmp_path, valid={"1": []})
    with pytest.raises(ValueError, match=r"valid\.json: the first record is neither a caption nor a mention"):
        load_layout("wikidiverse", tmp_path)
    write_json(tmp_path, valid=wikidiverse_captions()["valid"], dev=wikidiverse_captions()["valid"])
    with pytest.raises(ValueError, match=r"several files of one split, keep one of each: .*dev\.json, .*valid\.json"):
        load_layout("wikidiverse", tmp_path)
    (tmp_path / "dev.json").unlink()
    (tmp_path / "entity2desc.txt").write_text("")
    with pytest.raises(ValueError, match=r"entity2desc\.txt, .*entity2desc_filtered\.tsv are tables of one kind"):
        load_layout("wikidiverse", tmp_path)
    with pytest.raises(ValueError, match="benchmark='wikimel': .* holds wikidiverse in the layout 'wikidiverse'"):
        load_layout("wikidiverse", tmp_path, benchmark="wikimel")
