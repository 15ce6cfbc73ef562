"""Where a network's time goes on its backend, asked of the backend's own profiler in a child process.

ONNX Runtime and OpenVINO tell the time of every node. The Python package of LiteRT tells none; there it can be told
which nodes its delegate XNNPACK took over. How fast the machine reads memory is measured beside it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.benchmarks.entry import Entry
from edgewise.benchmarks.typed import from_data
from edgewise.runtime.engines.base import CPU, Network, Settings
from edgewise.runtime.engines.onnxruntime import session_options
from edgewise.spec import EdgewiseError
from edgewise.spec.child import end_with_parent, run_module
from edgewise.spec.quiet import quiet_stderr, refuse_telemetry

PATIENCE_SECONDS = 180.0
WARM_UP, RUNS = 3, 10
"""Runs that do not count, and runs whose times are added up."""

NO_TIMES = "LiteRT's Python package has no profiler, so the time of single operators is not known"

CONVERTING = frozenset(
    (
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast", "Transpose"),
        *("ReorderInput", "ReorderOutput", "Reorder", "Convert", "Quantize", "Dequantize"),
    )
)
"""Operators of either backend that compute nothing: they change the kind of numbers, or how they lie in memory."""

_BLOCK = 1 << 26  # bytes that each thread reads at a time
_READING_SECONDS = 0.3


@dataclass(frozen=True)
class Spent:
    """An operator's part of the time of all nodes."""

    operator: str
    share: float  # 0-1
    slow: float = 0.0  # the part of the whole time that went into implementations which are not optimized, 0-1


@dataclass(frozen=True)
class Profile:
    """What was found out; what is not known is empty or 0."""

    operators: tuple[Spent, ...] = ()  # the largest share first
    nodes: int = 0  # of the file, where a delegate could take them
    delegated: int = 0  # of these, those that XNNPACK took
    partitions: int = 0  # pieces in which it took them
    left: tuple[str, ...] = ()  # operators of the nodes that it did not take, each once
    bytes_per_second: float = 0.0  # at which so many threads read memory
    note: str = ""  # why something is not known

    @property
    def converting(self) -> float:
        """Share of the time in CONVERTING operators, 0-1."""
        return sum(each.share for each in self.operators if each.operator in CONVERTING)


def profile_entry(entry: Entry) -> Profile:
    """Profile one entry in a child process. Whatever goes wrong there is told in ``note``."""
    if entry.provider != CPU:
        return Profile(note=f"only the CPU is profiled, not {entry.provider}")
    asked = {"path": entry.path, "backend": entry.backend, "threads": entry.threads}
    done = run_module(__name__, [], json.dumps(asked).encode(), PATIENCE_SECONDS)
    try:
        answer = json.loads(done.output.splitlines()[-1]) if done.code == 0 else None
        if answer:
            found: Profile = from_data(Profile, answer, "the profile")
            return found
    except (ValueError, IndexError, EdgewiseError):
        pass
    return Profile(note=f"profiling ended with {done.signal or done.code}")


def main() -> None:
    """Profile what standard input tells, and write the answer as the last line of standard output."""
    end_with_parent()
    asked = json.loads(sys.stdin.buffer.read())
    try:
        profile = measure(Path(asked["path"]), asked["backend"], asked["threads"])
    except EdgewiseError as error:
        profile = Profile(note=error.got)
    sys.stdout.write("\n" + json.dumps(asdict(profile)) + "\n")


def measure(path: Path, backend: str, threads: int) -> Profile:
    """Profile a model file in this process. Raises ModelError where it cannot be read."""
    from edgewise.runtime.modelfile import read_model

    model = read_model(path)
    size = model.manifest.input
    picture = np.random.default_rng(0).integers(0, 256, (1, size.height, size.width, 3), np.uint8)
    network = Network(path.name, model.format, model.content, model.manifest.scheme)
    found = _PROFILERS[backend](network, picture, threads)
    return Profile(**{**vars(found), "bytes_per_second": read_speed(threads)})


def _onnxruntime(network: Network, picture: NDArray[np.uint8], threads: int) -> Profile:
    refuse_telemetry()
    import onnxruntime as ort

    with tempfile.TemporaryDirectory(prefix="edgewise-") as folder:
        options = session_options(ort, network, Settings(threads))
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(network.content, options, providers=["CPUExecutionProvider"])
        for _ in range(WARM_UP + RUNS):
            session.run(None, {session.get_inputs()[0].name: picture})
        events = json.loads(Path(session.end_profiling()).read_bytes())
    return Profile(operators=_shares(_kernel_times(events)))


