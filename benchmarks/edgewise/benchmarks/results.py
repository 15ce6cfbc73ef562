"""What was measured, as it is kept in ``results.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from edgewise.benchmarks.environment import Machine
from edgewise.benchmarks.statistics import Latency, Share, latency, share
from edgewise.benchmarks.task import Measurement

BACKEND_NAMES = {"litert": "LiteRT", "onnxruntime": "ONNX Runtime", "keras": "Keras"}
"""Backends as their makers write them."""

SCHEMA = 1
"""Version of ``results.json``."""


@dataclass(frozen=True)
class Entry:
    """What is to be measured: one file on one backend, or the reference network."""

    name: str  # file name, or name of the run
    path: str
    format: str  # "tflite", "onnx", or "run" for the reference
    scheme: str  # such as "int8"; "fp32" for the reference
    backend: str  # such as "litert"; "keras" for the reference
    sha256: str  # of the file; empty for the reference
    bytes: int  # file size; of the weights for the reference; 0 where there is none
    error: str = ""  # why it cannot be measured at all

    @property
    def title(self) -> str:
        """How the entry is called: its file and its backend, where it is known."""
        return f"{self.name} on {self.backend_name}" if self.backend else self.name

    @property
    def backend_name(self) -> str:
        """The backend as its makers write it."""
        return BACKEND_NAMES.get(self.backend, self.backend)

    @property
    def is_reference(self) -> bool:
        """Whether this is the network that the variants were made from."""
        return self.format == "run"


@dataclass(frozen=True)
class Row:
    """One entry with its figures."""

    entry: Entry
    threads: int  # as the backend reports
    top1: Share
    latency: Latency
    images_per_second: float  # one after the other, from file to label
    load_ms: float  # from a bare interpreter to the first label; the median of the rounds
    memory_bytes: int  # largest resident memory of the process; the larger of the rounds
    bare_bytes: int  # the part of it that a bare interpreter takes
    rounds: tuple[Measurement, ...]  # raw samples

    @property
    def title(self) -> str:
        """How the row is called: its file and its backend."""
        return self.entry.title


@dataclass(frozen=True)
class Failure:
    """One entry that could not be measured, and why."""

    entry: Entry
    error: str


@dataclass(frozen=True)
class Data:
    """The photos it was measured with."""

    path: str
    split: str  # "all" where the folder has no splits
    photos: int
    available: int  # photos in the split, before a limit
    classes: int
    sha256: str


@dataclass(frozen=True)
class Settings:
    """How it was measured."""

    threads: int  # asked of every backend
    seconds: float  # for latency, per row, all rounds together
    rounds: int
    seed: int  # of the choice of photos
    limit: int | None


@dataclass(frozen=True)
class Results:
    """Everything a benchmark found out."""

    name: str  # of the release
    release: str  # its path as given
    started: str  # ISO 8601, UTC
    took_seconds: float
    command: tuple[str, ...]
    edgewise: str  # version
    machine: Machine
    versions: Mapping[str, str]
    settings: Settings
    data: Data
    rows: tuple[Row, ...]  # by p50, fastest first
    failures: tuple[Failure, ...]
    remarks: tuple[str, ...]
    schema: int = SCHEMA

    def to_json(self) -> str:
        """The results as JSON, raw samples in nanoseconds included."""
        return json.dumps(asdict(self))


def make_row(entry: Entry, rounds: tuple[Measurement, ...]) -> Row | Failure:
    """Combine the rounds of one entry; where one round failed, the entry failed."""
    error = entry.error or next((done.error for done in rounds if done.error), "")
    photo_ns = [time for done in rounds for time in done.photo_ns]
    if not error and not photo_ns:
        error = "no photo could be read"
    if error:
        return Failure(entry, error)
    loads = sorted(done.load_ns for done in rounds)
    return Row(
        entry=entry,
        threads=rounds[0].threads,
        top1=share(sum(done.correct for done in rounds), len(photo_ns)),
        latency=latency([time for done in rounds for time in done.samples_ns]),
        images_per_second=len(photo_ns) / (sum(photo_ns) / 1e9),
        load_ms=(loads[(len(loads) - 1) // 2] + loads[len(loads) // 2]) / 2e6,
        memory_bytes=max(done.peak_bytes for done in rounds),
        bare_bytes=min(done.bare_bytes for done in rounds),
        rounds=rounds,
    )
