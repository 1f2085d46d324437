"""Which words become tokens, in which order, and which do not."""

import pytest
from datasets import Dataset, DatasetDict

from hf_mel.data import KnowledgeBase, MELData, train_tokenizer


def data(names, sentences, test=("unread words",)):
    kb = KnowledgeBase.from_records(
        [{"id": str(number), "name": name, "description": "b"} for number, name in enumerate(names)]
    )
    splits = {"train": Dataset.from_dict({"text": sentences}), "test": Dataset.from_dict({"text": list(test)})}
    return MELData(DatasetDict(splits), kb)


def test_characters_then_frequent_words_then_the_alphabet():
    tokenizer = train_tokenizer(data(["Cd a", "Äa d"], ["äa, CD! cd-ab äa's ９"]))
    # cd: 3 times; äa: 3 times; ab: once. Single characters are there already, the 9 (full width in the text) among them.
    assert tokenizer.convert_ids_to_tokens(range(len(tokenizer))) == [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]",
        "9", "a", "b", "c", "d", "s", "ä", "##9", "##a", "##b", "##c", "##d", "##s", "##ä",
        "cd", "äa", "ab",
    ]  # fmt: skip
    assert tokenizer.tokenize("CDs? x. abba") == ["cd", "##s", "[UNK]", "ab", "##b", "##a"]


def test_no_more_than_the_vocabulary_holds(tmp_path):
    some = data(["ab", "b"], ["ab ba b"])
    tokenizer = train_tokenizer(some, vocab_size=9)
    assert len(tokenizer) == 9 and tokenizer.tokenize("ab ba") == ["ab", "b", "##a"]
    tokenizer.save_pretrained(tmp_path)
    assert type(tokenizer).from_pretrained(tmp_path).get_vocab() == tokenizer.get_vocab()
    with pytest.raises(ValueError, match="vocab_size=7 is too small: the single characters alone are 8 tokens"):
        train_tokenizer(some, vocab_size=7)


def test_scripts_without_spaces_and_emoji():
    some = data(["東京タワー", "กรุงเทพ"], ["北京 ab 😀👍🏽🇩🇪🇫🇷 हिन्दी"])
    tokenizer = train_tokenizer(some)
    assert tokenizer.tokenize("北東タ😀กรุ") == ["北", "東", "タ", "😀", "ก", "รุ"], "each a token, in any order"
    assert tokenizer.tokenize("🇫🇷🇩🇪 👍🏽 हिन्दी ba") == ["🇫🇷", "🇩🇪", "👍", "🏽", "हिन्दी", "b", "##a"]
    assert tokenizer.unk_token not in tokenizer.tokenize("京" * 500), "no word of 500 letters"
    vocabulary = tokenizer.get_vocab()
    assert "##b" in vocabulary and "##ุ" in vocabulary
    assert not {"##北", "##タ", "##😀"} & set(vocabulary), "they never stand within a word"
