"""The wire format of protocol buffers, as far as a model file's outer structure needs it.

Source: the encoding page of the public Protocol Buffers documentation. Everything is read from views, so a graph of
hundreds of megabytes is skipped by its length without being copied. Made for bytes from anywhere: each length is
checked against the end of its message, and a `Budget` bounds the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MAX_VARINT_BYTES = 10
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}


class WireError(ValueError):
    """Bytes that are not a well-formed message; the text says why. Callers turn it into a ModelError."""


@dataclass
class Budget:
    """How many fields may still be read, over all messages of a file."""

    fields: int

    def spend(self) -> None:
        """Take one field. Raises WireError where none is left."""
        self.fields -= 1
        if self.fields < 0:
            raise WireError("it has too many fields")


def fields(message: memoryview, budget: Budget) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value) of one message, in file order.

    Args:
        message: the bytes of the message, one byte per element.
        budget: shared between the messages of a file.

    Yields:
        For a varint its unsigned value, 0 to 2**64 - 1; for every other kind a view of its bytes.

    Raises:
        WireError: an overlong varint, a length past the end, a group or an unknown kind, or the budget is spent.
    """
    at, end = 0, len(message)
    while at < end:
        budget.spend()
        tag, at = _read_varint(message, at)
        number, kind = tag >> 3, tag & 7
        if not 1 <= number < 1 << 29:
            raise WireError(f"field number {number} at byte {at} is out of range")
        if kind == VARINT:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        size, at = _size(message, at, kind)
        if size > end - at:
            raise WireError(f"field {number} is {size} bytes long, and only {end - at} are left")
        yield number, message[at : at + size]
        at += size


def text(value: int | memoryview) -> str:
    """The value of a string field. Raises WireError where it is a number or not UTF-8."""
    if isinstance(value, int):
        raise WireError("a text field holds a number")
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise WireError("a text field is not UTF-8") from error


def encode_varint(value: int) -> bytes:
    """``value`` (0 or more) as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_field(number: int, payload: bytes) -> bytes:
    """A length-delimited field: a string, bytes or a nested message."""
    return encode_varint(number << 3 | DELIMITED) + encode_varint(len(payload)) + payload


def _size(message: memoryview, at: int, kind: int) -> tuple[int, int]:
    if kind == DELIMITED:
        return _read_varint(message, at)
    if kind in _FIXED_BYTES:
        return _FIXED_BYTES[kind], at
    raise WireError(f"unknown kind of field {kind} before byte {at}")


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(message[at : at + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, at + index + 1
    raise WireError(f"no whole number ends after byte {at}")
