import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import (
    AutoProcessor,
    AutoTokenizer,
    CLIPImageProcessorPil,
    Siglip2ImageProcessorPil,
    ViTImageProcessorPil,
)

from hf_mel import MELProcessor, PGMELModel, PGMELProcessor
from hf_mel.models.text_utils import window_around
from tests.common import build_tokenizer
from tests.models.conftest import _BUILDERS


RED = Image.new("RGB", (20, 10), "red")
RED.paste("blue", (0, 0, 4, 4))  # a picture of one colour counts as none
TOKENIZER = build_tokenizer()


@pytest.fixture
def image_processor():
    return CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})


@pytest.fixture
def processor(tokenizer, image_processor):
    return MELProcessor(image_processor, tokenizer, max_length=24, surface_max_length=8)


def words(processor, ids) -> str:
    return processor.tokenizer.decode(ids)


class TestViews:
    def test_mention(self, processor):
        batch = processor.mentions(["Jordan", "river"], ["Michael Jordan in the city", "the river"])
        assert words(processor, batch["input_ids"][0]) == "[CLS] jordan [SEP] michael jordan in the city [SEP]"
        assert words(processor, batch["input_ids"][1]) == "[CLS] river [SEP] the river [SEP] [PAD] [PAD] [PAD]"
        assert batch["attention_mask"].sum(-1).tolist() == [9, 6]
        assert words(processor, batch["surface_input_ids"][0]) == "[CLS] jordan [SEP]"
        assert batch["surface_attention_mask"].tolist() == [[1, 1, 1]] * 2

    def test_entity(self, processor):
        batch = processor.entities("Michael Jordan", "basketball player")
        assert words(processor, batch["input_ids"][0]) == "[CLS] michael jordan [SEP] basketball player [SEP]"
        assert words(processor, batch["surface_input_ids"][0]) == "[CLS] michael jordan [SEP]"

    @pytest.mark.parametrize("empty", [None, "", " "])
    def test_without_description_no_separator_dangles(self, processor, empty):
        batch = processor.entities(["Jordan"], [empty])
        assert words(processor, batch["input_ids"][0]) == "[CLS] jordan [SEP]"

    @pytest.mark.parametrize("views", ["both", "context", "surface"])
    def test_only_the_views_that_are_used(self, tokenizer, views):
        processor = MELProcessor(tokenizer=tokenizer, text_views=views)
        expected = {"input_ids", "attention_mask"} if views != "surface" else set()
        expected |= {"surface_input_ids", "surface_attention_mask"} if views != "context" else set()
        assert processor.mentions("Jordan", "the river").keys() == expected == set(processor.model_input_names)

    def test_templates(self, tokenizer):
        processor = MELProcessor(
            tokenizer=tokenizer, separator="|", mention_template="the {mention} {separator} in : {text}"
        )
        ids = processor.mentions("river", "city")["input_ids"][0]
        assert words(processor, ids) == "[CLS] the river | in : city [SEP]"

    def test_braces_and_special_tokens_in_a_text_are_text(self, processor):
        ids = processor.mentions("Jordan", "{mention} [PAD] [SEP]")["input_ids"][0].tolist()
        assert ids.count(processor.tokenizer.sep_token_id) == 2
        assert processor.tokenizer.pad_token_id not in ids

    def test_call_serves_both_sides(self, processor):
        for named, called in (
            (processor.mentions("Jordan", "the river"), processor(mention="Jordan", text="the river")),
            (processor.entities("Jordan", "the river"), processor(name="Jordan", description="the river")),
        ):
            assert named.keys() == called.keys()
            assert all(torch.equal(named[name], called[name]) for name in named)

    def test_the_model_takes_what_it_gives(self, tiny_model, processor):
        tiny_model.eval()
        mentions = processor(mention=["Jordan", "river"], text=["Michael Jordan", "a river"], images=[RED, None])
        assert tiny_model.get_mention_features(**mentions).shape == (2, 8)
        names = processor(name=["Michael Jordan", "Jordan River"], description=["player", "river"])
        assert tiny_model.get_entity_features(**names).isfinite().all()

    def test_lists_for_other_uses(self, processor):
        assert isinstance(processor.mentions(["Jordan"], ["river"], return_tensors=None)["input_ids"], list)


