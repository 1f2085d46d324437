"""The five ways into a knowledge base, and what each refuses."""

import codecs
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict, load_dataset

from hf_mel.data import ENTITY_FEATURES, KnowledgeBase


RECORDS = [
    {"id": "Q1", "name": "Zoë Holt", "aliases": ["Z. Holt", "Zo"], "types": ["person"], "description": "a\npoet"},
    {"id": "Q2", "name": "北京 😀", "aliases": [], "types": [], "attributes": "Country: China."},
    {"id": "Q3", "name": 'The "Sea", 2', "aliases": [], "types": ["ship", "wreck"]},
]


@pytest.fixture
def expected():
    return KnowledgeBase.from_records(RECORDS)


def csv_text(separator="|", delimiter=","):
    def cell(value):
        text = separator.join(value) if isinstance(value, list) else value or ""
        return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in f'"\n{delimiter}') else text

    names = ["id", "name", "aliases", "types", "description", "attributes"]
    lines = [delimiter.join(names)]
    lines += [delimiter.join(cell(record.get(name)) for name in names) for record in RECORDS]
    return "\n".join(lines) + "\n"


def refused(call, *args, **options) -> list[str]:
    """The lines of the error."""
    with pytest.raises(ValueError) as raised:
        call(*args, **options)
    return str(raised.value).splitlines()


# ---- The same from everywhere ----


@pytest.mark.parametrize(
    ("name", "encode", "options"),
    [
        ("t.csv", lambda text: text.encode(), {}),
        ("t.csv", lambda text: codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode(), {}),
        ("t.tsv", lambda text: text.encode(), {}),
        ("t.txt", lambda text: text.encode(), {"delimiter": ";", "list_separator": "/"}),
    ],
    ids=["csv", "bom_crlf", "tsv", "semicolon"],
)
def test_csv(tmp_path, expected, name, encode, options):
    delimiter = "\t" if name.endswith("tsv") else options.get("delimiter", ",")
    text = csv_text(options.get("list_separator", "|"), delimiter)
    (tmp_path / name).write_bytes(encode(text))
    kb = KnowledgeBase.from_csv(tmp_path / name, **options)
    if "\r" in (tmp_path / name).read_bytes().decode():
        assert kb[0]["description"] == "a\r\npoet"  # what is in quotes stays as it is
    else:
        assert kb.fingerprint == expected.fingerprint
    assert kb.names() == expected.names() and kb.aliases() == expected.aliases()
    assert kb.dataset.features == ENTITY_FEATURES


def test_jsonl(tmp_path, expected):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n\n" for record in RECORDS), encoding="utf-8")
    assert KnowledgeBase.from_jsonl(path).fingerprint == expected.fingerprint


def test_parquet_and_dataset(tmp_path, expected):
    renamed = [{"description": None, "attributes": None, "Label": r["name"], **r} for r in RECORDS]
    renamed = [{name: value for name, value in record.items() if name != "name"} for record in renamed]
    pq.write_table(pa.Table.from_pylist(renamed), tmp_path / "t.parquet")
    assert KnowledgeBase.from_parquet(tmp_path / "t.parquet").fingerprint == expected.fingerprint
    dataset = Dataset.from_list(renamed)
    assert KnowledgeBase.from_dataset(dataset).fingerprint == expected.fingerprint
    # Rows that were selected are those that count.
    assert KnowledgeBase.from_dataset(dataset.select([2, 0])).ids == ["Q3", "Q1"]


def test_many_batches_keep_their_order(tmp_path):
    number = 2_345
    (tmp_path / "t.csv").write_text("id,name\n" + "".join(f"Q{i},name {i}\n" for i in range(number)))
    kb = KnowledgeBase.from_csv(tmp_path / "t.csv")
    assert kb.ids == [f"Q{i}" for i in range(number)]
    assert kb.dataset["source_row"][:] == list(range(number))
    pq.write_table(pa.table({"id": kb.ids, "name": kb.names()}), tmp_path / "t.parquet")
    assert KnowledgeBase.from_parquet(tmp_path / "t.parquet").fingerprint == kb.fingerprint


