from __future__ import annotations

import numpy as np
import pytest

from edgewise.benchmarks.statistics import bootstrap_median, confidence, latency, percentile, share


def test_percentiles_are_nearest_rank() -> None:
    samples = [15, 20, 35, 40, 50]
    assert [percentile(samples, part) for part in (0.05, 0.3, 0.4, 0.5, 1.0)] == [15, 20, 20, 35, 50]
    assert percentile(list(range(1, 11)), 0.9) == 9
    assert percentile([7], 0.99) == 7


@pytest.mark.parametrize(("samples", "part"), [([], 0.5), ([1], 0.0), ([1], 1.1)])
def test_a_percentile_of_nothing_is_refused(samples: list[float], part: float) -> None:
    with pytest.raises(ValueError, match="needs samples and a share"):
        percentile(samples, part)


# Values of R's binom.test, which gives Clopper-Pearson intervals.
@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.3084971),
        (10, 10, 0.6915029, 1.0),
        (5, 10, 0.1870860, 0.8129140),
        (95, 100, 0.8871651, 0.9835682),
        (1, 1, 0.025, 1.0),
    ],
)
def test_intervals_are_those_of_clopper_and_pearson(successes: int, total: int, low: float, high: float) -> None:
    found = share(successes, total)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)
    assert found.share == successes / total
    assert found.method == "Clopper-Pearson 95%"


def test_an_interval_covers_its_share_for_many_photos() -> None:
    found = share(99_012, 100_000)
    assert 0.989 < found.low < found.share < found.high < 0.991


@pytest.mark.parametrize(("successes", "total"), [(1, 0), (-1, 5), (6, 5)])
def test_an_impossible_share_is_refused(successes: int, total: int) -> None:
    with pytest.raises(ValueError, match="are not a share"):
        share(successes, total)


@pytest.mark.parametrize(
    ("queries", "has_p90", "has_p99"), [(1, False, False), (63, False, False), (64, True, False), (662, True, True)]
)
def test_percentiles_without_enough_queries_are_withheld(queries: int, has_p90: bool, has_p99: bool) -> None:
    found = latency([[2_000_000] * queries])
    assert found.queries == queries
    assert (found.p50, found.fastest) == (2.0, 2.0)
    assert (found.p10, found.p90) == ((2.0, 2.0) if has_p90 else (None, None))
    assert found.p99 == (2.0 if has_p99 else None)


@pytest.mark.parametrize("rounds", [2, 3, 5, 10])
def test_an_interval_of_rounds_holds_the_median_as_often_as_it_is_said_to(rounds: int) -> None:
    """What differs from process to process is much larger than what differs within one."""
    chance = np.random.default_rng(rounds)
    trials, held = 120, 0
    for _ in range(trials):
        moods = chance.normal(100, 5, rounds)
        found = bootstrap_median([chance.normal(mood, 0.1, 5) for mood in moods])
        held += found.low <= 100 <= found.high
    expected, far = confidence(rounds), 4 * (confidence(rounds) * (1 - confidence(rounds)) / trials) ** 0.5
    assert held / trials >= expected - min(far, 0.05 if rounds > 5 else 1)
    if rounds < 6:
        assert held / trials <= expected + far


def test_one_round_says_nothing_of_others() -> None:
    assert confidence(1) == 0
    assert confidence(2) == 0.5
    assert confidence(6) == 0.95
