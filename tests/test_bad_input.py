"""What a user's mistakes lead to: an error that names the place, or a count where the data is legitimate."""

import json
import logging

import pytest
from datasets import Dataset, DatasetDict
from transformers import BertConfig, BertModel

from hf_mel import KnowledgeBase, PGMELConfig, PGMELGenerator, PGMELModel, PGMELProcessor, PGMELTrainingArguments
from hf_mel.cli.main import main
from hf_mel.data import MELData, UnknownEntityError, check_mentions
from hf_mel.evaluation.models import evaluate_model
from hf_mel.negatives import TopK
from hf_mel.training.arguments import AT_LEAST_ZERO, POSITIVE, SHARES
from tests.training.common import assert_equal, make_trainer, tiny_data, tiny_linker, tiny_processor, weights


def with_gold(split: str, change) -> Dataset:
    """The mentions of a split with the gold ids that `change(position, gold)` gives."""
    mentions = tiny_data().mentions[split]
    golds = [change(position, gold) for position, gold in enumerate(mentions["entity_id"][:])]
    return mentions.remove_columns("entity_id").add_column("entity_id", golds, feature=mentions.features["entity_id"])


# ---- Knowledge base ----


def test_a_knowledge_base_with_a_duplicate_id_and_an_entity_without_name(tmp_path):
    records = [{"id": "Q1", "name": "Ada"}, {"id": "Q2", "name": " "}, {"id": "Q1", "name": "Eve"}]
    path = tmp_path / "kb.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    for unit, make in (
        ("record", lambda: KnowledgeBase.from_records(records)),
        ("line", lambda: KnowledgeBase.load(path)),
    ):
        with pytest.raises(ValueError) as error:
            make()
        lines = str(error.value).splitlines()
        assert any(f"{unit} 2" in line and "name" in line for line in lines), lines
        assert any(f"{unit} 3" in line and "'Q1'" in line for line in lines), lines


def test_the_command_line_names_them_too(tmp_path, capsys):
    path = tmp_path / "kb.jsonl"
    path.write_text('{"id": "Q1", "name": "Ada"}\n{"id": "Q1", "name": "Eve"}\n')
    assert main(["link", str(tmp_path), "--kb", str(path), "--text", "a", "--mention", "a"]) == 2
    assert "'Q1'" in capsys.readouterr().err


# ---- Mentions ----


def test_a_gold_entity_that_is_not_in_the_knowledge_base(tmp_path):
    mentions = with_gold("train", lambda position, gold: "Q999" if position in (3, 5) else gold)
    with pytest.raises(UnknownEntityError, match="'train' split.*Q999"):
        make_trainer(tmp_path, vision=False, train=mentions)
    with pytest.raises(ValueError) as error:
        check_mentions(mentions, tiny_data().entities)
    named = [line for line in str(error.value).splitlines() if "'Q999'" in line]
    assert len(named) == 2 and repr(mentions["id"][3]) in named[0]


def test_a_gold_entity_that_is_not_there_in_evaluation(tmp_path):
    mentions = with_gold("test", lambda position, gold: "Q999" if position == 2 else gold)
    with pytest.raises(UnknownEntityError, match="Q999"):
        make_trainer(tmp_path, vision=False).evaluate(mentions)


def test_an_empty_split(tmp_path):
    empty = tiny_data().mentions["train"].select([])
    with pytest.raises(ValueError, match="`train_dataset` is empty"):
        make_trainer(tmp_path, vision=False, train=empty)
    with pytest.raises(ValueError, match="has no mention"):
        check_mentions(DatasetDict(train=tiny_data().mentions["train"], test=empty), tiny_data().entities)
    with pytest.raises(ValueError, match="`eval_dataset` is empty"):
        make_trainer(tmp_path, vision=False).evaluate(empty)


def metrics_of(trainer, *args) -> dict:
    return {
        name: value
        for name, value in trainer.evaluate(*args).items()
        if "runtime" not in name and "per_second" not in name
    }