class TestTruncation:
    def test_the_window_is_around_the_mention(self, processor):
        sentence = "in the city " * 10 + "Jordan river " + "the player " * 10
        ids = processor.mentions("Jordan", sentence)["input_ids"][0]
        assert len(ids) <= 24
        text = words(processor, ids)
        assert text.startswith("[CLS] jordan [SEP] ") and " jordan river the player" in text[18:]
        assert "the city jordan" in text

    def test_start_chooses_the_occurrence(self, processor):
        sentence = "Jordan city " + "the " * 40 + "Jordan river"
        first = words(processor, processor.mentions("Jordan", sentence)["input_ids"][0])
        second = words(processor, processor.mentions("Jordan", sentence, start=len(sentence) - 12)["input_ids"][0])
        assert "jordan city the" in first and "jordan river" not in first
        assert "the jordan river" in second and "jordan city" not in second

    def test_a_mention_that_is_not_in_its_sentence_keeps_the_head(self, processor):
        text = words(processor, processor.mentions("Jordan", "river " + "the " * 40)["input_ids"][0])
        assert text.startswith("[CLS] jordan [SEP] river the the")

    def test_an_overlong_mention_keeps_its_head(self, processor):
        batch = processor.mentions("river " + "the " * 60, "the city")
        assert batch["input_ids"].shape == (1, 24) and batch["surface_input_ids"].shape == (1, 8)
        for name in ("input_ids", "surface_input_ids"):
            assert words(processor, batch[name][0]).startswith("[CLS] river the the")

    def test_an_overlong_description_keeps_name_and_head(self, processor):
        batch = processor.entities("Michael Jordan", "basketball " + "player " * 60)
        assert words(processor, batch["input_ids"][0]).startswith("[CLS] michael jordan [SEP] basketball player")
        assert batch["input_ids"].shape == (1, 24)

    def test_side_of_the_tokenizer_does_not_matter(self, image_processor):
        processor = MELProcessor(tokenizer=build_tokenizer(truncation_side="left"), max_length=8)
        assert words(processor, processor.entities("Jordan", "the " * 20)["input_ids"][0]).startswith("[CLS] jordan")

    def test_a_short_sentence_is_never_windowed(self, processor, monkeypatch):
        monkeypatch.setattr(MELProcessor, "_windowed", lambda *args: pytest.fail("windowed"))
        processor.mentions(["Jordan"] * 3, ["the river in the city"] * 3)

    @settings(max_examples=80, deadline=None)
    @given(
        before=st.text("ab 1.", max_size=120),
        mention=st.text("abcABC 9'", min_size=1, max_size=12).filter(lambda text: text.strip()),
        after=st.text("ab ,[S]", max_size=120),
        max_length=st.integers(20, 40),
        know_start=st.booleans(),
    )
    def test_the_mention_is_always_there(self, before, mention, after, max_length, know_start):
        processor = MELProcessor(tokenizer=TOKENIZER, max_length=max_length)
        start = len(before) if know_start else None
        ids = processor.mentions(mention, before + mention + after, start=start)["input_ids"][0].tolist()
        tokens = TOKENIZER(mention, add_special_tokens=False)["input_ids"]
        assert len(ids) <= max_length
        assert ids[0] == TOKENIZER.cls_token_id and ids[-1] == TOKENIZER.sep_token_id
        assert ids[1 : 1 + len(tokens)] == tokens
        assert ids[1 + len(tokens)] == TOKENIZER.sep_token_id

    @settings(max_examples=100, deadline=None)
    @given(count=st.integers(1, 20), data=st.data(), room=st.integers(3, 90))
    def test_a_window_grows_by_whole_words_on_both_sides(self, count, data, room):
        words = [f"{number:03d}" for number in range(count)]
        center = data.draw(st.integers(0, count - 1))
        sizes = [" ".join(words[max(center - side, 0) : center + side + 1]) for side in range(count)]
        expected = [part for part in sizes if len(part) <= room][-1]
        window = window_around(" ".join(words), 4 * center, 4 * center + 3, lambda part: len(part) <= room)
        assert window == expected

    def test_window_by_hand(self):
        text = "one two three four five"
        for room, expected in ((5, "three"), (8, "three"), (9, "two three"), (14, "two three four"), (23, text)):
            assert window_around(text, 8, 13, lambda part, room=room: len(part) <= room) == expected


