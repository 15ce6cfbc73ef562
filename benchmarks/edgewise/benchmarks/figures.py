"""The figures of a row of ``results.json``: what they are, in which unit and range.

`edgewise.benchmarks.results` puts them together. Every share is 0-1 unless it says "points" (percentage points).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgewise.benchmarks.statistics import Interval, Share


@dataclass(frozen=True)
class Throughput:
    """Many photos at once, as MLPerf's Offline scenario: the best of a few ways to run them."""

    images_per_second: Interval  # > 0, from prepared pixels to probabilities
    batch: int  # pictures that each copy gets at once, >= 1
    streams: int  # copies that run at the same time, >= 1
    disturbed: tuple[str, ...] = ()  # what else used the machine in a pass that counts, in plain words; empty: nothing
    rounds: int = 1  # that count: the same way was the best in them


@dataclass(frozen=True)
class Stages:
    """Mean milliseconds of each part of the way from a file to its label, one photo after the other, all >= 0."""

    read: float  # the file's bytes
    decode: float  # to upright RGB, a large JPEG at a reduced size as the runtime always does
    resize: float  # to the size of the input
    inference: float  # pixels to probabilities
    rest: float  # everything else: checks, choosing the label, the loop itself
    disturbed: tuple[str, ...] = ()  # what else used the machine, in plain words; empty: nothing


@dataclass(frozen=True)
class Energy:
    """Energy that the machine counted while single photos were answered, idle power included."""

    joules_per_image: float  # > 0
    source: str  # such as "RAPL package-0"


@dataclass(frozen=True)
class Sustained:
    """One photo after the other for minutes."""

    minutes: float  # > 0
    first_ms: float  # median of the first tenth, > 0
    last_ms: float  # median of the last tenth, > 0
    throttled: bool  # the machine says so, or its clock fell by more than a tenth
    celsius_first: float | None  # hottest thermal zone; None: the machine does not tell
    celsius_last: float | None
    series_ms: tuple[float, ...]  # medians of about 60 equal parts, in order
    disturbed: tuple[str, ...] = ()  # what else used the machine, in plain words; empty: nothing


@dataclass(frozen=True)
class Contention:
    """Whether something else used the machine while it was measured."""

    contended: bool  # stays so after repeats within the budget
    reasons: tuple[str, ...] = ()  # plain words, such as "other processes took 34% of a core"; empty: none
    repeats: int = 0  # rounds that were measured again


@dataclass(frozen=True)
class Bin:
    """Photos whose best probability lies in one bin of a reliability diagram."""

    confidence: float  # mean of their best probabilities, 0-1
    right: float  # share of them that is right, 0-1
    photos: int  # count, > 0


@dataclass(frozen=True)
class Difference:
    """A row against the reference on the same photos."""

    points: Interval  # top-1 of the row minus that of the reference, -100 to 100; exact interval
    gained: int  # photos only the row has right
    lost: int  # photos only the reference has right


@dataclass(frozen=True)
class Disagreement:
    """A photo that the row and the reference answer differently."""

    photo: str  # path
    label: str  # true class
    reference: str  # class that the reference answers
    reference_probability: float  # of that class, 0-1
    answer: str  # class that the row answers
    probability: float  # of that class, 0-1


@dataclass(frozen=True)
class OutOfClass:
    """Photos of things that are none of the classes (``--ood``): are they told apart by their best probability?"""

    photos: int  # count, > 0
    auroc: float  # 0-1: that a photo of the classes is surer than one of none; 0.5 is chance
    threshold: float | None  # stored in the file, 0-1; None: it stores none
    false_accepts: Share | None  # of these photos, answered as if they were of a class; None without a threshold


@dataclass(frozen=True)
class Accuracy:
    """How right a file is on one backend. Rows that differ in threads only share one."""

    photos: int  # that could be read, > 0
    top1: Share
    top5: Share | None  # None below 6 classes
    macro_f1: float  # mean F1 of the classes that have photos, 0-1
    ece: float  # expected calibration error over 15 bins of equal width, 0-1
    nll: float  # mean negative log-likelihood of the true class, nats, >= 0
    unknown_share: float | None  # of these photos, answered "unknown" at the stored threshold; None without one
    agreement: Share | None  # same top-1 as the reference; None for the reference and where there is none
    difference: Difference | None  # None for the reference and where there is none
    confusion: tuple[tuple[int, ...], ...]  # [true][answered] counts, in the order of the results' labels
    reliability: tuple[Bin, ...]  # from low to high; empty bins are left out
    worst: tuple[Disagreement, ...]  # at most 12, those that both are surest of first
    ood: OutOfClass | None = None
    answers: str = ""  # class index that each photo got, -1 where it cannot be read: see edgewise.benchmarks.packing


KINDS_OF_REASON = (
    *("cpu-lacks", "delegate", "float-islands", "layout", "memory-bound", "operator", "overhead", "oversubscription"),
    *("precision", "provider"),
)


@dataclass(frozen=True)
class Reason:
    """Why a row is not faster."""

    kind: str  # as KINDS_OF_REASON
    text: str  # one plain sentence with figures
    share: float | None = None  # of the row's time, 0-1; None where it was not measured


@dataclass(frozen=True)
class Ceiling:
    """The most this machine was seen to compute with a number of threads: a large matrix product."""

    threads: int  # >= 1
    fp32_gflops: float  # 10^9 floating-point operations a second, > 0; a multiply-accumulate counts as two
    int8_gops: float | None  # the same of 8-bit whole numbers; None: not measured
    method: str  # with what
    disturbed: tuple[str, ...] = ()  # by what it was disturbed each time, in plain words


def highest(one: Ceiling, other: Ceiling) -> Ceiling:
    """The higher figures of two measurements of the same."""
    whole = [peak for peak in (one.int8_gops, other.int8_gops) if peak is not None]
    return replace(
        other,
        fp32_gflops=max(one.fp32_gflops, other.fp32_gflops),
        int8_gops=max(whole) if whole else None,
        disturbed=other.disturbed if one.disturbed else (),
    )