def test_what_is_read_can_be_saved_and_loaded(tmp_path, write_picture):
    write_picture(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("id,name,image\nQ1,one,a.png\nQ2,two,\n")
    kb = KnowledgeBase.from_csv(tmp_path / "t.csv", text_field="description", same_entity=[["Q1", "Q2"]])
    assert kb.text_field == "description" and kb.identity.tolist() == [0, 0]
    kb.save(tmp_path / "out")
    os.unlink(tmp_path / "a.png")
    assert KnowledgeBase.load(tmp_path / "out").images([0])[0].size == (6, 4)


def test_columns_by_name_and_numbers_as_ids(tmp_path, caplog):
    path = tmp_path / "products.jsonl"
    path.write_text('{"sku": 12, "label": "Kettle", "price": 3.5}\n{"sku": 13, "label": "Lamp"}\n')
    kb = KnowledgeBase.from_jsonl(path, columns={"id": "sku"})
    assert kb.ids == ["12", "13"] and kb.names() == ["Kettle", "Lamp"]
    assert "took `name` from 'label'" in caplog.text and "columns not used: price" in caplog.text
    message = refused(KnowledgeBase.from_jsonl, path, columns={"id": "sku"}, strict_columns=True)
    assert message[:2] == [f"{path}: 1 problem", "  column 'price': is not used"]


def test_options_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("id,name\n1,one\n")
    with pytest.raises(TypeError, match="image_dir"):
        KnowledgeBase.from_csv(tmp_path / "t.csv", image_dir="x")
    with pytest.raises(ValueError, match="delimiter=';;'"):
        KnowledgeBase.from_csv(tmp_path / "t.csv", delimiter=";;")
    with pytest.raises(ValueError, match="list_separator is empty"):
        KnowledgeBase.from_csv(tmp_path / "t.csv", list_separator="")
    with pytest.raises(FileNotFoundError, match="images='absent'"):
        KnowledgeBase.from_csv(tmp_path / "t.csv", images="absent")
    with pytest.raises(FileNotFoundError, match=r"no entities at .*absent\.csv"):
        KnowledgeBase.from_csv(tmp_path / "absent.csv")
    with pytest.raises(TypeError, match="not a DatasetDict with the splits train"):
        KnowledgeBase.from_dataset(DatasetDict({"train": Dataset.from_dict({"id": ["1"]})}))


# ---- What is wrong with files ----


def test_problems_of_csv_name_the_physical_line_and_the_column(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "sku,name,types,source_row\n"  # line 1
        '1,"one\nof\ntwo lines",,\n'  # lines 2 to 4
        "1,again,,\n"  # 5
        "\n"  # 6
        ",no id,,\n"  # 7
        "3,,,x1\n"  # 8
        "4,too few\n"  # 9
        "5,too,many,,\n"  # 10
        '6,"six" or so,,\n'  # 11
        "7,seven,,1.5\n"  # 12
    )
    assert refused(KnowledgeBase.from_csv, path, columns={"id": "sku"}) == [
        f"{path}: 8 problems",
        "  line 5: `id` (column 'sku') '1' is already that of line 2",
        "  line 7: `id` (column 'sku') is missing or empty (name 'no id')",
        "  line 8: `name` is missing or empty (id '3')",
        "  line 8: `source_row` must be a whole number, not 'x1'",
        "  line 9: has 2 cells, the header 4 columns",
        "  line 10: has 5 cells, the header 4 columns",
        "  line 11: is not well-formed: ',' expected after '\"'",
        "  line 12: `source_row` must be a whole number, not '1.5'",
        "Correct the source, or name other columns by `columns=`. Allowed fields are id, name, aliases, description, "
        "attributes, types, image, image_status, source_row; `id` and `name` are needed.",
    ]


def test_a_quote_that_is_never_closed(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('id,name\n,x\n2,"two\n3,three\n4,four\n')
    message = refused(KnowledgeBase.from_csv, path)
    assert message[:4] == [
        f"{path}: 3 problems",
        "  line 2: `id` is missing or empty (name 'x')",
        "  line 3: is not well-formed: a quoted cell which begins here is never closed",
        "  line 3: the lines after it were not read",
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"\xef\xbb\xbfid,name\nQ1,Zo\xeb\nQ2,\nQ3,B\xf6\n"),
        ("t.jsonl", b'\xef\xbb\xbf{"id": "Q1", "name": "one"}\n{"id": "\xeb", "name": "B\xf6"}\n{"id": "Q2"}\n'),
    ],
)
def test_bytes_that_are_not_utf8_are_named_not_guessed(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    message = refused(getattr(KnowledgeBase, f"from_{name[2:]}"), tmp_path / name)
    byte, line = (0xEB, 2)
    at = content.index(bytes([byte])) + 1
    assert message[1] == f"  line {line}: byte 0x{byte:x} (byte {at} of the file) is not UTF-8; save the file as UTF-8"
    assert message[2].startswith("  line 3: `name` is missing or empty")
    if name == "t.csv":
        assert f"line 4: byte 0xf6 (byte {len(content) - 1} of the file)" in message[3]


def test_utf16_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("id,name\n", encoding="utf-16")
    with pytest.raises(ValueError, match=r"t\.csv is UTF-16"):
        KnowledgeBase.from_csv(tmp_path / "t.csv")


def test_headers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,name,name,id\n")
    assert refused(KnowledgeBase.from_csv, path)[1:3] == [
        "  line 1: the header names column 'id' 2 times",
        "  line 1: the header names column 'name' 2 times",
    ]
    path.write_text(",id, name \n0,Q1,one\n")  # the index of pandas, spaces around a name
    assert KnowledgeBase.from_csv(path).names() == ["one"]
    for text in ("", "id,name\n", "id,name\n\n\n"):
        path.write_text(text)
        assert refused(KnowledgeBase.from_csv, path) == [f"{path} holds no entity"]
    path.write_text("id;name\n1;one\n")
    assert "is the delimiter another one?" in refused(KnowledgeBase.from_csv, path)[1]


def test_problems_of_json_lines(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"id": "Q1", "name": "one"}\n'
        "\n"
        "{oops\n"
        '["Q3"]\n'
        '{"id": "Q4", "name": ["four"], "types": 4, "aliases": ["a", 1]}\n'
        '{"id": true, "name": "five"}\n'
        '{"id": 1.5, "name": "six"}\n'
        '{"id": "Q7", "id": "Q8", "name": "seven"}\n'
        '{"id": "Q9", "name": "\\ud83d", "source_row": 9223372036854775808}\n'
        '{"id": "Q10", "name": "ten", "image": {"url": "x"}}\n'
        + "[" * 100_000 + "\n"
    )  # fmt: skip
    assert refused(KnowledgeBase.from_jsonl, path)[:-1] == [
        f"{path}: 12 problems",
        "  line 3: is not JSON: Expecting property name enclosed in double quotes (character 2)",
        "  line 4: is list, not an object with fields",
        "  line 5: `name` must be text, not ['four']",
        "  line 5: `aliases` must be a list of texts, not ['a', 1]",
        "  line 5: `types` must be a list of texts, not 4",
        "  line 6: `id` must be text, not True",
        "  line 7: `id` must be text, not 1.5",
        "  line 8: `id` stands twice in the object",
        "  line 9: `name` holds half of a surrogate pair (character 0), which is no character: '\\ud83d'",
        "  line 9: `source_row` must be a whole number, not 9223372036854775808",
        "  line 10: `image` must have `bytes` or `path`, not url",
        "  line 11: is nested too deeply",
    ]


