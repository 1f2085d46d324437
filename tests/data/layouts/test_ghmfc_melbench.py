"""Hand-made folders in the released layouts, with the quirks of the real ones; all numbers are worked out by hand."""

import json

import pytest

from hf_mel.data import ENTITY_FEATURES, MENTION_FEATURES, load_benchmark, load_layout
from hf_mel.data.layouts.base import Caption, deal_out, locate_mentions

from .fixtures import CAPTIONS, NAMES, SPLITS, TEXTS, write_ghmfc, write_json, write_melbench, write_richpediamel


@pytest.fixture
def wikimel(tmp_path):
    """The `ghmfc` folder of WikiMEL with MELBench's captions beside it."""
    write_json(tmp_path / "melbench", **{"Wikidata-MEL": CAPTIONS})
    write_json(tmp_path / "ghmfc" / "input_data", qid2ne=NAMES, qid2abs=TEXTS, splits=SPLITS)
    return tmp_path / "ghmfc"


@pytest.fixture
def richpediamel(tmp_path):
    return write_richpediamel(tmp_path / "rich")


# ---- ghmfc ----


def test_wikimel_ghmfc(wikimel, caplog):
    data = load_layout("ghmfc", wikimel)
    mentions = data.mentions
    assert all(table.features == MENTION_FEATURES for table in mentions.values())
    assert data.entities.dataset.features == ENTITY_FEATURES
    assert mentions["train"]["id"][:] == ["10-0", "10-1", "10-2", "10-3", "12-0"]
    assert mentions["validation"]["id"][:] == ["11-0"]
    assert mentions["test"]["id"][:] == ["14-0", "13-0", "13-1"]
    assert mentions["train"]["entity_id"][:] == ["Q1", "Q1", "Q2", "Q3", None]
    assert mentions["test"]["entity_name"][:] == ["Anna L.", "Bo Lee", None]
    spans = list(zip(mentions["train"]["start"][:], mentions["train"]["end"][:], strict=True))
    # "Ann Lee and Anna Lee met Lee.": three times Lee in order; Ann as a word of its own.
    assert spans == [(4, 7), (0, 3), (17, 20), (25, 28), (2, 10)]
    assert mentions["validation"]["start"][:] == [None]
    assert data.entities.ids == ["Q1", "Q2", "Q3", "Q4", "Q5"]
    assert data.entities.texts() == ["Sex: female.", "Sex: female. Birth: 1900.", "Sex: male.", "", "Sex: male."]
    assert data.entities.text_field == "attributes"
    assert (
        f"the folder of pictures {wikimel / 'images'} is empty or not there, records without their picture: 9"
        in caplog.text
    )
    assert "split 'validation': 1 of 1 mentions do not stand in their sentence literally" in caplog.text


def test_wikimel_ghmfc_report(wikimel):
    report = load_layout("ghmfc", wikimel).report
    assert json.loads(json.dumps(report)) == report
    pictures = report.pop("pictures")
    assert [(entry["record"], entry["split"], entry["records"]) for entry in pictures] == [
        ("10-0", "train", 5), ("11-0", "validation", 1), ("14-0", "test", 3),
    ]  # fmt: skip
    missing = wikimel / "images"
    assert pictures[0] == {
        "table": "mentions", "split": "train", "file": str(missing), "record": "10-0", "status": "missing_folder",
        "reason": f"the folder of pictures {missing} is empty or not there", "records": 5,
    }  # fmt: skip
    assert report == {
        "layout": "ghmfc",
        "benchmark": "wikimel",
        "split_rule": "splits.json",
        "captions_in_no_split": 0,
        "records_left_out": [],
        "entities": 5,
        "entity_images": {"none": 5},
        "text_field": "attributes",
        "splits": {
            "train": {
                "mentions": 5, "nil": 1, "not_in_text": 0, "offset_mismatch": 0,
                "captions": 2, "listed_captions": 3, "unknown_captions": 1, "left_out": 0, "images": {"missing_file": 5},
            },
            "validation": {
                "mentions": 1, "nil": 0, "not_in_text": 1, "offset_mismatch": 0,
                "captions": 1, "listed_captions": 2, "unknown_captions": 1, "left_out": 0, "images": {"missing_file": 1},
            },
            "test": {
                "mentions": 3, "nil": 1, "not_in_text": 0, "offset_mismatch": 0,
                "captions": 2, "listed_captions": 2, "unknown_captions": 0, "left_out": 0, "images": {"missing_file": 3},
            },
        },
        "test_sentences": 2,
        "test_sentences_in_train": 0,
        "test_entities": 2,
        "test_entities_unseen": 0,
    }  # fmt: skip


