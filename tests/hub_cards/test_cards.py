"""The card of a run: what the Hub's client reads of it, and what people do."""

import getpass
import json
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from huggingface_hub.errors import HFValidationError

from hf_mel import PGMELConfig, PGMELModel
from hf_mel.data import BENCHMARKS
from hf_mel.evaluation import EvaluationResult, load_results, save_result
from hf_mel.hub import render_model_card, write_model_card
from hf_mel.hub.cards import EVAL_RESULTS_FILE
from hf_mel.hub.papers import citation
from hf_mel.mteb.repository_files import TASK_METRICS, task_id


ROOT = Path(__file__).parents[2]


def yaml_of(text: str) -> dict:
    """Without the client."""
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("\n---\n")[0][4:])


def section(text: str, heading: str) -> str:
    """A section by its heading; without such a one, the test fails."""
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def change_result(folder: Path, **fields) -> dict:
    values = load_results(folder)["test"].to_dict() | fields
    save_result(EvaluationResult.from_dict(values), folder, "test")
    return values


def change_recipe(folder: Path, **sections) -> None:
    content = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    for name, keys in sections.items():
        content[name] = content.get(name, {}) | keys
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def without_recipe(folder: Path) -> Path:
    """As a trainer that was called from Python leaves it."""
    (folder / "recipe.yaml").unlink()
    return folder


def change_config(folder: Path, **fields) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.fixture(scope="module")
def card(trained) -> str:
    return str(render_model_card(trained))


# ---- YAML ----


def test_the_client_reads_the_yaml(run):
    path = write_model_card(run, repo_id="org/pgmel-tiny")
    assert path == run / "README.md"
    loaded = ModelCard.load(path, ignore_metadata_errors=False)
    data = loaded.data
    assert data.to_dict() == yaml_of(path.read_text(encoding="utf-8"))
    assert (data.license, data.library_name) == ("apache-2.0", "transformers")
    assert data.pipeline_tag == "multimodal-entity-linking" and {"entity-linking", "hf_mel", "pgmel"} <= set(data.tags)
    assert data.model_name == "pgmel-tiny" and data.metrics == ["hits@1", "hits@3", "hits@5", "hits@10", "mrr", "mr"]
    assert str(loaded) == path.read_text(encoding="utf-8")


def test_the_model_index_holds_the_numbers_of_the_result(trained, card):
    result = load_results(trained)["test"]
    entries = ModelCard(card, ignore_metadata_errors=False).data.eval_results
    assert {entry.metric_type: entry.metric_value for entry in entries} == {
        name: value for name, value in result.metrics.items() if name != "num_mentions"
    }
    for entry in entries:
        assert (entry.task_type, entry.dataset_type, entry.dataset_split) == (
            "multimodal-entity-linking",
            "miniature",
            "test",
        )
        assert entry.metric_args == {"protocol": result.protocol.describe()}


def test_a_benchmark_brings_language_dataset_and_licence(run):
    without_recipe(run)
    change_result(run, dataset="emojimel, test")
    found = render_model_card(run)
    data = found.data
    assert data.language == ["en"] and data.datasets == ["emojimel"]
    assert {entry.dataset_name for entry in data.eval_results} == {"EmojiMEL"}
    info = BENCHMARKS["emojimel"]
    for part in (info.description, info.license_text, info.citation, *info.defects, "NOTICES.md"):
        assert part in found.text
    assert "# PGMEL on EmojiMEL\n" in found.text


def test_a_variant_of_a_benchmark_keeps_its_name(run):
    without_recipe(run)
    change_result(run, dataset="WikiMEL (GHMFC), test")
    found = render_model_card(run)
    assert found.data.datasets == ["wikimel"] and "# PGMEL on WikiMEL (GHMFC)\n" in found.text
    assert {(entry.dataset_type, entry.dataset_name) for entry in found.data.eval_results} == {
        ("wikimel", "WikiMEL (GHMFC)")
    }
    assert 'load_benchmark("wikimel", path="path/to/wikimel")' in found.text
    assert BENCHMARKS["wikimel"].license_text in section(found.text, "Licence")


