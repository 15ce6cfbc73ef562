"""Which photos train, validate and test, by their content and a seed: equal photos stay on one side of every split."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Example:
    """One photo of a data set."""

    path: Path
    label: str
    index: int  # of the label in the data set's labels
    sha256: str  # of the file


@dataclass(frozen=True)
class Skipped:
    """A photo that is left out, and why."""

    path: Path
    reason: str


def split_examples(
    examples: dict[str, list[Example]], seed: int, val_split: float, test_split: float, skipped: list[Skipped]
) -> dict[str, tuple[Example, ...]]:
    """Make train, validation and test out of what is there.

    Args:
        examples: by split as given, or under "all" where none is.
        seed: decides what is set aside, together with the contents.
        val_split: share of every class that is set aside for validation where there is none, above 0.
        test_split: share of every class that is set aside for the test where there are no splits at all.
        skipped: photos that are left out are added here.
    """
    everything = [example for part in examples.values() for example in part]
    contradicting = _contradicting(everything)
    skipped += [
        Skipped(example.path, "the same photo is in two classes")
        for example in everything
        if example.sha256 in contradicting
    ]
    parts = {name: [e for e in part if e.sha256 not in contradicting] for name, part in examples.items()}
    if "all" in parts:
        rest, test = _set_aside(parts["all"], test_split, seed)
        train, validation = _set_aside(rest, val_split / (1 - test_split), seed + 1)
        return {"train": tuple(train), "validation": tuple(validation), "test": tuple(test)}
    train = parts.get("train", [])
    for name in ("test", "validation"):
        # The photos that measure stay where they are; the training set gives way.
        train = _without(train, parts.get(name, []), name, skipped)
    parts["validation"] = _without(parts.get("validation", []), parts.get("test", []), "test", skipped)
    if not parts["validation"]:
        train, parts["validation"] = _set_aside(train, val_split, seed + 1)
    return {**{name: tuple(part) for name, part in parts.items()}, "train": tuple(train)}


def take_fraction(examples: Sequence[Example], fraction: float, seed: int) -> tuple[Example, ...]:
    """Keep ``fraction`` (above 0, at most 1) of every class, at least one photo of each.

    A larger fraction with the same seed keeps all that a smaller one does.
    """
    if fraction == 1:
        return tuple(examples)
    kept = _pick(examples, seed, lambda counts: max(round(fraction * counts.total()), 1), spare=0)
    return tuple(example for example in examples if example.sha256 in kept)


def _contradicting(examples: Iterable[Example]) -> set[str]:
    labels: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        labels[example.sha256].add(example.label)
    return {digest for digest, named in labels.items() if len(named) > 1}


def _without(
    examples: Sequence[Example], others: Sequence[Example], name: str, skipped: list[Skipped]
) -> list[Example]:
    held = {example.sha256 for example in others}
    skipped += [Skipped(e.path, f"the same photo is in {name}") for e in examples if e.sha256 in held]
    return [example for example in examples if example.sha256 not in held]


def _set_aside(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Split off ``share`` of every class, by content: (what stays, what is set aside).

    A class of at least three different photos always gives one, unless ``share`` is 0; one photo always stays.
    """
    least = 1 if share > 0 else 0
    aside = _pick(
        examples, seed, lambda counts: max(round(share * counts.total()), least if len(counts) >= 3 else 0), spare=1
    )
    return [e for e in examples if e.sha256 not in aside], [e for e in examples if e.sha256 in aside]


def _pick(examples: Sequence[Example], seed: int, wanted: Callable[[Counter[str]], int], spare: int) -> set[str]:
    """The digests of ``wanted`` photos of every class, in an order that seed and content decide.

    Equal photos are picked together, and ``spare`` different photos of a class are never picked.
    """
    picked: set[str] = set()
    by_label: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        by_label[example.label][example.sha256] += 1
    for counts in by_label.values():
        order = sorted(counts, key=lambda digest: hashlib.sha256(f"{seed}:{digest}".encode()).digest())
        taken, enough = 0, wanted(counts)
        for digest in order[: len(order) - spare]:
            if taken >= enough:
                break
            picked.add(digest)
            taken += counts[digest]
    return picked
