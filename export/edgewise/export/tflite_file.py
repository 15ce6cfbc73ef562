"""The parts of a TFLite file: tensors, operators and constants, collected and written as a flatbuffer.

Source: the TFLite schema, https://github.com/google-ai-edge/LiteRT, schema version 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.spec import ExtraMissingError

try:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
except ModuleNotFoundError as error:
    raise ExtraMissingError("export", error.name or "flatbuffers") from error

__all__ = ["Codes", "TfliteFile", "schema"]

Codes = schema.BuiltinOperator
DESCRIPTION = "Edgewise"
SIGNATURE = "serving_default"
"""The name that TensorFlow's converter gives."""
ALIGNMENT = 16
"""Of constants in the file, in bytes: kernels read them where the file is mapped into memory."""

TYPES: Mapping[str, int] = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int32": schema.TensorType.INT32,
    "uint8": schema.TensorType.UINT8,
    "int64": schema.TensorType.INT64,
    "int16": schema.TensorType.INT16,
    "int8": schema.TensorType.INT8,
}

_IDENTIFIER = b"TFL3"
_OLD_CODES = 127
"""Operators up to this number are named in a byte that old readers know."""

_HEADROOM = 4 << 20


class _Constant(schema.BufferT):  # type: ignore[misc]
    """A buffer that is aligned and goes straight to its place in the file.

    ``data`` is an array of any dtype and layout, or None.
    """

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - the schema's name
        array = self.data
        if array is None:
            return super().Pack(builder)
        builder.StartVector(1, array.nbytes, ALIGNMENT)
        builder.head -= array.nbytes
        place = np.frombuffer(builder.Bytes, array.dtype, array.size, builder.head).reshape(array.shape)
        place[...] = array
        offset = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, offset)
        return schema.BufferEnd(builder)


class TfliteFile:
    """Collects what a file is made of."""

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [_Constant()]  # number 0 stands for none
        self._codes: dict[tuple[int, int], int] = {}
        self._operators: list[Any] = []

    def tensor(
        self, name: str, shape: Sequence[int], dtype: str, scales: Sequence[float] | NDArray[Any] | None = None,
        zero_point: int = 0, axis: int = 0, *, any_batch: bool = False,
    ) -> int:  # fmt: skip
        """Add a tensor and give its number.

        Args:
            name: for people.
            shape: with the batch.
            dtype: one of `TYPES`.
            scales: of a quantized tensor; several: one for each index of ``axis``.
            zero_point: of all of them.
            axis: see ``scales``.
            any_batch: whether the first dimension may be changed.
        """
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, np.array(shape, np.int32), TYPES[dtype]
        tensor.hasRank = True
        if any_batch:
            tensor.shapeSignature = np.array([-1, *shape[1:]], np.int32)
        if scales is not None:
            form = schema.QuantizationParametersT()
            form.scale = np.array(scales, np.float32).reshape(-1)
            form.zeroPoint = np.full(len(form.scale), zero_point, np.int64)
            form.quantizedDimension = axis
            tensor.quantization = form
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def constant(
        self, name: str, array: NDArray[Any], scales: Sequence[float] | NDArray[Any] | None = None, axis: int = 0
    ) -> int:
        """Add a tensor whose numbers are in the file, symmetric where it is quantized; views are not copied."""
        number = self.tensor(name, array.shape, array.dtype.name, scales, axis=axis)
        buffer = _Constant()
        buffer.data = array
        self._tensors[number].buffer = len(self._buffers)
        self._buffers.append(buffer)
        return number

    def scale(self, number: int) -> float:
        """The scale of a quantized tensor; of several the first."""
        return float(self._tensors[number].quantization.scale[0])

    def operator(self, code: int, version: int, inputs: Sequence[int], output: int, options: Any = None) -> None:
        """Add an operator with one output; ``options`` is an object of the schema."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault((code, version), len(self._codes))
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        self._operators.append(operator)

    def content(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file."""
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = "main", self._tensors, self._operators
        graph.inputs, graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        model = schema.ModelT()
        model.version, model.description = 3, DESCRIPTION
        model.subgraphs, model.buffers = [graph], self._buffers
        model.signatureDefs = [self._signature(inputs, outputs)]
        model.operatorCodes = [_operator_code(code, version) for code, version in self._codes]
        size = sum(buffer.data.nbytes + ALIGNMENT for buffer in self._buffers if buffer.data is not None)
        builder = flatbuffers.Builder(size + _HEADROOM)
        builder.Finish(model.Pack(builder), _IDENTIFIER)
        # Output() would copy all of it once more.
        return bytes(memoryview(builder.Bytes)[builder.Head() :])

    def _signature(self, inputs: Sequence[int], outputs: Sequence[int]) -> Any:
        """By which a program finds inputs and outputs by their names."""
        signature = schema.SignatureDefT()
        signature.signatureKey = SIGNATURE
        signature.inputs, signature.outputs = self._named(inputs), self._named(outputs)
        return signature

    def _named(self, numbers: Sequence[int]) -> list[Any]:
        entries = [schema.TensorMapT() for _ in numbers]
        for entry, number in zip(entries, numbers, strict=True):
            entry.name, entry.tensorIndex = self._tensors[number].name, number
        return entries


def _operator_code(code: int, version: int) -> Any:
    entry = schema.OperatorCodeT()
    entry.builtinCode, entry.version = code, version
    entry.deprecatedBuiltinCode = min(code, _OLD_CODES)
    return entry
