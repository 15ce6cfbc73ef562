"""Trying a file of another maker out in a child process, before this one loads it.

Engines are written in C++ and trust their files: a damaged one can end the process. So it is first loaded and run in a
child with the same engine and settings, with limits of memory and time; what ends the child is an error here. The
child gets the same bytes, not the path. What the child survives, this process loads.

Run as a module, this is the child: the file comes by standard input, what to do by the command line as JSON, and the
answer goes to standard output as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgewise.runtime.backends import Choice, open_engine
from edgewise.runtime.engines import kind_called
from edgewise.runtime.engines.base import CPU, Network, Settings
from edgewise.runtime.foreign import describe, what_is_said
from edgewise.runtime.modelfile import CheckedFile
from edgewise.spec import EdgewiseError, Format, ModelError, errors
from edgewise.spec.child import end_with_parent, limit_myself, run_module
from edgewise.spec.opening import Opening

SECONDS = 60
"""How long each thread may compute to load a file and answer for three pictures."""

_MOST_WAITING = 5
"""So many times as long may pass by the clock, where other work holds the machine up."""

MEMORY = 6 << 30
"""Bytes of address space, beside what grows with the file and the threads: most of it is never touched."""

_PER_BYTE, _PER_THREAD = 16, 128 << 20
_SOUND = "a file that can be loaded and run"
_AGAIN = "copy or export the file again"


def try_out(file: CheckedFile, choice: Choice, opening: Opening) -> None:
    """Load a file in a child process and run it on the probe pictures.

    Args:
        file: of another maker.
        choice: what it is to run on.
        opening: what is said about it.

    Raises:
        ModelError: the child ended by a signal, took too long, or found what `describe` finds.
        InputError: likewise.
        BackendError: what was chosen cannot be used.
    """
    task = {
        "path": os.fspath(file.path),
        "format": file.format.value,
        "kind": choice.kind.name,
        "settings": asdict(choice.settings),
        "opening": {name: value for name, value in asdict(opening).items() if name != "labels"},
        "labels": os.fspath(opening.labels) if opening.labels else None,
        "seconds": SECONDS * choice.settings.threads,
    }
    outcome = run_module(__name__, [json.dumps(task)], file.content, SECONDS * _MOST_WAITING)
    if outcome.timed_out or outcome.signal == "SIGXCPU":
        raise ModelError(f"{file.path} was tried out, and took more than {SECONDS} seconds", _SOUND, _AGAIN)
    if outcome.signal:
        raise ModelError(
            f"{file.path} was tried out in a process of its own, and {choice.kind.title} crashed ({outcome.signal})",
            _SOUND,
            _AGAIN,
        )
    _raise_answer(outcome.output, file, choice)


def _raise_answer(output: bytes, file: CheckedFile, choice: Choice) -> None:
    """Raise the error that the child found, or one that it gave no answer."""
    try:
        answer = json.loads(output)
        if answer is None:
            return
        error = getattr(errors, answer["error"])(*answer["parts"])
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ModelError(
            f"{file.path} was tried out in a process of its own, and {choice.kind.title} ended it", _SOUND, _AGAIN
        ) from problem
    raise error


def _try(task: dict[str, Any], content: bytes) -> None:
    """What the child does."""
    kind, settings = kind_called(task["kind"]), Settings(**task["settings"])
    if settings.provider == CPU:  # drivers of other devices reserve more address space than there is memory
        limit_myself(MEMORY + _PER_BYTE * len(content) + _PER_THREAD * settings.threads, task["seconds"])
    form = Format(task["format"])
    file = CheckedFile(Path(task["path"]), form, None, content, "", has_digest=False)
    opening = Opening(**task["opening"])
    opening = replace(opening, labels=Path(task["labels"]) if task["labels"] else None)
    network = Network(task["path"], form, content)
    engine, _ = open_engine(network, Choice(kind, settings), allow_fallback=opening.allow_fallback)
    describe(file, engine, what_is_said(file, opening), opening)


def main() -> None:
    """Try one file out, as the parent says."""
    # Native code may print: what it prints must not be in the answer.
    end_with_parent()
    answer = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    found: dict[str, Any] | None = None
    try:
        _try(json.loads(sys.argv[1]), sys.stdin.buffer.read())
    except EdgewiseError as error:
        found = {"error": type(error).__name__, "parts": [error.got, error.expected, error.do]}
    except MemoryError:
        found = {"error": "ModelError", "parts": ["the file needs more memory than it was given", _SOUND, _AGAIN]}
    answer.write(json.dumps(found))
    answer.close()
    os._exit(0)  # destructors of what was damaged are not waited for


if __name__ == "__main__":
    main()
