"""Writes small raw folders in every released layout, with the quirks of the real files.

`write_<layout>(folder, ...)` fills `folder` as its release does and returns it. `extra` appends plain records, each with a
picture of its own (`extra_<n>` in the name), for tests that need many. `pictures=False` leaves all pictures out; the files
which the real releases lack are never written: each layout names at least one.
"""

import hashlib
import json
import zlib
from pathlib import Path

from PIL import Image


MIMIC_NAMES = {  # benchmark: the prefix of its split files, the name of its folder of mention pictures
    "wikimel": ("WIKIMEL", "mention_image"),
    "richpediamel": ("RichpediaMEL", "mention_images"),
    "wikidiverse": ("wiki_diverse", "mention_image"),
}
MIMIC_OTHER_NAMES = {  # other spellings that are in use
    "wikimel": ("WikiMEL", "mention_images"),
    "richpediamel": ("richpediamel", "mention_image"),
    "wikidiverse": ("WikiDiverse", "mention_images"),
}
MIMIC_FOLDERS = {"wikimel": "WikiMEL", "richpediamel": "RichpediaMEL", "wikidiverse": "WikiDiverse"}


def write_json(folder: Path, **files) -> Path:
    """`<name>.json` for each keyword."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_pictures(folder: Path, *names: str) -> None:
    """Pictures of two colours which depend on the name, so that a mix-up shows; SVG names hold PNG, as released."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        colour = zlib.crc32(name.encode())
        image = Image.new("RGB", (8, 6), (colour & 255, colour >> 8 & 255, 40))
        image.paste((20, colour >> 16 & 255, 230), (4, 0, 8, 6))
        kind = {"png": "PNG", "gif": "GIF"}.get(name.rsplit(".", 1)[-1].lower(), "JPEG")
        image.save(folder / name, kind)


# ---- mimic ----


def mimic_entities() -> list[dict]:
    """`kb_entity.json`: quoted names, no or several pictures, an empty attribute text, a `desc` that only some have."""
    kind = {"type": "entity"}
    return [
        {"qid": "Q345", "id": 0, **kind, "entity_name": "Virgin%20Mary", "attr": "Sex: female.", "instance": "human",
         "image_list": ["Q345_0.jpg", "Q345_1.jpg"], "desc": "mother of Jesus"},
        {"qid": "Q1744", "id": 1, **kind, "entity_name": "Madonna%20%28entertainer%29", "instance": "human",
         "attr": "Sex: female. Occupation: singer.", "image_list": []},
        {"qid": "Q36153", "id": 2, **kind, "entity_name": "Beyonc%C3%A9", "attr": "Occupation: singer, actor.",
         "instance": "human", "image_list": ["Q36153_0.jpg"], "desc": ""},
        {"qid": "Q99989", "id": 3, **kind, "entity_name": "Slenaken", "attr": "", "instance": "village",
         "image_list": ["Q99989_0.jpg"], "desc": "town in the Netherlands"},
        {"qid": "Q58365", "id": 4, **kind, "entity_name": "100%25%20Wolf", "attr": "", "instance": "",
         "image_list": ["Q58365_0.jpg"], "desc": "2020 film"},
    ]  # fmt: skip


def mimic_mentions() -> dict[str, list[dict]]:
    """The split files: empty `imgPath`, dots and slashes in it, quoted mentions, `nil`, a mention that is not literal."""

    def record(number, sentence, image, mention, name, answer):
        return {
            "id": number,
            "sentence": sentence,
            "imgPath": image,
            "mentions": mention,
            "entities": name,
            "answer": answer,
        }

    both = "Madonna on stage, Madonna in a window of Slenaken."
    return {
        "train": [
            record(0, both, "20168.jpg", "Madonna", "Madonna%20%28entertainer%29", "Q1744"),
            record(1, both, "20168.jpg", "Madonna", "Virgin%20Mary", "Q345"),
            record(2, both, "20168.jpg", "Slenaken", "Slenaken", "Q99989"),
            record(3, "Beyoncé sang here.", "", "Beyonc%C3%A9", "Beyonc%C3%A9", "Q36153"),
            record(4, "Nobody knows this man.", "nil.man.png", "this man", "nil", "nil"),
            record(5, "Beyoncé Giselle Knowles in 2003", "a/b/Beyonce_J.R._(2003).JPG", "Beyonc%C3%A9%20Knowles",
                   "Beyonc%C3%A9", "Q36153"),
        ],
        "dev": [record(6, both, "20168.jpg", "Madonna", "Madonna%20%28entertainer%29", "Q1744")],
        "test": [
            record(7, "The poster of 100% Wolf", "https://images.org/x/Wolf.v2.final.svg", "100%25%20Wolf",
                   "100%25%20Wolf", "Q58365"),
            record(8, "Slenaken from above", "not_released.jpg", "Slenaken", "Slenaken", "Q99989"),
        ],
    }  # fmt: skip