def test_what_it_was_only_evaluated_on_is_not_what_it_was_trained_on(run):
    values = load_results(run)["test"].to_dict()
    without_recipe(run)
    change_result(run, dataset="emojimel, test", extra={})
    found = render_model_card(run)
    assert found.data.datasets is None and found.data.language is None
    assert "On which data the model was trained is not known here" in found.text
    assert {entry.dataset_type for entry in found.data.eval_results} == {"emojimel"}
    save_result(EvaluationResult.from_dict(values | {"dataset": "mine, validation"}), run, "validation")
    found = render_model_card(run)
    assert {(entry.dataset_type, entry.dataset_split) for entry in found.data.eval_results} == {
        ("emojimel", "test"),
        ("mine", "validation"),
    }
    assert "Data: `mine`." in found.text and "| emojimel, test |" in found.text


def test_what_it_began_with_is_a_base_model(run):
    assert render_model_card(run).data.base_model is None
    towers = ["google-bert/bert-base-uncased", "facebook/dinov2-small"]
    change_config(run, base_models=towers)
    found = render_model_card(run)
    assert found.data.base_model == towers
    assert "Those they began with have licences of their own" in found.text
    assert "[facebook/dinov2-small](https://huggingface.co/facebook/dinov2-small)" in found.text


def test_what_the_caller_names_comes_first(run):
    change_config(run, base_models=["org/other"])
    data = {"base_models": "org/base", "datasets": ["org/data"], "language": "de", "tags": ["mine", "pgmel"]}
    found = render_model_card(run, repo_id="org/name", license="mit", model_name="Ours", **data)
    assert (found.data.base_model, found.data.datasets, found.data.language) == (["org/base"], ["org/data"], ["de"])
    assert found.data.tags[-2:] == ["pgmel", "mine"] and found.data.license == "mit"
    assert found.data.model_name == "Ours" and "\n# Ours\n" in found.text and "org/other" not in str(found)


def test_results_on_a_dataset_of_the_hub_are_written_in_the_form_of_its_leaderboard(run):
    write_model_card(run)
    assert not (run / EVAL_RESULTS_FILE).exists()
    result = load_results(run)["test"]
    change_recipe(run, data={"repo_id": "org/miniature"})
    write_model_card(run)
    values = yaml.safe_load((run / EVAL_RESULTS_FILE).read_text(encoding="utf-8"))
    entries = {entry.task_id: entry for entry in parse_eval_result_entries(values)}
    assert set(entries) == {task_id("test", metric) for metric in TASK_METRICS}, "those that eval.yaml declares"
    assert entries["test_mrr"].value == result.metrics["mrr"] and entries["test_mrr"].date == result.date
    assert {entry.dataset_id for entry in entries.values()} == {"org/miniature"}
    found = ModelCard.load(run / "README.md").data
    assert found.datasets == ["org/miniature"] and found.eval_results[0].dataset_type == "org/miniature"
    change_recipe(run, data={"repo_id": None})
    write_model_card(run)
    assert not (run / EVAL_RESULTS_FILE).exists(), "no results of an earlier card"


# ---- Text ----


def test_numbers_in_the_text_are_those_of_the_files(run):
    values = change_result(
        run, metrics={"hits@1": 0.12345, "hits@5": 0.75, "mrr": 0.5, "mr": 7.25, "num_mentions": 10}
    )
    text = section(render_model_card(run).text, "Results")
    (row,) = re.findall(r"^\| miniature, test \| (\d.*) \|$", text.split("\nMentions ")[0], re.MULTILINE)
    assert [cell.split(" [")[0] for cell in row.split(" | ")] == ["12.3", "75.0", "50.0", "7.2"]
    for name, cell in (("hits@1", 0), ("mrr", 2)):
        low, high = (100 * values["intervals"][name][end] for end in ("low", "high"))
        assert f"[{low:.1f}, {high:.1f}]" in row.split(" | ")[cell]
    for group, label in (("seen", "in training"), ("unseen", "not in training")):
        of = values[group]
        if of["num_mentions"]:
            cells = [of["num_mentions"], *(f"{100 * of[name]:.1f}" for name in ("hits@1", "hits@5", "mrr"))]
            assert f"| miniature, test | {label} | {' | '.join(map(str, cells))} |\n" in text
    assert EvaluationResult.from_dict(values).protocol.describe() in text and values["data_fingerprint"] in text


def test_groups_are_those_of_the_result(run):
    text = section(render_model_card(run).text, "Results")
    groups = load_results(run)["test"].groups
    assert set(groups) == {"image_status", "namesakes"}
    for group in [*groups["image_status"], *groups["namesakes"]]:
        interval = f"[{100 * group.interval.low:.1f}, {100 * group.interval.high:.1f}]"
        cells = [str(group.count), f"{100 * group.metrics['hits@1']:.1f} {interval}"]
        cells += [f"{100 * group.metrics[name]:.1f}" for name in ("hits@5", "mrr")]
        assert f"| miniature, test | {group.name} | {' | '.join(cells)} |\n" in text
    assert "| data | picture | mentions |" in text and "| data | namesakes | mentions |" in text


