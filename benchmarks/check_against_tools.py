"""Compare the benchmark's own figures with those of the backends' tools: same file, threads and machine, in turns.

    python benchmarks/check_against_tools.py RELEASE

RELEASE is a folder of model files; those whose name has ``--match`` in it are taken. OpenVINO brings a tool of its own,
benchmark_app. ONNX Runtime's and LiteRT's Python packages bring none, so a loop of ten lines with their own API stands
for it, which shares no line with this project. The loop loads the file from memory, as this project does: mapped from
the disk, the same network takes about 8% longer.

The tool and the benchmark's own child live side by side and take turns of milliseconds, as in `edgewise compare
--data`, which tells 2% from nothing; whole processes one after the other do not, where a machine's speed changes from
second to second. Exits with 1 if any pair differs by more than ``--within``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from edgewise.benchmarks.duel import duel
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

# The whole tool with its usual options; only the loop that it measures with, its own, waits for its turn.
BENCHMARK_APP = """
import json, os, sys
task, size = json.loads(sys.stdin.readline()), int(sys.argv[1])
if task["cores"]:
    os.sched_setaffinity(0, task["cores"])
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
sys.modules["openvino_telemetry"] = None  # it reports to its makers while it is imported, unless this is missing
from openvino.tools.benchmark import main
loop = main.Benchmark.sync_inference
def in_turns(benchmark, request, data):
    def queries(count, seconds=0):
        benchmark.niter, benchmark.duration_seconds = count, seconds
        return [round(1e6 * each) for each in loop(benchmark, request, data)[0]]  # from the fastest to the slowest
    def say(times):
        answers.write(json.dumps(times) + "\\n")
        answers.flush()
    warm = queries(0, 0.5)
    say([warm[len(warm) // 2]])
    for line in sys.stdin:
        say(queries(1) + queries(int(line) - 1))
    sys.exit()
main.Benchmark.sync_inference = in_turns
sys.argv[1:] = ["-m", task["path"], "-d", "CPU", "-hint", "none", "-nstreams", "1", "-nthreads", str(task["threads"]),
    "-api", "sync", "-infer_precision", "f32", "-pin", "NO", "-shape", f"[1,{size},{size},3]"]
main.main()
"""


@dataclass(frozen=True)
class Case:
    """One file on one backend."""

    path: Path
    backend: str
    threads: int
    size: int  # pixels of a side
    seconds: float  # of each round


TOOLS = {
    "litert": ("loop", LITERT),
    "onnxruntime": ("loop", ONNXRUNTIME),
    "openvino": ("benchmark_app", BENCHMARK_APP),
}


def check(case: Case, rounds: int, within: float) -> bool:
    """Let the tool and the benchmark's own child take turns, print a line, and tell whether they agree."""
    tool, program = TOOLS[case.backend]
    command = ("-c", program, str(case.size))
    with tempfile.TemporaryDirectory(prefix="edgewise-") as folder:
        ours = noise_task(case.path, Path(folder), case.threads, case.seconds, case.backend)
        found = duel(replace(ours, result="tool"), ours, (rounds, 4 * rounds), case.seconds, arena=against(command))
    theirs = median(median(each.times_ns) for each in found.rounds) / 1e6
    disturbed = sum(bool(each.disturbed) for each in found.rounds)
    ratio = found.change.ratio
    print(  # noqa: T201
        f"| {case.path.name} | {case.backend} | {case.threads} | {theirs * ratio.value:.3f} | {theirs:.3f} ({tool}) | "
        f"{ratio.value - 1:+.1%} | {ratio.low - 1:+.1%} to {ratio.high - 1:+.1%}, {found.change.verdict.value} | "
        f"{disturbed} of {len(found.rounds)} |",
        flush=True,
    )
    return abs(ratio.value - 1) <= within


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
            good &= check(case, options.rounds, options.within)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
