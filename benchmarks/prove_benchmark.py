"""Prove on this machine that the benchmark tells what it should: differences, disturbances and wrong answers.

    python benchmarks/prove_benchmark.py MODEL.onnx --data PHOTOS [--trials 12]

1. Equal code, and code in which every inference waits busily for another 3% of its time, each compared with MODEL
   with the usual settings of `edgewise compare`, as often as ``--trials`` says. The former should not be called
   different, the latter should be called slower.
2. Another program starts to compute in the middle of a measurement, as often: it should be flagged every time.
3. Copies of MODEL with two labels changed, pixels shifted in brightness, pixels normalized twice, and red taken for
   blue: `edgewise compare` of MODEL and each copy should find a loss of top-1 that is no chance.

The third part needs the extras ``bench`` and ``export``. MODEL should be an ONNX file of ours. Exits with 1 if
something was not as it should be.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from edgewise.benchmarks.compare import compare_results
from edgewise.benchmarks.compare_releases import ROUNDS, SECONDS, measure_in_turns
from edgewise.benchmarks.contention import find_contention
from edgewise.benchmarks.duel import CHILD, duel
from edgewise.benchmarks.processes import FreshProcesses
from edgewise.benchmarks.task import Load, Task
from edgewise.export.metadata import embed_onnx
from edgewise.runtime.modelfile import read_model
from edgewise.spec import Manifest
from noise_task import against, noise_task

SLOWER = (
    "-c",
    """
import dataclasses, time
from edgewise.benchmarks import duel, networks

opened = networks.open_network

def slower(task):
    network = opened(task)

    def run(pixels):
        start = time.perf_counter_ns()
        result = network.run(pixels)
        end = start + 1.03 * (time.perf_counter_ns() - start)
        while time.perf_counter_ns() < end:
            pass
        return result

    return dataclasses.replace(network, run=run)

networks.open_network = slower
duel.main()
""",
)

BURN = "while True: pass"


def _loads(task: Task) -> list[Load]:
    """What the benchmark's own process saw of the machine."""
    answer = FreshProcesses().run(task).answer
    if answer.get("error"):
        raise SystemExit(answer["error"])
    return [Load(**load) for load in answer["loads"]]


def prove_verdicts(task: Task, trials: int) -> bool:
    """Part 1."""
    good = True
    for name, command, wanted in (("equal code", CHILD, ("same", "cannot tell")), ("3% slower", SLOWER, ("slower",))):
        told, busy = Counter[str](), 0
        for _ in range(trials):
            done = duel(task, replace(task, result=name), ROUNDS, SECONDS, arena=against(command))
            told[done.change.verdict.value] += 1
            busy += any(each.disturbed for each in done.rounds)
            ratio = done.change.ratio
            say(f"  {name}: {ratio.value:.4f} ({ratio.low:.4f} to {ratio.high:.4f}), {done.change.verdict.value}")
        right = sum(told[each] for each in wanted)
        say(f"{name}: {right} of {trials} as it should be ({dict(told)}; {busy} with rounds that stayed disturbed)")
        good &= right == trials
    return good


def prove_flags(task: Task, trials: int) -> bool:
    """Part 2."""
    flagged = 0
    for _ in range(trials):
        burning: list[subprocess.Popen[bytes]] = []

        def burn(burning: list[subprocess.Popen[bytes]] = burning) -> None:
            burning.append(subprocess.Popen([sys.executable, "-c", BURN]))

        timer = threading.Timer(1.0 + task.seconds / 2, burn)  # a process takes about a second to load the file
        timer.start()
        try:
            found = find_contention(_loads(task))
        finally:
            timer.cancel()
            timer.join()
            for process in burning:
                process.kill()
                process.wait()
        flagged += bool(found)
        say(f"  another program from the middle on: {'; '.join(found) or 'not flagged'}")
    say(f"another program: flagged {flagged} of {trials} times")
    return flagged == trials


def swapped_labels(_: onnx.ModelProto, manifest: Manifest) -> Manifest:
    """The first two labels change places."""
    first, second, *rest = manifest.labels
    return replace(manifest, labels=(second, first, *rest))


