"""Writes small raw folders in the layouts `fissfuse`, `merlin` and `melart`, after the descriptions of their formats."""

import json
from pathlib import Path

from datasets import Dataset, Features, Image, Value

from .fixtures import write_pictures


def write_lines(path: Path, records: list) -> None:
    """JSON lines; a string is written as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def picture_bytes(folder: Path, name: str) -> bytes:
    write_pictures(folder, name)
    return (folder / name).read_bytes()


# ---- fissfuse ----

FISSFUSE_ENTITIES = [
    {"qid": "Q9", "id": 0, "name": "Madonna (entertainer)", "desc": "American singer"},
    {"qid": "Q345", "id": 1, "name": "Virgin Mary", "desc": "mother of Jesus"},
    {"qid": "Q64", "id": 2, "name": "Berlin", "desc": ""},
    {"qid": "Q100", "id": 3, "name": "Berlin, New Hampshire"},  # without `desc`, and without a picture
    {"qid": "Q36", "id": 4, "name": "Poland", "desc": "country"},
]


def fissfuse_mentions() -> dict[str, list[dict]]:
    """Five mentions. The first candidate is the gold entity, which some lists name a second time."""

    def record(number, mention, sentence, image, *candidates):
        return {"mention_id": number, "mentions": mention, "sentence": sentence, "imgPath": image, "candidates": list(candidates)}  # fmt: skip

    both = "Madonna on stage, Madonna in a window."
    return {
        "train": [
            record("0", "Madonna", both, "images/17.v2.jpg", "Q9", "Q345", "Q9", "Q36"),
            record("1", "Madonna", both, "images/17.v2.jpg", "Q345", "Q9", "Q100"),
        ],
        "valid": [record(2, "Berlin", "Snow in Berlin", "gone.jpg", "Q64", "Q100", "Q36")],
        "test": [
            record("3", "Berlin", "A mill in Berlin, N.H.", "", "Q100", "Q64", "Q777"),
            record("4", "Somebody", "Somebody in Poland", "18.jpg", "nil", "Q36", "Q64"),
        ],
    }


def write_fissfuse(folder: Path, benchmark: str = "wikidiverse", *, pictures: bool = True) -> Path:
    """Entities, mentions and, if h5py is there, the HDF5 file; `gone` is missing in it. Arrays and opaque values both occur."""
    write_lines(folder / "entities.jsonl", FISSFUSE_ENTITIES)
    for split, records in fissfuse_mentions().items():
        write_lines(folder / f"{benchmark.upper()}_{split}.jsonl", records)
    if pictures:
        write_hdf5(
            folder / f"{benchmark}_image.h5",
            entity_image=("Q9", "Q345", "Q64", "Q36"),
            mention_image=("17", "18"),
        )
    return folder


def write_hdf5(path: Path, **groups) -> Path:
    import h5py
    import numpy as np

    with h5py.File(path, "w") as file:
        for group, keys in groups.items():
            file.create_group(group)
            for number, key in enumerate(keys):
                encoded = picture_bytes(path.parent.parent / "made", f"{key}.jpg")
                file[group][key] = np.void(encoded) if number % 2 else np.frombuffer(encoded, dtype=np.uint8)
    return path


# ---- merlin ----

MERLIN = {
    "hi": [
        ("बर्लिन में बर्फ़", "बर्लिन", "Q64", "Berlin"),
        ("पोलैंड और बर्लिन", "पोलैंड", "Q36", "Poland"),
    ],
    "vi": [
        ("Hà Nội đón bão", "Hà Nội", "Q1858", "Hanoi"),
        ("Một người lạ ở Hà Nội", "Một người lạ", None, None),  # NIL
        ("Berlin và Hà Nội", "Berlin", "Q64", "Berlin, Germany"),  # another title of the same entity
    ],
}
MERLIN_COLUMNS = ("Article Title", "Entity Name", "Wikidata ID", "English Wikipedia Title")


def merlin_tables(folder: Path) -> dict[str, Dataset]:
    """What `load_dataset` gives for each language; the last Vietnamese row has no picture."""
    texts = {column: Value("string") for column in MERLIN_COLUMNS}
    tables = {}
    for language, rows in MERLIN.items():
        columns = dict(zip(MERLIN_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
        names = [f"{language}_{number}.jpg" for number in range(len(rows))]
        images = [{"bytes": picture_bytes(folder / "made", name), "path": name} for name in names]
        if language == "vi":
            images[-1] = None
        tables[language] = Dataset.from_dict(
            {**columns, "Image Name": images}, features=Features({**texts, "Image Name": Image()})
        )
    return tables


def write_merlin(folder: Path, form: str = "parquet", *, pictures: bool = True) -> Path:
    """`<language>/train-00000-of-00001.parquet` as on the Hub, or `<language>/train.jsonl` with `images/`."""
    for language, table in merlin_tables(folder.parent).items():
        (folder / language).mkdir(parents=True, exist_ok=True)
        if form == "parquet":
            table.to_parquet(folder / language / "train-00000-of-00001.parquet")
            continue
        rows = [dict(zip(MERLIN_COLUMNS, row, strict=True)) for row in MERLIN[language]]
        for number, row in enumerate(rows):
            row["Image Name"] = f"{language}_{number}.jpg" if number < 2 else float("nan")
        write_lines(folder / language / "train.jsonl", rows)
        if pictures:
            write_pictures(folder / language / "images", f"{language}_0.jpg")
    return folder


# ---- melart ----

_WIKIDATA = "http://www.wikidata.org/entity/"
_COMMONS = "http://commons.wikimedia.org/wiki/Special:FilePath/"
MELART_ENTITIES = [
    {"qid": "Q345", "labels": {"main": "Virgin Mary", "alt": ["Madonna", "Virgin Mary"]}, "description": "mother of Jesus",
     "types": {"Q5": "human"}, "images": [_COMMONS + "Absent.jpg", _COMMONS + "Virgin%20Mary%20%281%29.jpg"]},
    {"qid": "Q9", "labels": {"main": "Madonna", "alt": []}, "description": "American singer",
     "types": {"Q5": "human", "Q177220": "singer"}, "images": [_COMMONS + "Singer.jpg"]},
    {"qid": "Q90", "labels": {"main": "", "alt": ["Paris"]}, "description": "", "types": {}, "images": []},
]  # fmt: skip


def melart_annotations() -> dict[str, dict]:
    """Five mentions of three paintings: URLs and plain ids, offsets that do not fit, a picture named with spaces."""

    def match(qid, text, start):
        return {"qid": qid, "text": text, "start": start, "end": start + len(text)}

    def painting(title, image, split, visual, contextual):
        record = {"title": title, "img_url": image, "split": split, "year": 1280}
        for kind, pairs in (("visual", visual), ("contextual", contextual)):
            record[f"{kind}_sentences"] = [sentence for sentence, _ in pairs]
            record[f"{kind}_el_matches"] = [matches for _, matches in pairs]
        return record

    upload = "https://upload.wikimedia.org/wikipedia/commons/8/8c/"
    return {
        "Q1000": painting(
            "Maestà", upload + "Maest%C3%A0_du_Louvre.jpg", "train",
            [("The Madonna holds a child.", [match(_WIKIDATA + "Q345", "Madonna", 4)]), ("A gold ground.", [])],
            [("It hangs in Paris.", [match(_WIKIDATA + "Q90", "Paris", 12)])],
        ),
        "Q1001": painting(
            "A window", upload + "Window.jpg", "val", [("Mary, seen by Mary.", [match("Q345", "Mary", 13)])], []
        ),
        "Q1002": painting(
            "A stage", None, "test", [], [("Madonna sings in Paris.", [match("Q9", "Madonna", 1), match("Q90", "Paris", 17)])]
        ),
    }  # fmt: skip


def write_melart(folder: Path, *, pictures: bool = True, inner: bool = False) -> Path:
    """Annotations, candidates and `images/files`; `Window.jpg` and `Singer.jpg` are missing."""
    place = folder / "output_files" if inner else folder
    place.mkdir(parents=True, exist_ok=True)
    (place / "melart_annotations.json").write_text(json.dumps(melart_annotations()), encoding="utf-8")
    write_lines(place / "el_candidates.jsonl", MELART_ENTITIES)
    if pictures:
        write_pictures(place / "images" / "files", "Maestà du Louvre.jpg", "Virgin Mary (1).jpg")
    return folder
