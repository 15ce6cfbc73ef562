"""OpenVINO: runs .onnx and .tflite files on the CPU, and on the GPUs and NPUs it finds.

Left to itself it computes floats in bfloat16 where the CPU can, which is not what the file says: here it is told what
to compute in. Only the CPU was ever run by the project's own tests.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.cpu import DOT_PRODUCTS
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
from edgewise.spec import BackendError, Format, ModelError, Scheme
from edgewise.spec.quiet import quiet_stderr

NAME, TITLE, MODULE, INSTALL = "openvino", "OpenVINO", "openvino", "'edgewise[openvino]'"

_TELEMETRY = "openvino_telemetry"
_HEADINGS = ("Exception from", "Check '", "FrontEnd API failed", "Model wasn't fully converted", "Summary:")
_WHOLE_NUMBERS = frozenset({Scheme.INT8, Scheme.INT8_QAT})
_HINTS = {FP32: "f32", BF16: "bf16"}


class OpenVinoEngine:
    """A file that OpenVINO compiled for one device.

    It computes faster where it knows every shape. So a network that takes any number of pictures is compiled for one
    picture, and once more, for any number, when several come at once for the first time.
    """

    def __init__(self, network: Network, settings: Settings) -> None:
        self._name, self._settings = network.name, settings
        try:
            with quiet_stderr():
                self._model = _read(_core(), network)
                self.inputs = tuple(map(_info, self._model.inputs))
                self.outputs = tuple(map(_info, self._model.outputs))
                for_one = _for_one(self._model, self.inputs)
                compiled = self._compile(for_one or self._model)
        except (RuntimeError, ValueError, TypeError) as error:
            raise _reason(network, error) from error
        _check_precision(compiled, settings)
        if network.format is Format.TFLITE:
            self.inputs, self.outputs = _with_scales(network, self.inputs, self.outputs)
        self._request = compiled.create_infer_request()
        self._for_many = None if for_one else self._request
        self._place = self._input_place()

    def run(self, array: NDArray[Any], output: int = 0) -> NDArray[Any]:
        """See `Engine.run`."""
        place = self._place
        try:
            if place is not None and place.shape == array.shape and place.dtype == array.dtype:
                place[:] = array
                results = self._request.infer()
            else:
                results = self._request_for(array).infer([array])
            result: NDArray[Any] = results.to_tuple()[output]
            return result
        except (RuntimeError, ValueError, TypeError) as error:
            raise not_runnable(self._name, TITLE, error) from error

    def _request_for(self, array: NDArray[Any]) -> Any:
        if self._for_many is None and len(array) > 1:
            self._for_many = self._compile(self._model).create_infer_request()
        return self._request if self._for_many is None or len(array) == 1 else self._for_many

    def _input_place(self) -> NDArray[Any] | None:
        """Where the CPU reads the input of its first request, if its shape is known.

        Pixels are written there, because handing them over with each call takes up to a twentieth of the time of a
        small network.
        """
        shapes = [port.get_partial_shape() for port in self._request.model_inputs]
        if self._settings.provider != CPU or len(shapes) != 1 or shapes[0].is_dynamic:
            return None
        try:
            place: NDArray[Any] = self._request.get_input_tensor().data
        except (RuntimeError, ValueError, TypeError):  # text, or numbers that NumPy does not have
            return None
        return place

    def _compile(self, model: Any) -> Any:
        return _core().compile_model(model, self._settings.provider.upper(), _options(self._settings))


@cache
def _core() -> Any:
    try:
        with _no_telemetry():
            import openvino
    except ModuleNotFoundError as error:
        raise not_installed(NAME, INSTALL) from error
    return openvino.Core()


@contextmanager
def _no_telemetry() -> Iterator[None]:
    """Keep OpenVINO from reporting its users: its tools call a server while they are imported, unless this is missing.

    It then uses a stand-in that does nothing, which its makers provide.
    """
    before = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[_TELEMETRY]
        if before is not None:
            sys.modules[_TELEMETRY] = before


def _read(core: Any, network: Network) -> Any:
    if network.format is Format.ONNX:
        return core.read_model(network.content)
    # Of this format OpenVINO reads files only: the verified bytes in a folder that nobody else can write to.
    with tempfile.TemporaryDirectory(prefix="edgewise-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(network.content)
        return core.read_model(path)


def _for_one(model: Any, inputs: tuple[TensorInfo, ...]) -> Any | None:
    """A copy that takes one picture and shares the weights, of a network that leaves open their number and no more."""
    if len(inputs) != 1 or inputs[0].shape[:1] != (None,) or None in inputs[0].shape[1:]:
        return None
    fixed = model.clone()
    try:
        fixed.reshape([1, *inputs[0].shape[1:]])
    except RuntimeError:  # a graph that is written for another number
        return None
    return fixed


def _options(settings: Settings) -> dict[str, Any]:
    hint = {"INFERENCE_PRECISION_HINT": _HINTS[settings.precision]}
    if settings.provider != CPU:
        return hint
    return {**hint, "INFERENCE_NUM_THREADS": settings.threads, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}


def _check_precision(compiled: Any, settings: Settings) -> None:
    granted = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if granted != _HINTS[settings.precision]:
        raise BackendError(f"--precision {settings.precision} is not granted by {TITLE}: it computes in {granted}")


def _reason(network: Network, error: Exception) -> ModelError:
    """OpenVINO begins with where in its own source it was, and goes on with headings; what happened comes then."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(_HEADINGS)]
    return not_loadable(network, TITLE, RuntimeError(told[0].lstrip("- ") if told else "\n".join(lines[-1:])))


