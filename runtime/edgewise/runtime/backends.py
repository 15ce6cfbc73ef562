"""What runs a model file: pictures in, probabilities out, whichever engine computes them.

A Protocol and not a base class, because the Keras reference of the benchmarks lives in another package and fits in
without importing this one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.cpu import cpu_flags, usable_cores
from edgewise.runtime.engines import is_installed, kinds_for
from edgewise.runtime.engines.base import (
    CPU,
    FP32,
    Engine,
    Kind,
    Network,
    Settings,
    Shape,
    not_installed,
    run_in_batches,
)
from edgewise.runtime.interface import Interface
from edgewise.runtime.modelfile import ModelFile
from edgewise.spec import BackendError, Format, ModelError, Scheme
from edgewise.spec.opening import Opening


class Backend(Protocol):
    """One loaded network. Not safe for use by several threads at once."""

    name: str
    threads: int
    provider: str  # what computes: "cpu", "cuda", ...
    precision: str  # what floats are computed in: "fp32" or "bf16"

    def run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify prepared pictures.

        Args:
            batch: ``(n, height, width, 3)`` uint8 RGB at the model's input size, n >= 1.

        Returns:
            ``(n, classes)`` float32 probabilities.
        """
        ...


def ran(backend: Backend) -> dict[str, str]:
    """What computes, which with a fallback need not be what was asked for; results carry it under these names."""
    return {"backend": backend.name, "provider": backend.provider, "precision": backend.precision}


