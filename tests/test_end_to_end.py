"""The way of a user from training to an entity that is added, linked to and removed, all by commands."""

import json

import pytest
import yaml

from hf_mel.cli.main import main
from tests.tiny_recipe import DATA_OPTIONS, tiny_recipe


TEXT, MENTION = "Zyxwvut was here.", "Zyxwvut"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A trained model, the knowledge base and a labelled split as folders, and an index."""
    from hf_mel import make_miniature

    folder = tmp_path_factory.mktemp("way")
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(tiny_recipe(folder / "model")), encoding="utf-8")
    assert main(["train", str(recipe)]) == 0
    data = make_miniature(**DATA_OPTIONS)
    data.entities.save(folder / "kb")
    columns = ("id", "mention", "text")
    rows = [{name: row[name] for name in columns} for row in data.mentions["test"].select_columns(columns)]
    lines = [json.dumps(row) for row in [*rows, {"id": "bad", "mention": "", "text": "No mention."}]]
    (folder / "mentions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "new.csv").write_text("id,name,attributes\nQnew,Zyxwvut,Occupation: painter.\n", encoding="utf-8")
    built = ["index", "build", str(folder / "model"), "--kb", str(folder / "kb"), "--out", str(folder / "index")]
    assert main([*built, "--encode_dtype", "float32"]) == 0
    return folder


def linked(place, capsys, *options) -> dict:
    """What `hf-mel link --json` answers about the entity that is new."""
    command = ["link", str(place / "model"), "--index", str(place / "index"), "--text", TEXT, "--mention", MENTION]
    capsys.readouterr()
    assert main([*command, "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_file_is_linked_and_what_is_bad_is_told(place, capsys):
    out = place / "links.jsonl"
    command = ["link", str(place / "model"), "--index", str(place / "index"), "--input", str(place / "mentions.jsonl")]
    assert main([*command, "--output", str(out)]) == 1, "one row was rejected"
    answers = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(answers) == DATA_OPTIONS["num_test"]
    assert all(answer["calibration"] == "prior" and len(answer["candidates"]) == 5 for answer in answers)
    rejects = (place / "links.jsonl.rejects.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rejects) == 1 and "mention" in rejects[0]


def test_an_entity_is_added_linked_to_and_removed(place, capsys):
    before = linked(place, capsys)
    assert "Qnew" not in {each["entity_id"] for each in before["candidates"]}
    assert (
        main(["index", "add", str(place / "index"), "--kb", str(place / "new.csv"), "--model", str(place / "model")])
        == 0
    )
    there = linked(place, capsys)
    assert there["candidates"][0]["entity_id"] == "Qnew" and there["candidates"][0]["matched_alias"] == "Zyxwvut"
    between = (there["candidates"][0]["score"] + before["candidates"][0]["score"]) / 2
    assert between > before["candidates"][0]["score"]
    assert linked(place, capsys, "--score_threshold", str(between))["entity_id"] == "Qnew"
    assert main(["index", "remove", str(place / "index"), "--ids", "Qnew"]) == 0
    gone = linked(place, capsys, "--score_threshold", str(between))
    assert gone["is_nil"] is True and gone["entity_id"] is None
    assert [each["entity_id"] for each in gone["candidates"]] == [each["entity_id"] for each in before["candidates"]]


def test_why_it_won(place, capsys):
    page = place / "why.html"
    command = ["explain", str(place / "model"), "--index", str(place / "index"), "--text", TEXT, "--mention", MENTION]
    capsys.readouterr()
    assert main([*command, "--html", str(page)]) == 0
    best = linked(place, capsys)["candidates"][0]
    assert best["name"] in capsys.readouterr().out + page.read_text(encoding="utf-8")
