"""Small pictures for pages."""

import io

import pytest
from PIL import Image

from hf_mel.data.thumbnails import data_uri, small_jpeg


def opened(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg))


@pytest.mark.parametrize(("size", "small"), [((640, 480), (96, 72)), ((10, 20), (10, 20)), ((960, 10), (96, 1))])
def test_size(size, small):
    image = Image.new("RGB", size, "red")
    assert opened(small_jpeg(image)).size == small
    assert image.size == size, "the picture itself stays as it is"
    assert max(opened(small_jpeg(image, side=8)).size) <= 8


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "CMYK", "1"])
def test_modes(mode):
    small = opened(small_jpeg(Image.new(mode, (20, 20))))
    assert small.mode == "RGB" and small.format == "JPEG"


def test_transparent_pixels_are_white_and_metadata_stays_behind():
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image.info.update(exif=b"Exif\x00\x00secret", icc_profile=b"secret", comment=b"secret")
    jpeg = small_jpeg(image)
    assert opened(jpeg).getpixel((5, 5)) == (255, 255, 255)
    assert b"secret" not in jpeg and image.info["comment"] == b"secret"


def test_data_uri():
    assert data_uri(None) is None
    assert data_uri(b"abc") == "data:image/jpeg;base64,YWJj"
