import pytest
import torch
from PIL import Image

from hf_mel import KnowledgeBase, LinkedEntity, Linker
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
    return some["sentence"][:], some["mention"][:], list(some["image"])


def assert_close(left: list[LinkedEntity], right: list[LinkedEntity]):
    """The same entities; the scores may differ by rounding, as batches of another length do."""
    assert [candidate.entity_id for candidate in left] == [candidate.entity_id for candidate in right]
    assert [candidate.score for candidate in left] == pytest.approx([c.score for c in right], abs=1e-5)


def differ(left: list[LinkedEntity], right: list[LinkedEntity]) -> bool:
    scores = [{candidate.entity_id: candidate.score for candidate in found} for found in (left, right)]
    return any(abs(scores[0][key] - scores[1].get(key, 9)) > 1e-4 for key in scores[0])


def test_the_best_come_first(linker):
    texts, mentions, images = questions(1)
    found = linker.link(texts[0], mentions[0], images[0], top_k=20)
    scores = [candidate.score for candidate in found]
    assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1] + 1e-3
    assert {candidate.entity_id for candidate in found} == set(tiny_data().entities.ids)


def test_scores_and_records_are_those_of_the_model(linker):
    texts, mentions, images = questions(1)
    kb, model = tiny_data().entities, linker.model
    inputs = linker.processor.mentions(mentions, texts, images=images)
    with torch.no_grad():
        mention = model.encode("mention", model.extract(**inputs))
        entities, _ = encode_all(model, EntityInputs(kb, linker.processor), 100)
        scores = model.match(mention, entities)[0]
    for candidate in linker.link(texts[0], mentions[0], images[0], top_k=3):
        row = kb.row(candidate.entity_id)
        assert candidate.score == pytest.approx(scores[row].item(), abs=1e-5)
        assert (candidate.name, candidate.text) == (kb.names([row])[0], kb.texts([row])[0])
        assert candidate.score >= sorted(scores.tolist())[-3] - 1e-5


def test_a_candidate_as_a_dictionary():
    candidate = LinkedEntity("Q1", "Ada", "Occupation: poet.", 0.5)
    assert candidate.to_dict() == {"entity_id": "Q1", "name": "Ada", "text": "Occupation: poet.", "score": 0.5}


def test_alone_as_in_a_list(linker):
    """Ten mentions in three batches, some without a picture."""
    texts, mentions, images = questions()
    assert any(image is None for image in images) and any(image is not None for image in images)
    together = linker.link(texts, mentions, images, top_k=4)
    assert [len(found) for found in together] == [4] * 10
    for text, mention, image, found in zip(texts, mentions, images, together, strict=True):
        alone = linker.link(text, mention, image, top_k=4)
        assert isinstance(alone[0], LinkedEntity)
        assert_close(alone, found)
    assert len({found[0].score for found in together}) > 1


def test_how_many(linker):
    texts, mentions, _ = questions(2)
    assert len(linker.link(texts[0], mentions[0])) == 5
    assert len(linker.link(texts[0], mentions[0], top_k=1)) == 1
    assert [len(found) for found in linker.link(texts, mentions, top_k=500)] == [20, 20]
    assert linker.link([], []) == []
    with pytest.raises(ValueError, match="`?k`?"):
        linker.link(texts[0], mentions[0], top_k=0)


def test_pictures(linker, picture):
    """A picture changes the answer of a model that sees; none is the same as not giving any."""
    texts, mentions, _ = questions(2)
    without = linker.link(texts, mentions)
    assert linker.link(texts, mentions, [None, None]) == without
    assert_close(linker.link(texts[0], mentions[0], None), without[0])
    one = linker.link(texts, mentions, [picture, None])
    assert_close(one[1], without[1])
    assert differ(one[0], without[0]) == (linker.processor.image_processor is not None)


def test_start_chooses_the_occurrence(linker):
    text = "Vale " + "and another word " * 20 + "Vale was a painter."
    answers = [linker.link(text, "Vale", start=start) for start in (None, 0, text.rindex("Vale"))]
    assert_close(answers[0], answers[1])
    assert differ(answers[0], answers[2])
    assert_close(linker.link([text, text], ["Vale", "Vale"], start=[None, text.rindex("Vale")])[1], answers[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": ["a", "b"], "mention": ["a"]}, "1 mentions were given for 2 texts"),
        ({"text": ["a", "b"], "mention": ["a", "b"], "image": [None]}, "1 images were given for 2 texts"),
        ({"text": ["a"] * 4, "mention": ["a"] * 4, "start": [None] * 5}, "5 starts were given for 4 texts"),
        ({"text": "a", "mention": ["a"]}, "both be strings"),
        ({"text": ["abc"], "mention": "a"}, "both be strings"),
        ({"text": "a b", "mention": " "}, "mention"),
        ({"text": "a", "mention": "a", "start": 7}, "outside its sentence"),
    ],
)
def test_bad_questions(arguments, message, linker):
    with pytest.raises(ValueError, match=message):
        linker.link(**arguments)


def test_a_mention_that_is_not_in_its_sentence_is_linked_with_a_warning(linker, caplog):
    assert len(linker.link(["Vale came.", "Vale went."], ["Vale", "Stone"])) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "the mention 'Stone' does not occur in 'Vale went.'; it is linked all the same."
    ]


def test_the_model_is_in_evaluation_mode():
    model = tiny_linker(False, head_dropout=0.5).train()
    linker = Linker(model, tiny_processor(False), tiny_data().entities)
    assert linker.link("Vale came.", "Vale") == linker.link("Vale came.", "Vale")


def test_an_empty_knowledge_base():
    with pytest.raises(ValueError, match="no entity to encode"):
        Linker(tiny_linker(False), tiny_processor(False), KnowledgeBase.from_records([]))
