"""Record how equal code differs from turn to turn and from process to process, for the tests of the verdict.

    python benchmarks/record_noise.py MODEL --out tests/data/noise.npz

MODEL, one file, is compared with itself as `edgewise compare` does it (`edgewise.benchmarks.duel`). What is kept: of
each round, a fresh pair of processes, the ratio of the two in each turn, (rounds, turns) in 1/10,000 as uint16; whether
something disturbed the round; and how the time of a query went from turn to turn, in 1/10,000 of the median of all.
Nothing is kept of the machine.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from edgewise.benchmarks.duel import duel
from noise_task import noise_task


def main() -> None:
    """Read the command line, record, and tell what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--turns", type=int, default=20, help="that are kept of each round")
    parser.add_argument("--seconds", type=float, default=1.0, help="of queries, each round")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgewise-") as folder:
        task = noise_task(options.model, Path(folder), options.threads)
        rounds = duel(task, task, (options.rounds, options.rounds), options.seconds).rounds
    turns = min(options.turns, *(len(each.ratios) for each in rounds))
    ratios = np.array([each.ratios[:turns] for each in rounds])
    times = np.array([each.times_ns[:turns] for each in rounds], float)
    np.savez_compressed(
        options.out,
        ratios=_stored(ratios),
        times=_stored(times / np.median(times)),
        disturbed=np.array([bool(each.disturbed) for each in rounds]),
    )
    logarithms = np.log(np.median(ratios, axis=1))
    print(  # noqa: T201
        f"{len(rounds)} rounds of {turns} turns, {sum(bool(each.disturbed) for each in rounds)} disturbed; medians of "
        f"the rounds' ratios: {np.exp(logarithms.mean()):.4f}, standard deviation {logarithms.std(ddof=1):.2%}; times "
        f"of rounds: standard deviation {np.log(np.median(times, axis=1)).std(ddof=1):.2%}"
    )


def _stored(relative: np.ndarray) -> np.ndarray:
    return np.rint(1e4 * relative).clip(0, 65_535).astype(np.uint16)


if __name__ == "__main__":
    main()
