"""LiteRT with weights that were packed once: a file on the disk that every process maps, instead of a copy in each.

XNNPACK rearranges all weights when a network is loaded, which takes time and as much memory as the weights. LiteRT's
compiled models can write the result to a file and map it from then on; its interpreters cannot. A compiled model holds
Python's lock while it computes, so it suits a process that waits for the answer anyway, and no other.
"""

from __future__ import annotations

import atexit
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.engines.base import TensorInfo, not_runnable
from edgewise.runtime.engines.kept import sizes
from edgewise.spec.child import run_module
from edgewise.spec.quiet import quiet_stderr

_PACKING_SECONDS = 120.0


class PackedEngine:
    """A file as a compiled model of LiteRT."""

    def __init__(self, copy: Path, weights: Path, threads: int) -> None:
        """Load a model.

        Args:
            copy: a file that nobody else changes (`edgewise.runtime.copies`).
            weights: where the packed weights are, or are to be written.
            threads: CPU threads, >= 1.

        Raises:
            RuntimeError: LiteRT refuses something.
        """
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator
        from ai_edge_litert.options import CpuOptions, Options

        options = Options(
            hardware_accelerators=HardwareAccelerator.CPU,
            cpu_options=CpuOptions(num_threads=threads, xnnpack_weight_cache_path=str(weights)),
        )
        self._name = str(copy)
        with quiet_stderr():
            environment = _environment(str(copy.parent))
            self._model: Any = CompiledModel.from_file(str(copy), environment=environment, options=options)
            self._inputs = self._model.create_input_buffers(0)
            self._outputs = self._model.create_output_buffers(0)
            key = self._model.get_signature_by_index(0)["key"]
            self.inputs = _infos(self._model.get_input_tensor_details(key))
            self.outputs = _infos(self._model.get_output_tensor_details(key))
            # The first time that something is written, LiteRT looks for accelerators once more, and tells of it.
            self._inputs[0].write(np.zeros(sizes(self.inputs[0]), self.inputs[0].dtype))

    def run(self, array: NDArray[Any], output: int = 0) -> NDArray[Any]:
        """See `edgewise.runtime.engines.base.Engine.run`."""
        info = self.outputs[output]
        shape = sizes(info)
        try:
            self._inputs[0].write(np.ascontiguousarray(array))
            self._model.run_by_index(0, self._inputs, self._outputs)
            result = self._outputs[output].read(int(np.prod(shape)), np.dtype(info.dtype).type)
        except (ValueError, RuntimeError) as error:
            raise not_runnable(self._name, "LiteRT", error) from error
        return np.array(result).reshape(shape)


def pack(copy: Path, weights: Path, threads: int) -> None:
    """Have a child process load a model and write its packed weights.

    This loader dies of many files that LiteRT's interpreter merely refuses, so no file meets it in this process first.

    Raises:
        RuntimeError: it died, or failed.
    """
    done = run_module(__name__, [str(copy), str(weights), str(threads)], b"", _PACKING_SECONDS)
    if done.code != 0:
        raise RuntimeError(f"packing {copy} ended with {done.signal or done.code}")


@cache
def _environment(folder: str) -> Any:
    """Stays until the process ends, because LiteRT tells on standard error when one is given up.

    Args:
        folder: one without libraries: accelerators of other hardware would only be loaded, and complain.
    """
    from ai_edge_litert.environment import Environment, EnvironmentOptions

    atexit.register(_be_quiet)
    return Environment.create(options=EnvironmentOptions(folder, folder, folder))


def _be_quiet() -> None:
    """LiteRT says goodbye on standard error when its library is unloaded, after all that Python has to say."""
    if sys.stderr is not None:
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _infos(details: dict[str, dict[str, Any]]) -> tuple[TensorInfo, ...]:
    """Of a network that takes and gives plain numbers, as all files of this project do."""
    return tuple(
        TensorInfo(entry["name"], tuple(int(size) for size in entry["shape"]), np.dtype(entry["dtype"]).name)
        for entry in details.values()
    )


if __name__ == "__main__":
    PackedEngine(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