def test_pictures_of_captions(wikimel, write_picture):
    write_picture(wikimel / "images" / "10.jpg", size=(64, 64))
    (wikimel / "images" / "11.jpg").write_bytes((wikimel / "images" / "10.jpg").read_bytes()[:-300])
    write_picture(wikimel / "images" / "12.png", left=(7, 7, 7), right=(7, 7, 7))
    write_picture(wikimel / "images" / "14.JPEG")
    write_picture(wikimel / "images" / "13.5.jpg")  # another caption's, not 13's
    data = load_layout("ghmfc", wikimel)
    assert data.report["splits"]["validation"]["images"] == {"ok": 1}
    data = load_layout("ghmfc", wikimel, check_images=True)
    assert data.report["splits"]["train"]["images"] == {"blank": 1, "ok": 4}
    assert data.report["splits"]["validation"]["images"] == {"unreadable": 1}
    assert data.report["splits"]["test"]["images"] == {"missing_file": 2, "ok": 1}
    assert data.mentions["train"][3]["image"].size == (64, 64)
    assert data.mentions["test"][0]["image"].size == (6, 4)
    assert data.mentions["validation"][0]["image"] is None
    with pytest.raises(FileNotFoundError) as raised:
        load_layout("ghmfc", wikimel, check_images=True, strict_images=True)
    assert "3 pictures cannot be used (1 blank, 1 missing_file, 1 unreadable)" in str(raised.value)
    assert f"record '13-0': {wikimel / 'images' / '13.jpg'} is not there" in str(raised.value)
    write_picture(wikimel / "images" / "13.jpg")
    load_layout("ghmfc", wikimel, strict_images=True)
    with pytest.raises(ValueError, match=r"2 pictures .* record '11-0': .*11\.jpg cannot be read.*`images=`"):
        load_layout("ghmfc", wikimel, check_images=True, strict_images=True)


def test_a_folder_of_pictures_elsewhere_and_a_relative_path(wikimel, tmp_path, write_picture, monkeypatch):
    write_picture(tmp_path / "photos" / "14.jpg")
    monkeypatch.chdir(tmp_path)
    data = load_layout("ghmfc", "ghmfc", images="photos")
    monkeypatch.chdir("/")
    assert data.mentions["test"][0]["image"].size == (6, 4)


def test_captions_are_found_or_asked_for(wikimel, tmp_path):
    moved = (tmp_path / "melbench" / "Wikidata-MEL.json").rename(tmp_path / "elsewhere.json")
    with pytest.raises(
        FileNotFoundError, match=r"holds no sentences(.|\n)*Wikidata-MEL\.json(.|\n)*Pass its path as `captions=`"
    ):
        load_layout("ghmfc", wikimel)
    with pytest.raises(FileNotFoundError, match=r"absent\.json\. `captions=` must name"):
        load_layout("ghmfc", wikimel, captions=tmp_path / "absent.json")
    assert load_layout("ghmfc", wikimel, captions=moved).report["splits"]["train"]["mentions"] == 5
    moved.rename(wikimel / "Wikidata-MEL.json")
    assert load_layout("ghmfc", wikimel).report["splits"]["train"]["mentions"] == 5


def test_richpediamel_ghmfc_carves_validation_from_train(richpediamel):
    data = load_layout("ghmfc", richpediamel, validation_share=0.2)
    train, validation = data.mentions["train"]["id"][:], data.mentions["validation"]["id"][:]
    assert (len(train), len(validation)) == (16, 4)
    assert sorted(train + validation) == sorted(f"Q{i}-0" for i in range(20))
    assert data.mentions["test"]["id"][:] == ["Q50-0"]
    assert data.report["validation_carved_from_train"] == 4 and data.report["seed"] == 0
    assert "20% of train" in data.report["split_rule"]
    assert data.report["splits"]["train"]["nil"] + data.report["splits"]["validation"]["nil"] == 1
    assert data.report["test_entities_unseen"] == 1
    assert data.entities.texts([2]) == ["Sex: s2."]
    assert load_layout("ghmfc", richpediamel, text="long").entities.texts([2]) == ["Sex: s2. Birth: 1902."]
    assert not data.entities.has_images