def test_a_result_of_another_model_is_left_out(run):
    assert load_results(run)["test"].model_fingerprint is not None
    change_result(run, model_fingerprint="0" * 64)
    found = render_model_card(run)
    assert found.data.eval_results is None and "## Results" not in found.text
    change_result(run, model_fingerprint=None)
    assert "## Results" in render_model_card(run).text


def test_calibration_hardware_and_training(trained, card):
    table = section(card, "Probabilities and NIL")
    assert "| | fitted (validation) | measured (test) |\n|---|---:|---:|\n| observations | 40 | 10 |\n" in table
    assert "| ECE | 0.123 | 0.123 |\n" in table and "| NIL F1 | 0.568 | 0.568 |\n" in table
    assert "hiding 20 % of the gold entities" in table and "below 0.300" in table and "NIL recall" not in table
    environment = load_results(trained)["test"].environment
    training = section(card, "Training")
    assert environment.machine in training and f"torch {environment.packages['torch']}" in training
    assert "6 steps, 2 epochs." in training and "were kept" not in training
    assert "| `pool_size` | 8 | 64 |\n" in training and "| `num_train_epochs` | 2 | 3.0 |\n" in training
    for unchanged in ("margin", "output_dir", "use_cpu", "save_strategy", "learning_rate", "seed"):
        assert f"`{unchanged}`" not in training


def test_which_weights_were_kept(run):
    path = run / "training_args.json"
    values = json.loads(path.read_text())
    values["arguments"]["load_best_model_at_end"] = True
    path.write_text(json.dumps(values))
    state = json.loads((run / "trainer_state.json").read_text()) | {"best_global_step": 3, "best_metric": 0.4567}
    (run / "trainer_state.json").write_text(json.dumps(state))
    assert "the best `mrr` on the validation split were kept: 0.457, at step 3." in render_model_card(run).text


def test_tables_are_whole(card):
    blocks = [block.strip("\n").splitlines() for block in card.split("\n\n")]
    tables = [block for block in blocks if block[0].startswith("|")]
    assert len(tables) == 7
    for table in tables:
        assert re.fullmatch(r"\|(---:?\|)+", table[1])
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1, table
        assert all(line.startswith("|") and line.endswith("|") for line in table), table
    assert "\n\n\n" not in card and "{{" not in card.replace("{{The hf", "") and "{%" not in card


def test_twice_the_same_bytes(run):
    first = write_model_card(run, repo_id="org/name").read_bytes()
    assert write_model_card(run, repo_id="org/name").read_bytes() == first
    assert b"\r" not in first and not list(run.rglob("*.tmp"))


def test_nothing_of_this_machine(run):
    change_result(run, model_name="/home/alice/model", dataset="/home/alice/data, test")
    without_recipe(run)
    written = write_model_card(run).read_text(encoding="utf-8")
    assert "training.output_dir=PATH data.raw_dir=PATH" in written
    words = re.split(r"[^\w-]+", written)
    assert "alice" not in words and "tmp" not in words
    assert getpass.getuser() not in words and str(run) not in written and str(Path.home()) + "/" not in written
    assert "# model on data\n" in written


def test_the_example_runs(run, monkeypatch, capsys):
    """With a calibration, and with its path as it stands there."""
    monkeypatch.chdir(run.parents[2])
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", render_model_card(run).text, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names)
    assert len(names["linked"].candidates) == 3 and names["linked"].probability is not None
    assert names["answer"]["probability"] == pytest.approx(names["linked"].probability, abs=1e-4)
    assert len(capsys.readouterr().out.splitlines()) == 4
    blocks = re.findall(r"```python\n(.*?)```", render_model_card(run, repo_id="org/tiny").text, re.DOTALL)
    assert 'from_pretrained("org/tiny", data.entities)' in blocks[0] and 'model="org/tiny"' in blocks[1]


def test_the_paper_and_the_package_are_cited_as_in_citation_cff(card):
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    (paper,) = cited["references"]
    text = citation("pgmel")
    for part in (cited["title"], paper["title"], paper["url"], str(paper["year"])):
        assert part in text
    assert all(f"{author['family-names']}, {author['given-names']}" in text for author in paper["authors"])
    assert text in card and "independent implementation from the paper's public description" in card


# ---- What is not there ----


