"""States to resume from: the two newest are kept, each verified by digests before it is used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgewise.spec import OutputError
from edgewise.spec.files import sha256_file, write_text
from edgewise.train.hdf5 import read_arrays, write_arrays
from edgewise.train.weights import load_weights, save_weights

KEPT = 2
"""Whole checkpoints that are kept."""

WEIGHTS, OPTIMIZER, STATE = "model.weights.h5", "optimizer.h5", "state.json"


@dataclass(frozen=True)
class Epoch:
    """One row of the history."""

    epoch: int  # from 1
    loss: float
    accuracy: float  # on augmented training photos, 0-1
    val_loss: float
    val_accuracy: float  # 0-1
    learning_rate: float
    seconds: float  # wall time of the whole epoch

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better: validation accuracy, then the smaller loss."""
        return (self.val_accuracy, -self.val_loss)


@dataclass(frozen=True)
class Partial:
    """How far an epoch has come that is not done."""

    step: int  # batches that are done, > 0
    loss: float  # sum over these
    right: int  # photos among these whose most likely class was found
    seconds: float  # wall time


@dataclass(frozen=True)
class State:
    """How far a training has come."""

    history: tuple[Epoch, ...] = ()
    head_accuracy: float | None = None  # validation accuracy of the head alone, 0-1; None: no such phase
    peak_rate: float | None = None  # found by a range test; None: there was none
    partial: Partial | None = None  # of the epoch after the history

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return len(self.history)

    @property
    def started(self) -> bool:
        """Whether the whole network has begun to learn."""
        return bool(self.history or self.partial)

    @property
    def best_epoch(self) -> int:
        """Number of the epoch whose weights are kept, the earliest of equals; 0 is the state before the first."""
        best = max(self.history, key=lambda epoch: epoch.rank, default=None)
        if best is None or (self.head_accuracy is not None and best.val_accuracy < self.head_accuracy):
            return 0
        return best.epoch

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> State:
        """Read what ``dataclasses.asdict`` made. Raises ValueError, KeyError or TypeError: it is something else."""
        partial = data["partial"] and Partial(**data["partial"])
        state = State(
            tuple(Epoch(**row) for row in data["history"]), data["head_accuracy"], data["peak_rate"], partial or None
        )
        figures = [value for epoch in state.history for value in asdict(epoch).values()]
        figures += asdict(partial).values() if partial else []
        figures += [state.head_accuracy or 0, state.peak_rate or 0]
        if not all(isinstance(value, (int, float)) for value in figures):
            raise ValueError("not all figures are numbers")
        return state


def save_checkpoint(folder: Path, model: Any, variables: Sequence[Any], state: State) -> None:
    """Save a state to resume from, and drop all but the newest `KEPT`.

    Args:
        folder: of all checkpoints of a run.
        model: the network.
        variables: of the optimizer, in an order that does not change; none before it has done a step.
        state: how far the training has come.

    Raises:
        OutputError: it cannot be written; older checkpoints are still there.
    """
    target = folder / _name(state)
    shutil.rmtree(target, ignore_errors=True)
    try:
        save_weights(model, target / WEIGHTS)
        write_arrays(target / OPTIMIZER, {_slot(i): v.numpy() for i, v in enumerate(variables)})
        digests = {name: sha256_file(target / name) for name in (WEIGHTS, OPTIMIZER)}
        # The state comes last: a checkpoint that has one is whole.
        write_text(target / STATE, json.dumps({**asdict(state), "sha256": digests}, indent=1))
    except OutputError:
        # Half a checkpoint is of no use, and takes the space that may be what is missing.
        shutil.rmtree(target, ignore_errors=True)
        raise
    drop_old(folder)


def drop_old(folder: Path) -> None:
    """Delete all but the newest `KEPT` checkpoints, and what was not written to its end."""
    whole = [found for found in _folders(folder) if (found / STATE).is_file()]
    for old in set(_folders(folder)) - set(whole[:KEPT]):
        shutil.rmtree(old, ignore_errors=True)


def drop_newer(path: Path) -> None:
    """Delete what comes after a checkpoint, which is damaged, since that one is the newest that can be read."""
    for candidate in _folders(path.parent):
        if candidate.name > path.name:
            shutil.rmtree(candidate, ignore_errors=True)


def _name(state: State) -> str:
    """The folder of a checkpoint; later ones come later in the alphabet."""
    name = f"epoch-{state.epoch:05d}"
    if state.partial:
        return f"{name}-step-{state.partial.step:07d}"
    if state.started:
        return name
    known = (state.head_accuracy, "-head"), (state.peak_rate, "-rate")
    return name + next((part for value, part in reversed(known) if value is not None), "")


def newest_state(folder: Path) -> tuple[Path, State] | None:
    """The newest complete and undamaged checkpoint, or None where there is none."""
    found = ((candidate, _read_state(candidate)) for candidate in _folders(folder))
    return next(((candidate, state) for candidate, state in found if state), None)


def _read_state(candidate: Path) -> State | None:
    """The state of one checkpoint; None where it was interrupted while it was written, or is damaged."""
    try:
        data = json.loads((candidate / STATE).read_text(encoding="utf-8"))
        if any(sha256_file(candidate / name) != data["sha256"][name] for name in (WEIGHTS, OPTIMIZER)):
            return None
        return State.from_data(data)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load_checkpoint(path: Path, model: Any, variables: Sequence[Any]) -> None:
    """Bring a model and the variables of its optimizer to a saved state.

    Raises:
        ModelError: the checkpoint belongs to another network.
    """
    load_weights(model, path / WEIGHTS)
    arrays = read_arrays(path / OPTIMIZER, {_slot(i): tuple(v.shape) for i, v in enumerate(variables)})
    for index, variable in enumerate(variables):
        variable.assign(arrays[_slot(index)])


def _slot(index: int) -> str:
    return f"slot_{index:05d}"


def _folders(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*"), reverse=True)
