"""Text from outside, such as names, made fit to be shown."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    r"""Text in which what could move a terminal's cursor is written out, such as ``\x1b``.

    Args:
        text: any; half of a surrogate pair, as a name that is not UTF-8 has, is written out too.
        keep: characters that stay as they are, such as line ends.
    """
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode("ascii") for char in text
    )