class EngineBackend:
    """An engine, with what stands between it and the pictures of a foreign network."""

    def __init__(self, engine: Engine, choice: Choice, interface: Interface | None = None) -> None:
        self.name = choice.kind.name
        self.threads = choice.settings.threads
        self.provider = choice.settings.provider
        self.precision = choice.settings.precision
        self._engine, self._interface = engine, interface

    def run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Backend.run`."""
        if self._interface is None:
            return run_in_batches(self._engine, batch)
        feed, reading = self._interface.feed, self._interface.reading
        return reading.probabilities(run_in_batches(self._engine, feed.prepared(batch), reading.output))


@dataclass(frozen=True)
class Choice:
    """An engine and how it is used; every part of it is there."""

    kind: Kind
    settings: Settings

    def caution(self, scheme: Scheme | None) -> str:
        """Why a network of that scheme gives other answers here than those it was proven with; empty: it does not."""
        return self.kind.caution(scheme, cpu_flags()) if self.settings.provider == CPU else ""

    def with_threads(self, threads: int) -> Choice:
        """The same with another number of threads."""
        return replace(self, settings=replace(self.settings, threads=threads))


def backends_for(model_format: Format) -> tuple[str, ...]:
    """Names of the backends of the base install that run files of this format, the usual one first."""
    return tuple(kind.name for kind in kinds_for(model_format) if "[" not in kind.install)


def choices_for(model_format: Format, name: str, opening: Opening) -> tuple[Choice, ...]:
    """One choice for each engine that runs a file and grants what is asked for. Arguments and errors as `choose`."""
    found, errors = [], []
    for kind in kinds_for(model_format):
        try:
            found.append(choose(model_format, name, replace(opening, backend=kind.name, allow_fallback=False)))
        except BackendError as error:  # noqa: PERF203 - three engines at most
            errors.append(error)
    if not found:
        if opening.allow_fallback:
            return (choose(model_format, name, replace(opening, backend=None)),)
        raise errors[0]
    return tuple(found)


def choose(model_format: Format, name: str, opening: Opening) -> Choice:
    """Choose what runs a file.

    Args:
        model_format: of the file.
        name: how the file is called in error messages.
        opening: what is asked for; ``backend`` is not "auto".

    Raises:
        BackendError: something that was asked for is not there, and no fallback is allowed. The message lists what is.
    """
    threads = opening.threads
    if threads is not None and threads < 1:
        raise BackendError(f"--threads {threads}", "a number of at least 1")
    kind = _kind(model_format, name, opening)
    provider = _one_of("provider", opening.provider, kind.providers(), kind, opening)
    precision = _one_of("precision", opening.precision, kind.precisions(provider), kind, opening)
    return Choice(kind, Settings(threads or usable_cores(), provider, precision))


def _kind(model_format: Format, name: str, opening: Opening) -> Kind:
    fitting = kinds_for(model_format)
    asked = opening.backend
    found = next((kind for kind in fitting if asked in (None, kind.name)), None)
    if found and is_installed(found):
        return found
    usual = fitting[0]
    if opening.allow_fallback and found is not usual and is_installed(usual):
        return usual
    if found:
        raise not_installed(found.name, found.install)
    names = ", ".join(kind.name + ("" if is_installed(kind) else " (not installed)") for kind in fitting)
    raise BackendError(f"--backend {asked} does not run {name}", f"for this file: {names}", "leave --backend out")


def _one_of(option: str, asked: str | None, there: tuple[str, ...], kind: Kind, opening: Opening) -> str:
    if asked is None or asked.lower() in there:
        return there[0] if asked is None else asked.lower()
    if opening.allow_fallback:
        return there[0]
    raise BackendError(
        f"--{option} {asked} is not there with {kind.title} {kind.version()} on this machine",
        "one of " + ", ".join(there),
        f"leave --{option} out, or add --allow-fallback to go on with {there[0]}",
    )


def open_engine(network: Network, choice: Choice, *, allow_fallback: bool = False) -> tuple[Engine, Choice]:
    """Load a network; gives the engine and what it is at work with.

    Raises:
        BackendError: a provider or precision that is there in name cannot be used, and no fallback is allowed.
        ModelError: the engine refuses the file.
    """
    try:
        return choice.kind.open(network, choice.settings), choice
    except BackendError:
        plain = replace(choice, settings=Settings(choice.settings.threads, CPU, FP32))
        if not allow_fallback or plain == choice:
            raise
        return plain.kind.open(network, plain.settings), plain


def open_backend(
    model: ModelFile, backend: str | None = None, threads: int | None = None, opening: Opening | None = None
) -> Backend:
    """Load a model file that Edgewise exported.

    Args:
        model: a verified file.
        backend: one that runs the format; None takes the usual one.
        threads: CPU threads, >= 1; None takes every core this process may use.
        opening: instead of ``backend`` and ``threads``: these and what else there is to say.

    Raises:
        BackendError: the backend does not run this format, is not installed, or ``threads`` is less than 1; or another
            part of ``opening`` is not granted.
        ModelError: the backend refuses the file, or its input or output differs from its manifest.
    """
    opening = opening or Opening(backend=backend, threads=threads)
    choice = choose(model.format, model.path.name, opening)
    network = Network(str(model.path), model.format, model.content, model.manifest.scheme)
    engine, granted = open_engine(network, choice, allow_fallback=opening.allow_fallback)
    check_signature(model, engine)
    return EngineBackend(engine, granted)


def check_signature(model: ModelFile, engine: Engine) -> None:
    """Raise ModelError where a network does not take and give what its manifest says."""
    spec, labels = model.manifest.input, len(model.manifest.labels)
    inputs, outputs = engine.inputs, engine.outputs
    fits = len(inputs) == 1 and len(outputs) == 1 and inputs[0].shape[1:] == (spec.height, spec.width, 3)
    if not fits or outputs[0].shape[1:] != (labels,):
        raise ModelError(
            f"{model.path} has inputs {_shapes(inputs)} and outputs {_shapes(outputs)}",
            f"(n, {spec.height}, {spec.width}, 3) and (n, {labels}), as its manifest says",
            "export it again",
        )
    if inputs[0].dtype != "uint8" or outputs[0].dtype != "float32":
        raise ModelError(
            f"{model.path} takes {inputs[0].dtype} and gives {outputs[0].dtype}",
            "uint8 pixels in and float32 probabilities out, as its manifest says",
            "export it again",
        )


def _shapes(infos: Any) -> list[Shape]:
    return [info.shape for info in infos]