def test_problems_of_tables(tmp_path):
    (tmp_path / "t.parquet").write_text("no")
    with pytest.raises(ValueError, match=r"t\.parquet is not a Parquet file"):
        KnowledgeBase.from_parquet(tmp_path / "t.parquet")
    table = pa.table({"id": ["a", "a", None, "b"], "name": [1.5, 2.5, 3.5, None]})
    pq.write_table(table, tmp_path / "t.parquet")
    for call, source in (
        (KnowledgeBase.from_parquet, tmp_path / "t.parquet"),
        (KnowledgeBase.from_dataset, Dataset(table)),
    ):
        assert refused(call, source)[1:-1] == [
            "  record 1: `name` must be text, not 1.5",
            "  record 2: `name` must be text, not 2.5",
            "  record 3: `id` is missing or empty (name 3.5)",
            "  record 3: `name` must be text, not 3.5",
            "  record 4: `name` is missing or empty (id 'b')",
        ]


def test_lists_in_cells_of_other_tables_are_split_and_floats_of_pandas_understood():
    frame = Dataset.from_dict({"id": [1.0, 2.0], "name": ["a", "b"], "alias": ["x| y ||", None], "source_row": [float("nan"), 7.0]})  # fmt: skip
    kb = KnowledgeBase.from_dataset(frame)
    assert kb.ids == ["1", "2"]
    assert kb.aliases() == [["x", "y"], []]
    assert kb.dataset["source_row"][:] == [0, 7]


