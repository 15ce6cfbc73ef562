"""What the benchmark asks a child process to measure, and what the child answers: all of it JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from edgewise.benchmarks.entry import Kind


class Job(str, Enum):
    """What a child process does."""

    LATENCY = "latency"  # start-up, single queries, and where the time goes; answers with a Measurement
    LOOK = "look"  # the same and every photo, in one process; a Look, and arrays in a file
    OFFLINE = "offline"  # many pictures at once; a Rate
    ACCURACY = "accuracy"  # every photo; Answered, and arrays in a file
    SUSTAIN = "sustain"  # single queries for minutes; a Series
    CEILING = "ceiling"  # the machine's largest matrix product; a Ceiling


@dataclass(frozen=True)
class Task:
    """One job on one entry."""

    job: Job
    kind: Kind = Kind.VARIANT
    path: str = ""  # model file, or run folder of the reference
    backend: str = ""
    provider: str = "cpu"
    threads: int = 1  # >= 1
    cores: tuple[int, ...] = ()  # the CPU cores it may use; empty: as they are
    photos: tuple[
        str, ...
    ] = ()  # paths; the first one is the query, all are for the stages (of a look those of the listing)
    picture: str = ""  # .npy file of the query, prepared: (1, height, width, 3) uint8
    listing: str = ""  # file that lists every photo, see edgewise.benchmarks.photos.write_listing
    batches: tuple[int, ...] = (1, 8)  # pictures at once that are tried where a network takes any number
    seconds: float = 0.0  # for warm-up and measuring; 0: only the start
    started_ns: int = 0  # when the process was started, on the monotonic clock
    result: str = ""  # where the answer is written

    def to_json(self) -> str:
        """The task as JSON; bytes of a path that are not UTF-8 survive."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Task:
        """Read what `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        lists = {name: tuple(data[name]) for name in ("cores", "photos", "batches")}
        return Task(**{**data, **lists, "job": Job(data["job"]), "kind": Kind(data["kind"])})


@dataclass(frozen=True)
class Load:
    """What else used the machine during one slice of a measurement."""

    seconds: float  # length of the slice, > 0
    others: float  # cores' worth of time that other processes took; rounding may bring it a little below 0
    steal: float  # share of the cores' time that the hypervisor took from this machine, 0-1
    pressure: float  # share of time in which some task waited for a core, 0-1; 0 where the system does not tell
    stopped: float  # share of time in which a container's limit kept its tasks from running, >= 0
    clock_hz: float  # of the cores at the end of the slice, the mean; 0 where the system does not tell
    memory: float = 0.0  # share of time in which some task waited for memory, 0-1; 0 where the system does not tell
    cores: int = 1  # that were counted
    roundings: int = 1  # numbers of the system that went into it, each rounded down to a tick at either end


@dataclass(frozen=True)
class StageSums:
    """Nanoseconds of each part of the way from a file to its label, over some photos."""

    photos: int = 0
    read: int = 0
    decode: int = 0
    resize: int = 0
    inference: int = 0
    total: int = 0  # with everything between

    def plus(self, other: StageSums) -> StageSums:
        """The sums over the photos of both."""
        mine, theirs = asdict(self), asdict(other)
        return StageSums(**{name: mine[name] + theirs[name] for name in mine})


@dataclass(frozen=True)
class Measurement:
    """One round of single queries, or why there is none."""

    error: str = ""  # empty: everything below is filled
    threads: int = 0  # as the backend reports
    provider: str = ""
    precision: str = ""
    sha256: str = ""  # of the file that was loaded; empty for the reference
    start_ns: int = 0  # from the start of the process to the first label
    start_loads: tuple[Load, ...] = ()  # meanwhile, from the moment that the process knows its task
    warm_up_calls: int = 0
    stable: bool = False  # the warm-up ended because times were stable
    samples_ns: tuple[int, ...] = ()  # single queries with one prepared photo
    loads: tuple[Load, ...] = ()  # while they were taken, in order
    stages: StageSums = StageSums()
    stage_loads: tuple[Load, ...] = ()  # while they were timed
    joules: float | None = None  # counted while the samples were taken
    energy_source: str = ""


@dataclass(frozen=True)
class Rate:
    """Many pictures at once: the best way of a few, or why there is none."""

    error: str = ""
    batch: int = 0
    streams: int = 0
    images_per_second: tuple[float, ...] = ()  # of equal parts of the time
    loads: tuple[Load, ...] = ()


@dataclass(frozen=True)
class Answered:
    """That every photo was answered, or why not. The answers lie beside it: `edgewise.benchmarks.answers`."""

    error: str = ""
    photos: int = 0
    unreadable: int = 0
    unreadable_shown: tuple[str, ...] = ()
    threshold: float | None = None  # stored in the file
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """A round of single queries and the answers to every photo, or why there are none."""

    error: str = ""
    measurement: Measurement = Measurement()
    answered: Answered = Answered()


@dataclass(frozen=True)
class Series:
    """Minutes of single queries, or why there are none."""

    error: str = ""
    seconds: float = 0.0
    medians_ns: tuple[int, ...] = ()  # of equal parts
    first_ns: int = 0  # median of the first tenth
    last_ns: int = 0  # median of the last tenth
    throttled: bool = False
    celsius_first: float | None = None
    celsius_last: float | None = None
    loads: tuple[Load, ...] = ()


@dataclass(frozen=True)
class Peak:
    """What the machine computes at most with some threads, or why that is not known."""

    error: str = ""
    fp32_gflops: float = 0.0
    int8_gops: float | None = None
    method: str = ""
    loads: tuple[Load, ...] = ()
