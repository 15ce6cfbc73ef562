"""What there is to measure: one file on one backend, in one of three ways."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

BACKEND_NAMES = {"litert": "LiteRT", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "keras": "Keras"}
"""Backends as their makers write them."""

WHOLE_NUMBERS = frozenset({"int8", "int8-qat", "w8a16"})
"""Schemes whose weights and activations are whole numbers."""


class Kind(str, Enum):
    """What a row is."""

    VARIANT = "variant"  # an exported file through this toolkit's runtime
    REFERENCE = "reference"  # the Keras network that the variants were made from
    PLAIN = "plain"  # the same file in the shortest correct script for its backend


@dataclass(frozen=True)
class Entry:
    """What is to be measured: one file on one backend with a number of threads, or the reference network."""

    name: str  # file name, or name of the run
    path: str
    format: str  # "tflite", "onnx", or "run" for the reference
    scheme: str  # such as "int8"; "fp32" for the reference
    backend: str  # "litert", "onnxruntime", "openvino"; "keras" for the reference; empty where nothing can be measured
    sha256: str  # of the file; of the weights for the reference
    bytes: int  # file size; of the weights for the reference; 0 where there is none
    kind: Kind = Kind.VARIANT
    provider: str = "cpu"  # what is asked to compute: "cpu", "cuda", ...
    threads: int = 0  # CPU threads asked for, >= 1; 0: nothing can be measured
    gzip_bytes: int = 0  # size compressed with gzip; 0: not known
    error: str = ""  # why it cannot be measured at all
    shows_threads: bool = False  # more than one number of threads is measured, so that titles tell it

    @property
    def title(self) -> str:
        """How the entry is called: its file and its backend where it is known, and what tells it from its like."""
        if not self.backend:
            return self.name
        where = f"{self.backend_name} on {self.name}" if self.kind is Kind.PLAIN else ""
        named = f"plain loop of {where}" if where else f"{self.name} on {self.backend_name}"
        provider = "" if self.provider == "cpu" else f", {self.provider}"
        threads = f", {self.threads} thread{'s' if self.threads != 1 else ''}" if self.shows_threads else ""
        return named + provider + threads

    @property
    def backend_name(self) -> str:
        """The backend as its makers write it."""
        return BACKEND_NAMES.get(self.backend, self.backend)

    @property
    def in_whole_numbers(self) -> bool:
        """Whether its products are of whole numbers; of a dynamic file, LiteRT rounds the activations as it goes."""
        return self.scheme in WHOLE_NUMBERS or (self.scheme, self.backend) == ("dynamic", "litert")

    @property
    def is_reference(self) -> bool:
        """Whether this is the network that the variants were made from."""
        return self.kind is Kind.REFERENCE

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """What identifies a row among the rows of one result, and its like in another."""
        return self.name, self.backend, self.provider, self.threads, self.kind.value
