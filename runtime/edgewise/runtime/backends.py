"""The engines that run a model file, behind one Protocol.

A Protocol and not a base class, because the Keras reference of the benchmarks lives in another package and fits in
without importing this one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.modelfile import ModelFile
from edgewise.spec import BackendError, Format, ModelError, Scheme
from edgewise.spec.quiet import quiet_stderr


class Backend(Protocol):
    """One loaded network. Not safe for use by several threads at once."""

    name: str
    threads: int

    def run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify prepared pictures.

        Args:
            batch: ``(n, height, width, 3)`` uint8 RGB at the model's input size, n >= 1.

        Returns:
            ``(n, classes)`` float32 probabilities.
        """
        ...


def usable_cores() -> int:
    """CPU cores this process may use, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class LiteRtBackend:
    """Runs .tflite files with the LiteRT interpreter, one picture at a time, as they were converted."""

    name = "litert"

    def __init__(self, model: ModelFile, threads: int) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ModuleNotFoundError as error:
            raise _not_installed("litert", "ai-edge-litert") from error
        self.threads = threads
        try:
            # From the verified bytes, never from the path: the file may change under a mapping.
            with quiet_stderr():
                self._interpreter = Interpreter(model_content=model.content, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise _not_loadable(model, "LiteRT", error) from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        _check_signature(model, [tuple(i["shape"]) for i in inputs], [tuple(o["shape"]) for o in outputs])
        if inputs[0]["dtype"] is not np.uint8 or outputs[0]["dtype"] is not np.float32:
            raise ModelError(
                f"{model.path} takes {inputs[0]['dtype'].__name__} and gives {outputs[0]['dtype'].__name__}",
                "uint8 pixels in and float32 probabilities out, as its manifest says",
                "export it again",
            )
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]

    def run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Backend.run`."""
        return np.concatenate([self._run_one(picture) for picture in batch])

    def _run_one(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._interpreter.set_tensor(self._input, picture[np.newaxis])
        self._interpreter.invoke()
        result: NDArray[np.float32] = self._interpreter.get_tensor(self._output)
        return result


class OnnxRuntimeBackend:
    """Runs .onnx files with ONNX Runtime on the CPU."""

    name = "onnxruntime"

    def __init__(self, model: ModelFile, threads: int) -> None:
        try:
            import onnxruntime as ort
        except ModuleNotFoundError as error:
            raise _not_installed("onnxruntime", "onnxruntime") from error
        self.threads = threads
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        if model.manifest.scheme is Scheme.DYNAMIC:
            # Otherwise the weights would be turned into floats for every picture, instead of once.
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session: Any = ort.InferenceSession(model.content, options, providers=["CPUExecutionProvider"])
            # Names are read here, because those of a hostile file need not be UTF-8.
            inputs = [(entry.name, entry.type, tuple(entry.shape)) for entry in self._session.get_inputs()]
            outputs = [(entry.name, entry.type, tuple(entry.shape)) for entry in self._session.get_outputs()]
        except (RuntimeError, ValueError) as error:
            raise _not_loadable(model, "ONNX Runtime", error) from error
        except Exception as error:
            # ONNX Runtime's own classes derive from the bare Exception and are not importable by a public name.
            if type(error).__module__.startswith("onnxruntime"):
                raise _not_loadable(model, "ONNX Runtime", error) from error
            raise
        _check_signature(model, [shape for *_, shape in inputs], [shape for *_, shape in outputs])
        (self._input, taken, _), (output, given, _) = inputs[0], outputs[0]
        if taken != "tensor(uint8)" or given != "tensor(float)":
            raise ModelError(
                f"{model.path} takes {taken} and gives {given}",
                "uint8 pixels in and float32 probabilities out, as its manifest says",
                "export it again",
            )
        self._outputs = [output]

    def run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Backend.run`."""
        result: NDArray[np.float32] = self._session.run(self._outputs, {self._input: batch})[0]
        return result


_BACKENDS: Mapping[Format, Mapping[str, Callable[[ModelFile, int], Backend]]] = {
    Format.TFLITE: {"litert": LiteRtBackend},
    Format.ONNX: {"onnxruntime": OnnxRuntimeBackend},
}


def backends_for(model_format: Format) -> tuple[str, ...]:
    """Names of the backends that run files of this format, the usual one first."""
    return tuple(_BACKENDS[model_format])


def open_backend(model: ModelFile, backend: str | None = None, threads: int | None = None) -> Backend:
    """Load a model file.

    Args:
        model: a verified file.
        backend: one of `backends_for`; None takes the first.
        threads: CPU threads, >= 1; None takes every core this process may use.

    Raises:
        BackendError: the backend does not run this format, is not installed, or ``threads`` is less than 1.
        ModelError: the backend refuses the file, or its input or output differs from its manifest.
    """
    choice = _BACKENDS[model.format]
    name = backend or next(iter(choice))
    if name not in choice:
        raise BackendError(
            f"--backend {name} does not run {model.path.name}",
            "for this file: " + ", ".join(choice),
            "leave --backend out",
        )
    if threads is not None and threads < 1:
        raise BackendError(f"--threads {threads}", "a number of at least 1")
    return choice[name](model, threads or usable_cores())


def _check_signature(model: ModelFile, inputs: list[tuple[Any, ...]], outputs: list[tuple[Any, ...]]) -> None:
    spec, labels = model.manifest.input, len(model.manifest.labels)
    fits = len(inputs) == 1 and len(outputs) == 1 and inputs[0][1:] == (spec.height, spec.width, 3)
    if not fits or outputs[0][1:] != (labels,):
        raise ModelError(
            f"{model.path} has inputs {inputs} and outputs {outputs}",
            f"(n, {spec.height}, {spec.width}, 3) and (n, {labels}), as its manifest says",
            "export it again",
        )


def _not_installed(name: str, package: str) -> BackendError:
    return BackendError(f"the backend '{name}' is not installed", do=f"pip install {package}")


def _not_loadable(model: ModelFile, engine: str, error: Exception) -> ModelError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelError(f"{engine} cannot load {model.path}: {reason}", do="export it again, or update the backend")
