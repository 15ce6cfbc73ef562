"""The most that this machine computes: a large matrix product, in 32-bit floats and in 8-bit whole numbers.

NumPy brings one established library for it, ONNX Runtime another. Of floats both are tried and the faster one counts;
of whole numbers only ONNX Runtime has a fast one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.benchmarks.latency import Clock, timed
from edgewise.benchmarks.task import Peak
from edgewise.spec.quiet import refuse_telemetry

SIZE = 1024
"""Rows and columns of both factors."""

MULTIPLICATIONS = 2 * SIZE**3
"""Operations of a product: a multiplication and an addition for each pair."""

METHOD = "the fastest of many products of two {size} x {size} matrices: fp32 with {fp32}, int8 with ONNX Runtime {ort}"

_FLOAT, _UINT8, _INT8 = 1, 2, 3  # element types of ONNX
_LENGTH = 2  # wire type of protobuf for anything that says how long it is


def measure_peak(threads: int, clock: Clock, limit_ns: int, between: Callable[[], object] = lambda: None) -> Peak:
    """Measure what this process computes at most with so many threads, each kind for a third of the time.

    Args:
        threads: >= 1.
        clock: with what it is timed.
        limit_ns: nanoseconds, all three together.
        between: called after each product, outside of what is timed.
    """
    import onnxruntime

    rng = np.random.default_rng(0)
    floats = rng.standard_normal((SIZE, SIZE), np.float32)
    left = rng.integers(0, 256, (SIZE, SIZE), np.uint8)
    right = rng.integers(-127, 128, (SIZE, SIZE), np.int8)
    blas = _fastest(lambda: floats @ floats, clock, limit_ns // 3, between)
    session = _session(product_model("MatMul", _FLOAT, _FLOAT, floats, _FLOAT), threads)
    own = _fastest(lambda: session.run(None, {"a": floats}), clock, limit_ns // 3, between)
    session = _session(product_model("MatMulInteger", _UINT8, _INT8, right, 6), threads)
    whole = _fastest(lambda: session.run(None, {"a": left}), clock, limit_ns // 3, between)
    version = str(onnxruntime.__version__)
    fp32 = f"NumPy {np.__version__}" if blas <= own else f"ONNX Runtime {version}"
    return Peak(
        fp32_gflops=MULTIPLICATIONS / min(blas, own),
        int8_gops=MULTIPLICATIONS / whole,
        method=METHOD.format(size=SIZE, fp32=fp32, ort=version),
    )


def _fastest(call: Callable[[], Any], clock: Clock, limit_ns: int, between: Callable[[], object]) -> int:
    """Nanoseconds of the fastest call until ``limit_ns`` are over, of at least three."""
    end, samples = clock.now() + limit_ns, list[int]()
    while len(samples) < 3 or clock.now() < end:
        samples.append(max(1, timed(call, clock)))
        between()
    return min(samples)


def _session(model: bytes, threads: int) -> Any:
    refuse_telemetry()
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def product_model(operator: str, left: int, right: int, factor: NDArray[Any], result: int) -> bytes:
    """An ONNX model ``c = operator(a, b)`` with the constant ``b``, written by hand: the package onnx is not here.

    Args:
        operator: "MatMul" or "MatMulInteger".
        left: element type of ``a``, as ONNX numbers them.
        right: of ``b``.
        factor: ``b``, (rows, columns).
        result: element type of ``c``.
    """
    rows, columns = factor.shape
    node = _text(1, "a") + _text(1, "b") + _text(2, "c") + _text(4, operator)
    constant = (
        _integer(1, rows) + _integer(1, columns) + _integer(2, right) + _text(8, "b") + _bytes(9, factor.tobytes())
    )
    graph = _bytes(1, node) + _text(2, "product") + _bytes(5, constant)
    graph += _bytes(11, _value("a", left, (rows, rows))) + _bytes(12, _value("c", result, (rows, columns)))
    opset = _integer(2, 13)
    return _integer(1, 7) + _bytes(7, graph) + _bytes(8, opset)


def _value(name: str, kind: int, shape: tuple[int, ...]) -> bytes:
    dimensions = b"".join(_bytes(1, _integer(1, size)) for size in shape)
    return _text(1, name) + _bytes(2, _bytes(1, _integer(1, kind) + _bytes(2, dimensions)))


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes((*found, number))


def _integer(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _LENGTH) + _varint(len(content)) + content


def _text(field: int, content: str) -> bytes:
    return _bytes(field, content.encode())