def test_the_carved_split_depends_on_the_seed_alone(richpediamel):
    def validation(seed):
        return load_layout("ghmfc", richpediamel, validation_share=0.3, seed=seed).mentions["validation"]["id"][:]

    assert validation(1) == validation(1)
    assert validation(1) != validation(2)


def test_richpediamel_ghmfc_with_its_own_validation(richpediamel):
    dev = {"Q51": {"id": "Q51", "sentence": "The middle.", "mentions": "middle", "entities": "P 51", "answer": "Q51"}}
    write_json(richpediamel, dev=dev)
    data = load_layout("ghmfc", richpediamel)
    assert data.mentions["validation"]["id"][:] == ["Q51-0"]
    assert data.report["splits"]["train"]["mentions"] == 20
    assert data.report["split_rule"] == "train.json, dev.json, test.json"


# ---- melbench ----


def test_melbench_with_gold_entities(tmp_path):
    folder = write_json(tmp_path, **{"Wikidata-MEL": CAPTIONS}, splits=SPLITS)
    data = load_layout("melbench", folder)
    assert data.entities.ids == ["Q1", "Q2", "Q3", "Q4"]
    assert data.entities.names() == ["Ann Lee", "Anna Lee", "Bo Lee", "Hermann Beck"]
    assert data.entities.aliases() == [[], ["Anna L."], [], []]
    assert data.report["knowledge_base"] == "gold entities"
    assert data.report["split_rule"] == "splits.json"
    assert data.report["splits"]["train"]["unknown_captions"] == 1


def test_melbench_with_names_and_attributes(tmp_path):
    folder = write_json(tmp_path, **{"Wikidata-MEL": CAPTIONS}, splits=SPLITS, qid2ne=NAMES, qid2abs=TEXTS)
    data = load_layout("melbench", folder)
    assert len(data.entities) == 5
    assert data.entities.texts([0]) == ["Sex: female."]
    assert data.report["knowledge_base"] == "qid2ne.json"


def test_melbench_splits_by_hash(tmp_path):
    captions = {
        str(i): {"sentence": f"Sentence {i % 40} of P{i}"[: 12 + (i % 40 > 9)], "mentions": "S", "entities": "P", "answer": "Q1"}
        for i in range(60)
    }  # 60 captions, 40 sentences: 20 stand twice  # fmt: skip
    write_json(tmp_path, **{"Richpedia-MEL": captions})
    data = load_layout("melbench", tmp_path / "Richpedia-MEL.json")  # the file itself will do
    sentences = {split: set(table["text"][:]) for split, table in data.mentions.items()}
    assert {split: len(found) for split, found in sentences.items()} == {"train": 28, "validation": 4, "test": 8}
    assert not sentences["train"] & sentences["test"] and not sentences["train"] & sentences["validation"]
    assert sum(len(table) for table in data.mentions.values()) == 60
    assert data.report["test_sentences_in_train"] == 0
    assert data.report["seed"] == 0
    again = load_layout("melbench", tmp_path, seed=0).mentions["test"]["id"][:]
    assert again == data.mentions["test"]["id"][:]
    assert again != load_layout("melbench", tmp_path, seed=1).mentions["test"]["id"][:]


def test_melbench_with_two_files_asks_which(tmp_path):
    write_json(tmp_path, **{"Wikidata-MEL": CAPTIONS, "Richpedia-MEL": CAPTIONS}, splits=SPLITS)
    with pytest.raises(ValueError, match="holds richpediamel, wikimel: choose one by `benchmark=`"):
        load_layout("melbench", tmp_path)
    data = load_layout("melbench", tmp_path, captions=tmp_path / "Wikidata-MEL.json")
    assert data.report["splits"]["test"]["mentions"] == 3
    data = load_layout("melbench", tmp_path, benchmark="richpediamel")
    assert data.report["benchmark"] == "richpediamel" and data.mentions["test"]["id"][:] == ["14-0", "13-0", "13-1"]


