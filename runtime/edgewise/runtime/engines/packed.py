"""LiteRT with weights that were packed once: a file on the disk that every process maps, instead of a copy in each.

XNNPACK rearranges all weights when a network is loaded, which takes time and as much memory as the weights. LiteRT's
compiled models can write the result to a file and map it from then on; its interpreters cannot. A compiled model holds
Python's lock while it computes, so it suits a process that waits for the answer anyway, and no other.

A file of packed weights is used only after its SHA-256, which is kept beside it, was found to fit: XNNPACK does not see
damage in it. It is kept only if the first answer with it equals the interpreter's, to the bit.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.engines.base import Engine, TensorInfo, not_runnable
from edgewise.spec.errors import OutputError
from edgewise.spec.files import sha256_file, write_text
from edgewise.spec.quiet import quiet_stderr

_REFUSED = "refused"  # in the place of a digest: packed weights do not pay or do not fit here


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
            self._inputs[0].write(np.zeros(_sizes(self.inputs[0]), self.inputs[0].dtype))

    def run(self, array: NDArray[Any], output: int = 0) -> NDArray[Any]:
        """See `edgewise.runtime.engines.base.Engine.run`."""
        info = self.outputs[output]
        shape = _sizes(info)
        try:
            self._inputs[0].write(np.ascontiguousarray(array))
            self._model.run_by_index(0, self._inputs, self._outputs)
            result = self._outputs[output].read(int(np.prod(shape)), np.dtype(info.dtype).type)
        except (ValueError, RuntimeError) as error:
            raise not_runnable(self._name, "LiteRT", error) from error
        return np.array(result).reshape(shape)


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


def _sizes(info: TensorInfo) -> tuple[int, ...]:
    return tuple(size or 1 for size in info.shape)


def open_packed(copy: Path, threads: int, version: str, plain: Callable[[], Engine]) -> Engine:
    """Load a file with packed weights, which are made the first time.

    Args:
        copy: a file that nobody else changes.
        threads: CPU threads, >= 1.
        version: of LiteRT.
        plain: loads the same file the usual way.

    Returns:
        The engine, which is that of ``plain`` where packed weights cannot be used.
    """
    weights = copy.with_name(f"xnnpack-{version}-{_processor()}.packed")
    digest = weights.with_suffix(".sha256")
    try:
        kept = digest.read_text("ascii").strip()
        if kept != _REFUSED and kept == sha256_file(weights):
            return PackedEngine(copy, weights, threads)
        if kept == _REFUSED:
            return plain()
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RuntimeError, ImportError, TypeError):
        return plain()
    return _pack(copy, weights, digest, threads, plain())


def _pack(copy: Path, weights: Path, digest: Path, threads: int, usual: Engine) -> Engine:
    """Write packed weights, and their digest last, so that half a file is never taken for a whole one."""
    draft = weights.with_name(f".{os.urandom(8).hex()}.packed")
    try:
        engine = PackedEngine(copy, draft, threads)
        fits = _equal(engine, usual) and draft.stat().st_size > 0
        if fits:
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            write_text(digest, sha256_file(draft))
            draft.replace(weights)
            return engine
        write_text(digest, _REFUSED)
    except (OSError, OutputError, ValueError, RuntimeError, ImportError, TypeError):
        with suppress(OutputError):
            write_text(digest, _REFUSED)
    finally:
        draft.unlink(missing_ok=True)
    return usual


def _equal(engine: PackedEngine, usual: Engine) -> bool:
    if [info.shape for info in engine.inputs] != [info.shape for info in usual.inputs]:
        return False
    info = usual.inputs[0]
    noise = np.random.default_rng(0).integers(0, 256, _sizes(info)).astype(info.dtype)
    return bool(np.array_equal(engine.run(noise), usual.run(noise)))


def _processor() -> str:
    """What the layout of packed weights depends on, as 16 hexadecimal digits: the instructions of this CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text("ascii", "replace").splitlines()
        told = sorted({line for line in lines if line.startswith(("flags", "Features", "model name", "CPU part"))})
    except OSError:
        told = [platform.processor()]
    return hashlib.sha256("\n".join([platform.machine(), *told]).encode()).hexdigest()[:16]
