import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset, DatasetDict
from PIL import Image

from hf_mel import Calibration, EntityIndex, KnowledgeBase, LinkedEntity, LinkedMention, Linker, MentionQuery
from hf_mel.data import load_images
from hf_mel.encoding import EntityInputs, encode_all
from tests.training.common import tiny_data, tiny_linker, tiny_processor


@pytest.fixture(params=[False, True], ids=["text", "pictures"])
def linker(request) -> Linker:
    return Linker(tiny_linker(request.param), tiny_processor(request.param), tiny_data().entities, batch_size=4)


@pytest.fixture
def picture() -> Image.Image:
    return Image.effect_noise((16, 16), 80).convert("RGB")


def questions(count: int = 10) -> tuple[list, list, list]:
    some = tiny_data().mentions["test"].select(range(count))
    return some["text"][:], some["mention"][:], list(some["image"])


def assert_close(left: LinkedMention, right: LinkedMention):
    """The same entities; the scores may differ by rounding, as batches of another length do."""
    for one, other in zip(left.candidates, right.candidates, strict=True):
        assert (one.entity_id, one.matched_alias) == (other.entity_id, other.matched_alias)
        for name in ("score", "text_score", "image_score", "image_weight", "retrieval_score"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-5)
    assert (left.mention, left.start, left.is_nil) == (right.mention, right.start, right.is_nil)


def differ(left: LinkedMention, right: LinkedMention) -> bool:
    scores = [{candidate.entity_id: candidate.score for candidate in found.candidates} for found in (left, right)]
    return any(abs(scores[0][key] - scores[1].get(key, 9)) > 1e-4 for key in scores[0])


def test_the_best_come_first(linker):
    texts, mentions, images = questions(1)
    found = linker.link(mentions[0], texts[0], image=images[0], top_k=20)
    scores = [candidate.score for candidate in found.candidates]
    assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1] + 1e-3
    assert {candidate.entity_id for candidate in found.candidates} == set(tiny_data().entities.ids)
    assert found.margin == pytest.approx(scores[0] - scores[1])
    plain = Linker(linker.model, linker.processor, linker.index, calibration=None)
    plain = plain.link(mentions[0], texts[0], image=images[0])
    assert (plain.entity_id, plain.name) == (found.best.entity_id, found.best.name)
    assert (plain.is_nil, plain.probability, plain.nil_probability) == (None, None, None), "nothing to decide by"
    assert plain.calibration is None


def test_scores_and_records_are_those_of_the_model(linker):
    texts, mentions, images = questions(1)
    kb, model = tiny_data().entities, linker.model
    inputs = linker.processor.mentions(mentions, texts, images=images)
    with torch.no_grad():
        mention = model.encode("mention", model.extract(**inputs))
        entities, _ = encode_all(model, EntityInputs(kb, linker.processor), 100)
        scores = model.match(mention, entities)[0]
    for candidate in linker.link(mentions[0], texts[0], image=images[0], top_k=3).candidates:
        row = kb.row(candidate.entity_id)
        assert candidate.score == pytest.approx(scores[row].item(), abs=1e-5)
        assert (candidate.name, candidate.text) == (kb.names([row])[0], kb.texts([row])[0])
        assert candidate.score >= sorted(scores.tolist())[-3] - 1e-5


def test_alone_as_in_a_list(linker):
    """Ten mentions in three batches, some without a picture."""
    texts, mentions, images = questions()
    assert any(image is None for image in images) and any(image is not None for image in images)
    together = linker.link(mentions, texts, image=images, top_k=4)
    assert [len(found.candidates) for found in together] == [4] * 10
    for text, mention, image, found in zip(texts, mentions, images, together, strict=True):
        alone = linker.link(mention, text, image=image, top_k=4)
        assert isinstance(alone, LinkedMention) and isinstance(alone.best, LinkedEntity)
        assert_close(alone, found)
    assert len({found.best.score for found in together}) > 1


