"""Pictures that a release keeps in a group of one HDF5 file."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class StoredPicture:
    """A picture in an HDF5 file, which is read when it is needed.

    Args:
        file (`str`): the HDF5 file.
        group (`str`): the group, such as `"mention_image"`.
        key (`str`): name of the picture in the group.
        named (`bool`, *optional*, defaults to `True`): the release names this picture. If not, its absence is a fault only
            where the whole group is absent.
    """

    file: str
    group: str
    key: str
    named: bool = True

    @property
    def folder(self) -> str:
        """The file and its group."""
        return f"{self.file}/{self.group}"

    def __str__(self) -> str:
        return f"{self.folder}/{self.key}"

    def folder_is_missing(self) -> bool:
        """Returns `True` if the file or its group is not there, or the group is empty."""
        group = _group(self.file, self.group)
        return group is None or not len(group)

    def read(self) -> bytes | None:
        """The encoded picture; `None` if it is not there.

        Raises:
            `ImportError`: h5py is not installed. `ValueError`: the file is no HDF5 file.
        """
        group = _group(self.file, self.group)
        # A link to another file could lead anywhere, so links are not followed.
        if group is None or not isinstance(group.get(self.key, getlink=True), _h5py().HardLink):
            return None
        stored = group[self.key]
        if not isinstance(stored, _h5py().Dataset) or stored.external or stored.is_virtual:
            return None
        value = stored[()]
        if isinstance(value, bytes):
            return value
        value = np.asarray(value)
        return b"" if value.dtype == object else value.tobytes()


def require_h5py(file: Path) -> None:
    """Raises an `ImportError` if h5py, which reads an HDF5 file, is not installed."""
    try:
        _h5py()
    except ImportError as error:
        raise ImportError(
            f'reading the pictures of {file} needs h5py: pip install "hf-mel[hdf5]", or read no pictures (`pictures=False`)'
        ) from error


def _h5py():
    import h5py

    return h5py


def _group(file: str, name: str):
    """The group of a file; `None` if one of them is not there."""
    if not os.path.isfile(file):
        return None
    opened = _opened(file)
    found = opened.get(name) if isinstance(opened.get(name, getlink=True), _h5py().HardLink) else None
    return found if isinstance(found, _h5py().Group) else None


_open_files: dict[str, tuple[tuple, Any]] = {}


def _opened(file: str):
    """The file, which stays open, because opening takes longer than reading a picture; opened again if it has changed."""
    state = os.stat(file)
    mark = os.getpid(), state.st_ino, state.st_size, state.st_mtime_ns
    known = _open_files.get(file)
    if known is not None and known[0] == mark:
        return known[1]
    if known is not None and known[0][0] == os.getpid():
        known[1].close()  # HDF5 would give the old content of a file that is open
    require_h5py(Path(file))
    try:
        opened = _h5py().File(file, "r")
    except OSError as error:
        raise ValueError(f"{file} is no HDF5 file ({error}); fetch it again") from error
    _open_files[file] = mark, opened
    return opened
