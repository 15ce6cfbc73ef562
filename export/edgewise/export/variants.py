"""What can be made of a network: formats, schemes, and the compression that goes before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewise.export.compression import Compression
from edgewise.spec import Format, Scheme

USUAL = (Scheme.FP32, Scheme.FP16, Scheme.DYNAMIC, Scheme.INT8)
"""Schemes that are made where none is named: those that need no training."""

FLOAT_SCHEMES = (Scheme.FP32, Scheme.FP16)
"""Schemes whose files must answer as the network does."""


@dataclass(frozen=True)
class Variant:
    """One file to make."""

    format: Format
    scheme: Scheme
    compression: Compression | None = None  # without its ``quantize``, which the scheme says

    def file_name(self, name: str) -> str:
        """For example ``clothes-int8.tflite`` or ``clothes-pruned50-int8.onnx``."""
        return "-".join([name, *describe(self.compression), f"{self.scheme.value}.{self.format.value}"])


def describe(compression: Compression | None) -> tuple[str, ...]:
    """The parts of a file's name that say how its network was compressed."""
    if compression is None:
        return ()
    parts = []
    if compression.pattern:
        parts.append(f"sparse{compression.pattern.replace(':', 'of')}")
    elif compression.prune:
        parts.append(f"pruned{round(100 * compression.prune)}")
    if compression.cluster:
        parts.append(f"clustered{compression.cluster}")
    return tuple(parts)


def variants(
    formats: Sequence[Format], schemes: Sequence[Scheme], compression: Compression | None = None
) -> tuple[Variant, ...]:
    """All combinations, each once, in the order in which they share work."""
    return tuple(dict.fromkeys(Variant(form, scheme, compression) for scheme in schemes for form in formats))
