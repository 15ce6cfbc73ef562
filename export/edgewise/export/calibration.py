"""Which photos set the ranges of quantized activations.

A quantized tensor has 256 levels between the smallest and the largest activation that calibration saw. A few photos on
which the activations explode, as they do on what a network hardly learned, would stretch the ranges of the residual
trunk so far that all other photos share a handful of levels: measured, a network of 98.1% fell to 92.4% that way, with
ranges 60 times as wide as the typical photo needs. So the photos with the most extreme activations are left out; their
own activations saturate, which costs them little, because a large activation that is cut is still a large one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewise.export.onnx_graph import INPUT
from edgewise.spec import ExtraMissingError

try:
    import onnx
    from onnx import helper
    from onnxruntime import InferenceSession, SessionOptions
except ModuleNotFoundError as error:
    raise ExtraMissingError("export", error.name or "onnx") from error

TYPICAL_SHARE = 0.9
"""Share of the calibration photos that is kept."""

METHOD = f"min-max of the {TYPICAL_SHARE:.0%} most typical photos"
"""Name of the method in a file's manifest."""

OPERATORS = ("Relu", "Add")
"""Their outputs are the activations that are looked at."""

BATCH = 16


def typical(float_model: bytes, photos: NDArray[np.uint8], threads: int | None = None) -> NDArray[np.intp]:
    """Choose the photos whose activations are most like those of the others.

    Args:
        float_model: an ONNX file from `edgewise.export.conversion.onnx_fp32`.
        photos: ``(n, size, size, 3)`` uint8, n >= 1.
        threads: CPU threads, >= 1; None takes all cores.

    Returns:
        Ascending indices of at least one and about `TYPICAL_SHARE` of the photos.
    """
    peaks = _peaks(float_model, photos, threads)
    # How many times the median photo's peak, in the tensor where a photo stands out most. A tensor that is zero for
    # most photos says nothing about a photo.
    median = np.median(peaks, axis=0)
    extremity = (peaks / np.where(median > 0, median, np.inf)).max(axis=1, initial=0)
    kept = max(round(TYPICAL_SHARE * len(photos)), 1)
    return np.sort(np.argsort(extremity, kind="stable")[:kept])


def _peaks(float_model: bytes, photos: NDArray[np.uint8], threads: int | None) -> NDArray[np.float32]:
    """The largest activation of each photo in each tensor: (photos, tensors)."""
    model = onnx.load_from_string(float_model)
    names = []
    for node in [node for node in model.graph.node if node.op_type in OPERATORS]:
        flat, name = f"{node.output[0]}_flat", f"{node.output[0]}_peak"
        model.graph.node.append(helper.make_node("Flatten", [node.output[0]], [flat], axis=1))
        model.graph.node.append(helper.make_node("ReduceMax", [flat], [name], axes=[1], keepdims=0))
        model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
        names.append(name)
    if not names:
        return np.zeros((len(photos), 0), np.float32)
    options = SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    batches = [photos[start : start + BATCH] for start in range(0, len(photos), BATCH)]
    return np.concatenate([np.stack(session.run(names, {INPUT: batch}), axis=1) for batch in batches])
