"""The constants of an ONNX file: what kind of numbers they are, how many, and the values of the small ones.

Source of the field numbers: onnx.proto of the ONNX project. Every function raises WireError for bytes that are not what
they should be.
"""

from __future__ import annotations

import struct

from edgewise.runtime.graph import BITS, MAX_ELEMENTS, MAX_RANK, MAX_VALUES, Tensor, elements
from edgewise.runtime.protobuf import Budget, WireError, fields, text

# TensorProto.DataType, from 0 on.
_DTYPES = (
    *("unknown", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "text", "bool", "float16"),
    *("float64", "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8", "float8", "float8", "float8"),
    *("uint4", "int4", "float4", "float8", "uint2", "int2"),
)
_LETTERS = dict(
    zip(("float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "int64"), "fdbBhHiq", strict=True)
)
_TYPED = {4: ("f", 4), 10: ("d", 8)}  # fields of packed numbers of a fixed size
_VARINTS = (5, 7, 11)
Value = int | memoryview


def varints(value: Value, budget: Budget) -> list[int]:
    """A whole number, or some packed ones."""
    if isinstance(value, int):
        return [signed(value)]
    numbers, at = [], 0
    while at < len(value):
        budget.spend()
        number, at = _varint(value, at)
        numbers.append(signed(number))
    return numbers


def constant(message: memoryview, budget: Budget) -> Tensor:
    """Read one TensorProto; numbers that are in another file have no values."""
    name, dims, dtype, external = "", list[int](), "unknown", False
    stored: list[tuple[int, Value]] = []
    for number, value in fields(message, budget):
        if number == 1:
            dims += varints(value, budget)
            check_rank(len(dims))
        elif number == 2:
            dtype = dtype_name(value)
        elif number == 8:
            name = text(value)
        elif number in (4, 5, 7, 9, 10, 11):
            stored.append((number, value))
        elif number in (13, 14):
            external = external or number == 13 or value != 0
    shape = tuple(dims)
    count, bits = elements(shape) or 0, BITS.get(dtype, 0)
    if min(shape, default=0) < 0 or count > MAX_ELEMENTS:
        raise WireError(f"a constant has the shape {shape}")
    size = (count * bits + 7) // 8
    if not external:
        _check_size(count, size, bits, stored)
    values = _values(dtype, count, stored, budget) if count <= MAX_VALUES and not external else None
    return Tensor(name, shape, dtype, constant=True, size=size, values=values)


def _values(dtype: str, count: int, stored: list[tuple[int, Value]], budget: Budget) -> tuple[float, ...] | None:
    values: list[float] = []
    for number, value in stored:
        if number == 9 and dtype in _LETTERS:
            letter = _LETTERS[dtype]
            return struct.unpack(f"<{count}{letter}", view(value)[: count * struct.calcsize("<" + letter)])
        if number in _TYPED and not isinstance(value, int):
            letter, size = _TYPED[number]
            values += struct.unpack(f"<{len(value) // size}{letter}", value[: len(value) // size * size])
        elif number in _VARINTS:
            values += varints(value, budget)
    return tuple(values) if len(values) == count else None


def view(value: Value) -> memoryview:
    """A field that has to be a message or a text."""
    if isinstance(value, int):
        raise WireError("a part of it is a number where a message should be")
    return value


def signed(value: int) -> int:
    """A varint as the int64 that it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & (1 << 64) - 1, at + index + 1
    raise WireError(f"no whole number ends after byte {at} of a list")


def dtype_name(value: Value) -> str:
    """What a TensorProto.DataType is called here."""
    return _DTYPES[value] if isinstance(value, int) and 0 <= value < len(_DTYPES) else "unknown"


def check_rank(rank: int) -> None:
    """Refuse more than MAX_RANK dimensions."""
    if rank > MAX_RANK:
        raise WireError(f"a tensor has more than {MAX_RANK} dimensions")


def _check_size(count: int, size: int, bits: int, stored: list[tuple[int, Value]]) -> None:
    """Raise WireError where a shape speaks of more than is there."""
    raw = next((len(value) for number, value in stored if number == 9 and not isinstance(value, int)), None)
    typed = sum(1 if isinstance(value, int) else len(value) for number, value in stored if number != 9)
    # A packed number of any dtype takes a byte at least, and a byte holds at most four.
    if bits and (raw < size if raw is not None else typed * max(8 // bits, 1) < count):
        raise WireError(f"a constant of {count} numbers is {typed if raw is None else raw} bytes long")