MIMIC_MENTION_PICTURES = ("20168.jpg", "nil.jpg", "Beyonce_J.jpg", "Wolf.jpg")  # not_released.jpg is not there
MIMIC_ENTITY_PICTURES = ("Q345_0.jpg", "Q345_1.jpg", "Q36153_0.jpg", "Q58365_0.jpg")  # Q99989_0.jpg is not there


def write_mimic(
    folder: Path,
    benchmark: str = "wikimel",
    *,
    usual: bool = True,
    ids: str = "unique",
    pictures: bool = True,
    extra: int = 0,
) -> Path:
    """The folder of one benchmark.

    `usual=False` takes the other spelling of files and folders. `ids`: `"unique"`, `"per_split"` (each split counts from
    0) or `"per_caption"` (records of one caption share one).
    """
    prefix, mention_folder = (MIMIC_NAMES if usual else MIMIC_OTHER_NAMES)[benchmark]
    entities, mentions = mimic_entities(), mimic_mentions()
    for number in range(extra):
        qid = f"Q9{number:05d}"
        entities.append(
            {"qid": qid, "id": len(entities), "type": "entity", "entity_name": f"Extra%20{number}", "attr": f"Number: {number}.",
             "instance": "thing", "image_list": [f"extra_{number}.jpg"], "desc": f"extra thing {number}"}
        )  # fmt: skip
        mentions["train"].append(
            {"id": 100 + number, "sentence": f"Here is Extra {number}.", "imgPath": f"extra_{number}.jpg",
             "mentions": f"Extra%20{number}", "entities": f"Extra%20{number}", "answer": qid}
        )  # fmt: skip
    for records in mentions.values():
        captions = list(dict.fromkeys(record["sentence"] for record in records))
        for number, record in enumerate(records):
            if ids != "unique":
                record["id"] = number if ids == "per_split" else captions.index(record["sentence"])
    write_json(folder, kb_entity=entities, **{f"{prefix}_{split}": records for split, records in mentions.items()})
    write_json(folder, qid2id={**{entity["qid"]: entity["id"] for entity in entities}, "nil": -1})
    if pictures:
        more = [f"extra_{number}.jpg" for number in range(extra)]
        write_pictures(folder / mention_folder, *MIMIC_MENTION_PICTURES, *more)
        write_pictures(folder / "kb_image", *MIMIC_ENTITY_PICTURES, *more)
    return folder


# ---- wikidiverse ----


def wiki(title: str) -> str:
    return f"https://en.wikipedia.org/wiki/{title}"


_LIONS = "https://upload.wikimedia.org/wikipedia/commons/0/06/Detroit_Lions%27_Play.2007.JPG"
_FLAG = "https://upload.wikimedia.org/wikipedia/commons/b/b0/Flag_of_Rome.svg"
_DANCE = "https://upload.wikimedia.org/wikipedia/commons/1/11/Dance.gif"
_GONE = "https://upload.wikimedia.org/wikinews/en/c/ca/Screenshot.png"
WIKIDIVERSE_IMAGES = "wikinewsImgs"


def picture_name(url: str) -> str:
    """The file of an image URL: md5 of its base name, and the suffix of it, `.svg` as `.png`."""
    base = url.rsplit("/", 1)[-1]
    suffix = base[base.rindex(".") :]
    return hashlib.md5(base.encode()).hexdigest() + {".svg": ".png", ".SVG": ".png"}.get(suffix, suffix)


