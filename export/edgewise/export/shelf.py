"""A release folder: model files, ``index.json`` and ``SHA256SUMS``, always consistent.

A file that is about to change is dropped from both lists first and added last, so that at no moment a sum stands
beside a file it does not fit. In between, the index says under ``coming`` what is to stand there: where an export is
killed just after the file has got its name, the next one finds it and need not make it again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise.spec import ModelError, OutputError
from edgewise.spec.files import refuse_overwrite, sha256_file, write_bytes, write_text

INDEX, SUMS, TABLE, DRAFT = "index.json", "SHA256SUMS", "release.md", ".draft-"
COMING = "coming"
"""Key of the row in the index whose file may or may not be there yet."""

SCHEMA = 1
"""Version of ``index.json``."""


@dataclass(frozen=True)
class Shelf:
    """The folder."""

    path: Path
    name: str  # first part of the file names
    run: str  # path of the run folder

    def check_free(self, names: Sequence[str], *, overwrite: bool) -> None:
        """Make sure that files may be written. Changes nothing.

        Raises:
            OutputError: one exists and may not be replaced, or the folder cannot be written.
            ModelError: there is an index that cannot be read.
        """
        # Found out now, and not after minutes of converting.
        there = next(path for path in (self.path.absolute(), *self.path.absolute().parents) if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise self._not_writable(f"{there} is not a folder where files may be made")
        # Lists in a folder that is no release are somebody else's.
        lists = () if (self.path / INDEX).exists() else (SUMS, TABLE)
        for name in (*names, *lists):
            refuse_overwrite(self.path / name, overwrite=overwrite)
        self._index()
        if self.path.is_dir():
            self._clear(names)

    @contextmanager
    def draft(self, name: str) -> Iterator[Path]:
        """A temporary path with the suffix of ``name``, in a folder of its own that goes away again.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=DRAFT, dir=self.path) as folder, _locked(Path(folder)):
                yield Path(folder, name)
        except OSError as error:
            do = "free some space or choose another place with --out"
            raise self._not_writable(error.strerror or str(error), do) from error

    def place(self, row: dict[str, Any], content: bytes) -> None:
        """Write a file under its name, ``row["file"]``, and list it; one that was rejected before goes away.

        Raises:
            OutputError: it cannot be written.
        """
        path = self.path / row["file"]
        with self._alone():
            others = self._without(row["file"])
            self._write(others, coming=row)
            write_bytes(path, content)
            _rejected(path).unlink(missing_ok=True)
            self._write([*others, row])

    def reject(self, name: str, content: bytes) -> Path:
        """Write a file under a name that says ``rejected``; one of an earlier export under its own name goes away.

        Raises:
            OutputError: it cannot be written.
        """
        path = _rejected(self.path / name)
        with self._alone():
            self._write(self._without(name))
            write_bytes(path, content)
            (self.path / name).unlink(missing_ok=True)
        return path

    def publish(self, rows: Sequence[dict[str, Any]]) -> None:
        """Say more about files that are listed, and forget those that are gone. Raises OutputError."""
        with self._alone():
            others = self._without(*(row["file"] for row in rows))
            self._write([*(row for row in others if (self.path / row["file"]).is_file()), *rows])

    def rows(self) -> tuple[dict[str, Any], ...]:
        """What the index says about the files in this folder. Raises ModelError."""
        return tuple(self._index()["variants"])

    def holds(self, name: str, digest: str) -> bool:
        """Whether there is a file of this name with this SHA-256."""
        path = self.path / name
        return path.is_file() and sha256_file(path) == digest

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other exports into the same folder out while the lists are read and written again."""
        self.path.mkdir(parents=True, exist_ok=True)
        with _locked(self.path):
            yield

    def _not_writable(self, reason: str, do: str = "choose another place with --out") -> OutputError:
        return OutputError(f"cannot write into {self.path}: {reason}", do=do)

    def _clear(self, names: Sequence[str]) -> None:
        """Remove what a killed export has left behind."""
        for folder in self.path.glob(f"{DRAFT}*"):
            # Nobody holds its lock any more.
            with suppress(OSError), _locked(folder, wait=False):
                shutil.rmtree(folder)
        written = {*names, *(_rejected(Path(name)).name for name in names), INDEX, SUMS}
        with self._alone():
            for path in self.path.glob(".*"):
                if any(path.name.startswith(f".{name}.") for name in written):
                    path.unlink(missing_ok=True)

    def _without(self, *names: str) -> list[dict[str, Any]]:
        return [row for row in self._index()["variants"] if row["file"] not in names]

    def _write(self, rows: Sequence[dict[str, Any]], coming: dict[str, Any] | None = None) -> None:
        rows = sorted(rows, key=lambda row: str(row["file"]))
        index = {"schema": SCHEMA, "name": self.name, "run": self.run, "variants": rows}
        if coming:
            index[COMING] = coming
        write_text(self.path / INDEX, json.dumps(index, indent=2, ensure_ascii=False) + "\n")
        write_text(self.path / SUMS, "".join(f"{row['sha256']}  {row['file']}\n" for row in rows))

    def _index(self) -> dict[str, Any]:
        """What ``index.json`` holds, with the rows that name a file in this folder, and the one whose file has come."""
        path = self.path / INDEX
        if not path.is_file():
            return {"variants": []}
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
            rows = [row for row in index["variants"] if _is_plain(row)]
            coming = [row for row in [index.get(COMING)] if row and _is_plain(row)]
            rows += [row for row in coming if self.holds(row["file"], row["sha256"])]
            return {**index, "variants": rows}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{path} cannot be read: {error}", "an index that Edgewise wrote", "choose another --out"
            ) from error


@contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a folder. Raises OSError where somebody else has it and ``wait`` is false."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _is_plain(row: dict[str, Any]) -> bool:
    """Whether a row names a file in the folder itself, with a digest."""
    return os.path.basename(row["file"]) == row["file"] and bool(row["sha256"])


def _rejected(path: Path) -> Path:
    return path.with_name(f"{path.stem}.rejected{path.suffix}")
