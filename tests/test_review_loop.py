"""From links to a table, from a person's corrections to labelled mentions, and on to calibration and training."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from hf_mel import load_data
from hf_mel.cli.main import main
from hf_mel.data import as_mentions
from hf_mel.linking import Calibration
from tests.test_museum import MUSEUM, read


def run(*words, status: int = 0) -> None:
    assert main([str(word) for word in words]) == status


@pytest.fixture(scope="module")
def museum(tmp_path_factory):
    """A folder with a model without training, its index, and the links of all captions."""
    folder = tmp_path_factory.mktemp("museum")
    run("init", "static-words", "--out", folder / "model")
    index = folder / "index"
    run(
        "index", "build", folder / "model", "--kb", MUSEUM / "objects.csv", "--out", index, "--encode_dtype", "float32"
    )
    run(
        "link",
        folder / "model",
        "--index",
        index,
        "--input",
        MUSEUM / "captions.csv",
        "--output",
        folder / "links.csv",
    )
    return folder


@pytest.fixture
def folder(museum, tmp_path, monkeypatch):
    for name in ("model", "index", "links.csv"):
        (tmp_path / name).symlink_to(museum / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def export(*options) -> None:
    run("review", "export", "links.csv", "--input", MUSEUM / "captions.csv", *options)


def test_the_whole_loop(folder, capsys):
    export("--out", "review.csv")
    with open("review.csv", encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    probabilities = [float(line["probability"]) for line in lines]
    assert "columns not used" not in capsys.readouterr().err, "all are in the table"
    assert len(lines) == 60 and probabilities == sorted(probabilities)
    wrong = [line for line in lines if line["entity_id"] != line["input_entity_id"]]
    assert 0 < len(wrong) < 12
    for line in wrong:  # the catalogue says what is right
        line["corrected_entity_id"] = line["input_entity_id"] or "nil"
    with open("corrected.csv", "w", encoding="utf-8-sig", newline="") as file:  # as a German spreadsheet saves it
        writer = csv.DictWriter(file, lines[0], delimiter=";")
        writer.writeheader()
        writer.writerows(lines)
    capsys.readouterr()
    run(
        "review",
        "import",
        "corrected.csv",
        "--links",
        "links.csv",
        "--kb",
        MUSEUM / "objects.csv",
        "--out",
        "reviewed",
    )
    shown = capsys.readouterr().out
    made_nil = sum(not line["input_entity_id"] for line in wrong)
    assert shown.startswith("60 of 60 links reviewed") and f"confirmed       {60 - len(wrong)} " in shown
    report = json.loads((folder / "reviewed" / "review_report.json").read_text())
    assert (report["corrected"], report["made_nil"], report["problems"]) == (len(wrong) - made_nil, made_nil, [])
    assert sum(each["links"] for each in report["bins"]) == 60
    labels = {each["id"]: each["entity_id"] for each in read(folder / "reviewed" / "mentions.csv")}
    assert labels == {each["id"]: each["entity_id"] for each in read(MUSEUM / "captions.csv")}
    # The labels calibrate the index ...
    (folder / "index").unlink()
    run("index", "build", "model", "--kb", MUSEUM / "objects.csv", "--out", "index", "--encode_dtype", "float32")
    run("calibrate", "model", "--index", "index", "--mentions", "reviewed/mentions.csv")
    fitted_on = Calibration.load("index").fitted_on
    assert (fitted_on["data"], fitted_on["split"], fitted_on["mentions"]) == ("mentions.csv", "mentions", 60)
    # ... and train a model.
    tables = ["--entities", MUSEUM / "objects.csv", "--mentions", "reviewed/mentions.csv", "--split", "0.8/0/0.2"]
    run("data", "import", *tables, "--out", "data")
    assert load_data("data").mentions.num_rows == {"train": 48, "test": 12}
    run("train", "own-data", "--data.path", "data", "--num_train_epochs", "1", "--use_cpu", "--disable_tqdm")


def test_a_review_that_was_begun(folder, capsys):
    """Only the lines from the top were looked at; of these, some cannot be used, and the exit status says so."""
    export("--out", "review.csv", "--out_delimiter", ";", "--sample", "20", "--seed", "4")
    with open("review.csv", encoding="utf-8-sig", newline="") as file:
        header, *lines = list(csv.reader(file, delimiter=";"))
    assert len(lines) == 20
    lines[1][-1], lines[2][-1] = "no such id", "NIL"
    with open("review.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    capsys.readouterr()
    argv = [
        "review",
        "import",
        "review.csv",
        "--links",
        "links.csv",
        "--kb",
        MUSEUM / "objects.csv",
        "--out",
        "reviewed",
    ]
    run(*argv, "--reviewed", "5", status=1)
    shown = capsys.readouterr().out
    assert "4 of 60 links reviewed" in shown and "review.csv: 1 line left out" in shown
    assert "  line 3: column `corrected_entity_id`: 'no such id' is not the id of an entity" in shown
    assert len(read(folder / "reviewed" / "mentions.csv")) == 4
    run(*argv, status=2)
    assert "--out reviewed holds an earlier import: --overwrite replaces it" in capsys.readouterr().err
    run(*argv, "--overwrite", status=1)
    assert len(read(folder / "reviewed" / "mentions.csv")) == 19


def test_label_studio(folder, capsys):
    export("--format", "label-studio", "--out", "tasks.json")
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    for task in tasks[:10]:  # a person submits the predictions of some as they are
        task["annotations"] = [{"was_cancelled": False, "result": task["predictions"][0]["result"]}]
    (folder / "exported.json").write_text(json.dumps(tasks), encoding="utf-8")
    capsys.readouterr()
    run(
        "review",
        "import",
        "exported.json",
        "--links",
        "links.csv",
        "--kb",
        MUSEUM / "objects.csv",
        "--out",
        "reviewed",
    )
    shown = capsys.readouterr().out
    assert "10 of 60 links reviewed" in shown and "corrected        0     0.0 %" in shown
    assert len(read(folder / "reviewed" / "mentions.csv")) == 10


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("export links.csv --out a.json", "--out a.json: the file of --format csv ends in .csv"),
        ("export links.csv --out a.csv --format excel", "--format excel: use one of csv, label-studio"),
        ("export links.csv --out a.csv --columns text=caption", "--columns: only with --input"),
        ("export links.csv --out a.csv --image_root . --input b.csv", "--image_root: only with --format label-studio"),
        ("export links.csv --out a.csv --input b.csv --columns txt=a", "field 'txt' is unknown; did you mean 'text'?"),
        ("export links.csv --out a.csv --out_delimiter ab", "--out_delimiter 'ab': give one character"),
        ("export links.csv --out a.csv --sample 0", "--sample 0: it must be at least 1"),
        ("export absent.csv --out a.csv", "there is no file absent.csv with links"),
        ("import absent.csv --links links.csv --kb a --out b", "review: there is no file absent.csv"),
        ("import links.csv --links absent.csv --kb a --out b", "--links: there is no file absent.csv"),
        (
            "import links.csv --links links.csv --kb a --out model",
            "--out model holds something else: name a new folder",
        ),
        ("import links.csv --links links.csv --kb a --out b --reviewed 0", "--reviewed 0: it must be at least 1"),
    ],
)
def test_what_is_refused(argv, message, folder, capsys):
    run("review", *argv.split(), status=2)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--mentions m.csv --index index --split test", "--split: not with --mentions, a table without splits"),
        ("--mentions m.csv", "--mentions needs the entities, either by --index or by --kb"),
        ("--data emojimel --columns text=a", "--columns: only with --mentions"),
    ],
)
def test_what_calibrate_refuses(argv, message, capsys):
    run("calibrate", "model", *argv.split(), status=2)
    assert message in capsys.readouterr().err


def test_numbers_beyond_the_links_and_files_of_other_links(folder, capsys):
    """Nothing is written where the command cannot do what was asked."""
    export("--out", "review.csv")

    def refused(*words) -> str:
        capsys.readouterr()
        run(*words, status=2)
        return capsys.readouterr().err

    command = ["review", "import", "review.csv", "--kb", MUSEUM / "objects.csv", "--out", "reviewed"]
    assert "--reviewed 61: review.csv has only 60 reviewed links" in refused(
        *command, "--links", "links.csv", "--reviewed", "61"
    )
    assert "--sample 61: links.csv has 60 links" in refused(
        *("review", "export", "links.csv", "--out", "sample.csv", "--sample", "61")
    )
    links = ["link", "model", "--index", "index", "--output", "others.csv"]
    run(*links, "--input", MUSEUM / "captions.csv", "--num_candidates", "12")
    message = "lines have probabilities that are not those of --links others.csv: it is not the file"
    assert message in refused(*command, "--links", "others.csv")
    header = (folder / "review.csv").read_text(encoding="utf-8").splitlines()[0]
    (folder / "review.csv").write_text(header + "\n,,,\n")
    assert "review.csv holds no link that somebody looked at" in refused(*command, "--links", "links.csv")
    assert not (folder / "reviewed").exists() and not (folder / "sample.csv").exists()


@pytest.mark.parametrize(
    ("table", "words"),
    [("review.csv", "is a table of `hf-mel review export`"), ("links.csv", "holds the answers of a model")],
)
def test_answers_of_the_model_are_never_taken_for_labels(table, words, folder, capsys):
    """A review that was not imported has the answers in `entity_id`, as the links have: nobody said that they are right."""
    export("--out", "review.csv")
    for command in (
        ["calibrate", "model", "--index", "index", "--mentions", table],
        ["data", "import", "--entities", MUSEUM / "objects.csv", "--mentions", table, "--out", "data"],
        ["data", "import", "--entities", MUSEUM / "objects.csv", "--train", table, "--out", "data"],
    ):
        capsys.readouterr()
        run(*command, status=2)
        assert f"{table} {words}" in capsys.readouterr().err
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    with pytest.raises(ValueError, match="`train_dataset` (is a table of|holds the answers)"):
        as_mentions(frame, "train_dataset", needs_gold=True)
    # They can be linked again, and columns of one's own may have any name.
    run("link", "model", "--index", "index", "--input", table, "--output", "again.csv")
    Path("own.csv").write_text("id,mention,text,sku,nil_probability\n1,jug,A jug,1904.12,0\n")
    options = ["--mention_columns", "entity_id=sku", "--out", "data"]
    run("data", "import", "--entities", MUSEUM / "objects.csv", "--mentions", "own.csv", *options)
