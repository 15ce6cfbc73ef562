from __future__ import annotations

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


def test_what_is_kept_was_disturbed_less_however_long_it_took() -> None:
    slow_but_quiet, fast_but_busy = busy(0.1, 9.0), busy(0.9, 1.0)
    assert quieter(fast_but_busy, slow_but_quiet, 3e9) is slow_but_quiet
    assert disturbance(()) == 0
    assert best_clock(slow_but_quiet.loads) == 3e9
    assert best_clock(()) == 0
