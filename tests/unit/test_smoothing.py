"""Which label is shown over time: no flicker, no class below its threshold."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.runtime.smoothing import Method, Smoother, Smoothing
from edgewise.spec import InputError

LABELS = ("red", "green", "blue")
RED, GREEN = (0.8, 0.15, 0.05), (0.3, 0.65, 0.05)
UNSURE = (0.4, 0.3, 0.3)


def shown(smoothing: Smoothing, answers: list[tuple[float, ...]], threshold: float | None = None) -> list[str]:
    """The labels shown for answers 0.1 s apart."""
    smoother = Smoother(smoothing, LABELS)
    return [
        smoother.update(np.array(answer, np.float32), number * 0.1, threshold).label
        for number, answer in enumerate(answers)
    ]


def test_off_shows_each_answer_as_it_is() -> None:
    answers = [RED, GREEN, UNSURE, RED]
    assert shown(Smoothing(Method.OFF), answers, 0.5) == ["red", "green", "unknown", "red"]


@pytest.mark.parametrize("method", [Method.EMA, Method.MAJORITY])
def test_single_frames_do_not_flicker_and_a_lasting_change_is_followed(method: Method) -> None:
    labels = shown(Smoothing(method, seconds=0.5), [RED] * 6 + [GREEN] + [RED] * 3 + [GREEN] * 12)
    assert labels[:10] == ["red"] * 10
    assert labels[-1] == "green"
    assert labels == ["red"] * labels.index("green") + ["green"] * (len(labels) - labels.index("green"))


def test_an_equal_fight_does_not_change_the_label_each_time() -> None:
    labels = shown(Smoothing(Method.EMA, seconds=0.1), [RED, *[(0.45, 0.5, 0.05), (0.5, 0.45, 0.05)] * 10])
    assert set(labels) == {"red"}


def test_without_margin_the_same_fight_does() -> None:
    labels = shown(Smoothing(Method.EMA, seconds=0.1, margin=0), [RED, *[(0.4, 0.55, 0.05), (0.55, 0.4, 0.05)] * 10])
    assert set(labels[5:]) == {"red", "green"}


def test_a_class_is_never_shown_with_less_than_its_threshold() -> None:
    smoother = Smoother(Smoothing(seconds=0.3), LABELS)
    for number in range(40):
        answer = smoother.update(np.array(RED if number // 10 % 2 else UNSURE, np.float32), number * 0.1, 0.6)
        assert answer.known == (answer.label != "unknown")
        assert answer.probability >= 0.6 or not answer.known


def test_unknown_is_left_only_with_a_margin() -> None:
    near = (0.63, 0.3, 0.07)
    labels = shown(Smoothing(Method.EMA, seconds=0.1), [UNSURE, *[near] * 10, *[RED] * 10], 0.6)
    assert labels[:11] == ["unknown"] * 11
    assert labels[-1] == "red"
    # From a class, the same probability is enough to stay.
    assert shown(Smoothing(Method.EMA, seconds=0.1), [RED, *[near] * 10], 0.6) == ["red"] * 11


def test_a_high_threshold_can_still_be_reached() -> None:
    assert shown(Smoothing(seconds=0.1), [UNSURE, *[(0.99, 0.01, 0)] * 20], 0.95)[-1] == "red"


def test_a_vote_without_majority_becomes_unknown() -> None:
    thirds = [(0.9, 0.05, 0.05), (0.05, 0.9, 0.05), (0.05, 0.05, 0.9)]
    assert shown(Smoothing(Method.MAJORITY, seconds=0.95), [*[RED] * 5, *thirds * 6])[-1] == "unknown"


def test_the_average_depends_on_time_and_not_on_the_number_of_answers() -> None:
    slow, fast = Smoother(Smoothing(seconds=1), LABELS), Smoother(Smoothing(seconds=1), LABELS)
    red, green = np.array(RED, np.float32), np.array(GREEN, np.float32)
    slow.update(red, 0, None)
    fast.update(red, 0, None)
    for tenth in range(1, 11):
        last = fast.update(green, tenth / 10, None)
    assert slow.update(green, 1, None).probability == pytest.approx(last.probability, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seconds": 0}, "--smooth-seconds 0\nExpected: a number of seconds above 0"),
        ({"seconds": float("nan")}, "--smooth-seconds nan"),
        ({"margin": 1}, "--smooth-margin 1\nExpected: a probability from 0 to below 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Smoothing(**values)  # type: ignore[arg-type]
    assert message in str(caught.value)
