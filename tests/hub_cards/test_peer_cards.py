"""Cards and reports of the runs of MIMIC, M3EL, MELOV and GHMFC."""

import json
import re

import pytest

from hf_mel import make_miniature
from hf_mel.cli.main import main
from hf_mel.evaluation import load_results
from hf_mel.hub import render_model_card
from hf_mel.hub.papers import PAPERS
from hf_mel.models import LINKING_MODELS
from hf_mel.recipes import recipe_from_dict
from hf_mel.reporting import plots
from hf_mel.runs import run_recipe
from tests.hub_cards.test_cards import change_config, section
from tests.tiny_peers import PEERS, peer_recipe
from tests.tiny_recipe import DATA_OPTIONS, tiny_recipe


OWN_LOSSES = {
    "mimic": [],
    "m3el": ["| intra-modal contrast, of text and image (temperature 0.03) | 1 |"],
    "melov": ["| generation of the features of a mention's picture from its text | 0.001 |"],
}
UNITS = {
    "mimic": "`text`, `vision`, `cross`",
    "m3el": "`text`, `image`, `textual_to_visual`",
    "melov": "`text`, `vision`, `cross`",
}


@pytest.fixture(scope="module", params=PEERS)
def peer(request, tmp_path_factory):
    """Name, and folder of its finished run; MELOV's was trained against a generator."""
    folder = tmp_path_factory.mktemp("peers") / request.param
    negatives = "pg" if request.param == "melov" else "in_batch"
    run_recipe(recipe_from_dict(peer_recipe(request.param, folder, negatives)), "hf-mel train recipe.yaml")
    return request.param, folder


@pytest.fixture
def card(peer):
    return render_model_card(peer[1], repo_id="org/tiny")


def test_whose_model_it_is(peer, card):
    name, paper = peer[0], PAPERS[peer[0]]
    assert f"\n# {paper.name} on miniature\n" in card.text and load_results(peer[1])["test"].model_name == paper.name
    start = " ".join(card.text.split("## How to use it")[0].split())
    assert f"{paper.name} there is an independent implementation from the formulas of {paper.reference};" in start
    assert "public description" not in start and "authors have no part in it" in start
    cited = section(card.text, "Citation")
    assert paper.citation in cited and "@software{hf_mel" in cited
    assert (PAPERS["pgmel"].citation in cited) == (name == "melov"), "whose generator it was trained against"
    assert not any(PAPERS[other].citation in cited for other in PEERS if other != name)
    assert name in card.data.tags and "pgmel" not in card.data.tags


def test_what_it_is_made_of(peer, card):
    model_class = LINKING_MODELS[peer[0]]
    for row in (
        f"| class | `{model_class.__name__}` |",
        f"| units | {UNITS[peer[0]]} |",
        "| states of a picture | 5 |",
    ):
        assert f"{row}\n" in card.text
    assert f"import {model_class.__name__}, MELProcessor\n" in card.text
    assert "fusion of text" not in card.text and "legacy_masking" not in card.text


def test_what_it_was_trained_with(peer, card):
    training = section(card.text, "Training")
    losses = training.split("Losses, each with its weight:")[1].split("\nArguments that")[0]
    rows = [line for line in losses.splitlines() if line.startswith("| ") and "---" not in line][1:]
    expected = [
        "| contrast over the batch, of the score (temperature 1) | 1 |",
        "| the same, of each unit's scores (temperature 1) | 1 |",
        *OWN_LOSSES[peer[0]],
    ]
    generator = peer[0] == "melov"
    assert rows == expected + ["| triplet loss over the negatives (margin 0.3) | 1 |"] * generator
    assert ("and 2 of `pg` for each mention" in training) == generator
    assert "Negatives: the other gold entities of a batch" in training


