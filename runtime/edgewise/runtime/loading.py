"""From a path and what was asked for to a network that is ready to run."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from edgewise.runtime.backends import (
    Backend,
    Choice,
    EngineBackend,
    check_signature,
    choices_for,
    choose,
    open_engine,
)
from edgewise.runtime.cpu import usable_cores
from edgewise.runtime.engines.base import CPU, Network
from edgewise.runtime.foreign import describe, what_is_said
from edgewise.runtime.interface import Interface
from edgewise.runtime.modelfile import ModelFile, own_file, read_file
from edgewise.runtime.trial import try_out
from edgewise.runtime.tuned import machine, tuned
from edgewise.runtime.tuning import Plan, Tuning, copies_that_fit, tune
from edgewise.spec import BackendError, InputError, ModelError
from edgewise.spec.files import path_text
from edgewise.spec.opening import AUTO, Opening

logger = logging.getLogger(__name__)

BATCH_OF_A_DEVICE = 16
"""Pictures at once for what is no CPU. Not measured: there was no such device."""


@dataclass(frozen=True)
class Loaded:
    """A model file on one backend, and what it takes to load it once more."""

    model: ModelFile
    backend: Backend
    choice: Choice  # what is at work
    interface: Interface | None  # None: a file that Edgewise exported
    any_batch: bool  # the network takes any number of pictures at once

    def another(self) -> Backend:
        """A second copy, on a backend of its own."""
        engine, choice = open_engine(_network(self.model), self.choice)
        return EngineBackend(engine, choice, self.interface)


def load(path: Path, opening: Opening) -> Loaded:
    """Open a file for single pictures.

    Raises:
        ModelError: the file is missing, damaged, or does not fit its description.
        BackendError: what was asked for is not granted.
        InputError: an option that does not go with the file, or with another one.
    """
    opener = Opener(path, opening)
    choice, plan, _ = opener.plans()
    opener.warn(choice)
    loaded = opener.load(choice.with_threads(plan.threads))
    opener.tell(loaded.choice)
    return loaded


def load_bulk(path: Path, opening: Opening, most: int | None = None) -> tuple[Loaded, tuple[Backend, ...], int]:
    """Open a file for many pictures. Errors as `load`.

    Args:
        path: the file.
        opening: how.
        most: pictures that there will be, where that is known: there are no more copies.

    Returns:
        The file on its first copy, all copies including that one, and how many pictures each should get at once.
    """
    opener = Opener(path, opening)
    choice, _, plan = opener.plans(bulk=True)
    opener.warn(choice)
    streams = min(plan.streams, most or plan.streams, copies_that_fit(len(opener.file.content)))
    # The cores of copies that are left out, for lack of memory or pictures, go to the others.
    first = opener.load(choice.with_threads(max(1, plan.threads * plan.streams // streams)))
    opener.tell(first.choice)
    return first, (first.backend, *(first.another() for _ in range(streams - 1))), plan.batch


class Opener:
    """One file that was read and checked, and may be loaded several times."""

    def __init__(self, path: Path, opening: Opening) -> None:
        """Read and check the file. Errors as `load`."""
        if opening.retune and opening.backend != AUTO:
            raise InputError("--retune without --backend auto", "both, or neither")
        self._opening = opening
        self.file = read_file(path)
        self._scheme = self.file.manifest.scheme if self.file.manifest else None
        self._kept: tuple[Choice, Loaded] | None = None  # what was loaded to look at it
        self._tried: set[str] = set()  # engines that a file of another maker was tried out on

    def plans(self, *, bulk: bool = False) -> tuple[Choice, Plan, Plan]:
        """What runs the file: the engine, and how for single pictures and for many."""
        name, opening = self.file.path.name, self._opening
        if opening.backend == AUTO:
            choices = {choice.kind.name: choice for choice in self.choices()}
            found = self.tuning(tuple(choices.values()))
            return choices[(found.bulk if bulk else found.single).backend], found.single, found.bulk
        choice = choose(self.file.format, name, opening)
        kind, threads = choice.kind.name, choice.settings.threads
        if choice.settings.provider != CPU:
            return choice, Plan(kind, threads), Plan(kind, threads, 1, BATCH_OF_A_DEVICE)
        return choice, Plan(kind, threads), Plan(kind, 1, threads)

    def choices(self) -> tuple[Choice, ...]:
        """What --backend auto chooses from: engines that answer as the file was proven to. Errors as `load`."""
        found = choices_for(self.file.format, self.file.path.name, self._opening)
        if self._opening.allow_fallback and found[0].settings.provider != CPU and self._falls_back(found[0]):
            on_cpu = replace(self._opening, provider=None)
            found = choices_for(self.file.format, self.file.path.name, on_cpu)
        return tuple(choice for choice in found if not choice.caution(self._scheme)) or found

    def _falls_back(self, choice: Choice) -> bool:
        """Whether what is there in name cannot be used, so that the file will run on the CPU; what loads is kept."""
        choice = choice.with_threads(1)  # as a device gets it
        self._kept = choice, self.load(choice)
        return self._kept[1].choice.settings.provider == CPU

    def warn(self, choice: Choice) -> None:
        """Tell the user where an engine that was asked for gives other answers."""
        if caution := choice.caution(self._scheme):
            logger.warning("%s: %s; another --backend gives exact ones", path_text(self.file.path.name), caution)

    def tell(self, granted: Choice) -> None:
        """Tell the user what is at work instead of what was asked for."""
        asked, settings = self._opening, granted.settings
        options = {
            "backend": (asked.backend, granted.kind.name),
            "provider": (asked.provider, settings.provider),
            "precision": (asked.precision, settings.precision),
        }
        for option, (wanted, got) in options.items():
            if wanted not in (None, AUTO) and str(wanted).lower() != got:
                logger.warning("--%s %s is not granted; %s is used instead", option, wanted, got)

    def tuning(self, choices: tuple[Choice, ...]) -> Tuning:
        """What is fastest, measured or remembered."""
        on_cpu = choices[0].settings.provider == CPU
        cores = (self._opening.threads or usable_cores()) if on_cpu else 1

        def measure() -> Tuning:
            first = self._load_any(choices)  # it tells the size of the pictures
            size = first.model.manifest.input
            return tune(
                choices, lambda choice: self.load(choice).backend, len(self.file.content), cores,
                (size.height, size.width), any_batch=first.any_batch,
            )  # fmt: skip

        on = machine(choices, cores)
        if self._opening.image_size:
            on["image_size"] = self._opening.image_size
        return tuned(self.file.sha256, on, measure, retune=self._opening.retune)

    def _load_any(self, choices: tuple[Choice, ...]) -> Loaded:
        """On the first engine that runs the file. Raises the first one's error where none does."""
        errors = []
        for choice in choices:
            try:
                return self.load(choice)
            except (BackendError, ModelError) as error:  # noqa: PERF203 - the first that loads ends the loop
                errors.append(error)
        raise errors[0]

    def load(self, choice: Choice) -> Loaded:
        """Load the file once. Errors as `load`."""
        kept, self._kept = self._kept, None
        if kept and kept[0] == choice:
            return kept[1]
        return self._load_foreign(choice) if self.file.manifest is None else self._load_own(choice)

    def _load_own(self, choice: Choice) -> Loaded:
        if given := self._opening.foreign_options():
            raise InputError(
                f"{given[0]} for {self.file.path}, which describes itself",
                f"{given[0]} with files of other makers only",
            )
        model = own_file(self.file)
        engine, granted = open_engine(_network(model), choice, allow_fallback=self._opening.allow_fallback)
        check_signature(model, engine)
        return Loaded(model, EngineBackend(engine, granted), granted, None, engine.inputs[0].shape[0] is None)

    def _load_foreign(self, choice: Choice) -> Loaded:
        file, opening = self.file, self._opening
        said = what_is_said(file, opening)
        if not file.has_digest and choice.kind.name not in self._tried:
            try_out(file, choice, opening)
            self._tried.add(choice.kind.name)
        network = Network(str(file.path), file.format, file.content)
        engine, granted = open_engine(network, choice, allow_fallback=opening.allow_fallback)
        manifest, interface = describe(file, engine, said, opening)
        model = ModelFile(file.path, file.format, manifest, file.content, file.sha256)
        backend = EngineBackend(engine, granted, interface)
        return Loaded(model, backend, granted, interface, engine.inputs[0].shape[0] is None)


def _network(model: ModelFile) -> Network:
    return Network(str(model.path), model.format, model.content, model.manifest.scheme)
