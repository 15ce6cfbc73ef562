"""The boards that a model can be packed for, and what has to be installed on each.

The versions are pinned in ``board/pins.json``, which ``.ci/pin-targets`` writes: they are those of ``uv.lock``, which
the tests run with. Nothing is resolved here, so packing needs no network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Any

from edgewise.spec import Format

PINS = "board/pins.json"

BACKENDS = {Format.TFLITE: "ai-edge-litert", Format.ONNX: "onnxruntime"}
"""The package that runs each format. The base install has both; a board needs that of its model."""


class Target(str, Enum):
    """Kinds of board, by the name that the command line takes."""

    RASPBERRY_PI = "raspberry-pi"
    JETSON = "jetson"
    LINUX_X86 = "linux-x86"
    GENERIC = "generic"


@dataclass(frozen=True)
class Board:
    """What is known of a kind of board."""

    title: str  # in a sentence
    systems: str  # sentences: which operating systems bring which Python
    platform: str  # as Python's sysconfig.get_platform() says it; "" is any
    pythons: tuple[str, ...]  # "major.minor", ascending

    @property
    def wheel_platform(self) -> str:
        """Name of the platform for a resolver. glibc 2.28 is older than that of every system here, and so is safe."""
        return self.platform.removeprefix("linux-") + "-manylinux_2_28"


BOARDS = {
    Target.RASPBERRY_PI: Board(
        "a Raspberry Pi (64-bit)",
        "Raspberry Pi OS (64-bit) bookworm has Python 3.11, trixie has 3.13.",
        "linux-aarch64",
        ("3.11", "3.13"),
    ),
    Target.JETSON: Board(
        "an NVIDIA Jetson",
        "JetPack 6 (Ubuntu 22.04) has Python 3.10, JetPack 7 (Ubuntu 24.04) has 3.12. The model runs on the CPU.",
        "linux-aarch64",
        ("3.10", "3.12"),
    ),
    Target.LINUX_X86: Board(
        "a PC with Linux (x86_64)",
        "Any Linux with glibc 2.28 or newer.",
        "linux-x86_64",
        ("3.10", "3.11", "3.12", "3.13"),
    ),
    Target.GENERIC: Board(
        "any machine that has wheels for it",
        "The service needs Linux with systemd.",
        "",
        ("3.10", "3.11", "3.12", "3.13", "3.14"),
    ),
}


@dataclass(frozen=True)
class Pin:
    """One wheel that is installed on one kind of board."""

    name: str
    version: str
    file: str
    sha256: str
    bytes: int
    pythons: tuple[str, ...]  # those that take this wheel for the format asked for


@cache
def _stored() -> Any:
    return json.loads(files("edgewise.export").joinpath(PINS).read_text(encoding="utf-8"))


def pin_date() -> str:
    """The day when the pins were resolved, as YYYY-MM-DD."""
    return str(_stored()["date"])


def pins(target: Target, form: Format) -> tuple[Pin, ...]:
    """The wheels for a model of this format, ordered by name, version and file; none for the generic target."""
    rows = _stored()["targets"].get(target.value, [])
    return tuple(
        Pin(row["name"], row["version"], row["file"], row["sha256"], row["bytes"], tuple(row[form.value]))
        for row in rows
        if row.get(form.value)
    )


def download_bytes(target: Target, form: Format) -> int:
    """What an installation downloads at most, over the Pythons of the target; 0 where nothing is pinned."""
    found = pins(target, form)
    return max(sum(pin.bytes for pin in found if python in pin.pythons) for python in BOARDS[target].pythons)


def base_requirements(metadata: str, form: Format) -> list[str]:
    """What the base install of Edgewise needs for a model of this format, as its metadata says it.

    Args:
        metadata: the METADATA of the wheel (core metadata, PEP 566).
        form: the other format's backend is left out.

    Returns:
        Requirements with lower bounds, for example ``numpy>=1.26``.
    """
    needed = re.findall(r"^Requires-Dist: (.+?)\s*$", metadata.partition("\n\n")[0], flags=re.MULTILINE)
    others = {package for model_format, package in BACKENDS.items() if model_format is not form}
    return [need for need in needed if not re.search(r"\bextra\s*==", need) and requirement_name(need) not in others]


def requirement_name(requirement: str) -> str:
    """The normalized name (PEP 503) at the start of a requirement."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def requirements(target: Target, form: Format, metadata: str) -> str:
    """The text of ``requirements.txt``: versions and digests, or lower bounds for the generic target.

    Args:
        target: kind of board.
        form: format of the model.
        metadata: the METADATA of the wheel, which names the lower bounds.
    """
    board = BOARDS[target]
    if target is Target.GENERIC:
        head = "# What Edgewise needs for this model; the newest wheels that fit are taken."
        return "\n".join([head, *base_requirements(metadata, form), ""])
    head = f"# What Edgewise needs for this model on {board.title}, Python {' and '.join(board.pythons)}."
    groups: dict[tuple[str, str], list[Pin]] = {}
    for pin in pins(target, form):
        groups.setdefault((pin.name, pin.version), []).append(pin)
    return "\n".join([head, *(_pinned(found, board.pythons) for found in groups.values()), ""])


def _pinned(wheels: Sequence[Pin], pythons: Sequence[str]) -> str:
    """One requirement with the digests of its wheels, and a marker where only some Pythons take it."""
    taken = [python for python in pythons if any(python in wheel.pythons for wheel in wheels)]
    marker = " or ".join(f'python_version == "{python}"' for python in taken)
    digests = " ".join(f"\\\n    --hash=sha256:{digest}" for digest in sorted({wheel.sha256 for wheel in wheels}))
    return f"{wheels[0].name}=={wheels[0].version}" + (f" ; {marker} " if len(taken) < len(pythons) else " ") + digests
