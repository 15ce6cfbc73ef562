"""ONNX Runtime: runs .onnx files on the CPU, and on what else the installed package brings.

Only the CPU was ever run by the project's own tests. For CUDA and TensorRT they check what can be checked without such
a device: that a provider which is not granted is an error.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from edgewise.runtime.engines.base import (
    BF16,
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
from edgewise.spec import BackendError, EdgewiseError, Format, Scheme
from edgewise.spec.quiet import refuse_telemetry

refuse_telemetry()

NAME, TITLE, MODULE, INSTALL = "onnxruntime", "ONNX Runtime", "onnxruntime", "onnxruntime"

_SUFFIX = "ExecutionProvider"
_DTYPES = {"float": "float32", "double": "float64"}
_ELSEWHERE = ("azure",)
"""Providers that call a server for operators of their own, and leave every other one to the CPU."""

EXACT_PRODUCTS = ("session.x64quantprecision", "1")
"""On x86 CPUs without VNNI, sums of two products of 8-bit numbers are cut off at 16 bits unless this is asked for."""

_BFLOAT16_ON_ARM = "mlas.enable_gemm_fastmath_arm64_bfloat16"

_WEIGHTS_OUTSIDE = "session.optimized_model_external_initializers_file_name"

Result = TypeVar("Result")


class OnnxRuntimeEngine:
    """A file in an ONNX Runtime session."""

    def __init__(self, network: Network, settings: Settings, optimized: Path | None = None) -> None:
        """Load a network.

        Args:
            network: the file.
            settings: how.
            optimized: a folder with the file as this engine rewrites it before it runs it; empty: to be filled.
        """
        try:
            import onnxruntime as ort
        except ModuleNotFoundError as error:
            raise not_installed(NAME, INSTALL) from error
        self._name = network.name
        provider = _whole_name(settings.provider)

        def load() -> Any:
            options = session_options(ort, network, settings)
            if optimized is None:
                return ort.InferenceSession(network.content, options, providers=[provider])
            return _optimized(ort, network, options, optimized)

        self._session = _translated(load, lambda error: not_loadable(network, TITLE, error))
        # Where a device cannot be used, ONNX Runtime goes on with the CPU and does not say so.
        if self._session.get_providers()[0] != provider:
            raise BackendError(
                f"--provider {settings.provider} is installed, but it cannot be used here",
                f"a device and its libraries; at work would be {short_name(self._session.get_providers()[0])}",
                "look after the driver, or add --allow-fallback",
            )
        self._session.disable_fallback()
        # Names are read here, because those of a hostile file need not be UTF-8.
        self.inputs, self.outputs = _translated(
            lambda: (
                tuple(map(_info, self._session.get_inputs())),
                tuple(map(_info, self._session.get_outputs())),
            ),
            lambda error: not_loadable(network, TITLE, error),
        )

    def run(self, array: NDArray[Any], output: int = 0) -> NDArray[Any]:
        """See `Engine.run`."""

        def infer() -> NDArray[Any]:
            results = self._session.run([self.outputs[output].name], {self.inputs[0].name: array})
            result: NDArray[Any] = results[0]
            return result

        return _translated(infer, lambda error: not_runnable(self._name, TITLE, error))


def _optimized(ort: Any, network: Network, options: Any, folder: Path) -> Any:
    """A session for few pictures: what was rewritten once is not rewritten again, and no memory is held ready.

    The weights are in a file of their own, which is mapped instead of read.
    """
    options.enable_cpu_mem_arena = False
    path = folder / "model.onnx"
    if not path.exists():
        options.optimized_model_filepath = str(path)
        options.add_session_config_entry(_WEIGHTS_OUTSIDE, "model.weights")
        return ort.InferenceSession(network.content, options, providers=[_whole_name(CPU)])
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(str(path), options, providers=[_whole_name(CPU)])


def session_options(ort: Any, network: Network, settings: Settings) -> Any:
    """How this engine runs a network: ONNX Runtime's ``SessionOptions``. ``ort`` is the package."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry(*EXACT_PRODUCTS)
    if network.scheme is Scheme.DYNAMIC:
        # Otherwise the weights would be turned into floats for every picture, instead of once.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    if settings.precision == BF16:
        options.add_session_config_entry(_BFLOAT16_ON_ARM, "1")
    return options


def _translated(action: Callable[[], Result], translate: Callable[[Exception], EdgewiseError]) -> Result:
    """Do something, with ONNX Runtime's exceptions as ours."""
    try:
        return action()
    except (RuntimeError, ValueError) as error:
        raise translate(error) from error
    except Exception as error:
        # ONNX Runtime's own classes derive from the bare Exception and are not importable by a public name.
        if type(error).__module__.startswith("onnxruntime"):
            raise translate(error) from error
        raise


def _info(entry: Any) -> TensorInfo:
    dtype = str(entry.type).removeprefix("tensor(").removesuffix(")")
    shape: Shape = tuple(size if isinstance(size, int) else None for size in entry.shape)
    return TensorInfo(entry.name, shape, _DTYPES.get(dtype, dtype))


def short_name(provider: str) -> str:
    """``cuda`` for ``CUDAExecutionProvider``."""
    return provider.removesuffix(_SUFFIX).lower()


def _available() -> tuple[str, ...]:
    try:
        import onnxruntime as ort
    except ModuleNotFoundError as error:
        raise not_installed(NAME, INSTALL) from error
    return tuple(ort.get_available_providers())


def _whole_name(provider: str) -> str:
    return next(name for name in _available() if short_name(name) == provider)


def providers() -> tuple[str, ...]:
    """What the installed package lists and computes here, the CPU first."""
    names = [short_name(name) for name in _available()]
    return (CPU, *(name for name in names if name not in (CPU, *_ELSEWHERE)))


def precisions(provider: str) -> tuple[str, ...]:
    """bfloat16 is offered on ARM CPUs that compute in it."""
    offered = provider == CPU and platform.machine() in ("aarch64", "arm64") and _has_bfloat16()
    return (FP32, BF16) if offered else (FP32,)


def _has_bfloat16() -> bool:
    try:
        return " bf16" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False


def open_engine(network: Network, settings: Settings) -> Engine:
    """Load a file. Raises BackendError for a provider that is not granted, ModelError where the file is refused."""
    return OnnxRuntimeEngine(network, settings)


def version() -> str:
    """Of the installed package."""
    import onnxruntime

    return str(onnxruntime.__version__)


KIND = Kind(
    name=NAME,
    title=TITLE,
    module=MODULE,
    install=INSTALL,
    formats=frozenset({Format.ONNX}),
    providers=providers,
    precisions=precisions,
    open=open_engine,
    version=version,
)
