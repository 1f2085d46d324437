import pytest
from datasets import DatasetDict

from hf_mel.data import MENTION_FEATURES, KnowledgeBase, check_mentions
from hf_mel.data.schema import dataset_of_columns


KB = KnowledgeBase.from_records([{"id": "Q1", "name": "Ada"}, {"id": "Q2", "name": "Bo"}])


def table(*rows: tuple):
    """Rows of (id, mention, sentence, start, end, entity_id)."""
    names = ("id", "mention", "text", "start", "end", "entity_id")
    return dataset_of_columns({name: [row[i] for row in rows] for i, name in enumerate(names)}, MENTION_FEATURES)


def test_counts_worked_out_by_hand():
    train = table(
        ("a", "Ada", "Ada sat.", 0, 3, "Q1"),
        ("b", "Bo", "Nobody sat.", None, None, None),
        ("c", "Ada", "Bo sat.", None, None, "Q1"),
        ("d", "Ada", "Is Ada here?", 0, 3, "Q1"),
    )
    test = table(
        ("e", "Bo", "Bo ran.", 0, 2, "Q2"), ("f", "Ada", "Ada sat.", 0, 3, "Q1"), ("g", "x", "x y", 0, 1, None)
    )
    report = check_mentions(DatasetDict(train=train, test=test), KB)
    assert report == {
        "splits": {
            # "Bo" does not stand in "Nobody sat." (case counts), nor "Ada" in "Bo sat."
            "train": {"mentions": 4, "nil": 1, "not_in_text": 2, "offset_mismatch": 1},
            "test": {"mentions": 3, "nil": 1, "not_in_text": 0, "offset_mismatch": 0},
        },
        "test_sentences": 3,
        "test_sentences_in_train": 1,
        "test_entities": 2,
        "test_entities_unseen": 1,
    }


def test_one_table_is_enough():
    report = check_mentions(table(("a", "Ada", "Ada", 0, 3, "Q1")), KB)
    assert report == {"splits": {"mentions": {"mentions": 1, "nil": 0, "not_in_text": 0, "offset_mismatch": 0}}}


def test_a_mention_that_is_not_in_its_sentence_warns_with_a_count(caplog):
    check_mentions(table(("a", "Ada", "She sat.", None, None, "Q1"), ("b", "Bo", "Bo", 0, 2, "Q2")), KB)
    assert "split 'mentions': 1 of 2 mentions do not stand in their sentence literally" in caplog.text


def test_every_problem_is_listed_with_split_and_mention():
    train = table(("a", "Ada", "Ada", 0, 3, "Q1"), ("b", "Ada", "Ada", 0, 3, "Q8"), ("a", "Bo", "Bo", 0, 2, "Q2"))
    test = table(("c", "Ada", "Ada", 0, 3, "Q9"), ("b", "Bo", "Bo", 0, 2, "Q2"), ("d", " ", "Bo", 0, 2, "Q2"))
    test = DatasetDict(train=train, validation=table(), test=test)
    with pytest.raises(ValueError) as raised:
        check_mentions(test, KB)
    assert str(raised.value).splitlines()[:7] == [
        "mentions: 6 problems",
        "  split 'train', mention 'b': gold `entity_id` 'Q8' is not in the knowledge base of 2 entities",
        "  split 'train', mention 'a': `id` is already used in split 'train'",
        "  split 'validation': has no mention",
        "  split 'test', mention 'c': gold `entity_id` 'Q9' is not in the knowledge base of 2 entities",
        "  split 'test', mention 'b': `id` is already used in split 'train'",
        "  split 'test', mention 'd': `mention` or `text` is empty",
    ]


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match="split 'train': columns mention, topic missing"):
        check_mentions(DatasetDict(train=table(("a", "x", "x", 0, 1, None)).remove_columns(["mention", "topic"])), KB)
