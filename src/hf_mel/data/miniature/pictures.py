"""Pictures of the miniature: a coloured shape on a coloured ground, drawn from formulas.

Drawn with NumPy instead of a drawing library, whose edges change between versions.
"""

import hashlib
import io

import numpy as np
from PIL import Image


COLOURS = (
    (214, 40, 40), (40, 160, 60), (50, 80, 215), (240, 205, 40), (200, 50, 190), (40, 190, 200), (245, 135, 30),
    (150, 90, 40),
)  # fmt: skip
GROUNDS = ((245, 245, 240), (150, 150, 155), (25, 25, 35), (190, 215, 245), (250, 205, 210), (30, 70, 50))
SHAPES = ("circle", "square", "triangle", "cross", "diamond", "ring")


def entity_picture(look: tuple[int, int, int], size: int, key: str) -> np.ndarray:
    """The portrait of an entity: centred, full size, with little noise. Returns `uint8` of shape `[size, size, 3]`.

    Args:
        look (`tuple[int, int, int]`): colour, ground and shape, as numbers into the lists of this file.
        size (`int`): height and width in pixels.
        key (`str`): seeds the noise.
    """
    return _with_noise(_draw(look, size, (0.0, 0.0), 0.36), key, 12)


def mention_picture(look: tuple[int, int, int], size: int, key: str) -> np.ndarray:
    """Another picture of the same entity: moved, scaled, lighter or darker, with more noise."""
    across, down, scale, light = np.frombuffer(_bytes(key + "/view", 4), np.uint8) / 255.0
    picture = _draw(look, size, ((across - 0.5) * 0.2, (down - 0.5) * 0.2), 0.28 + 0.14 * scale)
    return _with_noise(picture * (0.85 + 0.3 * light), key, 24)


def colour_picture(look: tuple[int, int, int], size: int, key: str) -> np.ndarray:
    """A close-up that shows the entity's colour, but neither shape nor ground."""
    return _with_noise(np.broadcast_to(np.asarray(COLOURS[look[0]], float), (size, size, 3)), key, 24)


def unrelated_picture(size: int, key: str) -> np.ndarray:
    """Grey blocks that say nothing about any entity."""
    blocks = np.frombuffer(_bytes(key + "/blocks", 16), np.uint8).reshape(4, 4).astype(float)
    grid = np.arange(size) * 4 // size
    return _with_noise(np.repeat(blocks[grid][:, grid, None], 3, axis=2), key, 24)


def encode_png(pixels: np.ndarray, name: str) -> dict:
    """The picture as `datasets.Image` stores it."""
    stream = io.BytesIO()
    # Uncompressed: compressors differ between builds, and the bytes are part of the fingerprint.
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=0)
    return {"bytes": stream.getvalue(), "path": name}


def _draw(look: tuple[int, int, int], size: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    colour, ground, shape = look
    axis = (np.arange(size) + 0.5) / size - 0.5
    x, y = axis[None, :] - centre[0], axis[:, None] - centre[1]
    inside = _inside(SHAPES[shape], x / radius, y / radius)
    return np.where(inside[..., None], np.asarray(COLOURS[colour], float), np.asarray(GROUNDS[ground], float))


def _inside(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the mask of the points that lie in a shape of about radius 1."""
    if shape == "circle":
        return x**2 + y**2 <= 1
    if shape == "square":
        return (abs(x) <= 0.85) & (abs(y) <= 0.85)
    if shape == "triangle":
        return (y <= 0.9) & (y >= 2 * abs(x) - 1)
    if shape == "cross":
        return ((abs(x) <= 0.35) & (abs(y) <= 1)) | ((abs(y) <= 0.35) & (abs(x) <= 1))
    if shape == "diamond":
        return abs(x) + abs(y) <= 1
    distance = x**2 + y**2
    return (distance <= 1) & (distance >= 0.35)


def _with_noise(picture: np.ndarray, key: str, amplitude: int) -> np.ndarray:
    noise = np.frombuffer(_bytes(key, picture.size), np.uint8).reshape(picture.shape)
    return np.clip(picture + (noise / 255.0 * 2 - 1) * amplitude, 0, 255).astype(np.uint8)


def _bytes(key: str, number: int) -> bytes:
    """Bytes that look random and are the same everywhere for the same key."""
    return hashlib.shake_128(key.encode()).digest(number)
