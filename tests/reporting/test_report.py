"""The report of a run: what is in it, what is said to be missing, and its bytes."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from datasets import DatasetDict

from hf_mel.data import MELData
from hf_mel.evaluation import load_results, save_result
from hf_mel.linking import EntityIndex
from hf_mel.reporting import make_report
from hf_mel.reporting.page import result_table, with_code

from .common import LOG, Page, tiny_parts, write_log


CURVES = ["losses", "reward", "entropy", "active_triplets", "negative_ranks", "validation_mrr"]
GROUPS = ["image_quality", "ambiguity"]
WITH_DATA = ["gate", "mistakes"]


def reasons(report) -> dict[str, str]:
    return {absent.key: absent.reason for absent in report.absent}


def test_everything_is_there(report, run_dir):
    assert [section.key for section in report.sections] == [*CURVES, *GROUPS, *WITH_DATA, "coverage"]
    assert report.absent == [] and report.split == "test" and report.name == "tiny-run"
    assert all((section.plot is None) == (section.key == "mistakes") for section in report.sections)
    page = report.save(run_dir / "report")
    made = {path.name for path in page.parent.iterdir()}
    assert made == {"report.html", "coverage.png", *(f"{key}.png" for key in [*CURVES, *GROUPS, "gate"])}
    for section in report.sections:
        if section.plot is not None:
            assert (page.parent / f"{section.key}.png").read_bytes() == section.plot.light


def test_groups_are_those_of_the_ranks(report, run_dir, reported_data):
    ranks = np.load(run_dir / "ranks_test.npz")["ranks"]
    mentions = reported_data.mentions["test"]
    has = np.array([status == "ok" for status in mentions["image_status"][:]])
    rows = {row[0]: row[1:] for row in report.section("image_quality").table[1:]}
    assert set(rows) == {"with a picture", "no picture"}
    for name, group in (("with a picture", has), ("no picture", ~has)):
        assert rows[name][0] == str(group.sum())
        assert rows[name][1] == f"{100 * (ranks[group] <= 1).mean():.1f} %"
        assert rows[name][3] == f"{100 * (ranks[group] <= 5).mean():.1f} %"
    ambiguity = report.section("ambiguity").table[1:]
    assert sum(int(row[1]) for row in ambiguity) == len(mentions)
    assert "holds all its words" in report.section("ambiguity").note, "the page says what ambiguity is"


def test_mistakes_fit_the_ranks(report, run_dir):
    ranks = np.load(run_dir / "ranks_test.npz")["ranks"]
    section = report.section("mistakes")
    assert len(section.mistakes) == 3
    assert f"3 of {(ranks > 1.5).sum()} mistakes among 14 mentions of the test split" in section.note
    margins = [mistake.margin for mistake in section.mistakes]
    assert margins == sorted(margins, reverse=True) and margins[-1] > 0
    for mistake in section.mistakes:
        assert mistake.margin == pytest.approx(mistake.predicted.score - mistake.gold.score)


def test_the_page_needs_nothing_else(report):
    text = report.to_html()
    page = Page(text)
    assert not page.open and text.startswith("<!DOCTYPE html>")
    assert "script" not in {tag for tag, _ in page.tags} and "http:" not in text and "https:" not in text
    addresses = [attrs[name] for _, attrs in page.tags for name in ("src", "srcset", "href") if name in attrs]
    plots = [section.plot for section in report.sections if section.plot is not None]
    assert all(address.startswith("data:image/") for address in addresses)
    decoded = [base64.b64decode(address.partition(",")[2]) for address in addresses]
    for plot in plots:
        assert plot.light in decoded and plot.dark in decoded
    assert sum(tag == "source" and "dark" in attrs["media"] for tag, attrs in page.tags) == len(plots)
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")
    for section in report.sections:
        for row in section.table:
            assert all(cell in page.words for cell in row)
    for mistake in report.section("mistakes").mistakes:
        assert mistake.gold.name in page.words and f"margin {mistake.margin:.4f}" in page.words
    assert "What is not here" not in page.words


def test_the_same_bytes_twice(report, run_dir, reported_data, tmp_path):
    again = make_report(run_dir, reported_data, num_mistakes=3)
    for name, each in (("one", report), ("two", again)):
        each.save(tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_an_index_in_place_of_the_entities(report, run_dir, reported_data, tmp_path, no_plots):
    index = EntityIndex.build(*tiny_parts(), reported_data.entities, tmp_path / "index", encode_dtype="float32")
    for given in (index, tmp_path / "index"):
        by_index = make_report(run_dir, reported_data, index=given, num_mistakes=3)
        assert by_index.section("mistakes").mistakes == report.section("mistakes").mistakes
        assert by_index.section("gate").table == report.section("gate").table
    with pytest.raises(ValueError, match="give these too"):
        make_report(run_dir, index=index)


# ---- Missing parts ----


def test_without_data(run_dir, no_plots):
    report = make_report(run_dir)
    assert [section.key for section in report.sections] == [*CURVES, *GROUPS, "coverage"]
    assert set(reasons(report)) == set(WITH_DATA) and "`--data` names them" in reasons(report)["gate"]
    words = Page(report.to_html()).words
    assert "What is not here" in words and "Worst mistakes: no data were given: --data names them" in words


def test_a_log_without_a_generator(tmp_path, no_plots):
    write_log(tmp_path, LOG[:2])
    report = make_report(tmp_path)
    assert [section.key for section in report.sections] == ["losses", "active_triplets", "validation_mrr"]
    assert "Nothing was logged of: generator." in report.section("losses").note
    assert "no generator was trained" in reasons(report)["reward"]
    assert "there is no calibration_report.json" in reasons(report)["coverage"]


def test_an_evaluation_without_a_training(run_dir, no_plots):
    (run_dir / "trainer_state.json").unlink()
    report = make_report(run_dir)
    assert [section.key for section in report.sections] == [*GROUPS, "coverage"]
    assert {reasons(report)[key] for key in CURVES} == {"there is no trainer_state.json"}
    assert "tiny on miniature, test" in Page(report.to_html()).words


def test_values_that_cannot_be_drawn(tmp_path, no_plots):
    log = [{"epoch": 1.0, "step": 1, "reward": float("nan"), "eval_mrr": 0.5}]
    write_log(tmp_path, [*log, {"epoch": 2.0, "step": 2, "eval_mrr": float("inf")}])
    report = make_report(tmp_path)
    assert reasons(report)["reward"] == "no logged value is finite"
    assert "1 logged values are not finite" in report.section("validation_mrr").note
    write_log(tmp_path, [{"epoch": 1.0, "step": 1, "reward": "high"}])
    with pytest.raises(ValueError, match=r"trainer_state.json: `log_history\[0\].reward` is 'high'"):
        make_report(tmp_path)


def test_groups_are_those_of_the_split_that_is_looked_at(report, run_dir, reported_data, no_plots):
    without = make_report(run_dir)
    assert without.split == "test" and without.section("ambiguity").table == report.section("ambiguity").table
    found = reasons(make_report(run_dir, reported_data, split="validation", num_mistakes=1))
    assert found["ambiguity"].startswith("there is no result of the validation split: `hf-mel evaluate")
    save_result(replace(load_results(run_dir)["test"], groups={}), run_dir, "test")
    found = reasons(make_report(run_dir))
    assert found["image_quality"] == found["ambiguity"] == "the result of the test split has none"
    with pytest.raises(ValueError, match="no split 'tset' among the results, only test"):
        make_report(run_dir, split="tset")


def test_a_run_whose_model_is_gone(run_dir, reported_data, no_plots):
    (run_dir / "config.json").unlink()
    report = make_report(run_dir, reported_data)
    assert reasons(report) == {"gate": "the run has no model", "mistakes": "the run has no model"}
    assert report.section("ambiguity") is not None


def test_a_calibration_alone_gives_a_few_points(run_dir, no_plots):
    (run_dir / "calibration_report.json").unlink()
    values = json.loads('{"temperature": 0.1, "nil_score": 0.2, "threshold": 0.3, "num_candidates": 4}')
    metrics = {"fitted": {"split": "validation", "accuracy_at": {"1.0": 0.5, "0.5": 0.75}}}
    values |= {"nil_slope": 1.0, "setup": {}, "fitted_on": {}, "metrics": metrics}
    (run_dir / "calibration.json").write_text(json.dumps(values))
    section = make_report(run_dir).section("coverage")
    assert section.table[1:] == [["most confident 50 %", "75.0 %"], ["most confident 100 %", "50.0 %"]]
    assert "fitted on, which flatters it" in section.note
    metrics["measured"] = {"split": "test", "accuracy_at": {"1.0": 0.25}}
    (run_dir / "calibration.json").write_text(json.dumps(values))
    section = make_report(run_dir).section("coverage")
    assert section.table[-1] == ["most confident 100 %", "25.0 %"] and "flatters" not in section.note


def test_a_picture_of_an_earlier_report_does_not_stay(run_dir, tmp_path, no_plots):
    out = tmp_path / "out"
    make_report(run_dir).save(out)
    (out / "own.png").write_bytes(b"mine")
    write_log(run_dir, LOG[:2])
    make_report(run_dir).save(out)
    assert {path.name for path in out.glob("*.png")} == {
        *(f"{name}.png" for name in GROUPS), "own.png", "losses.png", "active_triplets.png", "validation_mrr.png", "coverage.png",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tset"}, "there is no split 'tset', only train, validation, test"),
        ({"num_mistakes": 0}, "at least 1"),
    ],
)
def test_what_is_refused(run_dir, reported_data, options, message, no_plots):
    with pytest.raises(ValueError, match=message):
        make_report(run_dir, reported_data, **options)


# ---- The page ----


def test_texts_of_the_data_are_escaped(run_dir, reported_data, no_plots):
    nasty = '<script>alert("1")</script> & {{ 7 * 7 }}'
    mentions = reported_data.mentions["test"].map(
        lambda row: {
            "text": f"{nasty} {row['mention']}",
            "start": len(nasty) + 1,
            "end": len(nasty) + 1 + len(row["mention"]),
        }
    )
    result = replace(load_results(run_dir)["test"], model_name=nasty, command=nasty)
    save_result(result, run_dir, "test")
    report = make_report(run_dir, MELData(DatasetDict(test=mentions), reported_data.entities))
    text = report.to_html()
    page = Page(text)
    assert "script" not in {tag for tag, _ in page.tags} and not page.open
    assert nasty in re.sub(r"\s+", " ", page.words)
    assert f"<h2>{nasty}" not in text and "49" not in page.words.partition("Training")[0]


def test_code_in_notes():
    assert str(with_code("run `a <b>` now")) == "run <code>a &lt;b&gt;</code> now"
    assert str(with_code("a ` alone <i>")) == "a ` alone &lt;i&gt;"


def test_the_result_table(run_dir):
    result = load_results(run_dir)["test"]
    rows = {row[0]: row[1:] for row in result_table(result)}
    shown = [f"{100 * result.metrics[name]:.1f} %" for name in ("hits@1", "hits@3", "hits@5", "hits@10", "mrr")]
    assert rows["all"] == ["14", *shown] and rows[""][1:] == ["hits@1", "hits@3", "hits@5", "hits@10", "MRR"]
    interval = result.intervals["mrr"]
    assert rows["95 % interval of all"][-1] == f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