def _info(port: Any) -> TensorInfo:
    partial = port.get_partial_shape()
    shape: Shape = tuple(
        None if size.is_dynamic else size.get_length() for size in (() if partial.rank.is_dynamic else partial)
    )
    kind = port.get_element_type()
    try:
        dtype = np.dtype(kind.to_dtype()).name
    except (RuntimeError, TypeError, KeyError):
        dtype = kind.get_type_name()
    return TensorInfo(port.any_name if port.names else "", shape, dtype)


def _with_scales(
    network: Network, inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...]
) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """What whole numbers stand for: OpenVINO does not say it, the file does."""
    from edgewise.runtime.tflite_graph import tflite_graph  # for this engine alone: every start would pay for it

    graph = tflite_graph(network.content, network.name)

    def scaled(infos: tuple[TensorInfo, ...], keys: tuple[str, ...]) -> tuple[TensorInfo, ...]:
        if len(infos) != len(keys):
            return infos
        return tuple(_scaled(info, graph.tensors[key].quantization) for info, key in zip(infos, keys, strict=True))

    return scaled(inputs, graph.inputs), scaled(outputs, graph.outputs)


def _scaled(info: TensorInfo, quantization: Any) -> TensorInfo:
    if quantization is None or quantization.scale is None or info.dtype.startswith("float"):
        return info
    return TensorInfo(info.name, info.shape, info.dtype, quantization.scale, quantization.zero_point)


def providers() -> tuple[str, ...]:
    """The devices that OpenVINO finds, the CPU first."""
    names = [str(name).lower() for name in _core().available_devices]
    return (CPU, *(name for name in names if name != CPU))


def precisions(provider: str) -> tuple[str, ...]:
    """bfloat16 is offered where the device computes in it."""
    capabilities = _core().get_property(provider.upper(), "OPTIMIZATION_CAPABILITIES")
    return (FP32, BF16) if "BF16" in capabilities else (FP32,)


def caution(scheme: Scheme | None, flags: frozenset[str]) -> str:
    """Whether sums are cut off at 16 bits, and where that is.

    On x86 CPUs without instructions for it OpenVINO multiplies 8-bit numbers in pairs whose 16-bit sum saturates
    (https://docs.openvino.ai, "Saturation (overflow) Issue Workaround"). There is no setting against it.
    """
    if scheme not in _WHOLE_NUMBERS or "sse4_2" not in flags or flags & DOT_PRODUCTS:
        return ""
    return (
        f"{TITLE} cuts sums of 8-bit products off at 16 bits on this CPU, which has no VNNI: answers differ a "
        "little from those that the file was proven with"
    )


def open_engine(network: Network, settings: Settings) -> Engine:
    """Load a file. Raises BackendError for a precision that is not granted, ModelError where the file is refused."""
    return OpenVinoEngine(network, settings)


def version() -> str:
    """Of the installed package."""
    from importlib import metadata  # slow to import

    return metadata.version(MODULE)


KIND = Kind(
    name=NAME,
    title=TITLE,
    module=MODULE,
    install=INSTALL,
    formats=frozenset({Format.TFLITE, Format.ONNX}),
    providers=providers,
    precisions=precisions,
    open=open_engine,
    version=version,
    caution=caution,
)
