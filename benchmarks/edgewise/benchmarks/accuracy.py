"""From the answers to every photo to what is said about a file's accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewise.benchmarks.answers import UNREADABLE, Answers, Listing
from edgewise.benchmarks.figures import Accuracy, Bin, Difference, Disagreement, OutOfClass
from edgewise.benchmarks.packing import pack
from edgewise.benchmarks.statistics import Share, paired_points, share

BINS = 15
"""Equal-width bins of the expected calibration error, as in Guo et al., ICML 2017."""

WORST = 12
FROM_CLASSES = 6
"""Fewest classes for a top-5."""

LEAST = 1e-12
"""A probability below is taken for this one, so that one photo does not make the likelihood infinite."""


@dataclass(frozen=True)
class Judged:
    """The photos of the classes that could be read, with a file's answers to them."""

    places: NDArray[np.intp]  # (n,) in the listing
    truth: NDArray[np.int32]  # (n,) class indices
    answers: Answers  # of length n

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each is answered rightly."""
        return np.equal(self.answers.answer, self.truth)


def judged(listing: Listing, answers: Answers) -> Judged:
    """Choose the photos that count."""
    classes = np.array(listing.classes, np.int32)
    places = np.flatnonzero((classes >= 0) & (answers.answer != UNREADABLE))
    chosen = Answers(*(array[places] for array in vars(answers).values()))
    return Judged(places, classes[places], chosen)


def make_accuracy(
    listing: Listing, answers: Answers, reference: Answers | None, threshold: float | None
) -> Accuracy | None:
    """What a file's answers say.

    Args:
        listing: the photos.
        answers: of the file.
        reference: answers of the network that it was made from; None: there are none, or they are these.
        threshold: probability below which the file answers "unknown"; None: it never does.

    Returns:
        None where not one photo could be read.
    """
    seen = judged(listing, answers)
    count, classes = len(seen.places), len(listing.labels)
    if not count:
        return None
    confusion = np.bincount(seen.truth * classes + seen.answers.answer, minlength=classes**2).reshape(classes, classes)
    bins = reliability(seen.answers.probability, seen.right)
    other = judged(listing, reference) if reference is not None else None
    return Accuracy(
        photos=count,
        top1=share(int(seen.right.sum()), count),
        top5=share(int((seen.answers.rank < 5).sum()), count) if classes >= FROM_CLASSES else None,
        macro_f1=macro_f1(confusion),
        ece=sum(each.photos * abs(each.confidence - each.right) for each in bins) / count,
        nll=float(-np.log(np.maximum(seen.answers.truth.astype(float), LEAST)).mean()),
        unknown_share=None if threshold is None else float((seen.answers.probability < threshold).mean()),
        agreement=share(int((seen.answers.answer == other.answers.answer).sum()), count) if other else None,
        difference=_difference(seen, other) if other else None,
        confusion=tuple(tuple(map(int, line)) for line in confusion),
        reliability=bins,
        worst=_worst(listing, seen, other) if other else (),
        ood=_out_of_class(listing, answers, seen, threshold),
        answers=pack(answers.answer[np.array(listing.classes) >= 0]),
    )


def macro_f1(confusion: NDArray[np.int_]) -> float:
    """Mean F1 of the classes that have photos; a class that is never answered has an F1 of 0.

    Args:
        confusion: (classes, classes) counts, [true][answered].
    """
    right, true, answered = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    there = true > 0
    return float((2 * right[there] / (true[there] + answered[there])).mean())


def reliability(probability: NDArray[np.float32], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Bins of a reliability diagram, from low to high, without those that are empty."""
    numbers = np.clip(np.ceil(probability.astype(float) * BINS).astype(int) - 1, 0, BINS - 1)
    members = [numbers == number for number in range(BINS)]
    return tuple(
        Bin(float(probability[chosen].mean(dtype=float)), float(right[chosen].mean()), int(chosen.sum()))
        for chosen in members
        if chosen.any()
    )


def auroc(inside: NDArray[np.float32], outside: NDArray[np.float32]) -> float:
    """Probability that one of ``inside`` is larger than one of ``outside``, ties half (Mann and Whitney, 1947)."""
    below = np.sort(outside)
    wins = np.searchsorted(below, inside, "left") + np.searchsorted(below, inside, "right")
    return float(wins.sum(dtype=float)) / (2 * len(inside) * len(outside))


def _difference(seen: Judged, other: Judged) -> Difference:
    gained = int((seen.right & ~other.right).sum())
    lost = int((~seen.right & other.right).sum())
    return Difference(paired_points(gained, lost, len(seen.places)), gained, lost)


def _worst(listing: Listing, seen: Judged, other: Judged) -> tuple[Disagreement, ...]:
    """Photos that both answer differently; those first where both are surest."""
    differ = np.flatnonzero(seen.answers.answer != other.answers.answer)
    sureness = np.minimum(seen.answers.probability[differ], other.answers.probability[differ])
    chosen: Sequence[int] = [int(n) for n in differ[np.argsort(-sureness, kind="stable")[:WORST]]]
    return tuple(
        Disagreement(
            photo=listing.photos[seen.places[n]],
            label=listing.labels[seen.truth[n]],
            reference=listing.labels[other.answers.answer[n]],
            reference_probability=float(other.answers.probability[n]),
            answer=listing.labels[seen.answers.answer[n]],
            probability=float(seen.answers.probability[n]),
        )
        for n in chosen
    )


def _out_of_class(listing: Listing, answers: Answers, seen: Judged, threshold: float | None) -> OutOfClass | None:
    outside = answers.probability[(np.array(listing.classes) < 0) & (answers.answer != UNREADABLE)]
    if not len(outside):
        return None
    accepted: Share | None = None
    if threshold is not None:
        accepted = share(int((outside >= threshold).sum()), len(outside))
    return OutOfClass(len(outside), auroc(seen.answers.probability, outside), threshold, accepted)