def test_how_many(linker):
    texts, mentions, _ = questions(2)
    assert len(linker.link(mentions[0], texts[0]).candidates) == 5
    one = linker.link(mentions[0], texts[0], top_k=1)
    assert len(one.candidates) == 1 and one.margin is not None, "the runner-up is known all the same"
    assert [len(found.candidates) for found in linker.link(mentions, texts, top_k=500)] == [20, 20]
    assert linker.link([], []) == []
    for wrong in (0, 1.5, "3", True):
        with pytest.raises(ValueError, match="top_k must be at least 1, and a whole number"):
            linker.link(mentions[0], texts[0], top_k=wrong)
    for wrong in (2, -0.1, float("nan"), "0.5"):
        with pytest.raises(ValueError, match="`threshold` is a probability, a number from 0 to 1"):
            linker.link(mentions[0], texts[0], threshold=wrong)


def test_pictures(linker, picture):
    """A picture changes the answer of a model that sees; none is the same as not giving any."""
    texts, mentions, _ = questions(2)
    without = linker.link(mentions, texts)
    assert linker.link(mentions, texts, image=[None, None]) == without
    assert_close(linker.link(mentions[0], texts[0], image=None), without[0])
    one = linker.link(mentions, texts, image=[picture, None])
    assert_close(one[1], without[1])
    assert differ(one[0], without[0]) == (linker.processor.image_processor is not None)


def test_start_chooses_the_occurrence(linker):
    text = "Vale " + "and another word " * 20 + "Vale was a painter."
    answers = [linker.link("Vale", text, start=start) for start in (None, 0, text.rindex("Vale"))]
    assert_close(answers[0], answers[1])
    assert differ(answers[0], answers[2])
    assert_close(linker.link(["Vale", "Vale"], [text, text], start=[None, text.rindex("Vale")])[1], answers[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": ["a", "b"], "mention": ["a"]}, "1 mentions were given for 2 texts"),
        ({"text": ["a", "b"], "mention": ["a", "b"], "image": [None]}, "1 images were given for 2 texts"),
        ({"text": ["a"] * 4, "mention": ["a"] * 4, "start": [None] * 5}, "5 starts were given for 4 texts"),
        ({"text": "a", "mention": ["a"]}, "both be strings"),
        ({"text": None, "mention": None}, "both be strings"),
        ({"text": ["a"], "mention": ["a"], "image": Image.new("RGB", (2, 2))}, "and so must be `image`"),
        ({"text": ["a"], "mention": ["a"], "image": "a.png"}, "and so must be `image`"),
        ({"text": ["a"], "mention": ["a"], "start": 0}, "and so must be `start`"),
        ({"text": ["abc"], "mention": "a"}, "both be strings"),
        ({"text": "a b", "mention": " "}, "mention"),
        ({"text": "a", "mention": "a", "start": 7}, "outside the text"),
    ],
)
def test_bad_questions(arguments, message, linker):
    with pytest.raises(ValueError, match=message):
        linker.link(**arguments)


def test_a_table_of_mentions_is_linked(linker):
    mentions = tiny_data().mentions["test"]
    pictures = load_images(mentions) if linker.model.sees_pictures else [None] * len(mentions)
    columns = [mentions[name][:] for name in ("mention", "text", "start")]
    expected = linker.link_queries(
        [MentionQuery(*each) for each in zip(*columns, pictures, mentions["id"][:], strict=True)]
    )
    for given in (mentions, mentions.with_format("torch"), mentions.rename_column("text", "sentence"), list(mentions)):
        for found, wanted in zip(linker.link_queries(given), expected, strict=True):
            assert found.id == wanted.id and found.has_image == wanted.has_image
            assert_close(found, wanted)
    assert [found.id for found in linker.link_queries(pd.DataFrame({"mention": ["a"], "text": ["a"]}))] == ["0"]