@pytest.mark.parametrize("layout", ["ghmfc", "melbench"])
@pytest.mark.parametrize(("there", "asked"), [("wikimel", "richpediamel"), ("richpediamel", "wikimel")])
def test_another_benchmark_than_the_files_are_of(layout, there, asked, tmp_path):
    folder = (write_ghmfc if layout == "ghmfc" else write_melbench)(tmp_path / "raw", there)
    message = f"benchmark='{asked}': .*raw holds {there} in the layout '{layout}'"
    with pytest.raises(ValueError, match=message):
        load_benchmark(asked, raw_dir=folder)
    data = load_benchmark(there, raw_dir=folder)
    assert data.report["benchmark"] == there and data.mentions.num_rows["test"]
    if layout == "melbench":
        (file,) = (path for path in folder.glob("*-MEL.json"))
        with pytest.raises(ValueError, match=f"benchmark='{asked}': .*MEL.json holds {there}"):
            load_layout(layout, file, benchmark=asked)
        # A file of another name does not tell, so what is asked for is believed.
        file.rename(folder / "captions.json")
        data = load_layout(layout, folder / "captions.json", benchmark=asked)
        assert data.report["benchmark"] == asked


# ---- Units ----


def test_locate_mentions():
    assert locate_mentions("a b a", ["a", "a", "a", "b"]) == [(0, 1), (4, 5), (4, 5), (2, 3)]
    assert locate_mentions("Anna and Ann", ["Ann"]) == [(9, 12)]
    assert locate_mentions("Annabel", ["Ann"]) == [(0, 3)]
    assert locate_mentions("U.N.C.L.E. (1964)", ["U.N.C.L.E.", "(1964)"]) == [(0, 10), (11, 17)]
    assert locate_mentions("Émilien de N.", ["Émilien N."]) == [None]
    assert locate_mentions("रामी और राम", ["राम"]) == [(8, 11)], "a vowel sign continues the word"
    assert locate_mentions("在北京的人，北京", ["北京", "北京"]) == [(1, 3), (6, 8)], "words end anywhere"
    assert locate_mentions("서울에서 서울", ["서울"]) == [(0, 2)], "a particle is written onto the word"


def test_deal_out_is_the_same_everywhere():
    captions = [Caption(str(i), f"s{i}", [], [], []) for i in range(10)]
    result = deal_out(captions, {"train": 0.7, "validation": 0.1, "test": 0.2}, 3, lambda caption: caption.sentence)
    # `printf 3:s9 | sha256sum` and so on: the smallest is that of 9, then 8, then 3.
    assert [caption.id for caption in result["validation"]] == ["9"]
    assert [caption.id for caption in result["test"]] == ["3", "8"]
    assert len(result["train"]) == 7


# ---- Bad input ----


def test_unknown_layout_and_options(wikimel, tmp_path):
    with pytest.raises(
        ValueError, match="unknown layout 'gmfc'; did you mean 'ghmfc'.* Known are fissfuse, ghmfc, kgmel, mela"
    ):
        load_layout("gmfc", wikimel)
    with pytest.raises(ValueError, match="text='huge': use one of short, long"):
        load_layout("ghmfc", wikimel, text="huge")
    with pytest.raises(ValueError, match="validation_share=1.5"):
        load_layout("ghmfc", wikimel, validation_share=1.5)
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        load_layout("ghmfc", tmp_path / "nowhere")


def test_all_missing_files_are_named(wikimel, richpediamel, tmp_path):
    (wikimel / "input_data" / "qid2ne.json").unlink()
    (wikimel / "input_data" / "splits.json").unlink()
    with pytest.raises(FileNotFoundError) as raised:
        load_layout("ghmfc", wikimel)
    assert "qid2ne.json" in str(raised.value) and "splits.json" in str(raised.value)
    assert "qid2abs.json" not in str(raised.value)
    (richpediamel / "test.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"rich/test\.json\. .* must be the Richpedia-MEL folder"):
        load_layout("ghmfc", richpediamel)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"Wikidata-MEL\.json or .*Richpedia-MEL\.json"):
        load_layout("melbench", tmp_path / "empty")


