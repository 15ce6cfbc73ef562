"""From everything that was measured of an entry to its row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from edgewise.benchmarks.contention import find_contention, over_all, without_clocks
from edgewise.benchmarks.figures import Accuracy, Ceiling, Contention, Energy, Stages, Sustained, Throughput
from edgewise.benchmarks.results import Entry, Failure, Row
from edgewise.benchmarks.statistics import bootstrap_median, latency
from edgewise.benchmarks.task import Load, Measurement, Rate, Series, StageSums


@dataclass
class Gathered:
    """What was measured of one entry so far."""

    rounds: dict[int, Measurement] = field(default_factory=dict)  # by pass
    repeats: int = 0
    rates: dict[int, Rate] = field(default_factory=dict)  # of many photos, by pass
    series: Series | None = None
    memory_bytes: int = 0
    accuracy: Accuracy | None = None
    macs: int = 0
    error: str = ""


def make_row(entry: Entry, found: Gathered, ceilings: Sequence[Ceiling] = (), best_hz: float = 0.0) -> Row | Failure:
    """Combine what was measured; where something failed, the entry failed.

    Args:
        entry: what was measured.
        found: the figures.
        ceilings: the machine's peaks.
        best_hz: highest clock that was seen; 0: not known.
    """
    rounds = tuple(found.rounds[number] for number in sorted(found.rounds))
    error = entry.error or found.error or next((done.error for done in rounds if done.error), "")
    if not error and not any(done.samples_ns for done in rounds):
        error = "nothing was measured"
    if error:
        return Failure(entry, error)
    times = latency([done.samples_ns for done in rounds])
    rates = tuple(found.rates[number] for number in sorted(found.rates))
    return Row(
        entry=entry,
        threads=rounds[0].threads,
        provider=rounds[0].provider,
        precision=rounds[0].precision,
        latency=times,
        contention=_contention(found, rounds, best_hz),
        accuracy=found.accuracy,
        offline=_throughput(rates, best_hz),
        stages=_stages(rounds),
        start_ms=bootstrap_median([[done.start_ns / 1e6] for done in rounds]),
        start_disturbed=_disturbed(without_clocks(done.start_loads) for done in rounds),
        memory_bytes=found.memory_bytes,
        energy=_energy(rounds),
        sustained=_sustained(found.series),
        ceiling_share=ceiling_share(entry, found.macs, times.p50, ceilings),
        rounds=rounds,
        macs=found.macs,
        rates=rates,
    )


def ceiling_share(entry: Entry, macs: int, milliseconds: float, ceilings: Sequence[Ceiling]) -> float | None:
    """Share of the machine's peak that a network reaches; None where one of them is not known."""
    peak = next((ceiling for ceiling in ceilings if ceiling.threads == entry.threads), None)
    if peak is None or not macs or entry.provider != "cpu":
        return None
    giga = peak.int8_gops if entry.in_whole_numbers else peak.fp32_gflops
    return 2 * macs / (milliseconds * 1e6) / giga if giga else None


def _contention(found: Gathered, rounds: Sequence[Measurement], best_hz: float) -> Contention:
    told = _disturbed((done.loads for done in rounds), best_hz)
    return Contention(bool(told), told, found.repeats)


def _disturbed(rounds: Iterable[Sequence[Load]], best_hz: float = 0.0) -> tuple[str, ...]:
    """What disturbed any of the rounds, each of them judged by itself; every reason once."""
    return tuple(dict.fromkeys(reason for loads in rounds for reason in find_contention(loads, best_hz)))


def _throughput(rates: Sequence[Rate], best_hz: float) -> Throughput | None:
    """Of the way that was best in most passes, all passes that found it so."""
    told = [rate for rate in rates if rate.images_per_second]
    ways = [_way(rate) for rate in told]
    if not ways:
        return None
    fastest = {way: max(median(rate.images_per_second) for rate in told if _way(rate) == way) for way in ways}
    best = max(ways, key=lambda way: (ways.count(way), fastest[way]))
    counting = [rate for rate in told if _way(rate) == best]
    found = [rate.images_per_second for rate in counting]
    disturbed = _disturbed((rate.loads for rate in counting), best_hz)
    middle = bootstrap_median(found if len(found) > 1 else [[value] for value in found[0]])
    return Throughput(middle, *best, disturbed, len(counting))


def _way(rate: Rate) -> tuple[int, int]:
    return rate.batch, rate.streams


def _stages(rounds: Sequence[Measurement]) -> Stages | None:
    sums = StageSums()
    for done in rounds:
        sums = sums.plus(done.stages)
    if not sums.photos:
        return None
    parts = (sums.read, sums.decode, sums.resize, sums.inference)
    disturbed = _disturbed(without_clocks(done.stage_loads) for done in rounds)
    read, decode, resize, inference, rest = (part / sums.photos / 1e6 for part in (*parts, sums.total - sum(parts)))
    return Stages(read, decode, resize, inference, rest, disturbed)


def _energy(rounds: Sequence[Measurement]) -> Energy | None:
    counted = [done for done in rounds if done.joules is not None]
    queries = sum(len(done.samples_ns) for done in counted)
    if not queries:
        return None
    return Energy(sum(done.joules or 0.0 for done in counted) / queries, counted[0].energy_source)


def _sustained(series: Series | None) -> Sustained | None:
    if series is None or not series.medians_ns:
        return None
    return Sustained(
        minutes=series.seconds / 60,
        first_ms=series.first_ns / 1e6,
        last_ms=series.last_ns / 1e6,
        throttled=series.throttled,
        celsius_first=series.celsius_first,
        celsius_last=series.celsius_last,
        series_ms=tuple(each / 1e6 for each in series.medians_ns),
        # That the clock falls is what such a run is to show.
        disturbed=find_contention([over_all(series.loads)]) if series.loads else (),
    )
