"""Keeping native libraries from talking: on standard error, and about their user."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Drop what native code writes to standard error meanwhile.

    The engines greet and log through C++ streams of their own, which no setting of theirs silences altogether.
    Python's exceptions are not affected. Another thread's messages are dropped too.
    """
    if sys.stderr is None:  # started with standard error closed: there is nothing to keep quiet
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def refuse_telemetry() -> None:
    """Keep ONNX Runtime from collecting what it is used for in the home folder; before it is imported."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


@contextmanager
def quiet_tools() -> Iterator[None]:
    """Keep the chatter of the tools away; what they raise tells what there is to tell."""
    # Imported here, because every command starts with this module.
    import logging
    import warnings

    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
