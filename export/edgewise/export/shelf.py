"""A release folder: model files, ``index.json`` and ``SHA256SUMS``, always consistent.

A file that is about to change is dropped from both lists first and added last, so that at no moment a sum stands
beside a file it does not fit.
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

INDEX, SUMS, DRAFT = "index.json", "SHA256SUMS", ".draft-"
SCHEMA = 1
"""Version of ``index.json``."""


@dataclass(frozen=True)
class Shelf:
    """The folder."""

    path: Path

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
        for name in names:
            refuse_overwrite(self.path / name, overwrite=overwrite)
        self._index()
        for folder in self.path.glob(f"{DRAFT}*"):
            # What a killed export left behind: nobody holds its lock any more.
            with suppress(OSError), _locked(folder, wait=False):
                shutil.rmtree(folder)

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
            raise self._not_writable(error.strerror or str(error)) from error

    def place(self, name: str, content: bytes, *, rejected: bool) -> Path:
        """Write a file under its name, or under one that says ``rejected``, and forget what stood under both.

        Raises:
            OutputError: it cannot be written.
        """
        with self._alone():
            if (index := self._index())["variants"]:
                self._write({**index, "variants": [row for row in index["variants"] if row["file"] != name]})
        good, bad = self.path / name, _rejected(self.path / name)
        write_bytes(bad if rejected else good, content)
        # A file of an earlier export is not what was asked for now.
        (good if rejected else bad).unlink(missing_ok=True)
        return bad if rejected else good

    def publish(self, name: str, run: str, rows: Sequence[dict[str, Any]]) -> None:
        """Add files to the index and the sums. Raises OutputError."""
        replaced = {row["file"] for row in rows}
        with self._alone():
            kept = [row for row in self._index()["variants"] if row["file"] not in replaced]
            there = [row for row in kept if (self.path / row["file"]).is_file()]
            everything = sorted([*there, *rows], key=lambda row: str(row["file"]))
            self._write({"schema": SCHEMA, "name": name, "run": run, "variants": everything})

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

    def _not_writable(self, reason: str) -> OutputError:
        return OutputError(f"cannot write into {self.path}: {reason}", do="choose another place with --out")

    def _write(self, index: dict[str, Any]) -> None:
        write_text(self.path / INDEX, json.dumps(index, indent=2, ensure_ascii=False) + "\n")
        write_text(self.path / SUMS, "".join(f"{row['sha256']}  {row['file']}\n" for row in index["variants"]))

    def _index(self) -> dict[str, Any]:
        """What ``index.json`` holds, with the rows that name a file in this folder."""
        path = self.path / INDEX
        if not path.is_file():
            return {"variants": []}
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
            rows = [row for row in index["variants"] if os.path.basename(row["file"]) == row["file"] and row["sha256"]]
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


def _rejected(path: Path) -> Path:
    return path.with_name(f"{path.stem}.rejected{path.suffix}")
