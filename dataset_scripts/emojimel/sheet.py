"""The sheet of examples in the card: `python dataset_scripts/emojimel/sheet.py`. One row a quality, mention beside entity."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from hf_mel import load_benchmark
from hf_mel.data import load_images


HERE = Path(__file__).parent
DATASET = HERE.parents[1] / "src" / "hf_mel" / "data" / "emojimel" / "dataset"
QUALITIES = ("good", "medium", "low_quality", "low_value", "low_relevance", "two_entities")
COLUMNS, PICTURE, GAP, HEAD, CAPTION = 5, 72, 12, 96, 30


def examples(data, quality: str) -> list[int]:
    """Rows of the test split, spread evenly over those of a quality."""
    test = data.mentions["test"]
    golds = test["entity_id"][:]
    rows = [row for row, found in enumerate(test["image_quality"][:]) if found == quality and golds[row] is not None]
    return rows[:: len(rows) // COLUMNS][:COLUMNS]


def draw(data) -> Image.Image:
    """Left the picture of the mention, right that of its gold entity; below them the word and the entity's name."""
    cell = 2 * PICTURE + GAP
    sheet = Image.new("RGB", (HEAD + COLUMNS * (cell + GAP), len(QUALITIES) * (PICTURE + CAPTION + GAP)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for line, quality in enumerate(QUALITIES):
        top = line * (PICTURE + CAPTION + GAP) + GAP // 2
        pen.text((6, top + PICTURE // 2 - 6), quality, "black", font)
        rows = examples(data, quality)
        mentions = data.mentions["test"].select(rows)
        golds = data.entities.rows(mentions["entity_id"][:])
        pictures = zip(load_images(mentions), data.entities.images(golds), strict=True)
        for column, (row, pair) in enumerate(zip(range(len(rows)), pictures, strict=True)):
            left = HEAD + column * (cell + GAP)
            for place, picture in enumerate(pair):
                sheet.paste(
                    picture.resize((PICTURE, PICTURE), Image.Resampling.LANCZOS), (left + place * (PICTURE + 2), top)
                )
            pen.text((left, top + PICTURE + 2), f"“{mentions[row]['mention']}”", "black", font)
            pen.text((left, top + PICTURE + 15), data.entities.names([int(golds[row])])[0][:26], "dimgrey", font)
    return sheet


def main() -> None:
    sheet = draw(load_benchmark("emojimel"))
    for folder in (HERE, DATASET):
        sheet.save(folder / "examples.webp", "WEBP", quality=80, method=6)


if __name__ == "__main__":
    main()
