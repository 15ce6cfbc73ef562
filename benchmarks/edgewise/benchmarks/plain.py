"""The shortest correct script for each backend: what its makers' own first example does, with the same file.

Nothing of this toolkit's runtime is in it, so that what the runtime costs, or gains, is seen beside it. One thing is
said to OpenVINO that an example would not say: to compute floats in 32 bits, as the file does; left to itself it takes
fewer where the CPU can, and would be compared with something else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from edgewise.spec.quiet import refuse_telemetry

Run = Callable[[NDArray[Any]], NDArray[Any]]
"""From (1, height, width, 3) uint8 pixels to (1, classes) float32 probabilities."""


def litert(path: str, threads: int) -> Run:
    """LiteRT's interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter: Any = Interpreter(model_path=path, num_threads=threads)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]

    def run(pixels: NDArray[Any]) -> NDArray[Any]:
        interpreter.set_tensor(source, pixels)
        interpreter.invoke()
        result: NDArray[Any] = interpreter.get_tensor(target)
        return result

    return run


def onnxruntime(path: str, threads: int) -> Run:
    """A session of ONNX Runtime."""
    refuse_telemetry()
    import onnxruntime as ort

    options = ort.SessionOptions()
    # Without it int8 files give wrong answers on x86 CPUs without VNNI.
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0].name

    def run(pixels: NDArray[Any]) -> NDArray[Any]:
        result: NDArray[Any] = session.run(None, {source: pixels})[0]
        return result

    return run


def openvino(path: str, threads: int) -> Run:
    """A compiled model of OpenVINO."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # without it nothing is reported to anybody
    import openvino as ov

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = ov.compile_model(path, "CPU", settings).create_infer_request()

    def run(pixels: NDArray[Any]) -> NDArray[Any]:
        request.infer([pixels])
        result: NDArray[Any] = request.get_output_tensor(0).data
        return result

    return run


LOOPS: dict[str, Callable[[str, int], Run]] = {"litert": litert, "onnxruntime": onnxruntime, "openvino": openvino}
"""By backend: opens a file, with a number of threads."""