def test_a_folder_without_results_has_no_numbers(run):
    (run / "eval_results.json").unlink()
    (run / "calibration.json").unlink()
    without_recipe(run)
    found = render_model_card(run)
    assert found.data.eval_results is None and "model-index" not in found.data.to_dict()
    assert found.data.metrics is None and found.data.datasets is None
    assert "## Results" not in found.text and "## Probabilities" not in found.text and "minutes" not in found.text
    assert "It has not been evaluated." in found.text and "a prior that was fitted on other data" in found.text
    assert not re.search(r"\b\d\d\.\d|hits@|MRR", found.text)
    (run / "recipe.yaml").write_text(
        "data: {benchmark: miniature, name: Mine}\nevaluation: {model_name: Ours}\n", encoding="utf-8"
    )
    named = render_model_card(run)
    assert "# Ours on Mine\n" in named.text and 'load_benchmark("miniature")' in named.text


def test_a_bare_checkpoint(tmp_path):
    tower = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = PGMELModel(PGMELConfig(text_config=tower))
    model.save_pretrained(tmp_path)
    found = render_model_card(tmp_path, license="mit")
    assert found.data.license == "mit" and "The weights: `mit`." in found.text and "# PGMEL\n" in found.text
    number = sum(value.numel() for value in model.state_dict().values())
    assert f"| parameters | {number:,} |" in found.text and "none: a text-only model" in found.text
    assert "`generator/`" not in found.text and "It does not look at pictures." in found.text
    assert "None" not in found.text


def test_a_calibration_of_another_model_is_left_out(run):
    text = (run / "calibration.json").read_text(encoding="utf-8")
    found = json.loads(text)
    found["setup"]["model"] = "0" * 64
    (run / "calibration.json").write_text(json.dumps(found), encoding="utf-8")
    shown = render_model_card(run).text
    assert "0.568" not in shown and "No calibration was fitted for it." in shown


def test_what_cannot_be_read_is_named(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="no config.json"):
        render_model_card(tmp_path / "nothing")
    with pytest.raises(HFValidationError):
        render_model_card(run, repo_id="no id at all")
    write_model_card(run)
    before = (run / "README.md").read_bytes()
    (run / "eval_results.json").write_text("{")
    with pytest.raises(ValueError, match="eval_results.json"):
        write_model_card(run)
    assert (run / "README.md").read_bytes() == before
    (run / "eval_results.json").unlink()
    (run / "training_args.json").write_text("[]")
    with pytest.raises(ValueError, match="training_args.json must hold an object"):
        write_model_card(run)
    (run / "training_args.json").write_text('{"margin": 1}')
    with pytest.raises(ValueError, match="training_args.json must hold the objects `arguments` and `defaults`"):
        write_model_card(run)
    (run / "training_args.json").unlink()
    for text, message in (("a: [", "recipe.yaml is not YAML"), ("data: 1", "recipe.yaml: a recipe is a mapping")):
        (run / "recipe.yaml").write_text(text)
        with pytest.raises(ValueError, match=message):
            write_model_card(run)


# ---- Generated cards of the repository ----

GENERATED = sorted(path for path in (ROOT / "model_cards").glob("*.md") if path.name != "README.md")


@pytest.mark.skipif(not (ROOT / "model_cards").is_dir(), reason="an installed package has no model cards")
def test_there_are_generated_cards():
    assert GENERATED


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.stem)
def test_generated_cards(path):
    found = ModelCard.load(path, ignore_metadata_errors=False)
    assert found.data.license == "apache-2.0" and found.data.eval_results and "## Results" in found.text
    assert str(Path.home()) not in str(found) and "/tmp/" not in str(found)
    hits = {entry.metric_type: entry.metric_value for entry in found.data.eval_results}
    assert f"{100 * hits['hits@1']:.1f} [" in found.text and f"{100 * hits['mrr']:.1f} [" in found.text


def test_leaked_captions_are_one_line_of_the_results(run):
    assert "also occur in training" not in section(render_model_card(run).text, "Results")
    part = {"hits@1": 0.25, "mrr": 0.5}
    metrics = {"hits@1": 0.5, "mrr": 0.75, "num_mentions": 10}
    change_result(run, metrics=metrics, leaked={**part, "num_mentions": 4}, without_leaked={**part, "num_mentions": 6})
    line = "the captions of 4 of 10 mentions also occur in training; without them H@1 25.0 instead of 50.0, MRR 50.0 instead of 75.0."
    assert f": {line}\n" in section(render_model_card(run).text, "Results")
