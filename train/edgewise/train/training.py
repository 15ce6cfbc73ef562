"""The steps of one training, new or continued."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise.spec import InputError, OutputError
from edgewise.spec.files import write_text
from edgewise.spec.progress import Reporter
from edgewise.train.cache import PhotoCache
from edgewise.train.checkpoint import WEIGHTS, State, drop_old, load_checkpoint, save_checkpoint
from edgewise.train.dataset import Dataset, report_skipped
from edgewise.train.devices import AUTO as ALL_DEVICES
from edgewise.train.devices import Devices
from edgewise.train.fitting import Fitting
from edgewise.train.framework import give_freed_memory_back, tf
from edgewise.train.head import fit_head
from edgewise.train.interruption import Checking, noting_ctrl_c
from edgewise.train.pixels import Pixels
from edgewise.train.recipe import AUTO, Recipe
from edgewise.train.run import CHECKPOINTS, HISTORY, RATES, Run
from edgewise.train.weights import load_weights, save_weights

if TYPE_CHECKING:
    from edgewise.train.evaluation import Metrics

SAVE_EVERY = 600.0
"""Seconds between checkpoints within an epoch."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after the run folder was begun: the training can be continued."""


@dataclass(frozen=True)
class Settings:
    """How a training runs on this machine; none of it changes what comes out."""

    threads: int | None = None  # of the CPU; None: all cores
    cache: PhotoCache | None = None  # of prepared photos; None: they are kept in memory
    distribute: str = ALL_DEVICES  # what to compute on, see edgewise.train.devices.choose_devices
    save_every: float = SAVE_EVERY  # seconds between checkpoints within an epoch, >= 0
    explain: int = 0  # right and wrong answers that are explained with Grad-CAM at the end, so many of each


