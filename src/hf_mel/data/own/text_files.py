"""Text files as lines, and files of other kinds by their first bytes."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


_NO_UTF8 = "save the file as UTF-8"
_SHOWN = 10_000
_HEAD = 2**16

_SHEET = "save its sheet as CSV UTF-8, and give that file"
_KINDS = {
    b"PK\x03\x04": f"an Excel or OpenDocument file (or a zip archive): name it .xlsx if it is the former, or {_SHEET}",
    b"\xd0\xcf\x11\xe0": f"an old Excel file: save it as .xlsx, or {_SHEET}",
    b"PAR1": "a Parquet file: name it .parquet",
    b"\x1f\x8b": "compressed by gzip: unpack it, and give the file in it",
    b"%PDF": "a PDF: tables are read from CSV, TSV, JSON lines or Parquet",
}
_SHEETS = (".xls", ".ods", ".numbers")


def refuse_other_kinds(path: Path) -> None:
    """Names a file that is no text by what it is, and what to do.

    Raises:
        `ValueError`: a spreadsheet, an archive, Parquet or a PDF, whatever the suffix says.

    Example:

    ```python
    >>> from pathlib import Path
    >>> from hf_mel.data.own.text_files import refuse_other_kinds

    >>> _ = Path("objects.csv").write_bytes(b"PK\\x03\\x04...")
    >>> refuse_other_kinds(Path("objects.csv"))
    Traceback (most recent call last):
        ...
    ValueError: objects.csv is an Excel or OpenDocument file (or a zip archive): name it .xlsx if it is the former, or save its sheet as CSV UTF-8, and give that file
    ```
    """
    with open(path, "rb") as file:
        head = file.read(4)
    for magic, kind in _KINDS.items():
        if head.startswith(magic):
            raise ValueError(f"{path} is {kind}")
    if path.suffix.lower() in _SHEETS:
        raise ValueError(f"{path} is a spreadsheet: {_SHEET}")


def utf8_lines(path: Path) -> Iterator[tuple[int, str, str | None]]:
    """Line number, text, and what is wrong if the bytes are not UTF-8, which are then replaced.

    Lines end in LF or CR LF, or in CR where the file has no other end of line.
    """
    position = 0
    with open(path, "rb") as file:
        for number, line in enumerate(_byte_lines(file), start=1):
            if number == 1:
                if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise ValueError(f"{path} is UTF-16: {_NO_UTF8}")
                skipped = len(codecs.BOM_UTF8) if line.startswith(codecs.BOM_UTF8) else 0
                line, position = line[skipped:], skipped
            try:
                yield number, line.decode("utf-8"), None
            except UnicodeDecodeError as error:
                byte = f"byte 0x{line[error.start]:02x} (byte {position + error.start + 1:,} of the file)"
                yield number, line.decode("utf-8", "replace"), f"{byte} is not UTF-8; {_NO_UTF8}"
            position += len(line)


def _byte_lines(file: BinaryIO) -> Iterator[bytes]:
    head = file.read(_HEAD)
    file.seek(0)
    if b"\n" in head or b"\r" not in head.rstrip(b"\r"):
        yield from file
        return
    rest = b""
    while part := file.read(_HEAD):
        *whole, rest = (rest + part).split(b"\r")
        yield from (line + b"\r" for line in whole)
    if rest:
        yield rest


def shortened(line: str) -> str:
    """A line that is no record, as it is shown; without end it might be a whole file."""
    line = line.rstrip("\r\n")
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}... and {len(line) - _SHOWN:,} more characters"
