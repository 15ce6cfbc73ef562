"""What the benchmark asks a child process to measure, and what the child answers: both are JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Task:
    """One measurement of one row."""

    path: str  # model file, or run folder of the reference
    backend: str | None  # None: the reference network
    threads: int  # count, > 0
    photos: tuple[tuple[str, str], ...]  # path and label, at least one
    part: int  # this round classifies every ``parts``-th photo from this one on
    parts: int
    seconds: float  # for warm-up and latency of this round, > 0
    result: str  # where the answer is written

    def to_json(self) -> str:
        """The task as JSON; bytes of a path that are not UTF-8 survive."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Task:
        """Read what `to_json` wrote."""
        data = json.loads(text)
        data["photos"] = tuple((path, label) for path, label in data["photos"])
        return Task(**data)


@dataclass(frozen=True)
class Load:
    """What else used the machine during one slice of a round."""

    seconds: float  # length of the slice, > 0
    others: float  # cores' worth of time that other processes took, >= 0
    steal: float  # share of time that the hypervisor took from this machine, 0-1
    pressure: float  # share of time in which some task waited for a core, 0-1; 0 where the system does not tell
    stopped: float  # share of time in which a container's limit kept its tasks from running, 0-1
    clock_hz: float  # of the cores at the end of the slice, the mean; 0 where the system does not tell


@dataclass(frozen=True)
class Measurement:
    """What one child process measured, or why it could not."""

    error: str = ""  # empty: everything below is filled
    threads: int = 0  # as the backend reports
    sha256: str = ""  # of the file that was loaded; empty for the reference
    load_ns: int = 0  # from a bare interpreter to the first label
    warm_up_calls: int = 0
    stable: bool = False  # the warm-up ended because times were stable
    samples_ns: tuple[int, ...] = ()  # single queries with one prepared photo
    loads: tuple[Load, ...] = ()  # in order, from the warm-up on
    photo_ns: tuple[int, ...] = ()  # file to label, for each photo that could be read
    correct: int = 0  # of the photos in photo_ns
    unreadable: tuple[str, ...] = field(default=())  # one message per photo that could not be read
    bare_bytes: int = 0  # peak memory before anything was loaded
    peak_bytes: int = 0  # peak memory at the end

    def to_json(self) -> str:
        """The measurement as JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Measurement:
        """Read what `to_json` wrote."""
        data: Mapping[str, Any] = json.loads(text)
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
        }
        return Measurement(**{**fields, "loads": tuple(Load(**load) for load in fields.get("loads", ()))})
