"""Compare the benchmark's own figures with those of the backends' tools: same file, threads and machine, in turns.

    python benchmarks/check_against_tools.py RELEASE

RELEASE is a folder of model files; those whose name has ``--match`` in it are taken. OpenVINO brings a tool of its own,
benchmark_app: each round is a fresh process of either side, one right after the other, the first of them in turns.
Processes of the same code differ from each other, so a loop around the call that benchmark_app makes is compared, too.
ONNX Runtime's and LiteRT's Python packages bring none, so a loop of ten lines with their own API stands for it, which
shares no line with this project; it and the benchmark's own child live side by side and take turns of milliseconds, as
in `edgewise compare --data`, which tells 2% from nothing. It loads the file from memory, as this project does: mapped
from the disk, the same network takes about 8% longer. Exits with 1 if any pair differs by more than ``--within``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from edgewise.benchmarks.contention import find_contention
from edgewise.benchmarks.cores import pin
from edgewise.benchmarks.duel import duel
from edgewise.benchmarks.processes import FreshProcesses
from edgewise.benchmarks.task import Load
from edgewise.benchmarks.verdict import Change, compare_rounds
from edgewise.runtime.modelfile import read_model
from noise_task import against, noise_task

LOOP = """
import json, os, statistics, sys, time
import numpy as np
task, size = json.loads(sys.stdin.readline()), int(sys.argv[1])
path, threads = task["path"], task["threads"]
if task["cores"]:
    os.sched_setaffinity(0, task["cores"])
picture = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
{open}
def loop(count):
    times = []
    for _ in range(count):
        start = time.perf_counter_ns()
        {run}
        times.append(time.perf_counter_ns() - start)
    return times
begun, warm = time.perf_counter(), []
while time.perf_counter() < begun + 0.5:
    warm += loop(1)
