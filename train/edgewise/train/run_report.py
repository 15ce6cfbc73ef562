"""The report of a training: one page that needs nothing from outside."""

from __future__ import annotations

import base64
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binomtest

from edgewise.runtime.images import decode, read
from edgewise.spec import ExtraMissingError, PhotoError
from edgewise.spec.files import path_text, write_text
from edgewise.train.checkpoint import State
from edgewise.train.evaluation import Metrics, most_confused
from edgewise.train.explain import Explained
from edgewise.train.plots import (
    MAX_BARS,
    MAX_WRITTEN_CLASSES,
    PAGES,
    Look,
    class_f1,
    confusion_matrix,
    learning_curves,
    page_svg,
    reliability_diagram,
)
from edgewise.train.predictions import Answers, confident_share, relative
from edgewise.train.run import REPORT, Run
from edgewise.train.temperature import Bin, TemperatureScaling, calibration_error, reliability

try:
    import jinja2
    from markupsafe import Markup
except ModuleNotFoundError as error:
    raise ExtraMissingError("train", error.name or "jinja2") from error

TEMPLATE = "templates/run_report.html.j2"
SHOWN_MISTAKES, SHOWN_PAIRS = 24, 12
THUMBNAIL = 220
"""Longest side of a photo on the page, in pixels."""

PACKAGES = ("edgewise", "tensorflow", "tf_keras", "numpy")


@dataclass(frozen=True)
class Outcome:
    """Everything that is known at the end of a training."""

    run: Run
    state: State
    answers: Answers  # of the reported split, at the fitted temperature
    raw: NDArray[np.float32]  # probabilities of the same photos at temperature 1, (n, classes)
    metrics: Metrics
    scaling: TemperatureScaling
    explained: Explained | None

    def reliability(self) -> list[tuple[str, tuple[Bin, ...]]]:
        """Titles and bins of the reliability diagram: before the temperature and, where there is one, after it."""
        truth, after = self.answers.photos.labels, self.answers.probabilities
        parts = [("as trained" if self.scaling.temperature != 1 else "temperature 1", self.raw)]
        if self.scaling.temperature != 1:
            parts.append((f"at temperature {self.scaling.temperature:.2f}", after))
        return [(f"{name}: ECE {calibration_error(p, truth):.1%}", reliability(p, truth)) for name, p in parts]


def write_report(outcome: Outcome) -> None:
    """Write ``report.html`` into the run folder. Raises OutputError."""
    write_text(outcome.run.path / REPORT, to_html(outcome))


def to_html(outcome: Outcome) -> str:
    """Make the page: one HTML text, every name in it escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(percent=lambda share: f"{100 * share:.1f}%", plain=printable)
    template = environment.from_string(files("edgewise.train").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    answers, metrics, scaling = outcome.answers, outcome.metrics, outcome.scaling
    return template.render(
        name=printable(outcome.run.path.resolve().name),
        when=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        state=outcome.state,
        minutes=sum(epoch.seconds for epoch in outcome.state.history) / 60,
        architecture=outcome.run.config.architecture,
        split=answers.split,
        metrics=metrics,
        interval=_interval(metrics),
        scaling=scaling,
        ece=calibration_error(answers.probabilities, answers.photos.labels),
        kept=_threshold_effect(answers, scaling),
        plots=_plots(outcome),
        many=len(outcome.run.labels) > MAX_WRITTEN_CLASSES,
        hidden_bars=max(sum(1 for row in metrics.classes if row.photos) - MAX_BARS, 0),
        confused=most_confused(metrics, SHOWN_PAIRS),
        mistakes=[_mistake(answers, index, outcome.run) for index in answers.worst(SHOWN_MISTAKES)],
        wrong=int((~answers.right).sum()),
        explained=outcome.explained,
        picture=_picture,
        facts=_facts(outcome),
    )


def printable(text: str) -> str:
    """Text without control characters and halves of surrogate pairs, which no page can show."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in path_text(text))


