"""Is a file faithful? Real photos through the file and through its float network, compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.backends import Backend
from edgewise.spec import Accuracy, Parity, Scheme
from edgewise.spec.progress import Reporter
from edgewise.train.pixels import Pixels

MIN_AGREEMENT = 0.995
"""Smallest share of equal top-1 answers of a float file and the network."""

BATCH = 16


@dataclass(frozen=True)
class HeldOut:
    """Photos nobody trained on, with the float network's answers."""

    pixels: Pixels
    split: str  # "test", "validation" or "test+validation"
    reference: NDArray[np.float32]  # (n, classes) probabilities of the Keras network


@dataclass(frozen=True)
class Verdict:
    """How a file did."""

    accuracy: Accuracy
    parity: Parity
    refusal: str | None  # why it may not be used; None: it may

    @property
    def drop(self) -> float:
        """Top-1 of the network less that of the file, in percentage points; negative where the file is better."""
        return 100 * (self.parity.reference_top1 - self.accuracy.top1)

    def line(self) -> str:
        """One line for a person."""
        return (
            f"top-1 {self.accuracy.top1:.2%} (Keras {self.parity.reference_top1:.2%}), "
            f"agreement {self.parity.agreement:.2%}, largest probability difference {self.parity.max_difference:.4f}, "
            f"on {self.parity.photos} {self.accuracy.split} photos"
        )


def judge(
    backend: Backend, held_out: HeldOut, scheme: Scheme, max_drop: float, reporter: Reporter, name: str
) -> Verdict:
    """Run a file on the held-out photos and compare it with its network.

    Args:
        backend: the opened file.
        held_out: photos and the network's answers.
        scheme: float files must agree with the network on `MIN_AGREEMENT` of the photos; quantized ones may lose
            ``max_drop`` points of top-1.
        max_drop: percentage points, >= 0.
        reporter: is told about the progress.
        name: of the file, for the progress.
    """
    images = held_out.pixels.images
    results = []
    with reporter.task(f"proving {name}", len(images)) as step:
        for start in range(0, len(images), BATCH):
            results.append(backend.run(images[start : start + BATCH]))
            step(len(results[-1]))
    return compare(np.concatenate(results), held_out, scheme, max_drop)


def compare(probabilities: NDArray[np.float32], held_out: HeldOut, scheme: Scheme, max_drop: float) -> Verdict:
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
    accuracy = Accuracy(top1=float((answers == truth).mean()), photos=len(truth), split=held_out.split)
    verdict = Verdict(accuracy, parity, None)
    return Verdict(accuracy, parity, _refusal(probabilities, verdict, scheme, max_drop))


def _refusal(probabilities: NDArray[np.float32], verdict: Verdict, scheme: Scheme, max_drop: float) -> str | None:
    if not np.isfinite(probabilities).all():
        return "some of its probabilities are not numbers"
    if scheme is Scheme.FP32 and verdict.parity.agreement < MIN_AGREEMENT:
        return (
            f"it agrees with the network on {verdict.parity.agreement:.2%} of the photos; at least {MIN_AGREEMENT:.1%}"
        )
    # A hair's breadth for the rounding of shares, so that a drop of exactly max_drop passes.
    if scheme is not Scheme.FP32 and verdict.drop > max_drop + 1e-9:
        return f"its top-1 is {verdict.drop:.2f} points below the network's; at most {max_drop:g} (--max-drop)"
    return None