def wikidiverse_captions() -> dict[str, list[list]]:
    """Passage level: typos in the URLs, quoted titles, `nil`, no picture, offsets that do not match.

    The offsets of the last Lions are one too small; "HDTB" is a typo that does not stand in its caption.
    """
    return {
        "train": [
            ["The Lions versus the Packers (2007).", _LIONS, "sports", [
                ["Lions", "Organization", 4, 9, wiki("Detroit_Lions")],
                ["Packers", "Organization", 21, 28, "n" + wiki("Green_Bay_Packers")],
            ]],
            ["Beyoncé and AC/DC met nobody.", _DANCE, "entertainment", [
                ["Beyoncé", "Person", 0, 7, wiki("Beyonc%C3%A9")],
                ["AC/DC", "Organization", 12, 17, "h" + wiki("AC/DC")],
                ["nobody", "Person", 22, 28, "nil"],
            ]],
            ["A caption without a mention.", _FLAG, "politics", []],
        ],
        "valid": [
            ["A writing \"HDTV is worth every cent\" in it", _GONE, "entertainment", [
                ["HDTB", "Other", 11, 15, "]" + wiki("High-definition_television")],
            ]],
        ],
        "test": [
            ["The flag of Rome, not of the Lions.", _FLAG, "", [
                ["Rome", "Location", 12, 16, wiki("Rome")[1:]],
                ["Lions", "", 28, 33, wiki("Detroit_Lions")],
            ]],
            ["Nothing to see in Rome.", "", "disaster", [["Rome", "Location", 18, 22, wiki("Rome#History")]]],
        ],
    }  # fmt: skip


def wikidiverse_candidates(mention: str) -> list[str]:
    """At most ten; URLs and bare titles; none for some; the gold one is not always among them."""
    return {
        "Lions": [wiki("Lion"), wiki("Detroit_Lions"), "British %26 Irish Lions"],
        "Packers": [wiki("Meat_packing"), wiki("Green_Bay_Packers")],
        "Beyoncé": [wiki("Beyonc%C3%A9"), wiki("Beyonc%C3%A9_(album)")],
        "AC/DC": [wiki("Alternating_current")],
        "Rome": [wiki(f"Rome,_{state}") for state in "ABCDEFGHI"] + [wiki("Rome")],
    }.get(mention, [])


def write_wikidiverse(
    folder: Path, level: str = "mention", *, tables: bool = True, pictures: bool = True, extra: int = 0
) -> Path:
    """The original release; `level`: `"passage"`, `"mention"` or `"both"`. `tables` are the TSV files of the entities."""
    captions = wikidiverse_captions()
    urls = [f"https://upload.wikimedia.org/x/extra_{number}.jpg" for number in range(extra)]
    for number, url in enumerate(urls):
        captions["train"].append(
            [f"Here is Extra {number}.", url, "other", [[f"Extra {number}", "Other", 8, 14 + len(str(number)), wiki(f"Extra_{number}")]]]
        )  # fmt: skip
    if level in ("passage", "both"):
        write_json(folder, **captions)
    if level in ("mention", "both"):
        write_json(folder, **{f"{split}_w_10cands": _mention_level(records) for split, records in captions.items()})
    if tables:
        _write_entity_tables(folder, urls)
    if pictures:
        write_pictures(folder / WIKIDIVERSE_IMAGES, *(picture_name(url) for url in (_LIONS, _FLAG, _DANCE, *urls)))
        write_pictures(folder / "entity_images", picture_name(_ROME), *(picture_name(url) for url in urls))
    return folder


_ROME = "https://upload.wikimedia.org/wikipedia/commons/4/4c/Rome_skyline.SVG"
_BEYONCE = "https://upload.wikimedia.org/wikipedia/commons/2/2f/Beyonc%C3%A9.jpg"


def _mention_level(captions: list[list]) -> list[list]:
    return [
        [sentence, url, mention, kind, sentence[:start].lower().split(), sentence[end:].lower().split(), gold,
         wikidiverse_candidates(mention), topic, start, end]
        for sentence, url, topic, mentions in captions for mention, kind, start, end, gold in mentions
    ]  # fmt: skip


