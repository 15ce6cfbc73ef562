"""From a folded Keras network to the bytes of TFLite and ONNX files.

Every file takes uint8 pixels and gives float32 probabilities. The float files convert the pixels with one Cast; the
int8 files take them as they are, because their input has scale 1.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.export.onnx_graph import INPUT, OPSET, OUTPUT, onnx_graph, writable
from edgewise.spec import EdgewiseError, ExtraMissingError
from edgewise.spec.quiet import quiet_stderr
from edgewise.train.framework import tf

try:
    with quiet_stderr():
        import onnx
        import tf2onnx
        from onnxruntime.quantization import (
            CalibrationDataReader,
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quantize_static,
        )
        from onnxruntime.quantization.shape_inference import quant_pre_process
except ModuleNotFoundError as error:
    raise ExtraMissingError("export", error.name or "tf2onnx") from error


class ConversionError(EdgewiseError):
    """A conversion tool failed."""


def tflite_fp32(network: Any) -> bytes:
    """Convert to TFLite in float32. Raises ConversionError."""
    with _converting("TFLite fp32"):
        converter = _tflite_converter(network, tf.uint8)
        return bytes(converter.convert())


def tflite_int8(network: Any, calibration: NDArray[np.uint8]) -> bytes:
    """Convert to TFLite with integer kernels only: int8 activations, int8 weights per output channel.

    Args:
        network: from `edgewise.export.folding.fold`.
        calibration: ``(n, size, size, 3)`` uint8 training photos, n >= 1, that set the ranges.

    Raises:
        ConversionError: the converter fails, or leaves an operator without an integer kernel.
    """
    photos = spanning(calibration).astype(np.float32)
    with _converting("TFLite int8"):
        converter = _tflite_converter(network, tf.float32)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([photo[np.newaxis]] for photo in photos)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32
        return bytes(converter.convert())


def onnx_fp32(network: Any) -> bytes:
    """Convert to ONNX in float32, with any batch size. Raises ConversionError."""
    with _converting("ONNX fp32"):
        proto = onnx_graph(network) if writable(network) else _traced(network)
        return bytes(proto.SerializeToString())


def onnx_int8(float_model: bytes, calibration: NDArray[np.uint8]) -> bytes:
    """Quantize an ONNX file statically to QDQ form: uint8 activations, int8 weights per output channel.

    Args:
        float_model: from `onnx_fp32`.
        calibration: ``(n, size, size, 3)`` uint8 training photos, n >= 1, that set the ranges.

    Raises:
        ConversionError: the quantizer fails.
    """
    with _converting("ONNX int8"), tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder, name) for name in ("float.onnx", "prepared.onnx", "int8.onnx"))
        source.write_bytes(float_model)
        # Its optimization would add operator sets that only this version of ONNX Runtime knows.
        quant_pre_process(source, prepared, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            _Photos(spanning(calibration)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        onnx.checker.check_model(target)
        return target.read_bytes()


def spanning(photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photos with one black and one white pixel in the first, so that the input's range is exactly 0-255.

    The scale of a quantized input is then 1 and its zero point 0: the pixels themselves. Two pixels of one photo do
    not move any other range noticeably.
    """
    changed = photos.copy()
    changed[0, 0, 0], changed[0, -1, -1] = 0, 255
    return changed


def _tflite_converter(network: Any, dtype: Any) -> Any:
    size = network.input_shape[1]
    function = tf.function(lambda pixels: network(tf.cast(pixels, tf.float32), training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, size, size, 3), dtype, name=INPUT))
    # The converter saves and loads what it is given as the owner of the variables. Given the network, it would trace
    # every layer again: 50 s instead of 13 s for the full network.
    owner = tf.Module()
    owner.weights = network.weights
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], owner)


def _traced(network: Any) -> Any:
    """Of networks with layers that `onnx_graph` does not know."""
    _, *shape = network.input_shape
    function = tf.function(lambda pixels: {OUTPUT: network(tf.cast(pixels, tf.float32), training=False)})
    signature = [tf.TensorSpec((None, *shape), tf.uint8, name=INPUT)]
    return tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)[0]


class _Photos(CalibrationDataReader):  # type: ignore[misc]
    """Gives the quantizer one photo after the other."""

    def __init__(self, photos: NDArray[np.uint8]) -> None:
        self._photos = iter(photos)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        photo = next(self._photos, None)
        return None if photo is None else {INPUT: photo[np.newaxis]}


@contextmanager
def _converting(what: str) -> Iterator[None]:
    """Keep the tools' chatter away, and turn whatever they raise into one message."""
    logging.disable(logging.WARNING)
    try:
        with quiet_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        # The converters raise whatever their many layers raise; all of it means that there is no file.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConversionError(f"converting to {what} failed: {reason}", do="report it with this message") from error
    finally:
        logging.disable(logging.NOTSET)
