"""RichpediaMEL of GHMFC's files with the sentences of MELBench."""

import json

import pytest

from hf_mel.data import load_layout

from .fixtures import CAPTIONS, write_json, write_richpediamel


@pytest.fixture
def richpediamel(tmp_path):
    return write_richpediamel(tmp_path / "rich")


@pytest.fixture
def melbench_captions(richpediamel, tmp_path):
    """The captions of MELBench for the same ids, with other sentences; one of train is missing, one is in no split."""
    released = {}
    for name in ("train", "test"):
        released |= json.loads((richpediamel / f"{name}.json").read_text())
    captions = {
        key: {**caption, "sentence": f"In MELBench, {caption['sentence']}"} for key, caption in released.items()
    }
    del captions["Q7"]
    captions["Q59"] = {**captions["Q50"], "id": "Q59", "answer": "Q59"}
    return write_json(tmp_path / "bench", **{"Richpedia-MEL": captions}) / "Richpedia-MEL.json"


def test_richpediamel_with_the_sentences_of_melbench(richpediamel, melbench_captions):
    data = load_layout("ghmfc", richpediamel, captions=melbench_captions, validation_share=0.2)
    texts = [text for table in data.mentions.values() for text in table["text"][:]]
    assert len(texts) == 20 and all(text.startswith("In MELBench, ") for text in texts)
    assert data.mentions.num_rows == {"train": 15, "validation": 4, "test": 1}  # 19 of train: a fifth is 4
    assert data.mentions["test"][0]["start"] == 17 and data.mentions["test"]["id"][:] == ["Q50-0"]
    assert len(data.entities) == 60 and data.entities.texts([2]) == ["Sex: s2."]
    expected = {"captions_file": "Richpedia-MEL.json", "unknown_captions": 1, "captions_in_no_split": 1}
    assert {key: data.report[key] for key in expected} == expected
    assert "captions_file" not in load_layout("ghmfc", richpediamel).report  # they are not taken unless given


def test_richpediamel_with_the_captions_of_another_benchmark(richpediamel, tmp_path):
    other = write_json(tmp_path / "bench", **{"Wikidata-MEL": CAPTIONS}) / "Wikidata-MEL.json"
    with pytest.raises(ValueError, match=r"Wikidata-MEL.json has no caption of the split 'train': `captions=` must"):
        load_layout("ghmfc", richpediamel, captions=other)
    with pytest.raises(FileNotFoundError, match=r"absent\.json\. `captions=` must name the MELBench file Richpedia"):
        load_layout("ghmfc", richpediamel, captions=tmp_path / "absent.json")
