"""How far `--backend auto` is from the best there is: its choice against every way to run the file, in the same run.

    python benchmarks/compare_tuning.py RELEASE/clothes-int8.onnx RELEASE/clothes-int8.tflite --out tuning.json

For each file the choice is made as a first call makes it, with nothing remembered. Then every engine, number of
threads, number of copies and size of batch of the grid is measured in turn, round after round, none left out. What is
told is the time of the choice in these rounds over that of the fastest, less one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edgewise.runtime.cpu import usable_cores
from edgewise.runtime.loading import Opener
from edgewise.runtime.race import typical
from edgewise.runtime.tuning import BATCHES, Copies, Plan, Runner, plans
from edgewise.spec.opening import AUTO, Opening


def compare(path: Path, rounds: int, most_batch_seconds: float) -> dict[str, Any]:
    """The choice and the grid for one file."""
    opener = Opener(path, Opening(backend=AUTO))
    choices = opener.choices()
    found = opener.tuning(choices)
    first = opener.load(choices[0])
    size = first.model.manifest.input
    pictures = np.random.default_rng(0).integers(0, 256, (max(BATCHES), size.height, size.width, 3), np.uint8)
    copies = Copies(choices, lambda choice: opener.load(choice).backend, len(opener.file.content), lambda: True)
    batches = [batch for batch in BATCHES if batch * found.milliseconds / 1000 <= most_batch_seconds]
    single, bulk = plans([choice.kind.name for choice in choices], usable_cores(), batches if first.any_batch else [1])
    return {
        "file": path.name,
        "seconds": found.seconds,
        "single": _against(found.single, single, copies, pictures, rounds),
        "bulk": _against(found.bulk, bulk, copies, pictures, rounds),
    }


def _against(chosen: Plan, grid: list[Plan], copies: Copies, pictures: Any, rounds: int) -> dict[str, Any]:
    runners = {plan: Runner(plan, found, pictures) for plan in grid if (found := copies.of(plan))}
    times: dict[Plan, list[float]] = {plan: [] for plan in runners}
    for number in range(rounds):
        for plan in runners if number % 2 else reversed(runners):
            times[plan].append(runners[plan].measure())
    for runner in runners.values():
        runner.close()
    typically = {plan: typical(values) for plan, values in times.items()}
    best = min(typically, key=lambda plan: typically[plan])
    # Both were measured in the same rounds, so how much slower the choice was is told round by round.
    ratios = sorted(mine / other for mine, other in zip(times[chosen], times[best], strict=True))
    return {
        "chosen": str(chosen),
        "best": str(best),
        "slower_than_best": typically[chosen] / typically[best] - 1,
        "median_of_ratios": median(ratios) - 1,
        "grid": {str(plan): value * 1000 for plan, value in sorted(typically.items(), key=lambda entry: entry[1])},
    }


def main() -> None:
    """Compare for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--most-batch-seconds", type=float, default=0.5, help="A longer batch is not in the grid.")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EDGEWISE_CACHE"] = folder
        for path in options.files:
            results.append(compare(path, options.rounds, options.most_batch_seconds))
            sys.stdout.write(json.dumps(results[-1], indent=1) + "\n")
            sys.stdout.flush()
    if options.out:
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
