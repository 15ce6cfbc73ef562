"""Arrays in HDF5: written whole, read as plain numbers, and nothing outside of the file is ever touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from edgewise.spec import ModelError, OutputError
from edgewise.train.hdf5 import opened, read_arrays, write_arrays

SHAPE = (4, 3)
VALUES = np.arange(12, dtype=np.float32).reshape(SHAPE)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Another file with an array of the right shape, and the same bytes raw."""
    write_arrays(tmp_path / "secret.h5", {"a": VALUES})
    (tmp_path / "secret.bin").write_bytes(VALUES.tobytes())
    return tmp_path / "secret.h5"


def refused(path: Path, name: str = "a") -> str:
    with pytest.raises(ModelError) as error:
        read_arrays(path, {name: SHAPE})
    assert str(path) in error.value.got
    return error.value.got


def test_arrays_come_back_with_their_dtypes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "arrays.h5"
    arrays = {"a/b/kernel": VALUES, "a/b/bias": np.int64([1, 2]), "step": np.int64(7)}
    write_arrays(path, arrays)
    read = read_arrays(path, {name: np.shape(array) for name, array in arrays.items()})
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype
    assert [entry.name for entry in path.parent.iterdir()] == ["arrays.h5"]


def test_where_it_cannot_be_written_the_error_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_arrays(tmp_path / "file" / "a.h5", {"a": VALUES})


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no weights file .*missing\.h5\nExpected: a file in HDF5 format"):
        read_arrays(tmp_path / "missing.h5", {"a": SHAPE})


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(200)])
def test_a_file_that_is_not_hdf5(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    assert "cannot be read as HDF5" in refused(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_truncated_file(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.h5"
    write_arrays(path, {"a": VALUES, "b": np.zeros(10_000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "cannot be read as HDF5" in refused(path)


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_arrays(path, {"a/kernel": VALUES})
    assert "has no array 'a/bias'" in refused(path, "a/bias")
    assert "has no array 'a'" in refused(path, "a")
    assert "has no array 'a/kernel/deeper'" in refused(path, "a/kernel/deeper")
    assert "has no array 'a/'" in refused(path, "a/")


def test_another_shape_is_named_with_both(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_arrays(path, {"a": VALUES.T})
    with pytest.raises(ModelError, match=r"'a' in .* has shape \(3, 4\)\nExpected: \(4, 3\)"):
        read_arrays(path, {"a": SHAPE})


def test_an_array_that_claims_terabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (1 << 40,), "f4", chunks=(1 << 20,))
    assert "has shape (1099511627776,)" in refused(path)


def test_texts_are_not_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", SHAPE, h5py.string_dtype())
    assert "'a' in" in refused(path)
    assert "is not plain numbers" in refused(path)


def test_links_into_another_file_are_not_followed(tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["a"] = h5py.ExternalLink(secret.name, "/a")
        file["group"] = h5py.ExternalLink(secret.name, "/")
        file["soft"] = h5py.SoftLink("/a")
        file["dangling"] = h5py.ExternalLink("nowhere.h5", "/a")
    for name in ("a", "group/a", "soft", "dangling"):
        assert "is a link" in refused(path, name)


def test_data_stored_in_another_file_is_not_read(tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "a.h5"
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[:] = h5py.VirtualSource(secret, "a", SHAPE)
    with h5py.File(path, "w") as file:
        raw = [(str(secret.with_suffix(".bin")), 0, VALUES.nbytes)]
        file.create_dataset("a", SHAPE, "f4", external=raw)
        file.create_virtual_dataset("virtual", layout)
    for name in ("a", "virtual"):
        assert "is not plain numbers" in refused(path, name)


def test_a_damaged_array_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("a", data=VALUES, chunks=SHAPE, fletcher32=True)
        offset = dataset.id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(content)
    assert "cannot be read as HDF5" in refused(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no weights file"), opened(tmp_path):
        pass


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from edgewise.train.hdf5 import write_arrays
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_arrays(Path(sys.argv[1]), {"layer/kernel": np.ones(100_000, np.float32)})
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_disk_that_takes_no_more_is_told_in_the_words_of_the_system(tmp_path: Path) -> None:
    """A limit on the length of files fails as a full disk does: the system refuses the write."""
    path = tmp_path / "weights.h5"
    write_arrays(path, {"layer/kernel": np.zeros(3, np.float32)})
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout == (
        f"OutputError cannot write {path}: File too large\nDo: free some space or choose another place with --out\n"
    ), done.stderr
    assert read_arrays(path, {"layer/kernel": (3,)})["layer/kernel"].tolist() == [0, 0, 0]
    assert [each.name for each in tmp_path.iterdir()] == ["weights.h5"]
