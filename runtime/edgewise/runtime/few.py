"""A model file opened for a few pictures, by a process that has nothing else to do: sooner, and with less memory.

What an engine makes of a file whenever it loads it is made once and kept (`edgewise.runtime.engines.kept`): the packed
weights of LiteRT, which all processes then share, and the optimized graph of ONNX Runtime. Whatever else is opened, or
wherever that is not possible, is opened as usual.
"""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

from edgewise.runtime.backends import Choice, EngineBackend, check_signature, choose
from edgewise.runtime.classifier import Classifier
from edgewise.runtime.early import Found, begin
from edgewise.runtime.engines import litert, onnxruntime
from edgewise.runtime.engines.base import Engine, Kind, Network
from edgewise.runtime.engines.kept import open_kept, processor
from edgewise.runtime.engines.packed import PackedEngine, pack
from edgewise.runtime.modelfile import ModelFile, own_file, read_file
from edgewise.spec import Format, ModelError
from edgewise.spec.files import path_text
from edgewise.spec.opening import Opening

_MODULES = {litert.NAME: "ai_edge_litert.compiled_model", onnxruntime.NAME: "onnxruntime"}
_ENGINES = {".tflite": (Format.TFLITE, litert.KIND), ".onnx": (Format.ONNX, onnxruntime.KIND)}


def open_few(path: Path, opening: Opening, found: Future[Found] | None = None) -> Classifier:
    """As `Classifier.open`. While a picture is classified, no other thread of Python goes on.

    Args:
        path: the file.
        opening: how.
        found: what `edgewise.runtime.early.begin` has begun to read of it; None: nothing.
    """
    usual = Opening(threads=opening.threads, unknown_threshold=opening.unknown_threshold)
    form, kind = _ENGINES.get(path.suffix.lower(), (None, None))
    if form and kind and opening in (usual, replace(usual, backend=kind.name)):
        choice = choose(form, path.name, opening)
        found = found or begin(path)
        name = f"{kind.name}-{_imported(kind)}-{processor()}.kept"
        model, folder = found.result()
        if model is not None and folder is not None:
            usually = partial(_load_usually, model, choice)
            engine = open_kept(folder / name, partial(_load, model, folder, choice), usually)
            check_signature(model, engine)
            return Classifier(model, EngineBackend(engine, choice), opening.unknown_threshold)
    return Classifier.open(path, opening)


def _imported(kind: Kind) -> str:
    """Import what the engine will need; gives its version. Raises BackendError where it is not installed."""
    with suppress(ImportError):
        import_module(_MODULES[kind.name])
    return kind.version()


def _load(model: ModelFile, folder: Path, choice: Choice, kept: Path) -> Engine:
    if choice.kind is litert.KIND:
        copy, weights, threads = folder / f"model{model.path.suffix}", kept / "weights.packed", choice.settings.threads
        if not weights.exists():
            pack(copy, weights, threads)
        return PackedEngine(copy, weights, threads)
    known, made = Network(str(model.path), model.format, b"", model.manifest.scheme), any(kept.iterdir())
    return onnxruntime.OnnxRuntimeEngine(known if made else _network(model), choice.settings, kept)


def _load_usually(model: ModelFile, choice: Choice) -> Engine:
    return choice.kind.open(_network(model), choice.settings)


def _network(model: ModelFile) -> Network:
    """The file once more, for it was not kept in memory. Raises ModelError where it is another one by now."""
    file = own_file(read_file(model.path))
    if file.sha256 != model.sha256:
        raise ModelError(f"{path_text(model.path)} was replaced while it was read", do="start again")
    return Network(str(model.path), file.format, file.content, file.manifest.scheme)
