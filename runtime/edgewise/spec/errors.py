"""Every error that a user can cause, and mend.

EdgewiseError                 base; the command line prints it without a traceback and exits 1
├── InputError                a path, photo, folder or value that was given is not what was expected
│   ├── PhotoError            one photo cannot be read
│   └── DataError             a folder of photos cannot be used as a data set
├── ModelError                a model file or run folder is damaged, foreign or of the wrong kind
├── BackendError              a backend or provider is not there, or does not do what was asked
├── ExtraMissingError         an optional part is not installed
├── OutputError               a result cannot be written, or would overwrite something
├── GateError                 an exported file is not faithful to its network
├── WorkerError               another machine of a training is gone
└── SourceError               a camera, video or stream cannot be opened or was lost
"""

from __future__ import annotations

import sys

PYTHON_NOTE = "   (needs Python 3.10-3.13, as TensorFlow does)"


class EdgewiseError(Exception):
    """An error with what was got, what was expected and what to do about it.

    Args:
        got: what was found, naming the file or value.
        expected: what would have been right; may be empty where ``got`` says it already.
        do: what the user can do now; may be empty.
    """

    def __init__(self, got: str, expected: str = "", do: str = "") -> None:
        self.got, self.expected, self.do = got, expected, do
        super().__init__(
            "\n".join(part for part in (got, expected and f"Expected: {expected}", do and f"Do: {do}") if part)
        )

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        """Keep the three parts when the error crosses a process boundary."""
        return type(self), (self.got, self.expected, self.do)


class InputError(EdgewiseError):
    """A path, folder or value that was given is not what was expected."""


class PhotoError(InputError):
    """One photo cannot be read."""


class DataError(InputError):
    """A folder of photos cannot be used as a data set."""


class ModelError(EdgewiseError):
    """A model file or run folder is damaged, foreign or of the wrong kind."""


class BackendError(EdgewiseError):
    """A backend or provider is not there, or does not do what was asked."""


class OutputError(EdgewiseError):
    """A result cannot be written, or would overwrite something that exists."""


class GateError(EdgewiseError):
    """An exported file is not faithful to its network."""


class WorkerError(EdgewiseError):
    """Another machine of a training that runs on several does not answer any more."""


class SourceError(EdgewiseError):
    """A camera, video or stream cannot be opened or was lost."""


class ExtraMissingError(EdgewiseError):
    """An optional part of Edgewise is not installed.

    Args:
        extra: name of the extra, for example ``"train"``.
        module: the module that could not be imported.
    """

    def __init__(self, extra: str, module: str) -> None:
        self.extra, self.module = extra, module
        super().__init__(
            f"this needs the optional part '{extra}', and its module '{module}' is not installed",
            do=f"pip install 'edgewise[{extra}]'" + (PYTHON_NOTE if sys.version_info >= (3, 14) else ""),
        )

    def __reduce__(self) -> tuple[type, tuple[str, str]]:  # type: ignore[override]
        """Keep the two parts when the error crosses a process boundary."""
        return type(self), (self.extra, self.module)