def _write_entity_tables(folder: Path, extra_urls: list[str]) -> None:
    descriptions = [
        (wiki("Detroit_Lions"), "The Detroit Lions are a team.\tThey play @@ home."),
        (wiki("Rome"), "Rome is the capital of Italy."),
        ("Beyoncé", "An American singer."),
        (wiki("Green_Bay_Packers"), ""),
        (wiki("Lion"), "A large cat."),
    ] + [(wiki(f"Extra_{number}"), f"extra thing {number}") for number in range(len(extra_urls))]
    images = [
        ("Detroit_Lions", []),
        ("Rome", ["https://upload.wikimedia.org/x/absent.jpg", _ROME]),
        (wiki("Beyonc%C3%A9"), [_BEYONCE]),
        ("Paris", ["https://upload.wikimedia.org/x/Paris.jpg"]),
    ] + [(f"Extra_{number}", [url]) for number, url in enumerate(extra_urls)]
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{key}@@@@{text}\n" for key, text in descriptions]
    (folder / "entity2desc_filtered.tsv").write_text("".join(lines), encoding="utf-8")
    lines = ["entity@@@@wiki_imgs\n", *(f"{key}@@@@{'[AND]'.join(urls)}\n" for key, urls in images)]
    (folder / "wikipedia_entity2imgs.tsv").write_text("".join(lines), encoding="utf-8")


# ---- kgmel ----


def kgmel_captions() -> list[dict]:
    """Lists of mentions; a caption with the same mention twice, one without picture, `nil`, one in no split."""

    def caption(number, sentence, image, *mentions):
        mention, entity, answer = (list(column) for column in zip(*mentions, strict=True))
        url = f"https://upload.wikimedia.org/x/{number}.svg"
        return {"id": number, "sentence": sentence, "imgPath": image, "mention": mention, "entity": entity,
                "answer": answer, "img-url": url}  # fmt: skip

    doohan, trek = "Doohan of Star Trek in a Star Trek movie.", ("Star Trek", "Star Trek (film)", "Q213081")
    return [
        caption(0, doohan, "mention_0.jpg", ("Doohan", "James Doohan", "Q318412"), trek, trek),
        caption(1, "A Czech cyclist", "mention_2.jpg", ("Czech", "Czech Republic", "Q213")),
        caption(2, "Mr X of Prague", "", ("Mr X", "nil", "nil"), ("Prague", "Prague", "Q1085")),
        caption(40, "Prague at night", "mention_41.jpg", ("Prague", "City of Prague", "Q1085")),
        caption(41, "In no split: Brno", "mention_0.jpg", ("Brno", "Brno", "Q14960")),
    ]


# One caption in two splits, as in the real mapping; an id without a caption; the other benchmarks' ids.
KGMEL_SPLITS = {"train": [0, 2, 1], "val": [1, 99], "test": [40]}


def write_kgmel(
    folder: Path, benchmark: str = "wikidiverse", *, pictures: bool = True, extra: int = 0, kb: bool = False
) -> Path:
    """Captions and split mapping; `mention_41.jpg` is missing. `kb` adds a `kb_entity.json`."""
    captions, splits = kgmel_captions(), {name: list(ids) for name, ids in KGMEL_SPLITS.items()}
    for number in range(extra):
        captions.append(
            {"id": 100 + number, "sentence": f"Here is Extra {number}.", "imgPath": f"extra_{number}.jpg",
             "mention": [f"Extra {number}"], "entity": [f"Extra {number}"], "answer": [f"Q9{number:05d}"], "img-url": ""}
        )  # fmt: skip
        splits["train"].append(100 + number)
    mapping = {name: {"train": [7], "val": [], "test": [8]} for name in MIMIC_FOLDERS.values()}
    mapping[MIMIC_FOLDERS[benchmark]] = splits
    write_json(folder, **{MIMIC_FOLDERS[benchmark]: captions}, ids_split_mappings=mapping)
    if kb:
        names = {
            qid: name
            for row in captions
            for qid, name in zip(row["answer"], row["entity"], strict=True)
            if qid != "nil"
        }
        entities = [
            {"qid": qid, "id": row, "type": "entity", "entity_name": name.replace(" ", "%20"), "attr": "", "instance": "",
             "image_list": [], "desc": f"about {name}"}
            for row, (qid, name) in enumerate(names.items())
        ]  # fmt: skip
        write_json(folder, kb_entity=entities)
    if pictures:
        more = (f"extra_{number}.jpg" for number in range(extra))
        write_pictures(folder / "mention_image", "mention_0.jpg", "mention_2.jpg", *more)
    return folder