class TestImages:
    def test_missing_and_present(self, processor):
        batch = processor.mentions(["Jordan"] * 3, ["river"] * 3, images=[None, RED, None])
        assert batch["has_image"].tolist() == [False, True, False] and batch["has_image"].dtype is torch.bool
        assert batch["pixel_values"].shape == (3, 3, 8, 8) and batch["pixel_values"].dtype is torch.float32
        assert (batch["pixel_values"][[0, 2]] == 0).all()
        expected = processor.image_processor(images=[RED], return_tensors="pt")["pixel_values"][0]
        assert torch.equal(batch["pixel_values"][1], expected)

    @pytest.mark.parametrize("images", [None, [None, None]])
    def test_no_image_at_all(self, processor, images):
        batch = processor.entities(["Jordan", "river"], images=images)
        assert not batch["has_image"].any()
        assert batch["pixel_values"].shape == (2, 3, 8, 8) and (batch["pixel_values"] == 0).all()

    def test_a_single_image(self, processor):
        assert processor.mentions("Jordan", "river", images=RED)["has_image"].tolist() == [True]

    @pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA", "CMYK"])
    def test_modes(self, tokenizer, mode):
        # an image processor that converts nothing by itself
        processor = MELProcessor(ViTImageProcessorPil(size={"height": 8, "width": 8}), tokenizer)
        images = [RED, RED.convert(mode)]
        assert processor.mentions(["Jordan"] * 2, images=images)["pixel_values"].shape == (2, 3, 8, 8)

    def test_what_its_pixels_alone_do_not_show_is_refused(self, processor):
        """These the package converts where it opens a file; converted another way, they would differ from the index."""
        clear = RED.convert("RGBA")
        clear.putpixel((9, 9), (0, 0, 0, 0))
        stored = Image.Exif()
        stored[0x0112] = 6
        file = io.BytesIO()
        RED.save(file, "JPEG", exif=stored)
        floats = Image.fromarray(np.array([[0.1, 0.9]], dtype="float32"))
        whole = io.BytesIO()
        RED.resize((200, 200)).save(whole, "PNG")
        cut = io.BytesIO(whole.getvalue()[:200])
        for bad, words in (
            (clear, "is transparent"),
            (Image.open(file), "is turned by its EXIF orientation"),
            (floats, r"has more than 8 bits a pixel \(mode F\)"),
            (Image.fromarray(np.array([[1, 60_000]], dtype="uint16")), "has more than 8 bits"),
            (Image.open(cut), "cannot be decoded .*open its file again"),
            (Image.new("RGB", (0, 4)), "has no pixel"),
        ):
            with pytest.raises(ValueError, match=f"position 1 {words}"):
                processor.entities(["Jordan"] * 2, images=[None, bad])

    def test_one_colour_counts_as_no_picture(self, processor):
        batch = processor.mentions(["Jordan"] * 2, images=[Image.new("L", (9, 9), 7), RED])
        assert batch["has_image"].tolist() == [False, True] and (batch["pixel_values"][0] == 0).all()

    @pytest.mark.parametrize("bad", ["photo.jpg", np.zeros((3, 8, 8))], ids=["path", "array"])
    def test_not_an_image(self, processor, bad):
        with pytest.raises(ValueError, match="position 1 is a"):
            processor.mentions(["Jordan"] * 2, images=[None, bad])

    def test_text_only_ignores_images(self, tokenizer):
        batch = MELProcessor(tokenizer=tokenizer).mentions("Jordan", "river", images=RED)
        assert "pixel_values" not in batch and "has_image" not in batch

    def test_patches_of_any_aspect_are_refused(self, tokenizer):
        processor = MELProcessor(Siglip2ImageProcessorPil(patch_size=4, max_num_patches=4), tokenizer)
        with pytest.raises(ValueError, match="from_towers"):
            processor.mentions("Jordan", images=RED)


class TestSeparator:
    def test_a_tokenizer_without_one(self):
        tokenizer = build_tokenizer(sep_token=None)
        assert MELProcessor(tokenizer=tokenizer).separator == "|"

    def test_never_unknown(self):
        tokenizer = build_tokenizer(sep_token=None)
        with pytest.raises(ValueError, match="'§'"):
            MELProcessor(tokenizer=tokenizer, separator="§")
        assert MELProcessor(tokenizer=tokenizer, separator=";").separator == ";"


class TestErrors:
    @pytest.mark.parametrize("bad", ["", "  "])
    def test_empty(self, processor, bad):
        with pytest.raises(ValueError, match="`mention` is empty at position 1, 2"):
            processor.mentions(["Jordan", bad, bad], ["a", "b", "c"])
        with pytest.raises(ValueError, match="`name` is empty at position 0"):
            processor.entities(bad, "river")

    @pytest.mark.parametrize(
        "arguments",
        [
            {"mention": ["a", "b"], "text": ["a"]},
            {"mention": ["a", "b"], "text": ["a", "b"], "start": [0]},
            {"mention": ["a", "b"], "images": [None]},
            {"name": ["a"], "description": ["a", "b"]},
            {"name": ["a", "b"], "description": "one text for two"},
        ],
        ids=str,
    )
    def test_lengths(self, processor, arguments):
        with pytest.raises(ValueError, match="items, but"):
            processor(**arguments)

    @pytest.mark.parametrize("start", [-1, 99])
    def test_start(self, processor, start):
        with pytest.raises(ValueError, match="position 1 is"):
            processor.mentions(["a", "b"], ["a", "b"], start=[None, start])

    @pytest.mark.parametrize(
        "arguments",
        [{}, {"mention": "a", "name": "b"}, {"mention": "a", "description": "b"}, {"name": "a", "text": "b"}],
        ids=str,
    )
    def test_sides_are_not_mixed(self, processor, arguments):
        with pytest.raises(ValueError, match="mention"):
            processor(**arguments)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"text_views": "all"}, "text_views"),
            ({"max_length": 2}, "max_length"),
            ({"max_length": 513}, "max_length.*512"),
            ({"surface_max_length": 0}, "surface_max_length"),
            ({"mention_template": "{text} {separator} {mention}"}, "mention_template"),
            ({"entity_template": "{name}"}, "entity_template"),
        ],
        ids=str,
    )
    def test_arguments(self, tokenizer, arguments, message):
        with pytest.raises(ValueError, match=message):
            MELProcessor(tokenizer=tokenizer, **arguments)

    def test_a_folder_of_another_kind(self, tokenizer, tmp_path):
        tokenizer.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="from_towers"):
            MELProcessor.from_pretrained(tmp_path)

    def test_no_tokenizer(self):
        with pytest.raises(ValueError, match="tokenizer"):
            MELProcessor()


