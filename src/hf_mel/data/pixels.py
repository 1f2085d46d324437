"""From any kind of pixels to upright RGB."""

import logging
import struct

import numpy as np
from PIL import ExifTags, Image, ImageOps


logger = logging.getLogger(__name__)

UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, EOFError, Image.DecompressionBombError)
"""Exceptions of Pillow for bytes that are no picture, end too early or claim an absurd size."""
MAX_PIXELS = 100_000_000
"""A picture that claims more pixels than this, is refused: it would fill the memory."""


def upright_rgb(image: Image.Image) -> Image.Image:
    """
    A picture as models take it: turned by its EXIF orientation, 8 bits, RGB.

    Transparent pixels become white. 16-bit grey is scaled to 8 bits. Of floating-point numbers, those between 0 and 1 are
    scaled, and those up to 255 are kept. A picture that needs no change is returned itself.

    Raises:
        `ValueError`: too many pixels, or numbers in another range.
        `OSError` and the others of `UNREADABLE`: its file cannot be decoded.

    Example:

    ```python
    >>> from PIL import Image
    >>> from hf_mel.data.pixels import upright_rgb

    >>> upright_rgb(Image.new("F", (1, 1), 0.5)).getpixel((0, 0))
    (128, 128, 128)
    ```
    """
    if not image.width * image.height:
        raise ValueError("it has no pixel")
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
    try:
        image.load()
    except (AssertionError, AttributeError) as error:  # of Pillow, where the file of a picture was closed
        raise ValueError("its file is closed: call `load()` of the picture before") from error
    return _to_rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except (*UNREADABLE, KeyError, TypeError) as error:
        # The pixels were read: a damaged EXIF block costs the orientation, not the picture.
        logger.debug("EXIF orientation not readable (%s)", error)
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _eight_bits(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        # Dropping the alpha channel would show the colour below it, black in most logos.
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits or of floating-point numbers. Pillow clips both to 255, which makes nearly all of it white or black."""
    floats = image.mode == "F"
    values = np.asarray(image if floats else image.convert("I"))
    low, high = values.min(), values.max()
    kinds = "between 0 and 1, or 0 and 255" if floats else "of 8 or 16 bits"
    if np.isnan(low):
        raise ValueError(f"some of its grey values are missing (NaN): save it with values {kinds} everywhere")
    if not 0 <= low <= high <= (255 if floats else 65_535):
        raise ValueError(f"its grey values go from {low:g} to {high:g}: save it with values {kinds}")
    eight = np.rint(values * 255 if high <= 1 else values) if floats else values >> 8
    return Image.fromarray(eight.astype(np.uint8))