def _plots(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """Per plot and screen, the drawing as SVG and how wide it may become, in CSS pixels."""
    metrics, state, labels = outcome.metrics, outcome.state, outcome.run.labels
    draw: dict[str, Callable[[Look], Figure]] = {
        "curves": lambda look: learning_curves(state.history, state.best_epoch, look),
        "confusion": lambda look: confusion_matrix(metrics, labels, look),
        "f1": lambda look: class_f1(metrics, look),
        "reliability": lambda look: reliability_diagram(outcome.reliability(), look),
    }
    return {
        name: {shape: _plot(how(look), f"{name}-{shape}") for shape, look in PAGES.items()}
        for name, how in draw.items()
    }


def _plot(figure: Figure, salt: str) -> dict[str, Any]:
    # page_svg() escapes every name itself, so that its SVG can be inserted as it is.
    return {"svg": Markup(page_svg(figure, salt)), "width": round(figure.get_figwidth() * 120)}  # noqa: S704


def _interval(metrics: Metrics) -> tuple[float, float]:
    """The exact 95% interval of top-1 (Clopper and Pearson), 0-1."""
    found = binomtest(round(metrics.top1 * metrics.photos), metrics.photos).proportion_ci(0.95, method="exact")
    return float(found.low), float(found.high)


def _threshold_effect(answers: Answers, scaling: TemperatureScaling) -> dict[str, float | None] | None:
    """Which share of right and of wrong answers reaches the threshold; None without one."""
    if (threshold := scaling.unknown_threshold) is None:
        return None
    return {name: confident_share(answers, threshold, right=name == "right") for name in ("right", "wrong")}


def _mistake(answers: Answers, index: int, run: Run) -> dict[str, Any]:
    example = answers.photos.examples[index]
    return {
        "picture": _picture(_photo(answers, index)),
        "path": printable(str(relative(example.path, run.config.root))),
        "truth": example.label,
        "answer": answers.labels[answers.best[index]],
        "sure": float(answers.sure[index]),
        "true_probability": float(answers.probabilities[index, example.index]),
    }


def _photo(answers: Answers, index: int) -> NDArray[np.uint8]:
    """The photo as it is, or as the network saw it where it is gone meanwhile, or grey."""
    path = answers.photos.examples[index].path
    with suppress(PhotoError):
        return decode(read(path), path_text(path), at_least=(THUMBNAIL, THUMBNAIL))
    with suppress(PhotoError):
        return answers.photos.images[index]
    return np.full((THUMBNAIL, THUMBNAIL, 3), 128, np.uint8)


def _picture(photo: NDArray[np.uint8]) -> str:
    """A photo ``(h, w, 3)`` RGB as a data URI of a JPEG, at most `THUMBNAIL` pixels high and wide."""
    height, width = photo.shape[:2]
    scale = min(THUMBNAIL / max(height, width), 1)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = cv2.resize(np.ascontiguousarray(photo), size, interpolation=cv2.INTER_AREA)
    content = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode("ascii")


def _facts(outcome: Outcome) -> dict[str, str]:
    config = outcome.run.config
    return {
        "Photos": printable(str(config.data)),
        "SHA-256 of the data set": config.data_sha256,
        "First weights": f"{config.recipe.weights}"
        + (f", SHA-256 {config.weights_sha256}" if config.weights_sha256 else ""),
        "Network": "; ".join(_flat(config.architecture.to_data())),
        "Recipe": "; ".join(_flat(asdict(config.recipe))),
        "Versions": ", ".join(
            [f"{name} {version(name)}" for name in PACKAGES] + [f"Python {platform.python_version()}"]
        ),
    }


def _flat(data: Mapping[str, Any]) -> Iterator[str]:
    """Nested settings as ``name value`` in a row."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield f"{name}: " + ", ".join(_flat(value))
        elif value is not None:
            yield f"{name} {_ranges(value) if isinstance(value, Sequence) and not isinstance(value, str) else value}"


def _ranges(numbers: Sequence[Any]) -> str:
    """``1-10`` for all whole numbers from 1 to 10, or else each of them."""
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return " ".join(map(str, numbers))
