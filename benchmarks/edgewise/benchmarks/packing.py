"""Class indices of many photos as a short text in JSON: 32-bit little-endian whole numbers, zlib, base64."""

from __future__ import annotations

import base64
import zlib

import numpy as np
from numpy.typing import NDArray

from edgewise.spec import InputError

MAX_BYTES = 1 << 28
"""Most bytes that a text may stand for."""


def pack(indices: NDArray[np.int32]) -> str:
    """Write ``(n,)`` whole numbers as a text."""
    return base64.b64encode(zlib.compress(indices.astype("<i4").tobytes())).decode("ascii")


def unpack(text: str) -> NDArray[np.int32]:
    """Read what `pack` wrote, ``(n,)``; an empty text is no numbers.

    Raises:
        InputError: it is something else, or stands for more than MAX_BYTES.
    """
    if not text:
        return np.empty(0, np.int32)
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.b64decode(text, validate=True), MAX_BYTES)
        if unpacker.eof:
            return np.frombuffer(content, "<i4").astype(np.int32)
    except (ValueError, zlib.error):
        pass
    raise InputError("the answers of the photos cannot be read", "a results.json as `edgewise benchmark` wrote it")
