"""Is a file faithful? Real photos through the file and through its float network, compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgewise.benchmarks.statistics import paired_points, share
from edgewise.export.sharing import each_in_turn
from edgewise.export.variants import FLOAT_SCHEMES
from edgewise.runtime.backends import Backend
from edgewise.spec import Accuracy, Parity, Scheme
from edgewise.spec.files import path_text
from edgewise.spec.progress import Reporter
from edgewise.train.pixels import Images, Pixels

MIN_AGREEMENT = 0.995
"""Smallest share of equal top-1 answers of a float file and the network."""

TIE = 0.005
"""Difference of probabilities up to which a float file that answers otherwise only decided between equals; 16-bit
floats move them by half of that."""

WORST = 5
"""Photos that a verdict names."""

BATCH = 8
"""Photos that one backend runs before the next piece is shared out."""


HAIR = 1e-9
"""For the rounding of shares, so that a drop of exactly --max-drop passes; in points."""


@dataclass(frozen=True)
class HeldOut:
    """Photos nobody trained on, with the float network's answers."""

    pixels: Pixels
    split: str  # "test", "validation" or "test+validation"
    reference: NDArray[np.float32]  # (n, classes) probabilities of the Keras network


@dataclass(frozen=True)
class WorstPhoto:
    """A photo on which a file and its network differ."""

    path: str
    difference: float  # largest of its probabilities, 0-1
    answer: int  # of the file, a class index
    expected: int  # of the network


@dataclass(frozen=True)
class Verdict:
    """How a file did."""

    accuracy: Accuracy
    parity: Parity
    refusal: str | None  # why it may not be used; None: it may
    accuracy_interval: tuple[float, float] = (0.0, 1.0)  # of top-1: exact, 95%
    drop_interval: tuple[float, float] = (-100.0, 100.0)  # of `drop`: paired, 95%
    worst: tuple[WorstPhoto, ...] = field(default=(), repr=False)  # those that differ most, the worst first

    @property
    def drop(self) -> float:
        """Top-1 of the network less that of the file, in percentage points; negative where the file is better."""
        return 100 * (self.parity.reference_top1 - self.accuracy.top1)

    def line(self) -> str:
        """One line for a person."""
        low, high = self.drop_interval
        return (
            f"top-1 {self.accuracy.top1:.2%}, {self.drop:+.2f} points below Keras (95%: {low:+.2f} to {high:+.2f}), "
            f"agreement {self.parity.agreement:.2%}, largest probability difference {self.parity.max_difference:.4f}, "
            f"on {self.parity.photos} {self.accuracy.split} photos"
        )


def judge(
    backends: Sequence[Backend], held_out: HeldOut, scheme: Scheme, max_drop: float, reporter: Reporter, name: str,
    *, compressed: bool = False,
) -> Verdict:  # fmt: skip
    """Run a file on the held-out photos and compare it with its network.

    Args:
        backends: the opened file, as often as photos are run at a time.
        held_out: photos and the network's answers.
        scheme: float files must agree with the network on `MIN_AGREEMENT` of the photos; quantized ones may lose
            ``max_drop`` points of top-1.
        max_drop: percentage points, >= 0.
        reporter: is told about the progress.
        name: of the file, for the progress.
        compressed: the file is of a pruned or clustered network: in floats too it may lose ``max_drop`` points.
    """
    with reporter.task(f"proving {name}", len(held_out.pixels.images)) as step:
        probabilities = answers_of(backends, held_out.pixels.images, step)
    return compare(probabilities, held_out, scheme, max_drop, compressed=compressed)


def answers_of(
    backends: Sequence[Backend], images: Images, step: Callable[[int], None] = lambda _: None
) -> NDArray[np.float32]:
    """The probabilities ``(n, classes)`` of a file for photos; see `judge`."""
    results = []
    workers = [lambda start, run=backend.run: run(images[start : start + BATCH]) for backend in backends]
    for result in each_in_turn(workers, range(0, len(images), BATCH)):
        results.append(result)
        step(len(result))
    return np.concatenate(results)


def compare(
    probabilities: NDArray[np.float32], held_out: HeldOut, scheme: Scheme, max_drop: float, *, compressed: bool = False
) -> Verdict:
    """Compare a file's probabilities ``(n, classes)`` with the network's; see `judge`."""
    truth, reference = held_out.pixels.labels, held_out.reference
    answers, expected = probabilities.argmax(axis=1), reference.argmax(axis=1)
    # What is not a probability is as wrong as can be; as a number it still fits into the manifest of the refused file.
    difference = np.nan_to_num(np.abs(probabilities - reference), nan=1.0, posinf=1.0).clip(max=1.0)
    parity = Parity(
        reference_top1=float((expected == truth).mean()),
        agreement=float((answers == expected).mean()),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        photos=len(truth),
    )
    same = float(((answers == expected) | (difference.max(axis=1) <= TIE)).mean())
    right = share(int((answers == truth).sum()), len(truth))
    drop = 100 * (parity.reference_top1 - right.share)
    return Verdict(
        accuracy=Accuracy(top1=right.share, photos=len(truth), split=held_out.split),
        parity=parity,
        refusal=_refusal(probabilities, same, drop, max_drop, exact=scheme in FLOAT_SCHEMES and not compressed),
        accuracy_interval=(right.low, right.high),
        drop_interval=paired_interval(expected == truth, answers == truth),
        worst=tuple(
            WorstPhoto(
                path_text(held_out.pixels.examples[n].path), float(difference[n].max()), int(answers[n]),
                int(expected[n]),
            )
            for n in np.argsort(-difference.max(axis=1), kind="stable")[:WORST]
        ),
    )  # fmt: skip


def paired_interval(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> tuple[float, float]:
    """The 95% interval of how many percentage points fewer answers are right, both of the same photos.

    Args:
        before: (n,) whether the network is right.
        after: (n,) whether the file is right.
    """
    gain = paired_points(int((after & ~before).sum()), int((before & ~after).sum()), len(before))
    return -gain.high, -gain.low


def _refusal(
    probabilities: NDArray[np.float32], same: float, drop: float, max_drop: float, *, exact: bool
) -> str | None:
    if not np.isfinite(probabilities).all():
        return "some of its probabilities are not numbers"
    if exact:
        if same < MIN_AGREEMENT:
            return f"it agrees with the network on {same:.2%} of the photos; at least {MIN_AGREEMENT:.1%}"
        return None
    if not drop <= max_drop + HAIR:
        return f"its top-1 is {drop:.2f} points below the network's; at most {max_drop:g} (--max-drop)"
    return None