def test_every_form_of_mentions_is_trained_and_evaluated_alike(tmp_path):
    train, validation = tiny_data().mentions["train"], tiny_data().mentions["validation"]
    needed = ["mention", "text", "entity_id", "start"]
    forms = {
        "data set": lambda table: table.select_columns(needed),
        "format": lambda table: table.with_format("torch"),
        "list": lambda table: table.select_columns(needed).to_list(),
        "frame": lambda table: table.select_columns(needed).rename_column("text", "sentence").to_pandas(),
        "columns": lambda table: table.select_columns(needed).to_dict(),
    }
    reference = make_trainer(tmp_path / "reference", vision=False, max_steps=2)
    reference.train()
    expected = metrics_of(reference)
    for name, form in forms.items():
        trainer = make_trainer(
            tmp_path / name, vision=False, train=form(train), evaluate=form(validation), max_steps=2
        )
        trainer.train()
        assert_equal(weights(reference), weights(trainer))
        assert metrics_of(trainer) == expected
        if name not in ("columns",):  # a dict is several data sets by name to `evaluate` of the Trainer
            assert metrics_of(trainer, form(validation)) == expected


def test_what_is_no_table_of_mentions_is_refused_before_training(tmp_path):
    splits, stream = tiny_data().mentions, tiny_data().mentions["train"].to_iterable_dataset()
    with pytest.raises(TypeError, match="`train_dataset` .* with the splits 'train', 'validation', 'test'"):
        make_trainer(tmp_path, vision=False, train=splits)
    for name, options in (("train_dataset", {"train": stream}), ("eval_dataset", {"evaluate": stream})):
        with pytest.raises(TypeError, match=f"`{name}` is an IterableDataset"):
            make_trainer(tmp_path, vision=False, **options)
    with pytest.raises(ValueError, match="`eval_dataset` lacks the column `text`"):
        make_trainer(tmp_path, vision=False, evaluate=tiny_data().mentions["test"].remove_columns("text"))
    with pytest.raises(TypeError, match="`eval_dataset` is an IterableDataset"):
        make_trainer(tmp_path, vision=False).evaluate(stream)
    several = make_trainer(tmp_path, vision=False, evaluate=DatasetDict(a=splits["test"], b=splits["validation"]))
    assert {"eval_a_mrr", "eval_b_mrr"} <= several.evaluate().keys()


def test_a_split_without_a_column_is_refused_by_the_evaluation():
    data = tiny_data()
    broken = MELData(DatasetDict(test=data.mentions["test"].remove_columns("entity_id")), data.entities, {})
    with pytest.raises(ValueError, match=r"`data.mentions\['test'\]` lacks the column `entity_id`"):
        evaluate_model(tiny_linker(False), tiny_processor(False), broken, "test", "m", "d", "c", progress=False)
    needed = data.mentions["test"].select_columns(["mention", "text", "entity_id", "start"])
    results = [
        evaluate_model(tiny_linker(False), tiny_processor(False), each, "test", "m", "d", "c", progress=False)
        for each in (data, MELData(DatasetDict(data.mentions | {"test": needed}), data.entities, {}))
    ]
    assert results[0][0].metrics == results[1][0].metrics and results[0][0].seen == results[1][0].seen


def test_a_split_of_nil_alone(tmp_path):
    nil = with_gold("train", lambda position, gold: None)
    with pytest.raises(ValueError, match="'train' split has 34 mentions, and none of them has an entity"):
        make_trainer(tmp_path, vision=False, train=nil)
    assert check_mentions(nil, tiny_data().entities)["splits"]["mentions"]["nil"] == 34


def test_a_mention_that_is_not_in_its_sentence_is_counted(tmp_path, caplog):
    mentions = tiny_data().mentions["train"]
    sentences = ["Nobody came." if row < 3 else text for row, text in enumerate(mentions["text"][:])]
    features = mentions.features["text"]
    mentions = mentions.remove_columns("text").add_column("text", sentences, feature=features)
    empty = mentions.features["start"]
    for name in ("start", "end"):
        mentions = mentions.remove_columns(name).add_column(name, [None] * 34, feature=empty)
    with caplog.at_level(logging.WARNING):
        counted = check_mentions(mentions, tiny_data().entities)["splits"]["mentions"]["not_in_text"]
    before = check_mentions(tiny_data().mentions["train"], tiny_data().entities)["splits"]["mentions"]
    assert counted == before["not_in_text"] + 3
    assert f"{counted} of 34 mentions" in caplog.text
    trainer = make_trainer(tmp_path, vision=False, train=mentions, max_steps=1)
    trainer.train()
    assert trainer.state.global_step == 1


