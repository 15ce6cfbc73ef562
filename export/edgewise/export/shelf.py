"""A release folder: model files, ``index.json`` and ``SHA256SUMS``, always consistent.

Sums of files that are about to change are dropped first and written last, so that at no moment a sum stands beside
a file it does not fit.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise.spec import ModelError
from edgewise.spec.files import refuse_overwrite, write_bytes, write_text

INDEX, SUMS = "index.json", "SHA256SUMS"
SCHEMA = 1
"""Version of ``index.json``."""


@dataclass(frozen=True)
class Shelf:
    """The folder."""

    path: Path

    def make_room(self, names: Sequence[str], *, overwrite: bool) -> None:
        """Forget the files that will be made.

        Raises:
            OutputError: one exists and may not be replaced; nothing was changed.
        """
        for name in names:
            refuse_overwrite(self.path / name, overwrite=overwrite)
        rows = [row for row in self._rows() if row["file"] not in names]
        if len(rows) < len(self._rows()):
            self._write_sums(rows)
        for name in names:
            _rejected(self.path / name).unlink(missing_ok=True)

    @contextmanager
    def draft(self, name: str) -> Iterator[Path]:
        """A temporary path with the suffix of ``name``, in a folder of its own that goes away again."""
        self.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".draft-", dir=self.path) as folder:
            yield Path(folder, name)

    def place(self, name: str, content: bytes, *, rejected: bool) -> Path:
        """Write a file under its name, or under one that says ``rejected``. Raises OutputError."""
        path = _rejected(self.path / name) if rejected else self.path / name
        write_bytes(path, content)
        if rejected:
            # A file of an earlier export under this name is not what was asked for now.
            (self.path / name).unlink(missing_ok=True)
        return path

    def publish(self, name: str, run: str, rows: Sequence[dict[str, Any]]) -> None:
        """Add files to the index and the sums. Raises OutputError."""
        replaced = {row["file"] for row in rows}
        kept = [row for row in self._rows() if row["file"] not in replaced and (self.path / row["file"]).is_file()]
        everything = sorted([*kept, *rows], key=lambda row: str(row["file"]))
        index = {"schema": SCHEMA, "name": name, "run": run, "variants": everything}
        write_text(self.path / INDEX, json.dumps(index, indent=2, ensure_ascii=False) + "\n")
        self._write_sums(everything)

    def _write_sums(self, rows: Sequence[dict[str, Any]]) -> None:
        write_text(self.path / SUMS, "".join(f"{row['sha256']}  {row['file']}\n" for row in rows))

    def _rows(self) -> list[dict[str, Any]]:
        path = self.path / INDEX
        if not path.is_file():
            return []
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))["variants"]
            return [row for row in rows if os.path.basename(row["file"]) == row["file"] and row["sha256"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{path} cannot be read: {error}", "an index that Edgewise wrote", "choose another --out"
            ) from error


def _rejected(path: Path) -> Path:
    return path.with_name(f"{path.stem}.rejected{path.suffix}")
