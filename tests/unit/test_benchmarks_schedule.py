from __future__ import annotations

import random
from dataclasses import replace

import pytest

from edgewise.benchmarks.contention import Reading, load_between
from edgewise.benchmarks.schedule import best_clock, contended, disturbance, quieter, rounds_in_turn
from edgewise.benchmarks.task import Load, Measurement


def busy(others: float, milliseconds: float = 1.0) -> Measurement:
    load = Load(seconds=1, others=others, steal=0, pressure=0, stopped=0, clock_hz=3e9)
    return Measurement(samples_ns=(int(milliseconds * 1e6),), loads=(load,))


def test_each_row_gets_each_round_and_every_other_pass_goes_back() -> None:
    turns = rounds_in_turn(5, 4, seed=1)
    assert sorted(turns) == [(number, row) for number in range(4) for row in range(5)]
    passes = [[row for number, row in turns if number == wanted] for wanted in range(4)]
    assert passes[1] == passes[0][::-1]
    assert passes[3] == passes[2][::-1]
    assert passes[2] != passes[0]
    assert turns == rounds_in_turn(5, 4, seed=1)
    assert turns != rounds_in_turn(5, 4, seed=2)


def test_disturbed_rounds_are_those_to_repeat() -> None:
    rounds = {(1, 0): busy(0.5), (0, 1): busy(0.5), (0, 0): busy(0.0)}
    assert contended({key: (done, 3e9) for key, done in rounds.items()}) == [(0, 1), (1, 0)]
    assert contended({(0, 0): (busy(0.0), 4e9)}) == [(0, 0)]


def test_a_round_is_repeated_for_its_start_and_its_stages_as_well_after_the_others() -> None:
    quiet, start, stage = (Load(*each, 0, 0, 0, 3e9, cores=2) for each in ((1, 0.0), (0.4, 0.5), (0.15, 0.5)))
    done = Measurement(samples_ns=(5,), start_ns=1, loads=(quiet,), start_loads=(quiet,), stage_loads=(quiet,))
    started, staged = replace(done, start_loads=(start,), start_ns=2), replace(done, stage_loads=(stage,))
    rounds = {(0, row): (each, 3e9) for row, each in enumerate((done, started, staged, busy(0.5)))}
    assert contended(rounds) == [(0, 3), (0, 1), (0, 2)]
    assert quieter(started, done, 3e9) == quieter(staged, done, 3e9) == quieter(staged, started, 3e9) == done


def test_queries_that_were_quiet_are_kept_when_only_the_start_of_another_try_is_quieter() -> None:
    quiet, half = (Load(1, others, 0, 0, 0, 3e9) for others in (0.0, 0.5))
    first = Measurement(samples_ns=(5,), start_ns=9, loads=(quiet,), start_loads=(half,))
    again = Measurement(samples_ns=(7,), start_ns=4, loads=(half,), start_loads=(quiet,))
    kept = quieter(first, again, 3e9)
    assert (kept.samples_ns, kept.loads, kept.start_ns, kept.start_loads) == ((5,), (quiet,), 4, (quiet,))


@pytest.mark.parametrize("cores", [2, 16, 256])
@pytest.mark.parametrize("seconds", [0.15, 0.5])
@pytest.mark.parametrize("others", [0.0, 1.0])
def test_a_core_s_worth_of_others_is_found_and_coarse_counters_are_not(
    cores: int, seconds: float, others: float
) -> None:
    """A machine that the measured process uses, told in ticks of 10 ms, which the system rounds once for all cores."""
    chance, rounds = random.Random(0), {}
    for number in range(400):
        share, left = chance.uniform(0.7, 0.99), (chance.random(), chance.random())

        def reading(passed: float, share: float = share, left: tuple[float, float] = left) -> Reading:
            ticks = [
                int(100 * cores * passed * part + rest) for part, rest in zip((share, 1 - share), left, strict=True)
            ]
            return Reading(busy=sum(ticks) / 100, own=(cores - others) * passed, cores=cores)

        load = load_between(reading(0), reading(seconds), seconds)
        rounds[number, 0] = (Measurement(samples_ns=(5,), start_loads=(load,)), 0.0)
    found = len(contended(rounds))
    assert found == 400 if others else found <= 4


def test_what_is_kept_was_disturbed_less_however_long_it_took() -> None:
    slow_but_quiet, fast_but_busy = busy(0.1, 9.0), busy(0.9, 1.0)
    assert quieter(fast_but_busy, slow_but_quiet, 3e9) == slow_but_quiet
    assert disturbance(()) == 0
    assert best_clock(slow_but_quiet.loads) == 3e9
    assert best_clock(()) == 0