@pytest.mark.parametrize(
    ("queries", "kind", "message"),
    [
        (DatasetDict(test=Dataset.from_dict({"mention": ["a"], "text": ["a"]})), TypeError, "with the splits 'test'"),
        ([{"mention": "a"}], ValueError, "`queries` lacks the column `text`"),
        ([{"mention": "a", "text": float("nan")}], ValueError, "row 0: `text` is missing"),
        (
            [{"mention": "a", "text": "a", "image": "no/such.png"}],
            FileNotFoundError,
            "row 0, mention '0': `image`: no/such.png",
        ),
        (
            [MentionQuery("a", "a"), MentionQuery("a", None, id="m")],
            ValueError,
            r"mention 1 \('m'\): `text` is missing",
        ),
        ([MentionQuery("a", "a", Image.new("RGB", (2, 2)))], ValueError, "mention 0: `start` must be a whole number"),
        (
            [MentionQuery("a", "a", image=np.zeros((2, 2, 3)))],
            ValueError,
            "mention 0: `image` must be a path or a picture, not ndarray",
        ),
    ],
)
def test_mentions_that_cannot_be_linked_are_named(linker, queries, kind, message):
    with pytest.raises(kind, match=message):
        linker.link_queries(queries)


def test_a_text_in_place_of_the_mention_gets_a_hint(linker, caplog):
    linker.link("Vale came.", "Vale")
    assert "The mention is the first argument, the text the second" in caplog.text
    caplog.clear()
    linker.link("Stone", "Vale went.")
    assert "first argument" not in caplog.text


def test_a_mention_that_is_not_in_its_sentence_is_linked_with_a_warning(linker, caplog):
    first, second = linker.link(["Vale", "Stone"], ["Vale came.", "Vale went."])
    assert (first.start, first.end) == (0, 4) and (second.start, second.end) == (None, None)
    assert second.candidates
    assert [record.getMessage() for record in caplog.records] == [
        "1 mention not found in the text, and linked all the same: 'Stone' in 'Vale went.'"
    ]


def test_the_model_is_in_evaluation_mode():
    model = tiny_linker(False, head_dropout=0.5).train()
    linker = Linker(model, tiny_processor(False), tiny_data().entities)
    assert linker.link("Vale", "Vale came.") == linker.link("Vale", "Vale came.")


def test_an_empty_knowledge_base():
    with pytest.raises(ValueError, match="no entity to encode"):
        Linker(tiny_linker(False), tiny_processor(False), KnowledgeBase.from_records([]))


# ---- What speaks for a candidate ----


def test_scores_of_one_modality_are_those_without_the_other():
    """The score of the texts is that of a mention without picture with entities without pictures."""
    model, processor, kb = tiny_linker(), tiny_processor(), tiny_data().entities
    texts, mentions, images = questions(4)
    place = next(place for place, image in enumerate(images) if image is not None)
    text, mention, image = texts[place], mentions[place], images[place]
    blind = KnowledgeBase(kb.dataset.map(lambda row: {"image": None, "image_status": "none"}))
    seeing, without = Linker(model, processor, kb), Linker(model, processor, blind)
    one = seeing.link(mention, text, image=image, top_k=20)
    expected = {each.entity_id: each.score for each in without.link(mention, text, top_k=20).candidates}
    for candidate in one.candidates:
        assert candidate.text_score == pytest.approx(expected[candidate.entity_id], abs=1e-5)
        assert candidate.retrieval_score == candidate.score
        has_picture = kb.images([kb.row(candidate.entity_id)])[0] is not None
        assert (candidate.image_score is not None) == has_picture
        assert (candidate.image_weight > 0) == has_picture
    assert one.has_image and 0 < one.image_weight < 1
    blind_mention = seeing.link(mention, text)
    assert not blind_mention.has_image and blind_mention.image_weight == 0
    assert all(candidate.image_score is None for candidate in blind_mention.candidates)


