"""From a path and what was asked for to a network that is ready to run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgewise.runtime.backends import Backend, Choice, EngineBackend, check_signature, choose, open_engine
from edgewise.runtime.engines.base import CPU, Network
from edgewise.runtime.foreign import describe, what_is_said
from edgewise.runtime.interface import Interface
from edgewise.runtime.modelfile import CheckedFile, ModelFile, own_file, read_file
from edgewise.runtime.trial import try_out
from edgewise.spec import InputError
from edgewise.spec.opening import Opening

BATCH_OF_A_DEVICE = 16
"""Pictures at once for what is no CPU. Not measured: there was no such device."""


@dataclass(frozen=True)
class Loaded:
    """A model file on one backend, and what it takes to load it once more."""

    model: ModelFile
    backend: Backend
    choice: Choice  # what is at work
    interface: Interface | None  # None: a file that Edgewise exported

    def another(self) -> Backend:
        """A second copy, on a backend of its own."""
        engine, choice = open_engine(_network(self.model), self.choice)
        return EngineBackend(engine, choice, self.interface)


def load(path: Path, opening: Opening) -> Loaded:
    """Open a file for single pictures.

    Raises:
        ModelError: the file is missing, damaged, or does not fit its description.
        BackendError: what was asked for is not granted.
        InputError: an option that does not go with the file.
    """
    file = read_file(path)
    return _load(file, choose(file.format, path.name, opening), opening)


def load_bulk(path: Path, opening: Opening) -> tuple[Loaded, tuple[Backend, ...], int]:
    """Open a file for many pictures. Arguments and errors as `load`.

    Returns:
        The file on its first copy, all copies including that one, and how many pictures each should get at once.
    """
    file = read_file(path)
    choice = choose(file.format, path.name, opening)
    if choice.settings.provider != CPU:
        loaded = _load(file, choice, opening)
        return loaded, (loaded.backend,), BATCH_OF_A_DEVICE
    streams = choice.settings.threads
    first = _load(file, replace(choice, settings=replace(choice.settings, threads=1)), opening)
    return first, (first.backend, *(first.another() for _ in range(streams - 1))), 1


def _load(file: CheckedFile, choice: Choice, opening: Opening) -> Loaded:
    return _load_foreign(file, choice, opening) if file.manifest is None else _load_own(file, choice, opening)


def _load_own(file: CheckedFile, choice: Choice, opening: Opening) -> Loaded:
    if given := opening.foreign_options():
        raise InputError(
            f"{given[0]} for {file.path}, which describes itself", f"{given[0]} with files of other makers only"
        )
    model = own_file(file)
    engine, granted = open_engine(_network(model), choice, allow_fallback=opening.allow_fallback)
    check_signature(model, engine)
    return Loaded(model, EngineBackend(engine, granted), granted, None)


def _load_foreign(file: CheckedFile, choice: Choice, opening: Opening) -> Loaded:
    said = what_is_said(file, opening)
    if not file.has_digest:
        try_out(file, choice, opening)
    network = Network(str(file.path), file.format, file.content)
    engine, granted = open_engine(network, choice, allow_fallback=opening.allow_fallback)
    manifest, interface = describe(file, engine, said, opening)
    model = ModelFile(file.path, file.format, manifest, file.content, file.sha256)
    return Loaded(model, EngineBackend(engine, granted, interface), granted, interface)


def _network(model: ModelFile) -> Network:
    return Network(str(model.path), model.format, model.content, model.manifest.scheme)
