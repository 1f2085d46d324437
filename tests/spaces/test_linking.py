"""From the fields of the page to a query, and to answers; no browser, no gradio."""

import io

import pytest
from PIL import Image

from hf_mel import Linker
from linking import EXAMPLES, NEW_MENTION, PICTURES, Demo, Unusable


TEXT = "Ada met Ada in the river."


@pytest.fixture
def picture(demo, tmp_path):
    path = tmp_path / "picture.png"
    demo.examples[0].picture.save(path)
    return path


# ---- Fields ----


@pytest.mark.parametrize(
    ("sentence", "mention", "start", "place"),
    [
        (TEXT, "Ada", 0, 0),
        (TEXT, "Ada", 8, 8),
        (TEXT, " Ada ", 7, 8),
        ("Well, " + TEXT, "Ada", 8, 6),  # changed after the mention was marked: the nearest
        (TEXT, "Ada", None, 0),
        ("\U0001f600 river", "river", 2, 2),
    ],
)
def test_the_mention_is_where_it_was_marked(demo, sentence, mention, start, place):
    query = demo.query(sentence, mention, start, None)
    assert (query.start, query.mention, query.image) == (place, mention.strip(), None)
    assert query.text[query.start : query.end] == query.mention


@pytest.mark.parametrize(
    ("sentence", "mention", "message"),
    [
        ("", "Ada", "The sentence is empty"),
        (None, None, "The sentence is empty"),
        (" \n", "Ada", "The sentence is empty"),
        (TEXT, "  ", "There is no mention"),
        (TEXT, "ada", "“ada” does not occur in the sentence. It has “Ada”"),
        (TEXT, "(", r"“\(” does not occur in the sentence. Select"),
        ("Ada " * 600, "Ada", "2,400 characters, more than 2,000"),
    ],
)
def test_what_cannot_be_linked_is_said_in_words(demo, sentence, mention, message):
    with pytest.raises(Unusable, match=message):
        demo.query(sentence, mention, 0, None)


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


