"""LiteRT: runs .tflite files on the CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.engines.base import (
    CPU,
    FP32,
    Engine,
    Kind,
    Network,
    Settings,
    Shape,
    TensorInfo,
    not_installed,
    not_loadable,
    not_runnable,
)
from edgewise.spec import Format
from edgewise.spec.quiet import quiet_stderr

NAME, TITLE, MODULE, INSTALL = "litert", "LiteRT", "ai_edge_litert", "ai-edge-litert"


class LiteRtEngine:
    """A file in the LiteRT interpreter. Memory for pictures of an open size is laid out when the first one comes."""

    def __init__(self, network: Network, settings: Settings) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ModuleNotFoundError as error:
            raise not_installed(NAME, INSTALL) from error
        self._name = network.name
        try:
            # From the verified bytes, never from the path: the file may change under a mapping.
            with quiet_stderr():
                self._interpreter: Any = Interpreter(model_content=network.content, num_threads=settings.threads)
                inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
                self.inputs = tuple(map(_input_info, inputs))
                self._is_open = any(None in info.shape for info in self.inputs)
                if not self._is_open:
                    self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise not_loadable(network, TITLE, error) from error
        self._laid_out: tuple[int, ...] = ()
        self.outputs = tuple(map(_info, outputs))
        self._input_places = [entry["index"] for entry in inputs]
        self._output_places = [entry["index"] for entry in outputs]

    def run(self, array: NDArray[Any], output: int = 0) -> NDArray[Any]:
        """See `Engine.run`."""
        try:
            if self._is_open and array.shape != self._laid_out:
                self._interpreter.resize_tensor_input(self._input_places[0], array.shape)
                self._interpreter.allocate_tensors()
                self._laid_out = array.shape
            self._interpreter.set_tensor(self._input_places[0], array)
            self._interpreter.invoke()
            result: NDArray[Any] = self._interpreter.get_tensor(self._output_places[output])
        except (ValueError, RuntimeError) as error:
            raise not_runnable(self._name, TITLE, error) from error
        return result


def _input_info(entry: dict[str, Any]) -> TensorInfo:
    """Sizes that the file leaves open are None, apart from the number of pictures, which is 1."""
    info, signature = _info(entry), entry.get("shape_signature", entry["shape"])
    sizes = enumerate(zip(info.shape, signature, strict=True))
    return replace(info, shape=tuple(None if place and said == -1 else size for place, (size, said) in sizes))


def _info(entry: dict[str, Any]) -> TensorInfo:
    """With the shape that memory is laid out for: sizes that the file leaves open are 1 in it."""
    scale, zero_point = entry["quantization"]
    shape: Shape = tuple(int(size) for size in entry["shape"])
    return TensorInfo(entry["name"], shape, np.dtype(entry["dtype"]).name, float(scale), int(zero_point))


def open_engine(network: Network, settings: Settings) -> Engine:
    """Load a file. Raises BackendError where LiteRT is not installed, ModelError where it refuses the file."""
    return LiteRtEngine(network, settings)


def version() -> str:
    """Of the installed package."""
    import ai_edge_litert

    return str(ai_edge_litert.__version__)


KIND = Kind(
    name=NAME,
    title=TITLE,
    module=MODULE,
    install=INSTALL,
    formats=frozenset({Format.TFLITE}),
    providers=lambda: (CPU,),
    # Arithmetic in bfloat16 is nothing that the interpreter can be asked for.
    precisions=lambda _: (FP32,),
    open=open_engine,
    version=version,
)