print(json.dumps([int(statistics.median(warm[len(warm) // 2:]))]), flush=True)
for line in sys.stdin:
    print(json.dumps(loop(int(line))), flush=True)
"""

LITERT = LOOP.format(
    open="""from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_content=open(path, "rb").read(), num_threads=threads)
interpreter.allocate_tensors()
source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]""",
    run="interpreter.set_tensor(source, picture); interpreter.invoke(); interpreter.get_tensor(target)",
)

ONNXRUNTIME = LOOP.format(
    open="""import onnxruntime
options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.x64quantprecision", "1")
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name""",
    run="session.run(None, {name: picture})",
)

OPENVINO = LOOP.format(
    open="""sys.modules["openvino_telemetry"] = None
import openvino
core = openvino.Core()
model = core.read_model(path)
model.reshape([1, size, size, 3])
settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
request = core.compile_model(model, "CPU", {**settings, "INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
request.infer([picture])""",
    run="request.infer()",
)

# Its tools report to their makers while they are imported, unless this is missing.
BENCHMARK_APP = """
import sys
sys.modules["openvino_telemetry"] = None
from openvino.tools.benchmark.main import main
main()
"""


@dataclass(frozen=True)
class Case:
    """One file on one backend."""

    path: Path
    backend: str
    threads: int
    size: int  # pixels of a side
    seconds: float  # of each round


def own(case: Case, folder: Path) -> tuple[float, tuple[str, ...]]:
    """The median in milliseconds as the benchmark measures it, and what disturbed it."""
    task = noise_task(case.path, folder, case.threads, case.seconds, case.backend)
    answer = FreshProcesses().run(task).answer
    if answer.get("error"):
        raise SystemExit(f"{case.path}: {answer['error']}")
    return median(answer["samples_ns"]) / 1e6, find_contention([Load(**load) for load in answer["loads"]])


def benchmark_app(case: Case) -> float:
    """OpenVINO's tool: one request at a time, one stream."""
    shape = ["-shape", f"[1,{case.size},{case.size},3]"]
    words = ["-m", str(case.path), "-d", "CPU", "-hint", "none", "-nstreams", "1", "-nthreads", str(case.threads)]
    words += ["-api", "sync", "-t", str(max(1, round(case.seconds))), "-infer_precision", "f32", "-pin", "NO"]
    output = _output(["-c", BENCHMARK_APP, *words, *shape, "-latency_percentile", "50"], case.threads)
    found = re.search(r"Median:\s*([\d.]+) ms", output)
    if not found:
        raise SystemExit(f"benchmark_app tells no median: {output[-500:]}")
    return float(found[1])


def _output(words: list[str], threads: int) -> str:
    command = [sys.executable, *words]
    if cores := pin(threads):
        command = ["taskset", "-c", ",".join(map(str, cores)), *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"a tool ended with {done.returncode}: {(done.stderr or done.stdout)[-500:]}")
    return done.stdout


LOOPS = {"litert": LITERT, "onnxruntime": ONNXRUNTIME, "openvino": OPENVINO}


def check_loop(case: Case, rounds: int, within: float) -> bool:
    """Let a loop and the benchmark's own child take turns, print a line, and tell whether they agree."""
    command = ("-c", LOOPS[case.backend], str(case.size))
    with tempfile.TemporaryDirectory(prefix="edgewise-") as folder:
        ours = noise_task(case.path, Path(folder), case.threads, case.seconds, case.backend)
        found = duel(replace(ours, result="loop"), ours, (rounds, 4 * rounds), case.seconds, arena=against(command))
    theirs = median(median(each.times_ns) for each in found.rounds) / 1e6
    disturbed = sum(bool(each.disturbed) for each in found.rounds)
    _tell(case, theirs * found.change.ratio.value, theirs, "loop", found.change, disturbed, len(found.rounds))
    return abs(found.change.ratio.value - 1) <= within


def check_tool(case: Case, rounds: int, within: float) -> bool:
    """The same with OpenVINO's own tool, in whole processes."""
    ours, theirs, disturbed = list[float](), list[float](), 0
    with tempfile.TemporaryDirectory(prefix="edgewise-") as folder:
        for number in range(rounds):
            if number % 2:
                theirs.append(benchmark_app(case))
            found, reasons = own(case, Path(folder))
            ours.append(found)
            disturbed += bool(reasons)
            if not number % 2:
                theirs.append(benchmark_app(case))
    change = compare_rounds([[each] for each in theirs], [[each] for each in ours], in_turns=True)
    _tell(case, median(ours), median(theirs), "benchmark_app", change, disturbed, rounds)
    return abs(median(ours) / median(theirs) - 1) <= within


def _tell(case: Case, ours: float, theirs: float, tool: str, change: Change, disturbed: int, rounds: int) -> None:
    low, high = change.ratio.low - 1, change.ratio.high - 1
    print(  # noqa: T201
        f"| {case.path.name} | {case.backend} | {case.threads} | {ours:.3f} | {theirs:.3f} ({tool}) | "
        f"{ours / theirs - 1:+.1%} | {low:+.1%} to {high:+.1%}, {change.verdict.value} | {disturbed} of {rounds} |",
        flush=True,
    )


def main() -> None:
    """Read the command line and check every pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path)
    parser.add_argument("--match", default="int8")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round of either side")
    parser.add_argument("--within", type=float, default=0.02, help="share by which the medians may differ")
    options = parser.parse_args()
    print("| file | backend | threads | edgewise, ms | tool, ms | difference | interval, verdict | disturbed |")  # noqa: T201
    print("|---|---|---:|---:|---:|---:|---|---:|")  # noqa: T201
    good = True
    for path in sorted(options.release.glob(f"*{options.match}*")):
        if path.suffix not in (".tflite", ".onnx"):
            continue
        size = read_model(path).manifest.input.height
        backends = ("litert", "openvino") if path.suffix == ".tflite" else ("onnxruntime", "openvino")
        for backend in backends:
            case = Case(path, backend, options.threads, size, options.seconds)
            good &= check_loop(case, options.rounds, options.within)
            if backend == "openvino":
                good &= check_tool(case, options.rounds, options.within)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
