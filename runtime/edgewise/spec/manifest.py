"""What a model file says about itself: labels, input, output, how it was made and how faithful it is.

The manifest is JSON, carried inside the model file. Anything read from a file is checked field by field, because a
model file may come from anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from edgewise.spec.errors import ModelError

SCHEMA = 1
"""Version of the manifest. A reader accepts its own and older versions, and refuses newer ones by name."""

MAX_BYTES = 8 << 20
"""Largest manifest that is read, in bytes."""

MAX_LABELS = 100_000
MAX_IMAGE_SIZE = 4096


class Format(str, Enum):
    """Kinds of model file, by their suffix."""

    TFLITE = "tflite"
    ONNX = "onnx"


class Scheme(str, Enum):
    """Quantization schemes. The value is the last part of a variant's name (``clothes-int8.tflite``)."""

    FP32 = "fp32"
    FP16 = "fp16"  # half-precision weights
    DYNAMIC = "dynamic"  # int8 weights, float activations
    INT8 = "int8"  # int8 weights and activations
    W8A16 = "w8a16"  # int8 weights, 16-bit activations
    INT8_QAT = "int8-qat"  # as int8, after training with quantization


@dataclass(frozen=True)
class InputSpec:
    """The one input: a batch of uint8 RGB pictures, NHWC, raw pixel values 0-255; normalization is in the graph."""

    height: int  # pixels, 1-4096
    width: int  # pixels, 1-4096
    layout: str = "NHWC"
    color: str = "RGB"
    dtype: str = "uint8"
    resize: str = "stretch"  # see edgewise.runtime.images.fit


@dataclass(frozen=True)
class OutputSpec:
    """The one output: one row of float32 probabilities per picture, in label order, each 0-1, summing to 1."""

    kind: str = "probabilities"
    dtype: str = "float32"


@dataclass(frozen=True)
class Calibration:
    """The photos that set the ranges of a quantized network."""

    photos: int  # count, > 0
    sha256: str  # digest over the photos' digests in order
    method: str  # for example "min-max"


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy of the file itself, measured when it was exported."""

    top1: float  # share, 0-1
    photos: int  # count, > 0
    split: str  # "test", "validation" or "test+validation"


@dataclass(frozen=True)
class Parity:
    """How the file compares with the float Keras network on the same photos."""

    reference_top1: float  # share, 0-1
    agreement: float  # share of equal top-1 answers, 0-1
    max_difference: float  # largest absolute difference of any probability, 0-1
    mean_difference: float  # mean absolute difference of all probabilities, 0-1
    photos: int  # count, > 0


@dataclass(frozen=True)
class Manifest:
    """Everything that is needed to use a model file, and to know where it came from."""

    name: str
    labels: tuple[str, ...]  # in index order, unique, at least 2
    input: InputSpec
    scheme: Scheme
    output: OutputSpec = field(default_factory=OutputSpec)
    temperature: float = 1.0  # > 0, already folded into the network
    unknown_threshold: float | None = None  # probability 0-1; None: never answers "unknown"
    calibration: Calibration | None = None  # only where scheme is quantized
    accuracy: Accuracy | None = None
    parity: Parity | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)  # backbone, weights, data digest, seed, versions

    def to_json(self) -> str:
        """The manifest as indented JSON."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2, ensure_ascii=False, default=str)

    @staticmethod
    def from_json(text: str | bytes, name: str) -> Manifest:
        """Read and check a manifest.

        Args:
            text: JSON, at most MAX_BYTES.
            name: how the file is called in error messages.

        Raises:
            ModelError: not JSON, a newer schema, or a field that is missing or out of range; the message names it.
        """
        if len(text) > MAX_BYTES:
            raise ModelError(f"{name}: its manifest is {len(text)} bytes long", f"at most {MAX_BYTES} bytes")
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{name}: its manifest is not JSON ({error})", do="export the file again") from error
        return _Reader(data, name).manifest()