def brighter(model: onnx.ModelProto, manifest: Manifest) -> Manifest:
    """Pixels are taken for 64 steps brighter, as with another normalization."""
    shift = helper.make_tensor("edgewise_shift", TensorProto.INT32, [], [64])
    most = helper.make_tensor("edgewise_most", TensorProto.INT32, [], [255])
    model.graph.initializer.extend([shift, most])
    _before(
        model,
        lambda source, target: [
            helper.make_node("Cast", [source], ["edgewise_wide"], to=TensorProto.INT32),
            helper.make_node("Add", ["edgewise_wide", "edgewise_shift"], ["edgewise_sum"]),
            helper.make_node("Min", ["edgewise_sum", "edgewise_most"], ["edgewise_cut"]),
            helper.make_node("Cast", ["edgewise_cut"], [target], to=TensorProto.UINT8),
        ],
    )
    return manifest


def normalized_twice(model: onnx.ModelProto, manifest: Manifest) -> Manifest:
    """Pixels are divided by 255 before the network does so itself."""
    model.graph.initializer.append(helper.make_tensor("edgewise_most", TensorProto.INT32, [], [255]))
    _before(
        model,
        lambda source, target: [
            helper.make_node("Cast", [source], ["edgewise_wide"], to=TensorProto.INT32),
            helper.make_node("Div", ["edgewise_wide", "edgewise_most"], ["edgewise_part"]),
            helper.make_node("Cast", ["edgewise_part"], [target], to=TensorProto.UINT8),
        ],
    )
    return manifest


def wrong_colours(model: onnx.ModelProto, manifest: Manifest) -> Manifest:
    """Red is taken for blue."""
    model.graph.initializer.append(helper.make_tensor("edgewise_order", TensorProto.INT64, [3], [2, 1, 0]))
    _before(model, lambda source, target: [helper.make_node("Gather", [source, "edgewise_order"], [target], axis=3)])
    return manifest


def _before(model: onnx.ModelProto, nodes: Callable[[str, str], list[onnx.NodeProto]]) -> None:
    """Put nodes between the input and what takes it."""
    name = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["edgewise_changed" if key == name else key for key in node.input]
    for place, node in enumerate(nodes(name, "edgewise_changed")):
        model.graph.node.insert(place, node)


FAULTS = (swapped_labels, brighter, normalized_twice, wrong_colours)


def faulty(path: Path, fault: Callable[[onnx.ModelProto, Manifest], Manifest], folder: Path) -> Path:
    """Write a copy of an ONNX file with a fault in it, sealed and all."""
    model, manifest = onnx.load(path), read_model(path).manifest
    del model.metadata_props[:]
    manifest = fault(model, manifest)
    copy = folder / f"{fault.__name__}.onnx"
    copy.write_bytes(embed_onnx(model.SerializeToString(), manifest))
    return copy


def prove_accuracy(path: Path, data: Path, folder: Path, limit: int) -> bool:
    """Part 3."""
    good = True
    for fault in FAULTS:
        done = measure_in_turns(path, faulty(path, fault, folder), data, limit=limit, quick=True)
        (row, *_) = compare_results(done.before, done.after, changes=done.changes).rows
        assert row.top1 is not None
        say(f"{fault.__name__}: top-1 {row.top1.value:+.1f} points ({row.top1.low:+.1f} to {row.top1.high:+.1f})")
        good &= row.top1.high < 0
    return good


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)  # noqa: T201


def main() -> None:
    """Read the command line and prove."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, help="labelled photos for the third part; without them it is left out")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int, default=100, help="photos of the third part")
    parser.add_argument("--parts", default="123")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgewise-") as name:
        task = noise_task(options.model, Path(name), options.threads, SECONDS)
        good = "1" not in options.parts or prove_verdicts(task, options.trials)
        if "2" in options.parts:
            good &= prove_flags(noise_task(options.model, Path(name), options.threads, 3.0), options.trials)
        if "3" in options.parts and options.data:
            good &= prove_accuracy(options.model, options.data, Path(name), options.limit)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
