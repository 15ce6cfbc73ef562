"""The end of a training: what it is worth, as figures, tables, pictures and one page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgewise.spec import DataError
from edgewise.spec.files import write_text
from edgewise.spec.progress import Reporter
from edgewise.train.cache import PhotoCache
from edgewise.train.checkpoint import State
from edgewise.train.dataset import Dataset
from edgewise.train.evaluation import Metrics, evaluate
from edgewise.train.event_log import write_event_logs
from edgewise.train.explain import explain_answers, save_sheet
from edgewise.train.inference import predict
from edgewise.train.pixels import Pixels, load_pixels
from edgewise.train.plots import (
    PAPER,
    class_f1,
    reliability_diagram,
    save,
    save_confusion_matrix,
    save_learning_curves,
)
from edgewise.train.predictions import Answers, write_predictions
from edgewise.train.run import (
    CLASS_F1,
    CURVES,
    EXPLAINED,
    MATRIX,
    METRICS,
    PREDICTIONS,
    RELIABILITY,
    REPORT,
    Run,
)
from edgewise.train.run_report import Outcome, write_report
from edgewise.train.temperature import fit, rescale

NO_TEST = (
    "no test photo can be read: the validation photos are reported, which the training has chosen its best epoch by"
)

INDENTED = 200
"""Most classes with which the file of figures is laid out for people."""


def held_out_photos(
    dataset: Dataset, validation: Pixels, size: int, reporter: Reporter, cache: PhotoCache | None = None
) -> dict[str, Pixels]:
    """The photos to measure a finished training on.

    Args:
        dataset: of the training.
        validation: its validation photos, in memory already.
        size: of the network's input in pixels.
        reporter: is told where no test photo can be read.
        cache: where prepared photos are kept; None: in memory.

    Returns:
        ``validation``, and ``test`` where there are test photos that can be read.
    """
    splits = {"validation": validation}
    if examples := dataset.splits.get("test"):
        try:
            splits["test"] = load_pixels(examples, size, name="test photos", reporter=reporter, cache=cache)
        except DataError as error:
            # A training that has come to its end is not thrown away for it.
            reporter.say(f"{NO_TEST} ({error.got})")
    return splits


def finish_run(
    run: Run, model: Any, state: State, splits: Mapping[str, Pixels], reporter: Reporter, explain: int = 0
) -> Metrics:
    """Measure a trained network, fit its temperature, and fill the run folder with what a person looks at.

    Args:
        run: the run.
        model: its network with the best weights as they were trained, at temperature 1.
        state: how the training went.
        splits: ``validation``, and ``test`` where there is one; see `held_out_photos`.
        reporter: is told about the progress.
        explain: right and wrong answers, so many of each, that are explained with Grad-CAM; >= 0.

    Returns:
        The figures of the test photos, or of the validation photos where there is no test.

    Raises:
        OutputError: the run folder cannot be written.
    """
    raw = {
        name: predict(model, photos.images, reporter, f"classifying {name} photos") for name, photos in splits.items()
    }
    scaling = fit(raw["validation"], splits["validation"].labels)
    if scaling.remark:
        reporter.say(f"probabilities stay as they are: {scaling.remark}")
    parts = {
        name: Answers(name, photos, rescale(raw[name], scaling.temperature), run.labels)
        for name, photos in splits.items()
    }
    answers = parts["test" if "test" in parts else "validation"]
    metrics = evaluate(answers.probabilities, answers.photos.labels, run.labels)
    data = {
        "split": answers.split,
        "best_epoch": state.best_epoch,
        "epochs": state.epoch,
        **metrics.to_data(),
        "calibration": scaling.to_data(),
    }
    write_predictions(parts.values(), run.config.root, run.path / PREDICTIONS)
    write_event_logs(state.history, run.path)
    explained = explain_answers(model, answers, explain) if explain else None
    outcome = Outcome(run, state, answers, raw[answers.split], metrics, scaling, explained)
    _draw(outcome)
    write_report(outcome)
    # The figures come last: a run that has them is finished.
    # A line for each cell of the confusion matrix would make a very long file of very many classes.
    indent = 2 if len(run.labels) <= INDENTED else None
    write_text(run.path / METRICS, json.dumps(data, indent=indent, ensure_ascii=False))
    reporter.say(f"the report is {run.path / REPORT}")
    return metrics


def _draw(outcome: Outcome) -> None:
    path, state = outcome.run.path, outcome.state
    save_learning_curves(state.history, state.best_epoch, path / CURVES)
    save_confusion_matrix(outcome.metrics, outcome.run.labels, path / MATRIX, f"{outcome.answers.split} photos")
    save(class_f1(outcome.metrics, PAPER), path / CLASS_F1)
    save(reliability_diagram(outcome.reliability(), PAPER), path / RELIABILITY)
    if outcome.explained:
        save_sheet(outcome.explained, path / EXPLAINED)
