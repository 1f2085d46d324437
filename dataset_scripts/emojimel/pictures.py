"""The pictures of EmojiMEL: glyphs on white for entities, on coloured grounds and in seven qualities for mentions."""

import io

from draws import Draw
from PIL import Image, ImageFilter


SIZE = 64
# Painted at twice the size, so that turned and scaled glyphs have smooth edges.
CANVAS = 2 * SIZE
CORNERS = ((0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8))
# Smallest and largest size, largest turn in degrees, largest shift, as shares of the picture.
LAYOUTS = {"good": (0.76, 0.96, 8, 0.06), "medium": (0.6, 0.84, 15, 0.1), "low_relevance": (0.52, 0.6, 12, 0.06)}
# The darkest that a ground can be.
GROUNDS = {"good": 225, "medium": 180}


def entity_picture(glyph: Image.Image) -> Image.Image:
    """The glyph, upright and centred, on white."""
    canvas = Image.new("RGB", (CANVAS, CANVAS), "white")
    _put(canvas, glyph, 0.94, 0.0, (0.5, 0.5))
    return canvas.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def mention_picture(draw: Draw, quality: str, glyph: Image.Image, others: list[Image.Image]) -> Image.Image | None:
    """A picture of the wanted quality.

    Args:
        draw (`Draw`): where position, turn, size and ground come from.
        quality (`str`): `good`, `medium` (smaller, turned, out of the centre), `low_quality` (few pixels, blurred),
            `low_value` (`glyph` is a mood emoji, not the entity), `low_relevance` (the entity is one of several
            things), `two_entities` (`glyph` and another, equally large), `missing` (no picture).
        glyph (`PIL.Image.Image`): the emoji that is shown.
        others (`list[PIL.Image.Image]`): four other emoji, for `low_relevance`; one for `two_entities`.
    """
    if quality == "missing":
        return None
    canvas = _ground(draw, GROUNDS.get(quality, 200))
    if quality == "low_relevance":
        for thing, (x, y) in zip(others, CORNERS, strict=True):
            _put(canvas, thing, draw.uniform(0.36, 0.44), draw.uniform(-25, 25), (x, y))
    if quality == "two_entities":
        for thing, x in zip((glyph, *others), (0.28, 0.72), strict=True):
            _put(canvas, thing, draw.uniform(0.46, 0.52), draw.uniform(-12, 12), (x, draw.uniform(0.4, 0.6)))
        return canvas.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    low, high, turn, shift = LAYOUTS.get(quality, LAYOUTS["good"])
    place = (0.5 + draw.uniform(-shift, shift), 0.5 + draw.uniform(-shift, shift))
    _put(canvas, glyph, draw.uniform(low, high), draw.uniform(-turn, turn), place)
    picture = canvas.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    if quality == "low_quality":
        few = 8 + draw.below(3)
        picture = picture.resize((few, few), Image.Resampling.BOX).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        picture = picture.filter(ImageFilter.GaussianBlur(2))
    return picture


def encode(picture: Image.Image) -> bytes:
    """WebP bytes; the same for the same pixels and the same version of Pillow."""
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=72, method=6)
    return stream.getvalue()


def _ground(draw: Draw, darkest: int) -> Image.Image:
    """One colour, or a soft passage between two."""
    colours = [tuple(int(draw.uniform(darkest, 255)) for _ in range(3)) for _ in range(2)]
    ground = Image.new("RGB", (CANVAS, CANVAS), colours[0])
    if draw.uniform() < 0.5:
        passage = Image.linear_gradient("L").resize((CANVAS, CANVAS)).rotate(90 * draw.below(4))
        ground.paste(Image.new("RGB", (CANVAS, CANVAS), colours[1]), (0, 0), passage)
    return ground


def _put(canvas: Image.Image, glyph: Image.Image, scale: float, turn: float, place: tuple[float, float]) -> None:
    side = round(scale * CANVAS)
    thing = glyph.resize((side, side), Image.Resampling.LANCZOS)
    if turn:
        thing = thing.rotate(turn, Image.Resampling.BICUBIC, expand=True)
    left, top = (round(part * CANVAS - thing.width / 2) for part in place)
    canvas.paste(thing, (left, top), thing)