def test_ablations_are_named(peer, card, tmp_path):
    text = json.loads((peer[1] / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(text), encoding="utf-8")
    fields = {
        "mimic": {"use_vision_unit": False},
        "m3el": {"cross_matching": "none", "contrastive_weight": 0.0},
        "melov": {"use_generation": False, "use_cross_unit": False},
    }[peer[0]]
    change_config(tmp_path, **fields, legacy_masking=True)
    shown = render_model_card(tmp_path).text
    for name, value in {**fields, "legacy_masking": True}.items():
        assert f"| `{name}` | `{value}` |\n" in shown and f"| `{name}` |" not in card.text
    assert UNITS[peer[0]] not in shown and "Losses" not in shown, "there are no arguments of a training"


def test_the_examples_run(peer, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "path" / "to").mkdir(parents=True)
    (tmp_path / "path" / "to" / "checkpoint").symlink_to(peer[1])
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", render_model_card(peer[1]).text, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    assert len(names["linked"].candidates) == 3 and names["scores"].shape == (1, 2)
    assert names["answer"]["candidates"][0]["entity_id"] == names["linked"].candidates[0].entity_id
    scores = names["linker"].link(
        names["mention"]["mention"], names["mention"]["text"], image=names["mention"]["image"]
    )
    by_id = {each.entity_id: each.score for each in scores.candidates}
    first = names["data"].entities.ids[0]
    assert first not in by_id or by_id[first] == pytest.approx(names["scores"][0, 0].item(), rel=1e-3, abs=1e-4)
    assert list(names["unit_scores"]) == UNITS[peer[0]].replace("`", "").split(", ")


def test_the_command(peer, capsys):
    folder = peer[1]
    assert main(["card", str(folder)]) == 0
    written = (folder / "README.md").read_text(encoding="utf-8")
    assert written == str(render_model_card(folder)) and f"# {PAPERS[peer[0]].name} on miniature" in written


def test_the_report(peer, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(plots, "render", lambda draw, alt, height=0: plots.Plot(b"light", b"dark", alt))
    monkeypatch.setattr("hf_mel.data.load_data", {"miniature": make_miniature(**DATA_OPTIONS)}.__getitem__)
    out = tmp_path / "report"
    assert main(["report", str(peer[1]), "--data", "miniature", "--out", str(out), "--mistakes", "2"]) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert PAPERS[peer[0]].name in page and page.count("linked to, score") == 2
    expected = load_results(peer[1])["test"].metrics
    assert f"{100 * expected['hits@1']:.1f}" in page and "left out: Worst" not in capsys.readouterr().out


def test_its_own_losses_need_no_other(peer, tmp_path):
    for name in ("config.json", "training_args.json"):
        (tmp_path / name).write_text((peer[1] / name).read_text(encoding="utf-8"), encoding="utf-8")
    arguments = json.loads((tmp_path / "training_args.json").read_text(encoding="utf-8"))
    arguments["arguments"] |= {"contrast_weight": 0.0, "unit_weight": 0.0}
    (tmp_path / "training_args.json").write_text(json.dumps(arguments), encoding="utf-8")
    shown = render_model_card(tmp_path).text
    assert all(line in shown for line in OWN_LOSSES[peer[0]]) and "contrast over the batch, of the score" not in shown


def test_ghmfc_is_no_system_of_ours(tmp_path):
    recipe = tiny_recipe(tmp_path)
    sizes = {"projection_size": 8, "coattention_size": 8, "num_coattention_heads": 2, "max_text_tokens": 32}
    recipe["model"] |= {"type": "ghmfc", "config": recipe["model"]["config"] | sizes, "processor": {"max_length": 32}}
    recipe["training"] |= {"negatives": "in_batch", "generator_init": "random"}
    run_recipe(recipe_from_dict(recipe), "hf-mel train recipe.yaml")
    card = render_model_card(tmp_path).text
    text = " ".join(card.split())
    assert (
        f"GHMFC there is an independent implementation from the public description of {PAPERS['ghmfc'].reference};"
        in text
    )
    assert "@inproceedings{wang2022ghmfc" in section(card, "Citation") and "\n# GHMFC on miniature\n" in card
