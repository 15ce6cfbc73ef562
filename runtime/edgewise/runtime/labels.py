"""Class names of a network that does not bring them: from a text file with one a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edgewise.runtime.tflitefile import MAX_LABEL_BYTES
from edgewise.spec import InputError, ModelError

WITH_BACKGROUND = 1001
"""Classes of networks that were trained on ImageNet with one more class before the others."""

_EXPECTED = "a text file (UTF-8) with one class name a line, in the order of the network's output"
_BACKGROUND = frozenset({"background", "dummy", "???"})


def read_labels(path: Path) -> tuple[str, ...]:
    """The class names in a file. Raises InputError where there are none, or lines that are no names."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_LABEL_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"--labels {path} cannot be read: {error.strerror}", _EXPECTED) from error
    except UnicodeDecodeError as error:
        raise InputError(f"--labels {path} is not UTF-8", _EXPECTED) from error
    if len(content) > MAX_LABEL_BYTES:
        raise InputError(f"--labels {path} is longer than {MAX_LABEL_BYTES} bytes", _EXPECTED)
    return class_names(text.splitlines(), f"--labels {path}")


def class_names(lines: Sequence[str], source: str) -> tuple[str, ...]:
    """Names from lines. Those that occur more than once, as some do in ImageNet, get their place after them.

    Args:
        lines: one name each; empty lines at the end do not count.
        source: where they are from, for error messages.

    Raises:
        InputError: an empty or unprintable line, or fewer than two names.
    """
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    for number, label in enumerate(names, 1):
        if not label or not label.isprintable():
            raise InputError(f"{source}: line {number} is {label!r}", "a printable class name on every line")
    if len(names) < 2:
        raise InputError(f"{source} has {len(names)} lines", "at least two class names, one a line")
    counts = Counter(names)
    return tuple(label if counts[label] == 1 else f"{label} ({place})" for place, label in enumerate(names))


def fit_labels(labels: tuple[str, ...], classes: int, source: str) -> tuple[tuple[str, ...], bool]:
    """Match names with the classes of an output.

    Args:
        labels: all of them.
        classes: how many numbers the network gives.
        source: where the labels are from, for the error message.

    Returns:
        The names to use, and whether the output's first class is a background that has none.

    Raises:
        ModelError: the counts differ, but for 1001 classes of which the first is the background.
    """
    if len(labels) == classes:
        return labels, False
    if (classes, len(labels)) == (WITH_BACKGROUND, WITH_BACKGROUND - 1):
        return labels, True
    if (len(labels), classes) == (WITH_BACKGROUND, WITH_BACKGROUND - 1) and labels[0].lower() in _BACKGROUND:
        return labels[1:], False
    raise ModelError(
        f"{source} has {len(labels)} names, and the network gives {classes} numbers",
        f"{classes} names, one a line",
        "give the list of labels that the network was trained with",
    )
