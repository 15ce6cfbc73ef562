"""Lists of paths: text files with one path a line, and the same on standard input, as it comes."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import BinaryIO

from edgewise.spec import InputError

LIST_SUFFIXES = frozenset({".lst", ".txt"})
"""Suffixes, in lower case, of files that are taken for lists of paths where they are named themselves."""

MAX_LINE = 1 << 16
"""Longest line, in bytes."""

_BOM = b"\xef\xbb\xbf"


def lines(stream: BinaryIO | io.RawIOBase, name: str, *, null: bool) -> Iterator[str]:
    """Yield the paths of a list as soon as they can be read.

    Args:
        stream: the list, any bytes; unbuffered, where it is to be read as it comes.
        name: how it is called in error messages.
        null: paths end with a zero byte, as ``find -print0`` writes them, instead of a line end.

    Raises:
        InputError: a line is longer than MAX_LINE, or holds a zero byte where lines were expected.
    """
    separator, rest = (b"\0" if null else b"\n"), b""
    first = True
    while piece := stream.read(1 << 16):
        *whole, rest = (rest + piece).split(separator)
        for line in whole:
            yield from _path(line.removeprefix(_BOM) if first else line, name, null=null)
            first = False
        if len(rest) > MAX_LINE:
            raise InputError(f"{name} has a line of more than {MAX_LINE:,} bytes", "one path per line")
    yield from _path(rest.removeprefix(_BOM) if first else rest, name, null=null)


def _path(line: bytes, name: str, *, null: bool) -> Iterator[str]:
    if not null:
        line = line.removesuffix(b"\r")
        if b"\0" in line:
            raise InputError(
                f"{name} holds zero bytes", "text with one path per line", "where paths end with zero bytes add --null"
            )
    if line:
        yield os.fsdecode(line)
