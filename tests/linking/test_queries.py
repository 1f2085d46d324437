"""Mentions encoded for linking: as the model encodes them, each picture once."""

import pandas as pd
import pytest
import torch
from PIL import Image
from transformers import pipeline

from hf_mel.linking import Linker, MentionQuery
from hf_mel.linking.batch import TableInput, link_file
from hf_mel.linking.queries import encode_queries
from tests.training.common import tiny_data, tiny_linker, tiny_processor


def picture(seed: int) -> Image.Image:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (16, 16, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


def some_queries() -> list[MentionQuery]:
    first, second = picture(1), picture(2)
    images = [first, None, second, first, first, None, second]
    rows = tiny_data().mentions["test"].select(range(len(images)))
    return [
        MentionQuery(mention, text, image=image)
        for text, mention, image in zip(rows["text"][:], rows["mention"][:], images, strict=True)
    ]


@pytest.mark.parametrize("vision", [False, True], ids=["text", "pictures"])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_as_the_model_encodes_them(vision, batch_size):
    model, processor, queries = tiny_linker(vision).train(), tiny_processor(vision), some_queries()
    found = encode_queries(model, processor, queries, batch_size)
    assert model.training, "the mode is put back"
    inputs = processor.mentions(
        [query.mention for query in queries], [query.text for query in queries], images=[q.image for q in queries]
    )
    with torch.no_grad():
        expected = model.eval().encode("mention", model.extract(**inputs))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-5)
    assert ("alone" in found) == vision
    if vision:
        assert found["alone"]["has_image"].tolist() == [True, False, True, True, True, False, True]


def test_each_picture_goes_through_the_tower_once():
    model, seen = tiny_linker(), []
    model.vision_model.register_forward_hook(lambda module, inputs, output: seen.append(len(output[0])))
    encode_queries(model, tiny_processor(), some_queries(), batch_size=2)
    assert seen == [2], "two pictures in seven mentions"
    encode_queries(model, tiny_processor(), [MentionQuery("Ada", "Ada came.")])
    assert seen == [2], "no picture, no work"


def test_pictures_make_a_difference():
    query, model, processor = some_queries()[0], tiny_linker(), tiny_processor()
    other = MentionQuery(query.mention, query.text, image=picture(9))
    encoded = encode_queries(model, processor, [query, other, query])["embeds"]
    assert torch.equal(encoded[0], encoded[2]) and not torch.allclose(encoded[0], encoded[1], atol=1e-4)


def test_bad_queries_name_their_position():
    with pytest.raises(ValueError, match="mention"):
        encode_queries(tiny_linker(False), tiny_processor(False), [MentionQuery(" ", "a b")])
    with pytest.raises(ValueError, match="outside its text"):
        encode_queries(tiny_linker(False), tiny_processor(False), [MentionQuery("a", "a", start=7)])


def test_a_text_only_model_refuses_the_same_pictures(tmp_path):
    """So the same input is refused in Python, by the pipeline and in files, whatever the model."""
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    linker = Linker(tiny_linker(False), tiny_processor(False), tiny_data().entities, calibration=None)
    pipe = pipeline("multimodal-entity-linking", model=linker.model, processor=linker.processor, index=linker.index)
    good, given = picture(1), {"mention": "Ada", "text": "Ada came."}
    plain = linker.link(**given)
    assert linker.link(**given, image=good) == plain and not plain.has_image
    for bad, error in ((tmp_path / "page.jpg", ValueError), (tmp_path / "none.jpg", FileNotFoundError)):
        with pytest.raises(error, match=f"{bad.name} is (a web page|not there)"):
            linker.link(**given, image=bad)
        with pytest.raises(error, match=f"{bad.name} is (a web page|not there)"):
            linker.link_queries([given | {"image": str(bad)}])
        with pytest.raises(error, match=f"{bad.name} is (a web page|not there)"):
            pipe(given | {"image": bad})
        pd.DataFrame([given | {"image": bad.name}]).to_csv(tmp_path / "in.csv")
        report = link_file(lambda: linker, TableInput(tmp_path / "in.csv"), tmp_path / "out.jsonl", overwrite=True)
        assert report.rejected == 1
