"""`hf-mel data check` on released files, on a built folder, and on what it cannot read."""

import json
import shutil

import datasets
import pytest
from PIL import Image

from hf_mel.cli import data_check
from hf_mel.data import load_layout
from hf_mel.data.building import build_benchmark


NUMBER = 20


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets_cache")


@pytest.fixture
def raw(tmp_path):
    """WikiMEL in the layout of GHMFC, without a fault."""
    folder = tmp_path / "raw"
    (folder / "input_data").mkdir(parents=True)
    (folder / "images").mkdir()
    captions = {}
    for number in range(NUMBER):
        captions[str(number)] = {
            "sentence": f"Ada {number} at the desk", "mentions": [f"Ada {number}"],
            "entities": [f"Ada {number}"], "answer": [f"Q{number}"],
        }  # fmt: skip
        image = Image.new("RGB", (40, 40), (12 * number, 0, 0))
        image.paste((0, 200, 9), (0, 0, 20, 20))
        image.save(folder / "images" / f"{number}.jpg")
    splits = {"train": [str(n) for n in range(16)], "dev": ["16", "17"], "test": ["18", "19"]}
    write(folder / "Wikidata-MEL.json", captions)
    write(folder / "input_data" / "splits.json", splits)
    write(folder / "input_data" / "qid2ne.json", {f"Q{number}": f"Ada {number}" for number in range(NUMBER)})
    write(folder / "input_data" / "qid2abs.json", {f"Q{number}": f"Birth: {number}." for number in range(NUMBER)})
    return folder


@pytest.fixture
def unpublished(monkeypatch):
    """Twenty captions are unlike the counts of GHMFC's WikiMEL, which is a warning that some tests do without."""
    monkeypatch.setattr("hf_mel.doctor.all_checks.release_of", lambda report: None)


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")


def lose_gold(raw):
    """Two gold entities are no longer in the knowledge base."""
    for name in ("qid2ne", "qid2abs"):
        path = raw / "input_data" / f"{name}.json"
        content = json.loads(path.read_text())
        write(path, {key: value for key, value in content.items() if key not in ("Q18", "Q3")})


def test_nothing_wrong(raw, unpublished, capsys):
    assert data_check.run([str(raw), "--layout", "ghmfc"]) == 0
    shown = capsys.readouterr().out
    assert f"{raw}: nothing wrong" in shown and "gold ids absent from the knowledge base" in shown


def test_errors_are_told_and_written(raw, tmp_path, capsys):
    lose_gold(raw)
    (raw / "images" / "5.jpg").write_bytes(b"<html>404</html>")
    files = tmp_path / "found.json", tmp_path / "found.html"
    options = ["--layout", "ghmfc", "--json", str(files[0]), "--html", str(files[1])]
    assert data_check.run([str(raw), *options]) == 1
    assert "[unknown_gold]" in capsys.readouterr().out
    content = json.loads(files[0].read_text(encoding="utf-8"))
    counts = {found["id"]: found["count"] for found in content["findings"]}
    assert counts["unknown_gold"] == 2 and counts["unreadable_pictures"] == 1
    page = files[1].read_text(encoding="utf-8")
    assert page.lstrip().startswith("<!DOCTYPE html>")
    assert "5.jpg" in page


def test_warnings_count_if_strict(raw, unpublished):
    arguments = [str(raw), "--layout", "ghmfc"]
    assert data_check.run([*arguments, "--strict"]) == 0
    path = raw / "Wikidata-MEL.json"
    content = json.loads(path.read_text())
    content["1"]["mentions"] = ["Eva"]
    write(path, content)
    assert data_check.run(arguments) == 0
    assert data_check.run([*arguments, "--strict"]) == 1


def test_pictures_can_be_left_out(raw, capsys):
    (raw / "images" / "5.jpg").unlink()
    assert data_check.run([str(raw), "--layout", "ghmfc"]) == 1
    assert "5.jpg is not there" in capsys.readouterr().out
    assert data_check.run([str(raw), "--layout", "ghmfc", "--no_pictures"]) == 0
    shown = capsys.readouterr().out
    assert "Pictures were not looked at" in shown and "with picture" not in shown
    shutil.rmtree(raw / "images")
    assert data_check.run([str(raw), "--layout", "ghmfc"]) == 0
    shown = capsys.readouterr().out
    assert "[missing_picture_folders]" in shown and "[missing_pictures]" not in shown


@pytest.mark.parametrize("arguments", [["wikimel", "--raw", "{raw}"], ["{raw}"]])
def test_the_numbers_of_the_release_are_compared(raw, arguments, capsys):
    """The reader of the files recognises the benchmark and its release."""
    assert data_check.run([*(word.format(raw=raw) for word in arguments), "--layout", "ghmfc"]) == 0
    shown = capsys.readouterr().out
    assert "18,088" in shown and "unexplained" in shown and "Next to the complete release (GHMFC)" in shown


def test_a_built_folder(raw, tmp_path, capsys):
    built = tmp_path / "wikimel"
    build_benchmark("wikimel", raw, built, layout="ghmfc")
    assert data_check.run([str(built)]) == 0
    shown = capsys.readouterr().out
    assert "18,880" in shown and "(GHMFC)" in shown, "the report of the build names the layout"
    assert load_layout("ghmfc", raw).mentions.num_rows == {"train": 16, "validation": 2, "test": 2}
    shards = [shard for config in ("mentions/test", "entities/train") for shard in built.glob(f"{config}-*.parquet")]
    for shard in shards:
        shard.write_bytes(shard.read_bytes()[:200])
    assert data_check.run([str(built)]) == 1, "though the cache still holds them whole"
    shown = capsys.readouterr().out
    assert "[unreadable_data]" in shown and len(shards) == 2
    assert all(shard.name in shown for shard in shards)


def test_files_that_cannot_be_read(raw, tmp_path, capsys):
    (raw / "Wikidata-MEL.json").write_text('{"1": ')
    assert data_check.run([str(raw), "--layout", "ghmfc", "--html", str(tmp_path / "page.html")]) == 1
    assert "is not whole JSON" in capsys.readouterr().out
    assert "is not whole JSON" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["wikimell"], "did you mean 'wikimel'"),
        (["wikimel"], "not part of the package"),
        (["{raw}", "--layout", "ghmfk"], "did you mean 'ghmfc'"),
        (["{raw}", "--raw", "{raw}"], "--raw belongs to a benchmark's name"),
        (["wikimel", "--raw", "no/such/folder"], "no folder no/such/folder"),
        (["{raw}", "--json", "no/such/folder/x.json"], "make it first"),
    ],
)
def test_usage_errors_are_raised_for_the_command_line(raw, arguments, told):
    with pytest.raises((ValueError, OSError), match=told):
        data_check.run([word.format(raw=raw) for word in arguments])


def test_an_unknown_option_ends_with_2(capsys):
    with pytest.raises(SystemExit) as ended:
        data_check.run(["emojimel", "--strikt"])
    assert ended.value.code == 2
    assert "did you mean --strict" in capsys.readouterr().err


def test_text_of_any_script_reaches_a_narrow_terminal(monkeypatch, capsys):
    class Narrow:
        encoding = "ascii"

        def write(self, text):
            text.encode("ascii")

        def flush(self):
            pass

    monkeypatch.setattr(data_check.sys, "stdout", Narrow())
    data_check._print("Café 東京")
