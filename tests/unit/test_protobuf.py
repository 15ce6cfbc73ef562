"""The wire format of protocol buffers."""

from __future__ import annotations

import pytest

from edgewise.runtime.protobuf import Budget, WireError, encode_field, encode_varint, fields, text


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"\x08" + b"\x80" * 10, "no whole number ends after byte 1"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "no whole number ends after byte 1"),
        (b"\x08\x80", "no whole number ends after byte 1"),
        (b"\x00\x01", "field number 0"),
        (b"\x0a\x05abc", "field 1 is 5 bytes long, and only 3 are left"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "and only 0 are left"),
        (b"\x0b", "unknown kind of field 3"),
        (b"\x09abc", "field 1 is 8 bytes long, and only 3 are left"),
    ],
)
def test_malformed_messages(message: bytes, said: str) -> None:
    with pytest.raises(WireError, match=said):
        list(fields(memoryview(message), Budget(10)))


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, (1 << 64) - 1])
def test_numbers_survive_the_wire(number: int) -> None:
    message = encode_varint(3 << 3) + encode_varint(number)
    assert list(fields(memoryview(message), Budget(1))) == [(3, number)]


def test_every_kind_of_field() -> None:
    message = encode_field(2, b"ab") + b"\x1d" + bytes(4) + b"\x21" + bytes(8)
    assert [(number, bytes(value)) for number, value in fields(memoryview(message), Budget(3))] == [
        (2, b"ab"),
        (3, bytes(4)),
        (4, bytes(8)),
    ]


def test_texts_are_checked() -> None:
    with pytest.raises(WireError, match="not UTF-8"):
        text(memoryview(b"\xff"))
    with pytest.raises(WireError, match="holds a number"):
        text(7)
