"""From a network to the bytes of a file. Every file takes uint8 pixels and gives float32 probabilities."""

from __future__ import annotations

from edgewise.export.onnx_graph import onnx_graph
from edgewise.export.plain import Network
from edgewise.export.quantization import Numerics
from edgewise.export.tflite_graph import tflite_graph
from edgewise.spec import Format


def convert(network: Network, numerics: Numerics, model_format: Format) -> bytes:
    """Write a network in a format and in the given numbers."""
    if model_format is Format.TFLITE:
        return tflite_graph(network, numerics)
    return bytes(onnx_graph(network, numerics).SerializeToString())