class TestSaving:
    @pytest.mark.parametrize("saved_class", [MELProcessor, PGMELProcessor])
    @pytest.mark.parametrize("with_images", [True, False])
    def test_round_trip(self, tokenizer, image_processor, tiny_model, tmp_path, with_images, saved_class):
        saved = saved_class(
            image_processor if with_images else None,
            tokenizer,
            text_views="context",
            max_length=20,
            surface_max_length=9,
            separator="|",
            mention_template="{mention} {separator} the {text}",
            entity_template="{name} {separator} the {description}",
        )
        tiny_model.save_pretrained(tmp_path)
        saved.save_pretrained(tmp_path)
        for auto in (AutoProcessor, MELProcessor, PGMELProcessor):
            loaded = auto.from_pretrained(tmp_path)
            assert type(loaded) is (saved_class if auto is AutoProcessor else auto)
            assert (loaded.image_processor is not None) is with_images
            for name in ("text_views", "max_length", "surface_max_length", "separator", "pad_to_max_length"):
                assert getattr(loaded, name) == getattr(saved, name)
            for a, b in (
                (saved.mentions("Jordan", "the river"), loaded.mentions("Jordan", "the river")),
                (saved.entities("Jordan", "river", images=[RED]), loaded.entities("Jordan", "river", images=[RED])),
            ):
                assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        assert AutoTokenizer.from_pretrained(tmp_path).vocab_size == tokenizer.vocab_size

    def test_either_class_loads_without_a_model_beside_it(self, tokenizer, tmp_path):
        for saved_class in (MELProcessor, PGMELProcessor):
            saved_class(tokenizer=tokenizer).save_pretrained(tmp_path / saved_class.__name__)
            assert type(AutoProcessor.from_pretrained(tmp_path / saved_class.__name__)) is saved_class


class TestFromTowers:
    @pytest.fixture
    def folder(self, tokenizer, tmp_path):
        def build(kind, image_processor):
            _BUILDERS[kind]().save_pretrained(tmp_path / kind)
            if kind != "vit":
                tokenizer.save_pretrained(tmp_path / kind)
            if image_processor is not None:
                image_processor.save_pretrained(tmp_path / kind)
            return tmp_path / kind

        return build

    def test_clip(self, folder, image_processor):
        both = folder("clip", image_processor)
        processor = MELProcessor.from_towers(both, max_length=32)
        assert type(processor.image_processor) is CLIPImageProcessorPil and processor.max_length == 32
        assert not processor.pad_to_max_length
        assert MELProcessor.from_towers(both, vision=False).image_processor is None

    def test_two(self, folder, image_processor):
        processor = MELProcessor.from_towers(folder("bert", None), folder("vit", image_processor))
        assert processor.image_processor.crop_size["height"] == 8
        assert MELProcessor.from_towers(folder("bert", None)).image_processor is None

    @pytest.mark.parametrize("kind", ["siglip", "siglip2"])
    def test_siglip_gets_texts_of_one_length_whatever_the_batch(self, folder, image_processor, kind):
        images = Siglip2ImageProcessorPil(patch_size=4, max_num_patches=4) if kind == "siglip2" else image_processor
        both = folder(kind, images)
        processor, model = MELProcessor.from_towers(both), PGMELModel.from_towers(both)
        assert processor.pad_to_max_length
        batch = processor.mentions(["Jordan", "river"], ["the river", "a city " * 9], images=[RED, None])
        for view in ("", "surface_"):
            assert batch[f"{view}input_ids"].shape == (2, 64) and batch[f"{view}attention_mask"].all()
        assert batch["pixel_values"].shape == (2, 3, 8, 8)
        alone = processor.mentions("Jordan", "the river", images=RED)
        torch.testing.assert_close(model.get_mention_features(**alone), model.get_mention_features(**batch)[:1])