def test_a_model_of_text_has_one_score():
    linker = Linker(tiny_linker(False), tiny_processor(False), tiny_data().entities)
    found = linker.link("Vale", "Vale came.", image=Image.new("RGB", (4, 4)))
    assert not found.has_image
    assert all(each.text_score == each.score and each.image_score is None for each in found.candidates)


def test_an_index_without_modalities_has_no_score_of_them():
    model, processor = tiny_linker(), tiny_processor()
    texts, mentions, images = questions(1)
    index = EntityIndex.build(model, processor, tiny_data().entities, modalities=False, encode_dtype="float32")
    found = Linker(model, processor, index).link(mentions[0], texts[0], image=images[0])
    whole = Linker(model, processor, tiny_data().entities).link(mentions[0], texts[0], image=images[0])
    assert [each.entity_id for each in found.candidates] == [each.entity_id for each in whole.candidates]
    assert all(each.text_score is None and each.image_score is None for each in found.candidates)


# ---- Restrictions ----


def test_restrictions(linker):
    kb = tiny_data().entities
    few = kb.ids[3:6]
    found = linker.link("Vale", "Vale came.", entity_ids=few)
    assert {each.entity_id for each in found.candidates} == set(few)
    some_type = kb[0]["types"][0]
    typed = linker.link("Vale", "Vale came.", types=[some_type], top_k=20)
    expected = {kb.ids[row] for row in range(len(kb)) if some_type in kb[row]["types"]}
    assert {each.entity_id for each in typed.candidates} == expected
    assert all(some_type in each.types for each in typed.candidates)


def test_nothing_allowed_is_nil():
    linker = Linker(tiny_linker(False), tiny_processor(False), tiny_data().entities)
    found = linker.link("Vale", "Vale came.", entity_ids=[])
    assert found.is_nil is True and found.candidates == () and found.entity_id is None and found.margin is None


# ---- NIL ----


def calibrated(linker: Linker, threshold: float) -> Linker:
    calibration = Calibration(
        temperature=0.5,
        nil_score=0.1,
        threshold=threshold,
        num_candidates=linker.finder.num_candidates,
        setup=linker.setup,
        fitted_on={},
        metrics={},
    )
    return Linker(linker.model, linker.processor, linker.index, calibration=calibration)


def test_probabilities_by_hand(linker):
    """A softmax over all twenty entities and NIL at 0.1, at temperature 0.5."""
    found = calibrated(linker, 0.0).link("Vale", "Vale came.", top_k=20)
    scores = np.array([each.score for each in found.candidates])
    weights = np.exp(np.append(scores, 0.1) / 0.5)
    expected = weights / weights.sum()
    assert [each.probability for each in found.candidates] == pytest.approx(expected[:-1], abs=1e-5)
    assert found.nil_probability == pytest.approx(expected[-1], abs=1e-5)
    assert found.probability == found.best.probability
    few = calibrated(linker, 0.0).link("Vale", "Vale came.", top_k=2)
    assert few.probability == pytest.approx(found.probability), "however many are returned"


def test_the_decision(linker):
    sure, unsure = (calibrated(linker, threshold).link("Vale", "Vale came.") for threshold in (0.0, 1.0))
    assert sure.is_nil is False and sure.entity_id == sure.best.entity_id
    assert unsure.is_nil is True and unsure.entity_id is None and unsure.name is None
    assert unsure.candidates and unsure.probability == unsure.best.probability and unsure.calibration == "fitted"
    known = 1 - sure.nil_probability
    assert sure.probability < known, "the candidates share it"
    for threshold, is_nil in ((known - 1e-6, False), (known + 1e-6, True)):
        assert calibrated(linker, 0.0).link("Vale", "Vale came.", threshold=threshold).is_nil is is_nil
    again = calibrated(linker, 1.0).link("Vale", "Vale came.", threshold=0.0)
    assert again.is_nil is False, "a threshold of the call comes before that of the calibration"
    score = linker.link("Vale", "Vale came.").best.score
    assert linker.link("Vale", "Vale came.", score_threshold=score - 1e-3).is_nil is False
    assert linker.link("Vale", "Vale came.", score_threshold=score + 1e-3).is_nil is True
    plain = Linker(linker.model, linker.processor, linker.index, calibration=False)
    with pytest.raises(ValueError, match="no calibration"):
        plain.link("Vale", "Vale came.", threshold=0.5)


