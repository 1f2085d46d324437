"""The numbers of papers: quoted alike everywhere, and on a card only next to results on the same release."""

from pathlib import Path

import pytest

from hf_mel.data import BENCHMARKS
from hf_mel.evaluation import load_results, render_into
from hf_mel.hub import render_model_card
from hf_mel.hub.paper_results import published_results, published_table

from .test_cards import change_recipe, change_result, section


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


def on_release(folder: Path, **protocol) -> None:
    """Changes the sizes in the protocol of the test result, as if it were on a release of WikiMEL."""
    values = load_results(folder)["test"].to_dict()
    change_result(folder, dataset="wikimel, test", protocol=values["protocol"] | protocol)


def test_what_papers_report_stands_apart(run):
    assert "Beside the field" not in render_model_card(run).text
    change_recipe(run, data={"benchmark": "wikimel", "options": {}})
    protocol = {"num_mentions": 5_168, "num_nil": 1, "kb_size": 109_976}
    on_release(run, **protocol)
    text = section(render_model_card(run).text, "Results")
    own, field = text.split("\n### Beside the field\n")
    assert "| MIMIC | 87.98 | 91.82 | attributes | Luo et al., KDD 2023 |\n" in field and "not measured here" in field
    assert "| KGMEL + LLM rerank | 90.58 | 93.04 | triples | - |\n" in field
    assert "PGMEL |" not in field and "MIMIC" not in own and "are not shown" not in text
    limits = section(render_model_card(run).text, "Limits")
    assert "About a fifth of the test captions also occur in train." in limits and "2,281" not in limits
    on_release(run, **protocol | {"num_mentions": 5_162})  # six are missing, a thousandth is five
    assert "Beside the field" not in render_model_card(run).text
    for benchmark in BENCHMARKS:
        assert len(published_results(benchmark)) == (
            9 if benchmark in ("wikimel", "richpediamel", "wikidiverse") else 0
        )


@pytest.mark.parametrize(
    ("protocol", "reason"),
    [
        ({"num_mentions": 5_131, "kb_size": 18_880}, "and those above on 5,131 and 18,880."),
        ({"num_mentions": 5_169, "kb_size": 17_391}, "and those above on 5,169 and 17,391."),
        (
            {"num_mentions": 5_169, "kb_size": 109_976, "kind": "candidate-k", "retriever": "r", "num_candidates": 5},
            "and there is no result here on the test split against the whole knowledge base.",
        ),
    ],
)
def test_results_of_papers_on_another_release_are_not_shown(run, protocol, reason):
    change_recipe(run, data={"benchmark": "wikimel", "options": {}})
    on_release(run, **protocol)
    text = section(render_model_card(run).text, "Results")
    assert "Beside the field" not in text and "87.98" not in text
    assert (
        "\nResults of papers are not shown: they are on the cleaned release of MIMIC, with 5,169 test mentions and 109,976 "
        f"entities, {reason}\n"
    ) in text
