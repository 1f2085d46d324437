"""`hf-mel link`: one mention, and files of them."""

import json
import sys

import pyarrow.parquet as pq
import pytest
from PIL import Image
from transformers import AutoModel, AutoProcessor

from hf_mel import KnowledgeBase, Linker
from hf_mel.cli import link
from hf_mel.cli.main import main
from hf_mel.data import open_image
from hf_mel.linking import Calibration, ConformalScores, EntityIndex, LinkedMention
from tests.linking.batch.common import read_lines, write_lines, write_picture
from tests.training.common import tiny_data, tiny_linker, tiny_processor


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Checkpoint, index and knowledge base in one folder."""
    folder = tmp_path_factory.mktemp("checkpoint")
    model, processor = tiny_linker(), tiny_processor()
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    tiny_data().entities.save(folder / "kb")
    EntityIndex.build(model, processor, tiny_data().entities, folder / "index", encode_dtype="float32")
    return folder


@pytest.fixture
def command(checkpoint):
    return ["link", str(checkpoint / "model"), "--index", str(checkpoint / "index")]


@pytest.fixture
def sentence():
    return tiny_data().mentions["test"][0]


@pytest.fixture
def table(tmp_path):
    mentions = tiny_data().mentions["test"]
    rows = [{name: row[name] for name in ("id", "mention", "text")} for row in mentions]
    return write_lines(tmp_path / "in.jsonl", rows)


def refused(argv, capsys) -> str:
    """The message, after what progress bars wrote."""
    assert main([str(word) for word in argv]) == 2
    before, prefix, error = capsys.readouterr().err.rpartition("hf-mel link: ")
    assert prefix and "Traceback" not in before
    return error


# ---- One mention ----


def test_link_prints_what_the_linker_finds(checkpoint, sentence, tmp_path, capsys):
    picture = tmp_path / "picture.png"
    Image.effect_noise((20, 20), 80).convert("RGB").save(picture)
    model, processor = (kind.from_pretrained(checkpoint / "model") for kind in (AutoModel, AutoProcessor))
    linker = Linker(model, processor, KnowledgeBase.load(checkpoint / "kb"))
    question = ["--text", sentence["text"], "--mention", sentence["mention"], "--top_k", "3"]
    answers = []
    for entities in (["--kb", checkpoint / "kb"], ["--index", checkpoint / "index"]):
        for image in (None, picture):
            argv = ["link", checkpoint / "model", *entities, *question]
            argv = [str(word) for word in [*argv, *([] if image is None else ["--image", image])]]
            opened = None if image is None else open_image(image)[0]
            expected = linker.link(sentence["mention"], sentence["text"], image=opened, top_k=3)
            capsys.readouterr()
            assert main([*argv, "--json"]) == 0
            found = LinkedMention.from_dict(json.loads(capsys.readouterr().out))
            assert found == expected and len(found.candidates) == 3
            assert main(argv) == 0
            lines = capsys.readouterr().out.splitlines()
            assert found.calibration == "prior" and "(prior)" in lines[0]
            assert f"margin {found.margin:.3f}" in lines[1]
            for line, candidate in zip(lines[3:], found.candidates, strict=True):
                assert line.split()[0] == f"{candidate.score:.3f}" and candidate.entity_id in line
                assert candidate.name in line and candidate.text in line and f"{candidate.text_score:.3f}" in line
            answers.append(found)
    assert answers[0] != answers[1], "the picture made no difference"
    assert answers[:2] == answers[2:]


def test_rejected_rows_that_are_not_shown_are_counted(checkpoint, tmp_path, capsys):
    command = ["link", str(checkpoint / "model"), "--index", str(checkpoint / "index"), "--overwrite"]
    command += ["--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / "out.csv")]
    for bad, more in ((5, None), (6, "  ... and 1 row more"), (9, "  ... and 4 rows more")):
        lines = ["id,mention,text", "good,A,A is here", *(f"g{number},,A is here" for number in range(bad))]
        (tmp_path / "in.csv").write_text("\n".join(lines))
        assert main(command) == 1
        *_, last = capsys.readouterr().out.splitlines()
        assert last == (more or "  line 7: `mention` is missing or empty (id 'g4')")
        assert len(read_lines(tmp_path / "out.csv.rejects.jsonl")) == bad
    (tmp_path / "in.csv").write_text("id,mention,text\ngood,A,A is here\n")
    assert main(command) == 0 and not (tmp_path / "out.csv.rejects.jsonl").exists(), (
        "that of an earlier run is removed"
    )


def test_what_is_not_decided_gets_advice_that_helps(checkpoint, tmp_path, capsys):
    """With three entities neither the prior nor a calibration on few mentions gives a probability."""
    (tmp_path / "three.csv").write_text("id,name\na,A\nb,B\nc,C\n")
    (tmp_path / "in.csv").write_text("id,mention,text\n1,A,A is here\n2,B,B is here\n")
    advice = "there are no probabilities. Calibrate with 50 or more labelled mentions, or give --score_threshold"
    command = ["link", str(checkpoint / "model"), "--kb", str(tmp_path / "three.csv")]
    assert main([*command, "--text", "A is here", "--mention", "A"]) == 0
    assert f"not decided whether it is NIL: {advice}" in capsys.readouterr().out
    assert main([*command, "--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / "out.csv")]) == 0
    out = capsys.readouterr().out
    assert "2 mentions linked, 0 of them NIL\n2 mentions of which it is not decided" in out and advice in out


def test_nil_by_a_score_and_by_a_probability(checkpoint, command, sentence, capsys):
    question = [*command, "--text", sentence["text"], "--mention", sentence["mention"]]
    assert main([*question, "--score_threshold", "1000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ": NIL, probability 0." in lines[0] and "(prior): no entity fits" in lines[0] and len(lines) == 8, (
        "candidates are shown all the same"
    )
    assert "this one is 'prior'" in refused([*question, "--prediction_set", "0.1"], capsys)
    setup = Linker.from_pretrained(checkpoint / "model", checkpoint / "index").setup
    Calibration(0.1, 0.5, threshold=0.5, num_candidates=64, setup=setup).save(checkpoint / "model")
    try:
        assert main([*question, "--threshold", "0"]) == 0
        shown = capsys.readouterr().out
        assert "probability 0." in shown.splitlines()[0] and "not decided" not in shown and "probability" in shown
        assert main([*question, "--threshold", "1"]) == 0
        assert "NIL, probability 0." in capsys.readouterr().out
        sets = ConformalScores(0.1, 0.5, 1.0, 0.0, False, [0.001, 0.002, 0.003, 0.9])
        Calibration(0.1, 0.5, 0.5, 64, setup, sets=sets).save(checkpoint / "model")
        assert main([*question, "--prediction_set", "0.5", "--top_k", "1"]) == 0
        assert "  one of these, with an error rate of 0.5: " in capsys.readouterr().out
        assert main([*question, "--prediction_set", "0.5", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (
            found["prediction_set"] == list(LinkedMention.from_dict(found).prediction_set(0.5))
            and found["alpha"] == 0.5
        )
        assert "labelled mentions" in refused([*question, "--prediction_set", "0.1"], capsys)
    finally:
        (checkpoint / "model" / "calibration.json").unlink()


def test_a_calibration_of_another_index_has_to_be_asked_for(checkpoint, command, sentence, tmp_path, capsys):
    question = [*command, "--text", sentence["text"], "--mention", sentence["mention"], "--json"]
    setup = Linker.from_pretrained(checkpoint / "model", checkpoint / "index").setup
    for kb, kind in ((setup["knowledge_base"], "fitted"), ("b" * 64, "transferred")):
        Calibration(0.1, 0.5, 0.5, 64, setup | {"knowledge_base": kb}).save(tmp_path, overwrite=True)
        assert main([*question, "--calibration", str(tmp_path)]) == 0
        shown = capsys.readouterr()
        assert json.loads(shown.out)["calibration"] == kind and ("another index" in shown.err) == (
            kind == "transferred"
        )
    Calibration(0.1, 0.5, 0.5, 64, setup | {"model": "c" * 64}).save(tmp_path, overwrite=True)
    assert "another model" in refused([*question, "--calibration", tmp_path], capsys)
    assert "there is no calibration.json" in refused([*question, "--calibration", checkpoint], capsys)


def test_start_and_types_and_mentions_that_are_found(command, capsys, monkeypatch):
    text = "Vale met Vale."
    assert main([*command, "--text", text, "--mention", "Vale", "--start", "9", "--types", "person", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["start"], found["end"]) == (9, 13)
    assert {kind for candidate in found["candidates"] for kind in candidate["types"]} == {"person"}
    assert "did you mean 'person'" in refused(
        [*command, "--text", text, "--mention", "Vale", "--types", "persn"], capsys
    )
    monkeypatch.setattr("hf_mel.linking.spans.load_ner", capitals)
    assert main([*command, "--text", text, "--ner", "model", "--json"]) == 0
    assert [(row["start"], row["end"]) for row in json.loads(capsys.readouterr().out)] == [(0, 4), (9, 13)]
    assert main([*command, "--text", "nobody", "--ner", "model"]) == 0
    assert "no mention was found" in capsys.readouterr().err


def capitals(name):
    def ner(texts, **options):
        found = []
        for text in texts:
            starts = [at for at, letter in enumerate(text) if letter.isupper()]
            found.append([{"start": at, "end": at + 4, "entity_group": "PER", "score": 0.9} for at in starts])
        return found

    return ner


def test_a_mention_that_is_not_there(command, capsys):
    assert main([*command, "--text", "A painter came.", "--mention", "Rowan"]) == 0
    assert "Rowan (not in the text): " in capsys.readouterr().out


def test_link_says_which_file_is_missing(command, tmp_path, capsys):
    argv = [*command, "--text", "a b", "--mention", "a"]
    assert str(tmp_path / "no.png") in refused([*argv, "--image", tmp_path / "no.png"], capsys)
    (tmp_path / "text.png").write_text("no picture")
    assert "cannot be read as a picture" in refused([*argv, "--image", tmp_path / "text.png"], capsys)
    Image.new("RGB", (3, 3)).save(tmp_path / "blank.png")
    assert main([*argv, "--image", str(tmp_path / "blank.png")]) == 0
    assert "shows one colour" in capsys.readouterr().err
    for option in ("--kb", "--index"):
        argv[2:4] = [option, str(tmp_path / "none")]
        assert str(tmp_path / "none") in refused(argv, capsys)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--text", "a", "--mention", "a"], "either by --index or by --kb"),
        (["--kb", "x", "--index", "y", "--text", "a", "--mention", "a"], "either by --index or by --kb"),
        (["--kb", "x"], "either one sentence"),
        (["--kb", "x", "--text", "a", "--input", "b"], "either one sentence"),
        (["--kb", "x", "--text", "a"], "--mention, or --ner"),
        (["--kb", "x", "--text", "a", "--ner", "n", "--start", "1"], "--start: not with --ner"),
        (["--kb", "x", "--text", "a", "--mention", "a", "--output", "b"], "--output: not with --text"),
        (["--kb", "x", "--input", "a"], "--input needs --output"),
        (
            ["--kb", "x", "--input", "a", "--output", "b", "--image", "c", "--json"],
            "--image, --json: not with --input",
        ),
        (["--kb", "x", "--input", "a.csv", "--output", "b.csv"], "no mentions at a.csv"),
        (["--kb", "x", "--input", "a.csv", "--output", "b.txt"], "the suffix tells no format"),
        (["--kb", "x", "--input", "a.csv", "--output", "b.csv", "--columns", "mention"], "write field=column"),
        (["--kb", "x", "--input", "a", "--output", "b.nt", "--entity_iri", "http://e.org/{id}"], "need --base_iri"),
    ],
)
def test_what_does_not_go_together(argv, message, capsys):
    assert message in refused(["link", "model", *argv], capsys)


# ---- Files ----


def test_a_file_is_linked(command, table, tmp_path, capsys):
    output = tmp_path / "out.csv"
    assert main([*command, "--input", str(table), "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    assert (
        "10 rows read" in shown
        and "10 mentions linked, " in shown
        and " of them NIL" in shown
        and "rejected" not in shown
    )
    assert output.read_text(encoding="utf-8").count("M") >= 10
    assert not (tmp_path / "out.csv.rejects.jsonl").exists()
    assert f"{output} is there already" in refused([*command, "--input", table, "--output", output], capsys)
    again = [*command, "--input", str(table), "--output", str(output), "--overwrite", "--score_threshold", "2"]
    assert main(again) == 0
    assert f"{output}: 10 mentions linked, 10 of them NIL" in capsys.readouterr().out


def test_rejected_rows_show_in_the_exit_status(command, tmp_path, capsys):
    write_picture(tmp_path / "pictures" / "a.png")
    (tmp_path / "in.tsv").write_text("text\tlabel\timg\nVale came.\tVale\ta.png\nVale came.\tVale\tno.png\nVale\t\t\n")
    output, rejects = tmp_path / "out.parquet", tmp_path / "wrong.jsonl"
    argv = [
        *(*command, "--input", tmp_path / "in.tsv", "--output", output, "--rejects", rejects, "--top_k", "2"),
        *("--columns", "mention=label", "--images", tmp_path / "pictures"),
    ]
    argv = [str(word) for word in argv]
    assert main(argv) == 1
    shown = capsys.readouterr().out
    assert "1 mention linked" in shown and f"2 rows rejected: {rejects}" in shown and "line 4: `mention`" in shown
    assert [entry["place"] for entry in read_lines(rejects)] == ["line 3", "line 4"]
    assert [len(row["candidates"]) for row in pq.read_table(output).to_pylist()] == [2]
    assert main([*argv, "--allow_missing_images", "--overwrite"]) == 1
    assert "pictures: 1 missing_file, 1 ok" in capsys.readouterr().out
    assert pq.read_table(output)["has_image"].to_pylist() == [True, False]


def test_linked_data_by_the_command_line(command, table, tmp_path):
    pytest.importorskip("rdflib")
    argv = [*command, "--input", str(table), "--output", str(tmp_path / "out.nt")]
    names = ["--base_iri", "https://e.org/", "--entity_iri", "http://www.wikidata.org/entity/{id}"]
    assert main([*argv, *names, "--score_threshold", "-2"]) == 0
    assert (tmp_path / "out.nt").read_text().count("hasBody> <http://www.wikidata.org/entity/M") == 10


def test_mentions_are_found_in_a_file(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("hf_mel.linking.spans.load_ner", capitals)
    write_lines(tmp_path / "in.jsonl", [{"id": "a", "text": "Vale met Rowe."}, {"id": "b", "text": "nobody"}])
    argv = [*command, "--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl"), "--ner", "n"]
    assert main(argv) == 0
    assert [row["id"] for row in read_lines(tmp_path / "out.jsonl")] == ["a#0", "a#1"]
    assert "1 row in which no mention was found" in capsys.readouterr().out


def test_an_interrupted_file_goes_on(checkpoint, table, tmp_path, capsys, monkeypatch):
    """Also where the knowledge base is encoded anew: it gives the same index."""
    output = tmp_path / "out.jsonl"
    argv = ["link", checkpoint / "model", "--kb", checkpoint / "kb", "--input", table, "--batch_size", "1"]
    argv = [str(word) for word in [*argv, "--chunk_size", "1"]]
    assert main([*argv, "--output", str(tmp_path / "undisturbed.jsonl")]) == 0
    calls, real = [], Linker.link_queries

    def interrupted(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Linker, "link_queries", interrupted)
    assert main([*argv, "--output", str(output)]) == 130
    assert "the same command goes on" in capsys.readouterr().err and not output.exists()
    assert main([*argv, "--output", str(output)]) == 0
    assert "10 rows read, 4 of them by an earlier run" in capsys.readouterr().out
    assert output.read_bytes() == (tmp_path / "undisturbed.jsonl").read_bytes()


def test_any_script_on_a_plain_terminal(command, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "_encoding", "ascii", raising=False)
    link._print("na\u00efve")
    assert capsys.readouterr().out in ("na\\xefve\n", "na\u00efve\n")
