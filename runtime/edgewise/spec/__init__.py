"""The leaf that every other part shares: errors, the manifest of a model file, whole-or-absent files, digests."""

from edgewise.spec.errors import (
    BackendError,
    DataError,
    EdgewiseError,
    ExtraMissingError,
    GateError,
    InputError,
    ModelError,
    OutputError,
    PhotoError,
    SourceError,
    WorkerError,
)
from edgewise.spec.manifest import Accuracy, Calibration, Format, InputSpec, Manifest, OutputSpec, Parity, Scheme

__all__ = [
    "Accuracy",
    "BackendError",
    "Calibration",
    "DataError",
    "EdgewiseError",
    "ExtraMissingError",
    "Format",
    "GateError",
    "InputError",
    "InputSpec",
    "Manifest",
    "ModelError",
    "OutputError",
    "OutputSpec",
    "Parity",
    "PhotoError",
    "Scheme",
    "SourceError",
    "WorkerError",
]
