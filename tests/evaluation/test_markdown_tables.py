import dataclasses

import pytest

from hf_mel.evaluation import Interval, render_into, results_table

from .test_evaluation_result import FULL_KB, MACHINE, make_result


COLUMNS = {"Model": "model_name", "H@1": "metrics.hits@1", "MR": "metrics.mr"}
INTERVAL = Interval(0.876, 0.861, 0.889, 0.95, 1000, 3, 0.0042)


def test_a_table_by_hand():
    result = make_result(metrics={"hits@1": 0.876, "mr": 1234.56}, intervals={"hits@1": INTERVAL}, seeds=[0, 1, 2])
    other = make_result(model_name="a|b", metrics={"hits@1": 0.5}, intervals={}, seeds=[0, 1, 2])
    assert results_table([result, other], COLUMNS).splitlines() == [
        "| Model | H@1 | MR |",
        "|---|---:|---:|",
        "| PGMEL | 87.6 [86.1, 88.9] ± 0.42 | 1,234.6 |",
        "| a\\|b | 50.0 | - |",
        "",
        "WikiMEL, test: full KB of 18,880 entities (text: attributes), 3 mentions ranked, 2 NIL left out, ties: mean "
        "rank; data 0f3a.  ",
        "In brackets: 95 % bootstrap interval over mentions; after ±: standard deviation between seeds.  ",
        "Measured with `hf-mel evaluate` · commit abc1234 · seeds 0, 1, 2 · 2 CPU cores, x86_64 · 2025-11-20",
    ]


def test_rows_measured_in_another_way_are_told_apart():
    other = make_result(
        model_name="MIMIC",
        environment=dataclasses.replace(MACHINE, git_commit=None),
        protocol=dataclasses.replace(FULL_KB, kb_text_field="description"),
        seeds=[],
    )
    table = results_table([make_result(), make_result(model_name="M3EL"), other], COLUMNS)
    assert "PGMEL, M3EL: WikiMEL, test: full KB of 18,880 entities (text: attributes)" in table
    assert "MIMIC: WikiMEL, test: full KB of 18,880 entities (text: description)" in table
    assert "PGMEL, M3EL: Measured with `hf-mel evaluate` · commit abc1234 · seed 0 ·" in table
    assert "MIMIC: Measured with `hf-mel evaluate` · commit unknown · no seed ·" in table


def test_no_interval_is_printed_for_a_part_of_the_mentions():
    table = results_table([make_result()], {"Model": "model_name", "unseen H@1": "unseen.hits@1"})
    assert "| PGMEL | 0.0 |" in table
    assert "In brackets" not in table


def test_from_files(tmp_path):
    path = make_result().save(tmp_path / "a.json")
    columns = COLUMNS | {"Seeds": "seeds", "Mentions": "metrics.num_mentions"}
    assert results_table([path], columns) == results_table([make_result()], columns)
    assert "| 0 | 3 |" in results_table([path], columns)


def test_a_column_that_nobody_has_is_an_error():
    with pytest.raises(ValueError, match=r"column 'H@2': no result has the field 'metrics.hits@2'"):
        results_table([make_result()], {"H@2": "metrics.hits@2"})
    with pytest.raises(ValueError, match="at least one result"):
        results_table([], COLUMNS)


PAGE = "# Results\r\n<!-- generated: main -->\r\nold\n<!-- end: main -->\r\nafter\n"


def test_only_the_text_between_the_markers_changes(tmp_path):
    page = tmp_path / "page.md"
    page.write_bytes(PAGE.encode())
    assert render_into(page, "main", "new \\1\n")
    assert page.read_bytes() == b"# Results\r\n<!-- generated: main -->\nnew \\1\n<!-- end: main -->\r\nafter\n"
    assert not render_into(page, "main", "new \\1")


@pytest.mark.parametrize(
    ("page", "marker"),
    [
        (PAGE, "other"),
        ("<!-- end: main --><!-- generated: main -->", "main"),
        ("<!-- generated: main -->", "main"),
        (PAGE + PAGE, "main"),
    ],
)
def test_without_its_markers_a_page_is_left_alone(tmp_path, page, marker):
    path = tmp_path / "page.md"
    path.write_bytes(page.encode())
    with pytest.raises(ValueError, match=r"page.md: needs the lines"):
        render_into(path, marker, "new")
    assert path.read_bytes() == page.encode()


def test_a_text_with_its_own_marker_is_refused(tmp_path):
    path = tmp_path / "page.md"
    path.write_bytes(PAGE.encode())
    with pytest.raises(ValueError, match="holds its own marker"):
        render_into(path, "main", "<!-- end: main -->")