class _Reader:
    """Takes a manifest's fields out of untrusted JSON, one check each."""

    def __init__(self, data: Any, name: str) -> None:
        self._name = name
        self._data = data if isinstance(data, dict) else self._fail("manifest", data, "a JSON object")

    def _fail(self, key: str, value: object, expected: str) -> Any:
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        raise ModelError(f"{self._name}: '{key}' in its manifest is {shown}", expected, "export the file again")

    def _section(self, key: str) -> _Reader:
        return _Reader(self._data.get(key), f"{self._name} ({key})")

    def _optional(self, key: str) -> _Reader | None:
        return None if self._data.get(key) is None else self._section(key)

    def _text(self, key: str, *allowed: str) -> str:
        value = self._data.get(key)
        # Control characters in a text from a foreign file would reach the terminal.
        if not isinstance(value, str) or not value.isprintable() or (allowed and value not in allowed):
            self._fail(key, value, "one of " + ", ".join(allowed) if allowed else "a printable text")
        return str(value)

    def _int(self, key: str, low: int, high: int) -> int:
        value = self._data.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self._fail(key, value, f"a whole number from {low} to {high}")
        return int(value)  # type: ignore[arg-type]

    def _float(self, key: str, low: float, high: float) -> float:
        value = self._data.get(key)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not low <= value <= high:  # type: ignore[operator] # also false for NaN
            self._fail(key, value, f"a number from {low:g} to {high:g}")
        return float(value)  # type: ignore[arg-type]

    def _labels(self) -> tuple[str, ...]:
        value = self._data.get("labels")
        if not isinstance(value, list) or not 2 <= len(value) <= MAX_LABELS:
            self._fail("labels", value, f"a list of 2 to {MAX_LABELS} class names")
        labels = tuple(value)  # type: ignore[arg-type]
        # isprintable is false for line ends, control characters and halves of surrogate pairs.
        if not all(isinstance(label, str) and label and label.isprintable() for label in labels):
            self._fail("labels", value, "class names that are printable texts, not empty")
        if len(set(labels)) != len(labels):
            self._fail("labels", value, "class names that are all different")
        return labels

    def manifest(self) -> Manifest:
        schema = self._data.get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise ModelError(
                f"{self._name}: its manifest has version {schema}",
                f"version {SCHEMA} or older",
                "update Edgewise: pip install --upgrade edgewise",
            )
        self._int("schema", 1, SCHEMA)
        threshold = self._data.get("unknown_threshold")
        provenance = self._data.get("provenance", {})
        calibration, accuracy, parity = (self._optional(key) for key in ("calibration", "accuracy", "parity"))
        return Manifest(
            name=self._text("name"),
            labels=self._labels(),
            input=self._section("input")._input(),
            scheme=Scheme(self._text("scheme", *(scheme.value for scheme in Scheme))),
            output=self._section("output")._output(),
            temperature=self._float("temperature", 1e-6, 1e6),
            unknown_threshold=None if threshold is None else self._float("unknown_threshold", 0, 1),
            calibration=calibration._calibration() if calibration else None,
            accuracy=accuracy._accuracy() if accuracy else None,
            parity=parity._parity() if parity else None,
            provenance=provenance
            if isinstance(provenance, dict)
            else self._fail("provenance", provenance, "an object"),
        )

    def _input(self) -> InputSpec:
        return InputSpec(
            height=self._int("height", 1, MAX_IMAGE_SIZE),
            width=self._int("width", 1, MAX_IMAGE_SIZE),
            layout=self._text("layout", "NHWC"),
            color=self._text("color", "RGB"),
            dtype=self._text("dtype", "uint8"),
            resize=self._text("resize", "stretch"),
        )

    def _output(self) -> OutputSpec:
        return OutputSpec(kind=self._text("kind", "probabilities"), dtype=self._text("dtype", "float32"))

    def _calibration(self) -> Calibration:
        return Calibration(
            photos=self._int("photos", 1, 1 << 31), sha256=self._text("sha256"), method=self._text("method")
        )

    def _accuracy(self) -> Accuracy:
        return Accuracy(
            top1=self._float("top1", 0, 1), photos=self._int("photos", 1, 1 << 31), split=self._text("split")
        )

    def _parity(self) -> Parity:
        return Parity(
            reference_top1=self._float("reference_top1", 0, 1),
            agreement=self._float("agreement", 0, 1),
            max_difference=self._float("max_difference", 0, 1),
            mean_difference=self._float("mean_difference", 0, 1),
            photos=self._int("photos", 1, 1 << 31),
        )
