"""The numbers of papers: quoted alike everywhere."""

from pathlib import Path

from hf_mel.evaluation import render_into
from hf_mel.hub.paper_results import published_results, published_table


PAGE = Path(__file__).parents[2] / "docs" / "peers.md"


def test_the_page_quotes_them(tmp_path):
    copy = tmp_path / "peers.md"
    copy.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    assert not render_into(copy, "published", published_table()), "write it anew: benchmarks/peers.py --report"


def test_a_row_has_the_numbers_of_its_system():
    rows = {line.split(" | ")[0].strip("| "): line for line in published_table().splitlines()[2:]}
    for column, benchmark in enumerate(("wikimel", "richpediamel", "wikidiverse"), start=1):
        found = published_results(benchmark)
        assert [each.system for each in found] == list(rows)
        for each in found:
            cell = rows[each.system].split(" | ")[column]
            assert [float(number) for number in cell.split(" / ")] == [each.metrics["hits@1"], each.metrics["mrr"]]
