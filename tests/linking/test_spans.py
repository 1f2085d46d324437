"""Mentions in running text: offsets of the caller, and those that a model finds."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertConfig, BertForTokenClassification, BertModel, pipeline

from hf_mel.linking.linked_mention import MentionQuery
from hf_mel.linking.spans import Span, find_mentions, load_ner, queries_of
from tests.common import build_tokenizer


# ---- Spans of the caller ----


def test_overlapping_and_repeated_spans_keep_their_order():
    text = "Ada Lovelace met Ada."
    picture = Image.new("RGB", (2, 2))
    spans = [(17, 20), Span(0, 12, "Ada Lovelace"), {"start": 0, "end": 3, "label": "PER"}, (0, 3)]
    queries = queries_of(text, spans, image=picture, id="row 7")
    assert [(query.mention, query.start, query.end) for query in queries] == [
        ("Ada", 17, 20), ("Ada Lovelace", 0, 12), ("Ada", 0, 3), ("Ada", 0, 3),
    ]  # fmt: skip
    assert all(query.image is picture and query.id == "row 7" and query.text == text for query in queries)
    assert queries_of(text, []) == []
    assert queries_of(text, iter([(np.int64(0), np.int64(3))])) == [MentionQuery("Ada", text, start=0)]
    assert type(queries_of(text, [(np.int64(0), np.int64(3))])[0].start) is int


def test_all_wrong_spans_are_listed():
    spans = [(0, 3), (3, 3), (5, 4), (-1, 2), (4, 99), (3, 4), "ab", (1.5, 2), {"start": 1}, 7, (1, 2, 3)]
    with pytest.raises(ValueError) as error:
        queries_of("Ada met Bob.", spans)
    message = str(error.value)
    assert "spans of 'Ada met Bob.': 10 problems" in message
    assert "span 0:" not in message
    for number, reason in {
        1: "3..3 is empty", 2: "5..4 is empty", 3: "-1..2 is outside the text of 12 characters",
        4: "4..99 is outside", 5: "3..4 holds only spaces", 6: "'ab' is no `Span`", 7: "(1.5, 2) is no `Span`",
        8: "{'start': 1} is no", 9: "7 is no", 10: "(1, 2, 3) is no",
    }.items():  # fmt: skip
        assert f"span {number}: {reason}" in message
    assert message.endswith("`end` the one after the last.")


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        ("\U0001f600\U0001f600 Ada \U0001f600", "Ada"),
        ("the \U0001f469\u200d\U0001f680 Ada", "\U0001f469\u200d\U0001f680"),
        ("in Cafe\u0301 Noir", "Cafe\u0301 Noir"),
        (
            "\u05d0\u05d3\u05d4 \u05dc\u05d0\u05d1\u05dc\u05d9\u05d9\u05e1 hier",
            "\u05dc\u05d0\u05d1\u05dc\u05d9\u05d9\u05e1",
        ),
        ("\u6771\u4eac\u306b\u3044\u308b", "\u6771\u4eac"),
    ],
)
def test_offsets_count_characters(text, mention):
    start = text.index(mention)
    (query,) = queries_of(text, [Span(start, start + len(mention), mention)])
    assert (query.mention, query.start, query.end) == (mention, start, start + len(mention))
    assert query.text[query.start : query.end] == mention


def test_offsets_in_other_units_are_recognised():
    text = "\U0001f600 é Ada met Bob and many others in the garden."
    start = text.index("Ada")
    assert queries_of(text, [Span(start, start + 3, "Ada")])[0].mention == "Ada"
    with pytest.raises(ValueError, match=r"give 'da ', not the mention 'Ada'; these count UTF-16 units"):
        queries_of(text, [Span(start + 1, start + 4, "Ada")])
    with pytest.raises(ValueError, match=r"not the mention 'Ada'; these count bytes"):
        queries_of(text, [Span(start + 4, start + 7, "Ada")])
    with pytest.raises(ValueError, match=r"not the mention 'Eve'\n"):
        queries_of(text, [Span(start, start + 3, "Eve")])
    emoji = "\U0001f600" * 4 + "Ada"
    with pytest.raises(ValueError, match=r"no part of the 7 characters of the text; these count UTF-16 units"):
        queries_of(emoji, [Span(8, 11, "Ada")])


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(ValueError, match=r"text: holds half of a surrogate pair \(character 4\)"):
        queries_of("Ada \ud83d Bob", [(0, 3)])
    with pytest.raises(ValueError, match=r"text 1: holds half of a surrogate pair \(character 0\)"):
        find_mentions(["fine", "\ud83d"], lambda texts, **options: [])


# ---- Spans of a pipeline ----


def scripted(*results):
    """A recogniser that says what it is told, and keeps how it was called."""

    def recognise(texts, **options):
        recognise.calls.append((texts, options))
        return [results[0]] * len(texts) if len(results) == 1 else list(results)

    recognise.calls = []
    return recognise


def found(text: str, *pieces) -> list[tuple]:
    """Pieces are words, or (word, label, score)."""
    results = []
    for piece in pieces:
        word, label, score = piece if isinstance(piece, tuple) else (piece, "PER", 0.5)
        start = text.index(word)
        results.append({"entity_group": label, "score": np.float32(score), "start": start, "end": start + len(word)})
    (spans,) = find_mentions([text], scripted(results))
    assert all(text[span.start : span.end] == span.text for span in spans)
    return [(span.text, span.label, span.score) for span in spans]


def test_spaces_are_not_part_of_a_mention():
    assert found("met  Ada Byron , a", "  Ada Byron ") == [("Ada Byron", "PER", 0.5)]
    assert found("a  b", "  ") == []


def test_pieces_of_words_become_whole_words():
    assert found("at Microsoft.", "Micro") == [("Microsoft", "PER", 0.5)]
    assert found("at Microsoft.", ("Micro", "ORG", 0.5), ("soft", "MISC", 0.75)) == [("Microsoft", "MISC", 0.75)]
    assert found("by Jean-Luc's", "Jean") == [("Jean", "PER", 0.5)], "a hyphen and an apostrophe end a word"
    assert found("Cafe\u0301 Noir", "Cafe") == [("Cafe\u0301", "PER", 0.5)]
    assert found("हिन्दी में", "हि") == [("हिन्दी", "PER", 0.5)]
    assert found("a \U0001f469\u200d\U0001f680!", "\U0001f469") == [("\U0001f469\u200d\U0001f680", "PER", 0.5)]
    assert found("\U0001f44d\U0001f3fd", "\U0001f44d") == [("\U0001f44d\U0001f3fd", "PER", 0.5)]
    assert found("\u6771\u4eac\u90fd\u306b", "\u6771\u4eac") == [("\u6771\u4eac", "PER", 0.5)], "no spaces, no words"
    assert found("\uc11c\uc6b8\uc5d0\uc11c", "\uc11c\uc6b8") == [("\uc11c\uc6b8", "PER", 0.5)]
    assert found("IBM\u793e", "IBM") == [("IBM", "PER", 0.5)]
    assert found("🇩🇪🇫🇷", "\U0001f1e9") == [("🇩🇪", "PER", 0.5)], "half a flag"
    assert found("\u1112\u1161\u11ab\u1100\u116e", "\u1112") == [("\u1112\u1161\u11ab", "PER", 0.5)]
    assert found("ไปกินข้าว", "กิ") == [("กิ", "PER", 0.5)] and found("ไปกินข้าว", "ข") == [("ข้", "PER", 0.5)]


def test_mentions_within_mentions_stay():
    both = found("Bank of England", ("Bank of England", "ORG", 0.5), ("England", "LOC", 0.25))
    assert both == [("Bank of England", "ORG", 0.5), ("England", "LOC", 0.25)]
    assert [text for text, *_ in found("Ada Bob", "Ada", "Bob")] == ["Ada", "Bob"]


def test_texts_keep_their_places():
    ner = scripted([{"start": 0, "end": 1, "label": "X"}], [])
    spans = find_mentions(["a", "", " \n", "b"], ner)
    assert spans == [[Span(0, 1, "a", "X")], [], [], []]
    assert ner.calls == [(["a", "b"], {"aggregation_strategy": "simple", "batch_size": 8})]
    assert find_mentions([], ner) == [] and find_mentions([""], ner) == [[]]
    assert len(ner.calls) == 1
    with pytest.raises(ValueError, match="give a list of texts"):
        find_mentions("Ada", ner)
    with pytest.raises(ValueError, match="text 1: is a NoneType"):
        find_mentions(["a", None], ner)


def test_a_recogniser_that_gives_no_offsets():
    with pytest.raises(ValueError, match="without `start` and `end`"):
        find_mentions(["Ada"], scripted([{"entity_group": "PER", "start": None, "end": None, "word": "Ada"}]))
    with pytest.raises(ValueError, match=r"gave 0\.\.9 for a text of 3 characters"):
        find_mentions(["Ada"], scripted([{"start": 0, "end": 9}]))
    with pytest.raises(ValueError, match="`ner` is a int"):
        find_mentions(["Ada"], 3)


# ---- A real model ----

LABELS = ["O", "B-PER", "I-PER"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that finds "michael", "jordan" and the letter x, wherever they stand, by the weights it is given."""
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = 16
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=0, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=16, id2label=dict(enumerate(LABELS)), label2id={v: k for k, v in enumerate(LABELS)},
    )  # fmt: skip
    model = BertForTokenClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.bert.embeddings.LayerNorm.weight.fill_(1)
        model.classifier.weight[:, :3] = torch.eye(3)
        model.bert.embeddings.word_embeddings.weight[:, 0] = 1
        for token, label in {"michael": 1, "jordan": 2, "x": 1}.items():
            row = model.bert.embeddings.word_embeddings.weight[tokenizer.convert_tokens_to_ids(token)]
            row.zero_()[label] = 1
    folder = tmp_path_factory.mktemp("ner")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def ner(folder):
    return pipeline("token-classification", model=str(folder), device="cpu")


