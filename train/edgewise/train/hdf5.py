"""Arrays in HDF5 files, written whole or not at all and read as plain data.

An HDF5 file can point into other files (external links, external storage, virtual data sets) and can declare sizes it
does not have. Files come from outside, so only hard links to contiguous or chunked data of the expected shape are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from edgewise.spec import ModelError
from edgewise.spec.files import replacing

Shape = tuple[int, ...]


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays atomically; a ``/`` in a name makes a group.

    Raises:
        OutputError: the file cannot be written; an older file is still there, whole.
    """
    with replacing(path) as temporary:
        try:
            with h5py.File(temporary, "w") as file:
                for name, array in arrays.items():
                    file.create_dataset(name, data=array)
        except (OSError, RuntimeError) as error:
            # HDF5 wraps the system's reason into time, offsets and addresses; on closing it raises RuntimeError.
            reason = re.search("error message = '([^']+)'", str(error))
            raise OSError(getattr(error, "errno", None), reason[1] if reason else str(error)) from error


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Raises:
        ModelError: there is no such file, or it is not HDF5 or damaged.
    """
    if not path.is_file():
        raise ModelError(f"there is no weights file {path}", "a file in HDF5 format (.h5)")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise ModelError(f"{path} cannot be read as HDF5: {error}", "an undamaged .h5 file", "copy it again") from error


def read_arrays(path: Path, shapes: Mapping[str, Shape]) -> dict[str, NDArray[Any]]:
    """Read the arrays named in ``shapes`` from a file that `write_arrays` wrote, in their own dtypes.

    Raises:
        ModelError: an array is missing, of another shape, or not plain data; the message names it.
    """
    with opened(path) as file:
        return {name: read_dataset(file, name, shape, path) for name, shape in shapes.items()}


def read_dataset(group: h5py.Group, name: str, shape: Shape, path: Path) -> NDArray[Any]:
    """Read one data set of numbers, after its kind and shape were checked.

    Raises:
        ModelError: missing, of another shape, not numbers, or stored outside of the file.
    """
    dataset = find_dataset(group, name, path)
    if dataset.shape != shape:
        raise ModelError(f"'{name}' in {path} has shape {dataset.shape}", f"{shape}", "use weights of this network")
    return np.asarray(dataset[()])


def find_dataset(group: h5py.Group, name: str, path: Path) -> h5py.Dataset:
    """Find one data set of numbers without reading them.

    Raises:
        ModelError: missing, not numbers, or stored outside of the file.
    """
    dataset = _follow(group, name.split("/"), path, name)
    if not isinstance(dataset, h5py.Dataset):
        raise ModelError(f"{path} has no array '{name}'", "an array of numbers", "use weights of this network")
    if dataset.is_virtual or dataset.external or dataset.dtype.kind not in "fiu":
        raise ModelError(f"'{name}' in {path} is not plain numbers", "numbers stored in the file itself")
    return dataset


def _follow(group: h5py.Group, parts: Sequence[str], path: Path, name: str) -> Any:
    node: Any = group
    for part in parts:
        # The link is looked at first: asking whether a name is there would already open the file it points to.
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) and part else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise ModelError(f"'{name}' in {path} is a link", "numbers stored in the file itself")
        node = node[part]
    return node
