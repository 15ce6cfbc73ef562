"""From the rounds of an entry to its row."""

from __future__ import annotations

from edgewise.benchmarks.results import Accuracy, Contention, Entry, Failure, Row
from edgewise.benchmarks.statistics import bootstrap_median, latency, share
from edgewise.benchmarks.task import Measurement


def make_row(entry: Entry, rounds: tuple[Measurement, ...]) -> Row | Failure:
    """Combine the rounds of one entry; where one round failed, the entry failed."""
    error = entry.error or next((done.error for done in rounds if done.error), "")
    photo_ns = [time for done in rounds for time in done.photo_ns]
    if not error and not photo_ns:
        error = "no photo could be read"
    if error:
        return Failure(entry, error)
    right = share(sum(done.correct for done in rounds), len(photo_ns))
    return Row(
        entry=entry,
        threads=rounds[0].threads,
        provider="cpu",
        precision="fp32",
        latency=latency([done.samples_ns for done in rounds]),
        contention=Contention(contended=False),
        accuracy=Accuracy(len(photo_ns), right, None, 0.0, 0.0, 0.0, None, None, None, (), (), ()),
        start_ms=bootstrap_median([[done.load_ns / 1e6] for done in rounds]),
        memory_bytes=max(done.peak_bytes for done in rounds),
        rounds=rounds,
    )