@dataclass(frozen=True)
class Training:
    """The steps of one training, new or continued."""

    run: Run
    dataset: Dataset
    train: Pixels
    validation: Pixels
    model: Any
    settings: Settings
    reporter: Reporter
    devices: Devices

    @property
    def checkpoints(self) -> Path:
        """The folder of the states to resume from."""
        return self.run.path / CHECKPOINTS

    def execute(self, found: tuple[Path, State] | None = None) -> Run:
        """Train to the end.

        Args:
            found: the checkpoint to continue from; None: from the beginning.

        Raises:
            Interrupted: by Ctrl-C.
            InputError: the memory of the device ran out, or the weights grew beyond all numbers.
            OutputError: the run folder cannot be written any more; what it holds can be continued.
            WorkerError: another machine is gone.
        """
        try:
            with noting_ctrl_c() as check:
                return replace(self, reporter=Checking(self.reporter, check))._execute(found)
        except KeyboardInterrupt:
            raise Interrupted from None
        except tf.errors.ResourceExhaustedError as error:
            config = self.run.config
            photos, size = config.recipe.batch_size, config.architecture.image_size
            raise InputError(
                f"the memory ran out with batches of {photos} photos of {size} x {size} pixels",
                "a network and batches that fit into the memory of the device",
                f"train again into another --out with --batch-size {max(2, photos // 2)} or a smaller --image-size",
            ) from error
        except OutputError as error:
            do = "free some space, or see to it that the folder can be written; then continue with --resume"
            raise OutputError(error.got, do=do) from error
        finally:
            give_freed_memory_back()

    def _execute(self, found: tuple[Path, State] | None) -> Run:
        recipe = self.run.config.recipe
        begun = self.devices.agree(lambda: json.dumps(asdict(self._begin(recipe, found))))
        state = State.from_data(json.loads(begun))
        fitting = Fitting(
            self.model, recipe, self.train, self.validation, self.reporter, state.peak_rate, self.settings.save_every,
            self.devices,
        )  # fmt: skip
        if found and state.started:
            load_checkpoint(found[0], self.model, fitting.optimizer.state)
        state = fitting.run(state, self._keep, lambda reached: self._save(reached, fitting.optimizer.state))
        if self.devices.leads:
            drop_old(self.checkpoints)
            self._finish(state)
        # The others stay until the leading machine is done, so that it does not take them for lost.
        self.devices.agree(lambda: "done")
        return self.run

    def _begin(self, recipe: Recipe, found: tuple[Path, State] | None) -> State:
        """What comes before the epochs of the whole network, as far as it is not done yet."""
        path, state = found or (None, State())
        if path is None:
            self._save(state)
        else:
            self._publish(state)
            if state.started:
                return state
            load_weights(self.model, path / WEIGHTS)
        if state.head_accuracy is None and not recipe.from_scratch and recipe.head_epochs:
            accuracy = fit_head(self.model, self.train, self.validation, recipe, self.reporter)
            state = replace(state, head_accuracy=accuracy)
            self._keep(state)
            self._save(state)
            self.reporter.say(f"head on the frozen backbone: validation accuracy {accuracy:.1%}")
        if state.peak_rate is None and recipe.learning_rate == AUTO:
            state = replace(state, peak_rate=self._find_rate(recipe))
            self._save(state)
            self.reporter.say(f"learning rate: {state.peak_rate:.2g} (see {self.run.path / RATES})")
        return state

    def _find_rate(self, recipe: Recipe) -> float:
        from edgewise.train.range_test import find_rate

        tested = find_rate(self.model, recipe, self.train, self.reporter)
        tested.save(self.run.path / RATES)
        if not tested.conclusive:
            self.reporter.say("the range test found no rate at which the loss falls; the usual one is taken")
        return tested.best

    def _keep(self, state: State) -> None:
        """Called while the network has the weights that ``state`` was validated with."""
        if self.devices.leads and state.best_epoch == state.epoch:
            save_weights(self.model, self._candidate(state.epoch))

    def _candidate(self, epoch: int) -> Path:
        """Where the weights of an epoch wait until its checkpoint is there."""
        return self.checkpoints / f"best-{epoch:05d}.h5"

    def _save(self, state: State, variables: Sequence[Any] = ()) -> None:
        if not self.devices.leads:
            return
        save_checkpoint(self.checkpoints, self.model, variables, state)
        self._publish(state)

    def _publish(self, state: State) -> None:
        """Bring history and best weights to a state that is saved.

        In this order: the weights of an epoch whose checkpoint was lost with a killed process would not be those of
        any epoch in the history, where repeating it gives other ones.
        """
        write_text(self.run.path / HISTORY, _csv([asdict(epoch) for epoch in state.history]))
        best = self._candidate(state.best_epoch)
        try:
            if best.is_file():
                best.replace(self.run.weights_path)
            for lost in self.checkpoints.glob(self._candidate(0).name.replace("00000", "*")):
                lost.unlink()
        except OSError as error:
            raise OutputError(f"cannot write {self.run.weights_path}: {error.strerror}") from error

    def _finish(self, state: State) -> None:
        """Measure the best weights on photos they have not seen, and fill the run folder."""
        # pandas, scikit-learn and matplotlib take two seconds to import, which is better spent here than at the start.
        from edgewise.train.finishing import finish_run, held_out_photos

        load_weights(self.model, self.run.weights_path)
        size = self.run.config.architecture.image_size
        splits = held_out_photos(self.dataset, self.validation, size, self.reporter, self.settings.cache)
        report_skipped(splits["test"].skipped if "test" in splits else (), self.reporter)
        metrics = finish_run(self.run, self.model, state, splits, self.reporter, self.settings.explain)
        self.reporter.say(_result(metrics, "test" if "test" in splits else "validation", self.run.path))


def _result(metrics: Metrics, split: str, out: Path) -> str:
    # Of five classes, all are among the best five.
    top5 = f" (top-5 {metrics.top5:.1%})" if len(metrics.classes) > 5 else ""
    return f"{split}: {metrics.top1:.1%} of {metrics.photos} photos right{top5}; the run is in {out}"


def _csv(rows: Iterable[dict[str, Any]]) -> str:
    text = io.StringIO()
    rows = list(rows)
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()