# ---- ghmfc and melbench ----

CAPTIONS = {
    "10": {
        "id": "10",
        "sentence": "Ann Lee and Anna Lee met Lee.",
        "mentions": ["Lee", "Ann", "Lee", "Lee"],
        "entities": ["Ann Lee", "Ann Lee", "Anna Lee", "Bo Lee"],
        "answer": ["Q1", "Q1", "Q2", "Q3"],
    },
    "11": {
        "id": "11",
        "sentence": "Hermann von Beck in Rome",
        "mentions": ["Hermann Beck"],
        "entities": ["Hermann Beck"],
        "answer": ["Q4"],
    },
    "12": {"id": "12", "sentence": "A stranger", "mentions": ["stranger"], "entities": [None], "answer": [None]},
    "13": {
        "id": "13",
        "sentence": "Bo and nobody",
        "mentions": ["Bo", "nobody"],
        "entities": ["Bo Lee", ""],
        "answer": ["Q3", "nil"],
    },
    "14": {"id": "14", "sentence": "Anna again", "mentions": ["Anna"], "entities": ["Anna L."], "answer": ["Q2"]},
}
NAMES = {"Q1": "Ann Lee", "Q2": "Anna Lee", "Q3": "Bo Lee", "Q4": "Hermann Beck", "Q5": "Nobody Knows"}
TEXTS = {"Q1": "Sex: female.", "Q2": "Sex: female. Birth: 1900.", "Q3": "Sex: male.", "Q4": "", "Q5": "Sex: male."}
SPLITS = {"train": ["10", "99", "12"], "dev": ["11", "98"], "test": ["14", "13"]}
CAPTION_PICTURES = ("10.jpg", "11.jpg", "12.jpg", "14.jpg")  # 13.jpg is not there


def write_melbench(folder: Path, benchmark: str = "wikimel", *, splits: bool = True, pictures: bool = True) -> Path:
    """A file of captions, the splits that some add, and `images/`."""
    write_json(folder, **{{"wikimel": "Wikidata-MEL", "richpediamel": "Richpedia-MEL"}[benchmark]: CAPTIONS})
    if splits:
        write_json(folder, splits=SPLITS)
    if pictures:
        write_pictures(folder / "images", *CAPTION_PICTURES)
    return folder


def write_ghmfc(folder: Path, benchmark: str = "wikimel", *, pictures: bool = True) -> Path:
    """WikiMEL, with the captions in `melbench/` in the folder; or Richpedia-MEL with captions of its own."""
    if benchmark == "richpediamel":
        return write_richpediamel(folder)
    write_melbench(folder / "melbench", splits=False, pictures=False)
    write_json(folder / "input_data", qid2ne=NAMES, qid2abs=TEXTS, splits=SPLITS)
    if pictures:
        write_pictures(folder / "images", *CAPTION_PICTURES)
    return folder


def write_richpediamel(folder: Path) -> Path:
    """Richpedia-MEL of `ghmfc`: 20 captions in train, one in test, none for validation; no pictures."""
    train = {
        f"Q{i}": {"id": f"Q{i}", "sentence": f"Person {i} sat.", "mentions": f"Person {i}", "entities": f"P {i}", "answer": f"Q{i}"}
        for i in range(20)
    }  # fmt: skip
    train["Q3"]["answer"] = "nil"
    test = {"Q50": {"id": "Q50", "sentence": "The end.", "mentions": "end", "entities": "P 50", "answer": "Q50"}}
    names = {f"Q{i}": f"P {i}" for i in range(60)}
    short = {f"Q{i}": f"Sex: s{i}." for i in range(60)}
    long = {f"Q{i}": f"Sex: s{i}. Birth: 19{i:02d}." for i in range(60)}
    return write_json(folder, train=train, test=test, qid2ne=names, qid2abs=short, qid2abs_long=long)
