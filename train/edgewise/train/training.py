"""The steps of one training, new or continued."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise.spec.files import write_text
from edgewise.spec.progress import Reporter
from edgewise.train.cache import PhotoCache
from edgewise.train.checkpoint import State, load_checkpoint, save_checkpoint
from edgewise.train.dataset import Dataset, report_skipped
from edgewise.train.devices import AUTO as ALL_DEVICES
from edgewise.train.devices import Devices
from edgewise.train.fitting import Fitting
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
            WorkerError: another machine is gone.
        """
        try:
            with noting_ctrl_c() as check:
                return replace(self, reporter=Checking(self.reporter, check))._execute(found)
        except KeyboardInterrupt:
            raise Interrupted from None

    def _execute(self, found: tuple[Path, State] | None) -> Run:
        recipe = self.run.config.recipe

        def start() -> str:
            return json.dumps(asdict(found[1] if found else self._begin(recipe)))

        state = State.from_data(json.loads(self.devices.agree(start)))
        fitting = Fitting(
            self.model, recipe, self.train, self.validation, self.reporter, state.peak_rate, self.settings.save_every,
            self.devices,
        )  # fmt: skip
        if found:
            load_checkpoint(found[0], self.model, fitting.optimizer.state)
        elif self.devices.leads:
            if state.head_accuracy is not None:
                self._keep(state)
            self._save(fitting, state)
        state = fitting.run(state, self._keep, lambda reached: self._save(fitting, reached))
        if self.devices.leads:
            self._finish(state)
        # The others stay until the leading machine is done, so that it does not take them for lost.
        self.devices.agree(lambda: "done")
        return self.run

    def _begin(self, recipe: Recipe) -> State:
        """What comes before the epochs of the whole network."""
        head_accuracy = peak_rate = None
        if not recipe.from_scratch and recipe.head_epochs:
            head_accuracy = fit_head(self.model, self.train, self.validation, recipe, self.reporter)
            self.reporter.say(f"head on the frozen backbone: validation accuracy {head_accuracy:.1%}")
        if recipe.learning_rate == AUTO:
            from edgewise.train.range_test import find_rate

            tested = find_rate(self.model, recipe, self.train, self.reporter)
            tested.save(self.run.path / RATES)
            peak_rate = tested.best
            self.reporter.say(f"learning rate: {peak_rate:.2g} (see {self.run.path / RATES})")
        return State(head_accuracy=head_accuracy, peak_rate=peak_rate)

    def _keep(self, state: State) -> None:
        """Called while the network has the weights that ``state`` was validated with."""
        if self.devices.leads and state.best_epoch == state.epoch:
            save_weights(self.model, self.run.weights_path)

    def _save(self, fitting: Fitting, state: State) -> None:
        if not self.devices.leads:
            return
        save_checkpoint(self.checkpoints, self.model, fitting.optimizer.state, state)
        write_text(self.run.path / HISTORY, _csv([asdict(epoch) for epoch in state.history]))

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
    return (
        f"{split}: {metrics.top1:.1%} of {metrics.photos} photos right (top-5 {metrics.top5:.1%}); the run is in {out}"
    )


def _csv(rows: Iterable[dict[str, Any]]) -> str:
    text = io.StringIO()
    rows = list(rows)
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()
