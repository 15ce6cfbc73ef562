"""What every engine gives and is given.

A Protocol and not a base class: an engine is whatever says which tensors its network takes and gives, and runs it. It
knows nothing of pictures, labels or probabilities; `edgewise.runtime.interface` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgewise.spec import BackendError, Format, ModelError, Scheme

CPU = "cpu"
"""The provider that every engine has."""

FP32, BF16 = "fp32", "bf16"
"""Precisions of float arithmetic. What a file computes in whole numbers stays so in either."""

Shape = tuple[int | None, ...]
"""Sizes of a tensor; None stands for any size."""


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a network."""

    name: str
    shape: Shape
    dtype: str  # as NumPy calls it, such as "float32"; what NumPy has not, as the engine calls it
    scale: float = 0.0  # of whole numbers that stand for real ones, > 0; 0: they stand for themselves
    zero_point: int = 0


@dataclass(frozen=True)
class Network:
    """What is loaded: verified bytes, never a path, because a file may change between two looks at it."""

    name: str  # how the file is called in error messages
    format: Format
    content: bytes = field(repr=False)
    scheme: Scheme | None = None  # None: not said


@dataclass(frozen=True)
class Settings:
    """How it is loaded. What is asked for and not granted is an error."""

    threads: int  # CPU threads, >= 1
    provider: str = CPU  # one of the engine's `Kind.providers`
    precision: str = FP32  # one of the engine's `Kind.precisions`


class Engine(Protocol):
    """One loaded network. Not safe for use by several threads at once."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def run(self, array: NDArray[Any], output: int = 0) -> NDArray[Any]:
        """Run a network of one input.

        Args:
            array: of the input's dtype and shape.
            output: which output is wanted, by its place in ``outputs``.

        Returns:
            That output, in memory of its own.
        """
        ...


@dataclass(frozen=True)
class Kind:
    """One kind of engine, known without loading it."""

    name: str
    title: str  # as its makers write it
    module: str  # what has to be importable
    install: str  # what brings it
    formats: frozenset[Format]
    providers: Callable[[], tuple[str, ...]]  # what this machine and this installation offer, the usual one first
    precisions: Callable[[str], tuple[str, ...]]  # what a provider computes floats in, the usual one first
    open: Callable[[Network, Settings], Engine]
    version: Callable[[], str]
    caution: Callable[[Scheme | None, frozenset[str]], str] = lambda scheme, flags: ""  # noqa: ARG005
    """Why a network of a scheme answers otherwise than it was proven to, on a CPU with such flags; or nothing."""


def run_in_batches(engine: Engine, array: NDArray[Any], output: int = 0) -> NDArray[Any]:
    """Run as many pictures at once as a network takes; one that takes more than there are gets some twice.

    Args:
        engine: of one input, whose first dimension counts pictures.
        array: ``(n, ...)``, n >= 1.
        output: as in `Engine.run`.

    Returns:
        ``(n, ...)``.
    """
    size = engine.inputs[0].shape[0]
    if size is None or size == len(array):
        return engine.run(array, output)
    parts = [array[start : start + size] for start in range(0, len(array), size)]
    full = [np.resize(part, (size, *part.shape[1:])) if len(part) < size else part for part in parts]
    return np.concatenate([engine.run(part, output) for part in full])[: len(array)]


def not_installed(name: str, install: str) -> BackendError:
    """The error where an engine's package is missing."""
    return BackendError(f"the backend '{name}' is not installed", do=f"pip install {install}")


def not_loadable(network: Network, title: str, error: Exception) -> ModelError:
    """The error where an engine refuses a file."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    return ModelError(f"{title} cannot load {network.name}: {reason}", do="export it again, or update the backend")


def not_runnable(name: str, title: str, error: Exception) -> ModelError:
    """The error where an engine gives up while it computes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    return ModelError(f"{title} cannot run {name}: {reason}", do="export it again, or update the backend")
