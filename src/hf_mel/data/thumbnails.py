"""Small pictures inside a page or a record, so that it needs no other file."""

import base64
import io

from PIL import Image


SIDE = 96


def small_jpeg(image: Image.Image, side: int = SIDE) -> bytes:
    """
    A small JPEG of a picture, which itself stays as it is.

    Args:
        image (`PIL.Image.Image`): The picture; transparent pixels become white.
        side (`int`, *optional*, defaults to 96): Largest width and height.

    Example:

    ```python
    >>> from PIL import Image
    >>> from hf_mel.data.thumbnails import data_uri, small_jpeg

    >>> data_uri(small_jpeg(Image.new("RGB", (640, 480))))[:27]
    'data:image/jpeg;base64,/9j/'
    ```
    """
    small = image.copy()
    small.thumbnail((side, side))
    if small.mode in ("RGBA", "LA", "PA", "P"):
        small = small.convert("RGBA")
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small)
    small = small.convert("RGB")
    small.info.clear()  # a comment or a profile of the original has no place in a page
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def data_uri(jpeg: bytes | None) -> str | None:
    """A JPEG inside its own address; `None` where there is none."""
    return None if jpeg is None else "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
