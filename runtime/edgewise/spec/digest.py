"""A digest inside the file it covers, found and checked without parsing the file.

An exporter writes the marker ``edgewise-sha256:`` followed by 64 zeros somewhere in the file (a TFLite metadata
buffer, an ONNX metadata property) and then `seal` replaces the zeros by the SHA-256 of the whole file as it was with
the zeros. `verify` undoes that. It guards against damage, not against an attacker, who can seal his own file.
"""

from __future__ import annotations

import hashlib

from edgewise.spec.errors import ModelError

MARKER = b"edgewise-sha256:"
BLANK = MARKER + b"0" * 64


def seal(content: bytes) -> bytes:
    """Return ``content`` with its one blank marker filled in.

    Raises:
        ValueError: there is not exactly one blank marker.
    """
    if content.count(MARKER) != 1 or BLANK not in content:
        raise ValueError("a file to be sealed needs exactly one blank digest marker")
    return content.replace(BLANK, MARKER + hashlib.sha256(content).hexdigest().encode())


def verify(content: bytes, name: str) -> bool:
    """Tell whether ``content`` carries a digest; raise where it carries one that does not fit.

    Args:
        content: the whole file.
        name: how the file is called in the error message.

    Returns:
        True where there is a digest and it fits, False where there is none.

    Raises:
        ModelError: the digest does not fit, so the file is damaged.
    """
    at = content.find(MARKER)
    if at < 0:
        return False
    start, end = at + len(MARKER), at + len(MARKER) + 64
    whole = memoryview(content)  # slices of bytes would copy hundreds of megabytes
    digest = hashlib.sha256(whole[:start])
    digest.update(b"0" * 64)
    digest.update(whole[end:])
    if digest.hexdigest().encode() != content[start:end]:
        raise ModelError(
            f"{name} is damaged: its content does not fit the SHA-256 it carries",
            do="copy or export the file again",
        )
    return True
