"""What an unfinished benchmark has measured so far, a file for each answer: a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgewise.benchmarks.processes import Done
from edgewise.benchmarks.task import Task
from edgewise.spec import OutputError
from edgewise.spec.files import path_text, write_text

FOLDER = "unfinished"
"""In the folder of the reports, until they are written."""

_WHERE_ONLY = ("result", "started_ns", "picture", "listing")
"""Fields of a task that say where something lies, not what is measured."""


class Journal:
    """Answers by what they answer. Use `close` once the reports are written."""

    def __init__(self, out: Path, *, resume: bool, overwrite: bool) -> None:
        """Begin, or go on.

        Raises:
            OutputError: there is an unfinished benchmark, and it was not said what to do about it.
        """
        self.folder = out / FOLDER
        self.resumed = 0  # answers that were there already
        if self.folder.is_dir() and not resume:
            if not overwrite:
                raise OutputError(
                    f"{path_text(out)} holds a benchmark that was not finished",
                    do="add --resume to go on with it, or --overwrite to begin anew",
                )
            shutil.rmtree(self.folder)

    def key(self, task: Task, what: Mapping[str, Any]) -> str:
        """The name of an answer: a digest of the task, without where things lie, and of ``what`` it is about."""
        told = {name: value for name, value in asdict(task).items() if name not in _WHERE_ONLY}
        text = json.dumps([told, dict(what)], sort_keys=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]

    def get(self, key: str) -> Done | None:
        """The answer of that name; None where there is none that is whole."""
        try:
            data = json.loads(self.path(key).read_text(encoding="utf-8"))
            done = Done(dict(data["answer"]), int(data["peak_bytes"]))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        self.resumed += 1
        return done

    def put(self, key: str, done: Done) -> None:
        """Keep an answer; an error is not kept, so that it is tried again. Raises OutputError."""
        if not done.answer.get("error"):
            write_text(self.path(key), json.dumps(asdict(done)))

    def path(self, key: str) -> Path:
        """Where an answer is kept."""
        return self.folder / f"{key}.json"

    def close(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