def test_more_candidates_than_were_calibrated(linker):
    with pytest.raises(ValueError, match="num_candidates=64"):
        calibrated(linker, 0.5).link("Vale", "Vale came.", top_k=65)


def test_a_calibration_of_another_set_up_is_refused(linker):
    calibration = calibrated(linker, 0.5).calibration
    with pytest.raises(ValueError, match="num_candidates"):
        Linker(linker.model, linker.processor, linker.index, calibration=calibration, num_candidates=7)
    with pytest.raises(ValueError, match="candidates"):
        Linker(linker.model, linker.processor, linker.index, calibration=calibration, candidates="lexical")


# ---- The index ----


def test_an_entity_can_be_linked_to_at_once_and_no_more_when_it_is_gone():
    model, processor = tiny_linker(False), tiny_processor(False)
    linker = Linker(model, processor, tiny_data().entities)
    index = linker.index
    index.add(model, processor, KnowledgeBase.from_records([{"id": "new", "name": "Zyxw", "attributes": "A: b."}]))
    assert "new" in {each.entity_id for each in linker.link("Zyxw", "Zyxw came.", top_k=50).candidates}
    index.remove(["new"])
    assert "new" not in {each.entity_id for each in linker.link("Zyxw", "Zyxw came.", top_k=50).candidates}


def test_an_index_of_another_model_is_refused():
    index = EntityIndex.build(tiny_linker(False), tiny_processor(False), tiny_data().entities)
    with pytest.raises(ValueError, match="(?i)weights"):
        Linker(tiny_linker(False, seed=1), tiny_processor(False), index)


def test_from_a_checkpoint(tmp_path, caplog):
    model, processor = tiny_linker(False), tiny_processor(False)
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    index = EntityIndex.build(model, processor, tiny_data().entities, tmp_path / "index")
    plain = Linker.from_pretrained(tmp_path / "model", index)
    assert plain.calibration.kind == "prior" and "No calibration was fitted" in caplog.records[-1].getMessage()
    caplog.clear()
    calibration = calibrated(plain, 0.2).calibration
    calibration.save(tmp_path / "model")
    linker = Linker.from_pretrained(tmp_path / "model", tmp_path / "index", batch_size=3)
    assert linker.calibration == calibration
    assert linker.link("Vale", "Vale came.").probability is not None
    assert caplog.records == []
    lexical = Linker.from_pretrained(str(tmp_path / "model"), tmp_path / "index", candidates="lexical")
    assert lexical.calibration is None and "no probabilities" in caplog.records[-1].getMessage()
    assert "candidates='dense' instead of 'lexical'" in caplog.records[-1].getMessage()


# ---- Running text ----


def test_mentions_in_a_text_that_overlap_and_repeat(linker, picture):
    text = "🎨 Ada Vale met Ada."
    spans = [(2, 10), (2, 5), (15, 18)]
    found = linker.link_text(text, spans=spans, image=picture)
    assert [(each.mention, each.start, each.end) for each in found] == [
        ("Ada Vale", 2, 10),
        ("Ada", 2, 5),
        ("Ada", 15, 18),
    ]
    alone = linker.link("Ada", text, image=picture, start=15)
    assert_close(alone, found[2])
    with pytest.raises(ValueError, match="either `spans`"):
        linker.link_text(text)


def test_queries_carry_their_ids(linker):
    queries = [MentionQuery("Vale", "Vale came.", id="a"), MentionQuery("Vale", "Vale came.", id="b")]
    assert [each.id for each in linker.link_queries(queries)] == ["a", "b"]