def test_all_problems_are_counted_and_twenty_shown(tmp_path):
    (tmp_path / "t.csv").write_text("id,name\n" + "".join(f"Q{i},\n" for i in range(45)))
    message = refused(KnowledgeBase.from_csv, tmp_path / "t.csv")
    assert message[0].endswith(": 45 problems")
    assert message[21] == "  ... and 25 more"


def test_a_refused_table_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_mel.data.own.reading.get_temporary_cache_files_directory", lambda: str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "t.csv").write_text("id,name\n" + "".join(f"Q{i},n\n" for i in range(1500)) + "Q1,n\n")
    refused(KnowledgeBase.from_csv, tmp_path / "t.csv")
    assert not list((tmp_path / "tmp").iterdir())
    (tmp_path / "t.csv").write_text("id,name\nQ1,n\n")
    KnowledgeBase.from_csv(tmp_path / "t.csv")
    assert len(list((tmp_path / "tmp").iterdir())) == 1


# ---- Folders ----


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_folder_as_imagefolder_has_it(tmp_path, write_picture, caplog, suffix):
    folder = tmp_path / "pictures"
    for name in ("a.png", "sub/b.jpg", "more.png"):
        write_picture(folder / name)
    records = [
        {"file_name": "a.png", "id": "Q1", "name": "one"},
        {"file_name": "sub/b.jpg", "id": "Q2", "name": "two"},
    ]
    if suffix == "csv":
        (folder / "metadata.csv").write_text("file_name,id,name\na.png,Q1,one\nsub/b.jpg,Q2,two\n")
    elif suffix == "jsonl":
        (folder / "metadata.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
        pq.write_table(pa.Table.from_pylist(records), folder / "metadata.parquet")
    kb = KnowledgeBase.from_folder(folder)
    assert [image.size for image in kb.images()] == [(6, 4), (6, 4)]
    assert f"1 picture of {folder} in no record: more.png" in caplog.text
    assert "took" not in caplog.text  # `file_name` is no guess here
    if suffix != "csv":  # which datasets 4.0 cannot read with pandas 3
        theirs = load_dataset("imagefolder", data_dir=str(folder), split="train")
        assert sorted(theirs["name"][:]) == kb.names()


def test_a_folder_without_a_table(tmp_path, write_picture):
    for name in ("Ada Holt.png", "sub/Bo.JPG", ".hidden.png"):
        write_picture(tmp_path / "p" / name)
    (tmp_path / "p" / "notes.txt").write_text("x")
    kb = KnowledgeBase.from_folder(tmp_path / "p")
    assert kb.ids == ["Ada Holt", "sub/Bo"] and kb.names() == ["Ada Holt", "Bo"]
    assert all(image.size == (6, 4) for image in kb.images())
    write_picture(tmp_path / "p" / "Ada Holt.gif")
    assert "Ada Holt.png: `id` 'Ada Holt' is already that of Ada Holt.gif" in refused(KnowledgeBase.from_folder, tmp_path / "p")[1]  # fmt: skip


def test_folders_that_cannot_be_read(tmp_path):
    (tmp_path / "empty").mkdir()
    assert refused(KnowledgeBase.from_folder, tmp_path / "empty") == [f"{tmp_path / 'empty'} holds no entity"]
    for name in ("metadata.csv", "metadata.jsonl"):
        (tmp_path / name).write_text("x")
    with pytest.raises(ValueError, match=r"several tables, metadata\.csv, metadata\.jsonl"):
        KnowledgeBase.from_folder(tmp_path)
    with pytest.raises(NotADirectoryError, match="is no folder"):
        KnowledgeBase.from_folder(tmp_path / "metadata.csv")
    with pytest.raises(FileNotFoundError, match="no entities at"):
        KnowledgeBase.from_folder(tmp_path / "absent")