NOISE = Image.effect_noise((64, 64), 80).convert("RGB")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n<!DOCTYPE html><html></html>", "a web page"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"\x89PNG\r\n\x1a\nnot a picture", "or it is damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "of no kind that is read here"),
        (encoded(NOISE, "PNG")[:2000], "the file is damaged"),
        (encoded(NOISE, "JPEG")[:1500], "the file is damaged"),
        (encoded(Image.new("RGB", (9, 9)), "PNG"), "one colour"),
    ],
)
def test_a_picture_that_cannot_be_used_is_never_a_black_one(demo, tmp_path, content, message):
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(Unusable, match=message) as error:
        demo.query(TEXT, "Ada", 0, str(path))
    assert str(tmp_path) not in str(error.value), "paths of the server are nobody's business"
    assert "remove it to link by the text alone" in str(error.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_picture_is_opened(demo, tmp_path, kind):
    path = tmp_path / "picture"
    path.write_bytes(encoded(NOISE, kind))
    image = demo.query(TEXT, "Ada", 0, str(path)).image
    assert image.size == NOISE.size and image.mode == "RGB"


# ---- Answers ----


def test_the_answer_is_the_linkers(demo, picture):
    query = demo.query(TEXT, "river", 19, str(picture))
    explanation = demo.answer(query, demo.threshold.default, 4)
    (linked,) = demo.linker.link_queries([query], top_k=4)
    assert explanation.linked == linked
    assert len(explanation.candidates) == 4 and explanation.candidates[0].thumbnail
    assert not linked.is_nil
    assert demo.answer(query, 1.0, 4).linked.is_nil
    assert "below the threshold 1.00" in demo.answer(query, 1.0, 4).reasons[0]


def test_the_slider_starts_at_the_calibrated_threshold(demo):
    """Rounded on the slider, exact where it was not moved."""
    calibration = demo.linker.calibration
    assert "prior" not in demo.threshold.meaning
    assert demo.threshold.unit == "probability" and demo.threshold.default == round(calibration.threshold, 2)
    query = demo.query(TEXT, "river", 19, None)
    assert demo.answer(query, demo.threshold.default, 1).threshold == calibration.threshold
    assert demo.answer(query, 0.5, 1).threshold == 0.5


def test_without_a_calibration_the_threshold_is_one_of_scores(demo):
    plain = Demo(Linker(demo.linker.model, demo.linker.processor, demo.linker.index, calibration=None), "plain")
    assert plain.threshold.unit == "score"
    with_prior = Demo(Linker(demo.linker.model, demo.linker.processor, demo.linker.index), "prior")
    assert with_prior.threshold.default == 0.5 and "come from a prior" in with_prior.threshold.meaning
    query = plain.query(TEXT, "river", 19, None)
    assert plain.answer(query, plain.threshold.default, 2).linked.is_nil is None
    assert plain.answer(query, 1.0, 2).linked.is_nil is True
    assert plain.answer(query, -0.99, 2).linked.is_nil is False


def test_variants_of_the_picture(demo, picture):
    query = demo.query(TEXT, "river", 19, str(picture))
    plain, blurred, dropped = demo.variants(query, demo.threshold.default, 20)
    for variant, given in ((plain, query), (dropped, demo.query(TEXT, "river", 19, None))):
        (alone,) = demo.linker.link_queries([given], top_k=3)
        assert variant.picture is given.image and variant.linked.has_image == (given.image is not None)
        assert [each.entity_id for each in variant.linked.candidates] == [each.entity_id for each in alone.candidates]
        assert variant.linked.best.score == pytest.approx(alone.best.score, abs=1e-5)
    assert blurred.picture.size == plain.picture.size and blurred.linked.has_image
    edges = [max(high - low for low, high in variant.picture.getextrema()) for variant in (plain, blurred)]
    assert edges[1] < edges[0], "there is less to be seen"
    assert blurred.linked.best.score != plain.linked.best.score
    assert demo.variants(demo.query(TEXT, "river", 19, None), 0.5, 20) == []


# ---- Examples and start ----


def test_examples_are_those_whose_entity_is_known(demo):
    assert len(demo.examples) == len(EXAMPLES) + 1
    for example in demo.examples:
        end = example.start + len(example.mention)
        assert example.text[example.start : end] == example.mention
    assert demo.examples[-1].mention == NEW_MENTION and demo.examples[-1].picture is None
    assert len(demo.pictures) == PICTURES == len({name for _, name in demo.pictures})


def test_another_knowledge_base_has_no_examples(demo):
    from hf_mel import KnowledgeBase

    kb = KnowledgeBase.from_records([{"id": "Q1", "name": "Ada"}, {"id": "Q2", "name": "Bob"}])
    other = Demo(Linker(demo.linker.model, demo.linker.processor, kb), "other")
    assert other.examples == [] and other.pictures == [] and other.max_shown == 2


def test_what_the_environment_names_is_used(environ, demo, monkeypatch):
    assert demo.model_name == "tiny-model"
    assert str(demo.linker.index.folder) == environ["HF_MEL_INDEX"]
    alone = Demo.open({"HF_MEL_INDEX": environ["HF_MEL_INDEX"], "HF_MEL_MODEL": ""})
    assert alone.linker.setup == demo.linker.setup, "the index says with which model it was built"
    monkeypatch.setattr("linking.load_emojimel", lambda: pytest.fail("not needed"))
    Demo.open(environ)


def test_a_model_alone_links_to_the_emoji(environ, monkeypatch):
    """The entities are encoded at the start."""
    from types import SimpleNamespace

    from hf_mel import KnowledgeBase, load_emojimel

    entities = KnowledgeBase(load_emojimel().entities.dataset.select(range(5)))
    monkeypatch.setattr("linking.load_emojimel", lambda: SimpleNamespace(entities=entities))
    demo = Demo.open({"HF_MEL_MODEL": environ["HF_MEL_MODEL"]})
    assert len(demo.linker.index) == 5


def test_an_index_that_does_not_fit_is_named(environ, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match="nothing"):
        Demo.open({"HF_MEL_MODEL": environ["HF_MEL_MODEL"], "HF_MEL_INDEX": str(tmp_path / "nothing")})