def _kernel_times(events: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, float, bool]]:
    """Of the runs that count: those that began after WARM_UP others."""
    begun = sorted(int(event["ts"]) for event in events if event.get("name") == "model_run")
    first = begun[WARM_UP] if len(begun) > WARM_UP else 0
    for event in events:
        is_node = event.get("cat") == "Node" and str(event.get("name", "")).endswith("_kernel_time")
        if is_node and int(event["ts"]) >= first:
            yield str(event["args"].get("op_name", "")), float(event["dur"]), False


def _openvino(network: Network, picture: NDArray[np.uint8], threads: int) -> Profile:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    options = {"PERF_COUNT": True, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
    with tempfile.TemporaryDirectory(prefix="edgewise-") as folder:
        path = Path(folder) / f"model.{network.format.value}"
        path.write_bytes(network.content)
        with quiet_stderr():
            compiled = openvino.Core().compile_model(path, "CPU", {**options, "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    times: list[tuple[str, float, bool]] = []
    for number in range(WARM_UP + RUNS):
        request.infer([picture])
        if number >= WARM_UP:
            times += [
                (info.node_type, info.real_time.total_seconds(), info.exec_type.startswith("ref"))
                for info in request.get_profiling_info()
                if info.status == info.Status.EXECUTED
            ]
    return Profile(operators=_shares(times))


def _litert(network: Network, _picture: NDArray[np.uint8], threads: int) -> Profile:
    from ai_edge_litert.interpreter import Interpreter

    with quiet_stderr():
        interpreter = Interpreter(model_content=network.content, num_threads=threads)
        interpreter.allocate_tensors()
        # Private, but the only place that tells; where a later version does not have it, nothing is told.
        listed: Sequence[Mapping[str, Any]] = getattr(interpreter, "_get_ops_details", list)()
    return delegation(listed)


def delegation(nodes: Sequence[Mapping[str, Any]]) -> Profile:
    """Which nodes a delegate took over: those between its inputs and its outputs.

    Args:
        nodes: as LiteRT lists them, those of the file first, then one named DELEGATE for each partition.
    """
    own = [node for node in nodes if node["op_name"] != "DELEGATE"]
    partitions = [node for node in nodes if node["op_name"] == "DELEGATE"]
    makers = {int(key): place for place, node in enumerate(own) for key in node["outputs"]}
    taken: set[int] = set()
    for partition in partitions:
        ends, todo = set(map(int, partition["inputs"])), list(map(int, partition["outputs"]))
        while todo:
            key = todo.pop()
            place = makers.get(key)
            if key in ends or place is None or place in taken:
                continue
            taken.add(place)
            todo += [int(each) for each in own[place]["inputs"]]
    left = dict.fromkeys(str(node["op_name"]) for place, node in enumerate(own) if place not in taken)
    return Profile(nodes=len(own), delegated=len(taken), partitions=len(partitions), left=tuple(left), note=NO_TIMES)


_PROFILERS: dict[str, Callable[[Network, NDArray[np.uint8], int], Profile]] = {
    "litert": _litert,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}


def _shares(times: Iterable[tuple[str, float, bool]]) -> tuple[Spent, ...]:
    """From operator, time in any unit, and whether its implementation is a slow one."""
    sums, slow = Counter[str](), Counter[str]()
    for operator, spent, is_slow in times:
        sums[operator] += spent  # type: ignore[assignment]
        slow[operator] += spent * is_slow  # type: ignore[assignment]
    whole = sum(sums.values())
    return tuple(Spent(name, spent / whole, slow[name] / whole) for name, spent in sums.most_common() if spent)


def read_speed(threads: int) -> float:
    """Bytes a second at which so many threads read memory that is in no cache."""
    blocks = [np.zeros(_BLOCK // 8, np.uint64) + 1 for _ in range(threads)]
    fastest, end = 0.0, time.perf_counter() + _READING_SECONDS
    with ThreadPoolExecutor(threads) as pool:
        while time.perf_counter() < end or not fastest:
            start = time.perf_counter()
            list(pool.map(np.add.reduce, blocks))
            fastest = max(fastest, threads * _BLOCK / (time.perf_counter() - start))
    return fastest


if __name__ == "__main__":
    main()
