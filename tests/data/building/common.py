"""What the tests of builds share."""

from pathlib import Path

from PIL import Image

from hf_mel.data.layouts import RawBenchmark


def picture(path: Path, number: int = 0, size: tuple[int, int] = (8, 6), **options) -> Path:
    """A picture of two colours, which depend on the number."""
    image = Image.new("RGB", size, (10 + number % 200, 40, 90))
    image.paste((200, 30 + number * 7 % 200, 10), (size[0] // 2, 0, *size))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def small_raw(folder: Path, entities: int = 250, train: int = 250, pictures: bool = True) -> RawBenchmark:
    """As many rows as a test needs, each with a picture; some of the entities' are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "rows.txt"
    if not source.exists():  # its time counts
        source.write_text("the release")

    def image(kind: str, number: int) -> Path:
        path = folder / "images" / f"{kind}{number}.jpg"
        if pictures and not path.exists() and not (kind == "e" and number % 50 == 7):
            picture(path, number)
        return path

    def rows_of_entities():
        for number in range(entities):
            yield {
                "id": f"Q{number}",
                "name": f"Name {number}",
                "aliases": ["x"] * (number % 3),
                "attributes": f"Birth: {number}.",
                "image": image("e", number),
                "source_row": number,
            }

    def mention(split: str, number: int) -> dict:
        return {
            "id": f"{split}-{number}",
            "mention": "Name",
            "text": f"A Name, number {number} of {split}.",
            "start": 2,
            "end": 6,
            "image": image("m", number % 40),
            "entity_id": f"Q{number % entities}",
        }

    sizes = {"train": train, "validation": 3, "test": 4}
    mentions = {split: [mention(split, number) for number in range(size)] for split, size in sizes.items()}
    return RawBenchmark(mentions, rows_of_entities, {"split_rule": "as made"}, files=[source])


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder by their relative paths, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
