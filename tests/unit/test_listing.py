"""Lists of paths: any bytes but the separator."""

from __future__ import annotations

import io
import os

import pytest

from edgewise.runtime.listing import MAX_LINE, lines
from edgewise.spec import InputError


class Slow(io.RawIOBase):
    """Gives one byte at a time, as a pipe may."""

    def __init__(self, content: bytes) -> None:
        self._left = content

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002 - the signature of a file
        piece, self._left = self._left[:1], self._left[1:]
        return piece


def listed(content: bytes, *, null: bool = False) -> list[bytes]:
    found = [os.fsencode(name) for name in lines(Slow(content), "the list", null=null)]
    assert found == [os.fsencode(name) for name in lines(io.BytesIO(content), "the list", null=null)]
    return found


def test_a_path_a_line_whatever_ends_the_lines() -> None:
    assert listed(b"a.png\nb c.png\r\n\n \xff.png") == [b"a.png", b"b c.png", b" \xff.png"]
    assert listed(b"\xef\xbb\xbfa.png\n") == [b"a.png"]
    assert listed(b"") == []


def test_zero_bytes_separate_names_that_hold_line_ends() -> None:
    assert listed(b"a\nb.png\0c\r.png\0", null=True) == [b"a\nb.png", b"c\r.png"]


def test_zero_bytes_where_lines_were_expected_are_told() -> None:
    with pytest.raises(InputError) as caught:
        list(lines(io.BytesIO(b"a.png\0b.png\0\n"), "the list", null=False))
    assert str(caught.value).splitlines() == [
        "the list holds zero bytes",
        "Expected: text with one path per line",
        "Do: where paths end with zero bytes add --null",
    ]


def test_an_endless_line_is_refused() -> None:
    with pytest.raises(InputError, match=r"the list has a line of more than 65,536 bytes"):
        list(lines(io.BytesIO(b"x" * (2 * MAX_LINE)), "the list", null=False))
