"""Why is it not faster? Each kind of reason, found in a file that was built to have it, by the real profilers."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx, of the extra 'export', is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgewise.benchmarks.entry import Entry  # noqa: E402
from edgewise.benchmarks.environment import describe_machine  # noqa: E402
from edgewise.benchmarks.evidence import collect  # noqa: E402
from edgewise.benchmarks.figures import Contention  # noqa: E402
from edgewise.benchmarks.reasons import find_reasons  # noqa: E402
from edgewise.benchmarks.results import Row  # noqa: E402
from edgewise.benchmarks.statistics import latency  # noqa: E402
from edgewise.export.metadata import embed_onnx  # noqa: E402
from edgewise.runtime import Classifier  # noqa: E402
from edgewise.spec import InputSpec, Manifest, Scheme  # noqa: E402

DATA = Path(__file__).parents[1] / "data"
LABELS = ("blue", "green", "red")


def built(path: Path, scheme: Scheme, side: int, nodes: list[onnx.NodeProto], **values: np.ndarray) -> Path:
    """Write a file as an export makes it: pixels go to the value "pixels" as floats, "scores" come out."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        *nodes,
        helper.make_node("Softmax", ["scores"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "built",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", side, side, 3])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(embed_onnx(model.SerializeToString(), Manifest("built", LABELS, InputSpec(side, side), scheme)))
    return path


def reasons(
    path: Path, scheme: str, backend: str = "onnxruntime", milliseconds: float = 1.0, root: Path = Path("/")
) -> dict[str, str]:
    """What is told of a file after looking at it and profiling it."""
    entry = Entry(path.name, str(path), path.suffix[1:], scheme, backend, "", path.stat().st_size, threads=1)
    times = latency([[int(1e6 * milliseconds)] * 10] * 3)
    row = Row(entry, 1, "cpu", "fp32", times, Contention(contended=False))
    told: dict[str, str] = {}
    for reason in find_reasons(row, (), replace(describe_machine(), gpus=()), (), collect(entry, root)):
        told[reason.kind] = f"{told.get(reason.kind, '')} {reason.text}".strip()
    return told


def test_float_islands_conversions_and_a_costly_operator(tmp_path: Path) -> None:
    """A function in integers, with conversions on both sides, and a costly one and others in float behind it."""
    nodes = [
        helper.make_node("QuantizeLinear", ["pixels", "scale", "zero"], ["q0"]),
        helper.make_node("DequantizeLinear", ["q0", "scale", "zero"], ["d0"]),
        helper.make_node("Abs", ["d0"], ["inside"]),
        helper.make_node("QuantizeLinear", ["inside", "scale", "zero"], ["q1"]),
        helper.make_node("DequantizeLinear", ["q1", "scale", "zero"], ["d1"]),
        helper.make_node("Sin", ["d1"], ["f0"]),
        helper.make_node("Floor", ["f0"], ["f1"]),
        helper.make_node("Sqrt", ["f1"], ["f2"]),
        helper.make_node("ReduceMean", ["f2", "axes"], ["scores"], keepdims=0),
    ]
    path = built(
        tmp_path / "islands.onnx", Scheme.INT8, 256, nodes,
        scale=np.float32(1.0), zero=np.uint8(0), axes=np.array([1, 2]),
    )  # fmt: skip
    told = reasons(path, "int8")
    assert "goes into Sin, beside convolutions and products" in told["operator"]
    assert "converting numbers and their layout in memory" in told["layout"]
    assert "QuantizeLinear" in told["layout"]
    assert "5 of its 11 nodes compute in float between integers (Sin, Floor, Sqrt, ReduceMean" in told["float-islands"]


def test_weights_that_no_cache_holds(tmp_path: Path) -> None:
    """One product of a vector and 100 MB of weights, on a machine whose cache has 1 MB."""
    cache = tmp_path / "sys/devices/system/cpu/cpu0/cache/index3/size"
    cache.parent.mkdir(parents=True)
    cache.write_text("1024K\n")
    side, wide = 64, 2048
    chance = np.random.default_rng(0)
    nodes = [
        helper.make_node("Reshape", ["pixels", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "head"], ["scores"]),
    ]
    path = built(
        tmp_path / "wide.onnx", Scheme.FP32, side, nodes, flat=np.array([-1, side * side * 3]),
        weights=chance.normal(0, 1e-3, (side * side * 3, wide)).astype(np.float32),
        head=chance.normal(0, 1e-3, (wide, 3)).astype(np.float32),
    )  # fmt: skip
    classifier, picture = Classifier.open(path, threads=1), np.zeros((1, side, side, 3), np.uint8)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        classifier.probabilities(picture)
        times.append(1e3 * (time.perf_counter() - start))
    told = reasons(path, "fp32", milliseconds=min(times), root=tmp_path)
    assert "Reading its 101 MB of weights takes about" in told["memory-bound"]


def test_nodes_that_the_delegate_leaves() -> None:
    told = reasons(DATA / "tiny.tflite", "fp32", "litert")
    assert "XNNPACK took 5 of its 6 nodes, in 1 piece; LiteRT's own code runs the others (CAST)" in told["delegate"]


def test_runs_that_warm_up_do_not_count() -> None:
    from edgewise.benchmarks.profiling import WARM_UP, _kernel_times

    events = []
    for number in range(WARM_UP + 2):
        at = 1000 * number
        events += [
            {
                "cat": "Node",
                "name": "x_kernel_time",
                "ts": at + 10,
                "dur": 500 if number < WARM_UP else 7,
                "args": {"op_name": "Conv"},
            },
            {"cat": "Session", "name": "model_run", "ts": at, "dur": 600},
        ]
    assert list(_kernel_times(events)) == [("Conv", 7.0, False)] * 2
