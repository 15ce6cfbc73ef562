"""A model file opened for a few pictures, by a process that has nothing else to do: sooner, and in shared memory.

For LiteRT files whose weights are worth it, the weights are packed once and then mapped (`edgewise.runtime.copies`,
`edgewise.runtime.engines.packed`). Whatever else is opened, or wherever that is not possible, is opened as usual.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgewise.runtime.backends import EngineBackend, check_signature, choose
from edgewise.runtime.classifier import Classifier
from edgewise.runtime.copies import private_copy
from edgewise.runtime.engines import litert
from edgewise.runtime.engines.base import Engine, Network, Settings
from edgewise.runtime.engines.packed import open_packed
from edgewise.runtime.modelfile import ModelFile, own_file, read_file
from edgewise.spec import Format
from edgewise.spec.opening import Opening


def open_few(path: Path, opening: Opening) -> Classifier:
    """As `Classifier.open`. While a picture is classified, no other thread of Python goes on."""
    usual = Opening(threads=opening.threads, unknown_threshold=opening.unknown_threshold)
    if path.suffix.lower() == ".tflite" and opening in (usual, replace(usual, backend=litert.NAME)):
        choice = choose(Format.TFLITE, path.name, opening)
        model, copy = _shared(path)
        if model is not None and copy is not None:
            backend = EngineBackend(_engine(model, copy, choice.settings.threads), choice)
            return Classifier(model, backend, opening.unknown_threshold)
    return Classifier.open(path, opening)


def _shared(path: Path) -> tuple[ModelFile | None, Path | None]:
    """A file of ours without its content, which would be in memory twice, and the private copy that has it."""
    file = read_file(path)
    if file.manifest is None:
        return None, None
    return replace(own_file(file), content=b""), private_copy(file.content, file.sha256, path.suffix)


def _engine(model: ModelFile, copy: Path, threads: int) -> Engine:
    def plain() -> Engine:
        network = Network(str(model.path), model.format, copy.read_bytes(), model.manifest.scheme)
        return litert.open_engine(network, Settings(threads))

    engine = open_packed(copy, threads, litert.version(), plain)
    check_signature(model, engine)
    return engine