def test_nil_is_counted_and_not_ranked(tmp_path):
    mentions = with_gold("test", lambda position, gold: None if position in (0, 4) else gold)
    known = sum(gold is not None for gold in mentions["entity_id"][:])
    nil = len(mentions) - known
    assert nil >= 2
    trainer = make_trainer(tmp_path, vision=False)
    metrics = trainer.evaluate(mentions)
    assert (metrics["eval_num_mentions"], metrics["eval_num_nil"]) == (known, nil)
    data = MELData(DatasetDict(test=mentions), tiny_data().entities)
    options = {"model_name": "m", "data_name": "d", "command": "c", "progress": False}
    result, ranks = evaluate_model(tiny_linker(False), tiny_processor(False), data, "test", **options)
    assert (result.protocol.num_mentions, result.protocol.num_nil, len(ranks)) == (known, nil, known)
    assert f"{nil} NIL left out" in result.protocol.describe()
    # The others are ranked as they are without any NIL.
    alone = mentions.select([row for row, gold in enumerate(mentions["entity_id"][:]) if gold is not None])
    assert trainer.predict(mentions).predictions.tolist() == trainer.predict(alone).predictions.tolist()


# ---- Recipe and checkpoint ----


def test_a_recipe_with_a_typo(tmp_path, capsys):
    path = tmp_path / "recipe.yaml"
    path.write_text("training: {output_dir: out, num_negative: 3}\n")
    assert main(["train", str(path)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error and "unknown key training.num_negative, did you mean 'num_negatives'?" in error


def test_a_checkpoint_of_another_model_type(tmp_path, capsys):
    tiny = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
        "vocab_size": 9,
    }
    BertModel(BertConfig(**tiny)).save_pretrained(tmp_path)
    for kind in (PGMELModel, PGMELConfig, PGMELGenerator):
        with pytest.raises(ValueError, match="holds a model of type 'bert', not 'pgmel") as error:
            kind.from_pretrained(tmp_path)
        assert str(tmp_path) in str(error.value) and "from_towers" in str(error.value)
    with pytest.raises(ValueError, match=str(tmp_path)):
        PGMELProcessor.from_pretrained(tmp_path)
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "holds a model of type 'bert'" in capsys.readouterr().err


# ---- Training arguments ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fp16": True}, "`fp16=True` cannot be used"),
        ({"max_grad_norm": 0.0, "generator_max_grad_norm": 1.0}, "`max_grad_norm=0` turns clipping off"),
        ({"negatives": "in_batch", "contrast_weight": 0}, "no loss without `contrast_weight`"),
        ({"pool_dense_share": 0.6}, "must sum to 1"),
        (
            {"negatives": "topk", "negatives_kwargs": {"choose_from": 2}},
            "`choose_from` must be at least `num_negatives`, got 2 and 4",
        ),
        *(
            ({name: "zzz"}, f"`{name}` must be one of .*, got 'zzz'")
            for name in (
                *("negatives", "reward", "baseline", "estimator", "pool_rewards", "batch_sampler"),
                *("generator_type", "generator_init", "feature_dtype"),
            )
        ),
        *(({name: value}, f"`{name}` must be positive, got {value}") for name in POSITIVE for value in (0, -1)),
        *(({name: -1}, f"`{name}` must be at least 0, got -1") for name in AT_LEAST_ZERO),
        *(
            ({name: value}, f"`{name}` must be between 0 and 1, got {value}")
            for name in SHARES
            for value in (-0.1, 1.1)
        ),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_training_arguments_are_checked(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        PGMELTrainingArguments(output_dir=str(tmp_path), use_cpu=True, **options)


def test_an_instance_takes_no_options(tmp_path):
    with pytest.raises(ValueError, match="no effect on an instance"):
        PGMELTrainingArguments(str(tmp_path), negatives=TopK(2), negatives_kwargs={"choose_from": 2}, use_cpu=True)


@pytest.mark.parametrize(
    "options",
    [
        {"margin": 0, "entropy_weight": 0, "triplet_weight": 0, "generator_steps": 0},
        {"uniform_share": 0.0, "entropy_floor": 1.0, "false_negative_share": 1.0, "refresh_steps": 1},
        {"pool_dense_share": 0.0, "pool_lexical_share": 0.0, "pool_uniform_share": 1.0, "bf16": True},
        {"negatives": "in_batch", "contrast_weight": 0.1},
    ],
)
def test_what_lies_at_the_edge_is_allowed(options, tmp_path):
    PGMELTrainingArguments(output_dir=str(tmp_path), use_cpu=True, **options)