def test_bad_captions_are_all_listed(tmp_path):
    bad = {
        "1": {"sentence": "x", "mentions": ["a", "b"], "entities": ["A"], "answer": ["Q1"]},
        "2": {"sentence": " ", "mentions": ["a"], "entities": ["A"], "answer": ["Q1"]},
        "3": {"sentence": "x", "mentions": [""], "entities": ["A"], "answer": [4]},
        "4": {"sentence": "x", "mention": ["a"], "entities": ["A"], "answer": ["Q1"]},
        "5": "x",
    }
    write_json(tmp_path, **{"Wikidata-MEL": bad})
    with pytest.raises(ValueError) as raised:
        load_layout("melbench", tmp_path)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path / 'Wikidata-MEL.json'}: 4 problems")
    for line in (
        "caption '1': 2 `mentions`, 1 `entities`, 1 `answer` do not match",
        "caption '3': `answer` holds 4, which is no text",
        "caption '4': `mentions` is missing",
        "caption '5': is str, not an object",
    ):
        assert line in message


def test_bad_json(tmp_path):
    path = tmp_path / "Wikidata-MEL.json"
    path.write_text('{"1": {"sentence": "x"')
    with pytest.raises(ValueError, match=r"Wikidata-MEL\.json is not whole JSON: .* line 1"):
        load_layout("melbench", tmp_path)
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"Wikidata-MEL\.json holds a list, not an object"):
        load_layout("melbench", tmp_path)
    record = json.dumps(CAPTIONS["11"])
    path.write_text(f'{{"11": {record}, "12": {record}, "11": {record}}}')
    with pytest.raises(ValueError, match=r"Wikidata-MEL\.json: duplicate keys 11; keep one of each"):
        load_layout("melbench", tmp_path)


def test_bad_entities(wikimel):
    folder = wikimel / "input_data"
    write_json(folder, qid2ne={**NAMES, "Q5": "", "Q6": None}, qid2abs={**TEXTS, "Q7": "x", "Q1": 5})
    with pytest.raises(ValueError) as raised:
        load_layout("ghmfc", wikimel)
    message = str(raised.value)
    assert "qid2ne.json: 4 problems" in message
    assert "entity 'Q5': has no name ('')" in message
    assert "entity 'Q6': has no name (None)" in message
    assert "entity 'Q7': is in qid2abs.json, but has no name" in message
    assert "entity 'Q1': has attributes in qid2abs.json that are no text (5)" in message


def test_gold_id_that_is_no_entity(wikimel):
    write_json(
        wikimel / "input_data", qid2ne={k: v for k, v in NAMES.items() if k != "Q2"}, qid2abs={"Q1": "Sex: female."}
    )
    with pytest.raises(ValueError) as raised:
        load_layout("ghmfc", wikimel)
    assert "split 'train', mention '10-2': gold `entity_id` 'Q2' is not in the knowledge base" in str(raised.value)
    assert "split 'test', mention '14-0': gold `entity_id` 'Q2'" in str(raised.value)
    assert "mentions: 2 problems" in str(raised.value)


def test_gold_entity_without_a_name(tmp_path):
    nameless = {**CAPTIONS, "11": {**CAPTIONS["11"], "entities": [None]}}
    write_json(tmp_path, **{"Wikidata-MEL": nameless}, splits=SPLITS)
    with pytest.raises(ValueError, match="`name` of entity 'Q4' is empty"):
        load_layout("melbench", tmp_path)


def test_bad_splits(wikimel):
    write_json(wikimel / "input_data", splits={"train": ["10"], "dev": ["11", "10"], "test": ["13", "13"]})
    with pytest.raises(ValueError) as raised:
        load_layout("ghmfc", wikimel)
    assert "split 'dev': caption '10' is already in 'train'" in str(raised.value)
    assert "split 'test': caption '13' is already in 'test'" in str(raised.value)
    write_json(wikimel / "input_data", splits={"train": "10", "development": []})
    with pytest.raises(ValueError, match=r"split 'train': is not a list of ids\n  split 'development': is unknown"):
        load_layout("ghmfc", wikimel)


def test_an_empty_split_is_named(wikimel):
    write_json(wikimel / "input_data", splits={"train": ["10"], "dev": ["98"], "test": ["13"]})
    with pytest.raises(ValueError, match="split 'validation': has no mention"):
        load_layout("ghmfc", wikimel)