TEXTS = ["in  Michael Jordan, Jordan the xavier", "the city", "", "Jordan Michael"]
MENTIONS = [["Michael Jordan", "Jordan", "xavier"], [], [], ["Jordan", "Michael"]]


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_real_pipeline(ner, batch_size):
    spans = find_mentions(TEXTS, ner, batch_size=batch_size)
    assert [[span.text for span in each] for each in spans] == MENTIONS
    for text, each in zip(TEXTS, spans, strict=True):
        for span in each:
            assert text[span.start : span.end] == span.text and span.label == "PER" and 0.3 < span.score < 1


def test_a_folder(folder):
    assert find_mentions(TEXTS[:1], folder) == find_mentions(TEXTS[:1], str(folder))
    assert [span.text for span in find_mentions(TEXTS[:1], folder)[0]] == MENTIONS[0]


@pytest.mark.parametrize("gap", [1, 3, 12, 13, 14, 40, 200])
def test_a_text_longer_than_the_window_is_read_to_its_end(ner, gap):
    text = "jordan " + "the " * gap + "michael jordan " + "in " * gap + "\U0001f600 michael"
    (spans,) = find_mentions([text], ner)
    assert [span.text for span in spans] == ["jordan", "michael jordan", "michael"]
    assert all(text[span.start : span.end] == span.text for span in spans)
    assert find_mentions(["jordan", text], ner, batch_size=2)[1] == spans
    cut = ner(text, aggregation_strategy="simple")
    assert (len(cut) < 3) == (gap > 3), "what the pipeline does by itself"


