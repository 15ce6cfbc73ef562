"""From a path and what was asked for to a network that is ready to run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgewise.runtime.backends import Backend, Choice, EngineBackend, check_signature, choose, open_engine
from edgewise.runtime.engines.base import CPU, Network
from edgewise.runtime.interface import Interface
from edgewise.runtime.modelfile import ModelFile, read_model
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
    model = read_model(path)
    if given := opening.foreign_options():
        raise InputError(f"{given[0]} for {path}, which describes itself", "it with files of other makers only")
    return _load(model, choose(model.format, path.name, opening), opening)


def load_bulk(path: Path, opening: Opening) -> tuple[Loaded, tuple[Backend, ...], int]:
    """Open a file for many pictures. Arguments and errors as `load`.

    Returns:
        The file on its first copy, all copies including that one, and how many pictures each should get at once.
    """
    model = read_model(path)
    choice = choose(model.format, path.name, opening)
    if choice.settings.provider != CPU:
        loaded = _load(model, choice, opening)
        return loaded, (loaded.backend,), BATCH_OF_A_DEVICE
    streams = choice.settings.threads
    single = replace(choice, settings=replace(choice.settings, threads=1))
    first = _load(model, single, opening)
    return first, (first.backend, *(first.another() for _ in range(streams - 1))), 1


def _load(model: ModelFile, choice: Choice, opening: Opening) -> Loaded:
    engine, granted = open_engine(_network(model), choice, allow_fallback=opening.allow_fallback)
    check_signature(model, engine)
    return Loaded(model, EngineBackend(engine, granted), granted, None)


def _network(model: ModelFile) -> Network:
    return Network(str(model.path), model.format, model.content, model.manifest.scheme)