def test_a_tokenizer_that_knows_no_window(folder):
    recogniser = pipeline("token-classification", model=str(folder), device="cpu")
    recogniser.tokenizer.model_max_length = int(1e30)
    assert [span.text for span in find_mentions(["michael", "the"], recogniser)[0]] == ["michael"]
    with pytest.raises(
        ValueError, match=r"texts for a model of 16 tokens: 1 problem\n  text 1: has 22 tokens\nSo that"
    ):
        find_mentions(["michael", "the " * 20], recogniser)
    recogniser.tokenizer.save_pretrained(folder.parent / "unbounded")
    recogniser.model.save_pretrained(folder.parent / "unbounded")
    assert load_ner(folder.parent / "unbounded").tokenizer.model_max_length == 16


def test_a_model_that_finds_nothing_is_refused(tmp_path):
    config = BertConfig(hidden_size=8, num_hidden_layers=0, num_attention_heads=2, intermediate_size=8, vocab_size=9)
    BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="finds no mentions: it holds BertModel, and needs a model for token"):
        find_mentions(["Ada"], tmp_path)
    recogniser = scripted([])
    recogniser.task = "text-classification"
    with pytest.raises(ValueError, match="`ner` is a pipeline for 'text-classification'"):
        find_mentions(["Ada"], recogniser)


def test_a_tokenizer_without_offsets_is_refused():
    recogniser = scripted([])
    recogniser.tokenizer = type("Slow", (), {"is_fast": False})()
    with pytest.raises(ValueError, match="gives no offsets"):
        find_mentions(["Ada"], recogniser)
