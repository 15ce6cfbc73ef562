"""The gate: which files pass, which do not, and what it says about them, on probabilities made by hand."""

from __future__ import annotations

from math import comb
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.export.gate import BATCH, MIN_AGREEMENT, WORST, HeldOut, answers_of, compare, judge, paired_interval
from edgewise.export.metadata import embed_onnx
from edgewise.runtime.modelfile import read_model
from edgewise.spec import Accuracy, InputSpec, Manifest, Parity, Scheme
from edgewise.spec.progress import Silent
from edgewise.train.dataset import Example
from edgewise.train.pixels import Pixels

ONNX = Path(__file__).parent.parent / "data" / "tiny.onnx"
CLASSES = 4


def held_out(truth: list[int], answers: list[int]) -> HeldOut:
    """Photos of the classes ``truth``, for which the network is sure of ``answers``."""
    images = np.zeros((len(truth), 8, 8, 3), np.uint8)
    examples = tuple(Example(Path(f"{number}.jpg"), str(each), each, "") for number, each in enumerate(truth))
    return HeldOut(Pixels(images, np.array(truth, np.int64), examples, ()), "test", sure_of(answers))


def sure_of(answers: list[int]) -> NDArray[np.float32]:
    probabilities = np.full((len(answers), CLASSES), 0.1, np.float32)
    probabilities[np.arange(len(answers)), answers] = 0.7
    return probabilities


def test_a_file_that_equals_its_network_passes() -> None:
    photos = held_out([0, 1, 2, 3], [0, 1, 2, 0])
    verdict = compare(photos.reference, photos, Scheme.FP32, 0)
    assert verdict.accuracy == Accuracy(0.75, 4, "test")
    assert verdict.parity == Parity(0.75, 1.0, 0.0, 0.0, 4)
    assert verdict.refusal is None
    assert verdict.drop == 0


def test_agreement_accuracy_and_differences_are_counted() -> None:
    photos = held_out([0, 1, 2, 3], [0, 1, 1, 3])
    probabilities = sure_of([0, 2, 2, 3])
    probabilities[0] = [0.9, 0.1, 0.0, 0.0]
    verdict = compare(probabilities, photos, Scheme.INT8, 0)
    assert verdict.accuracy.top1 == 0.75  # right: 0, 2, 3
    assert verdict.parity.reference_top1 == 0.75  # right: 0, 1, 3
    assert verdict.parity.agreement == 0.5
    assert verdict.parity.max_difference == pytest.approx(0.6)
    assert verdict.parity.mean_difference == pytest.approx((0.4 + 1.2 + 1.2) / 16)
    assert verdict.drop == pytest.approx(0)
    assert verdict.refusal is None


@pytest.mark.parametrize(("wrong", "passes"), [(0, True), (1, True), (2, False)])
def test_a_float_file_must_agree_on_995_of_1000(wrong: int, passes: bool) -> None:
    assert MIN_AGREEMENT == 0.995
    photos = held_out([0] * 200, [0] * 200)
    verdict = compare(sure_of([1] * wrong + [0] * (200 - wrong)), photos, Scheme.FP32, 100)
    assert (verdict.refusal is None) is passes
    if not passes:
        assert verdict.refusal == "it agrees with the network on 99.00% of the photos; at least 99.5%"


def test_a_float_file_that_is_better_but_different_is_refused() -> None:
    verdict = compare(sure_of([0] * 200), held_out([0] * 200, [1] * 100 + [0] * 100), Scheme.FP32, 100)
    assert verdict.drop == -50
    assert verdict.refusal is not None
    assert "it agrees with the network on 50.00%" in verdict.refusal


@pytest.mark.parametrize("photos", [100, 300, 372, 700, 1000])
@pytest.mark.parametrize("share", [0, 1, 3, 7])
def test_a_quantized_file_may_lose_exactly_the_drop_and_no_photo_more(photos: int, share: int) -> None:
    lost = photos * share // 100
    held = held_out([0] * photos, [0] * (photos - 5) + [1] * 5)
    for wrong, passes in ((lost, True), (lost + 1, False)):
        # As a user would type it: the drop of `lost` photos in points, which no float holds exactly.
        verdict = compare(
            sure_of([1] * (wrong + 5) + [0] * (photos - wrong - 5)), held, Scheme.INT8, 100 * lost / photos
        )
        assert (verdict.refusal is None) is passes, verdict


def test_the_refusal_of_a_quantized_file_says_how_much_and_what_to_change() -> None:
    verdict = compare(sure_of([1] * 5 + [0] * 195), held_out([0] * 200, [0] * 200), Scheme.INT8, 1.0)
    assert verdict.refusal == "its top-1 is 2.50 points below the network's; at most 1 (--max-drop)"
    assert verdict.drop == pytest.approx(2.5)


def test_a_quantized_file_may_disagree_where_it_does_not_lose() -> None:
    verdict = compare(sure_of([2] * 200), held_out([0] * 200, [1] * 200), Scheme.INT8, 0)
    assert verdict.parity.agreement == 0
    assert verdict.refusal is None


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_refused_and_still_fits_into_a_manifest(scheme: Scheme, bad: float) -> None:
    photos = held_out([0] * 200, [0] * 200)
    probabilities = photos.reference.copy()
    probabilities[7, 3] = bad
    verdict = compare(probabilities, photos, scheme, 100)
    assert verdict.refusal == "some of its probabilities are not numbers"
    assert verdict.parity.max_difference == 1.0
    manifest = Manifest(
        "m", ("a", "b"), InputSpec(8, 8), scheme, accuracy=verdict.accuracy, parity=verdict.parity
    )  # fmt: skip
    assert Manifest.from_json(manifest.to_json(), "it") == manifest


def test_the_line_for_a_person_has_every_figure() -> None:
    verdict = compare(sure_of([0, 0, 0, 1]), held_out([0] * 4, [0] * 4), Scheme.INT8, 100)
    assert verdict.line() == (
        "top-1 75.00%, +25.00 points below Keras (95%: -39.98 to +80.59), agreement 75.00%, "
        "largest probability difference 0.6000, on 4 test photos"
    )


@pytest.mark.parametrize(("moved", "passes"), [(0.004, True), (0.02, False)])
def test_a_float_file_may_decide_a_tie_otherwise(moved: float, passes: bool) -> None:
    photos = held_out([0] * 10, [0] * 10)
    photos.reference[3] = [0.4, 0.4, 0.1, 0.1]
    probabilities = photos.reference.copy()
    probabilities[3] = [0.4 - moved, 0.4 + moved, 0.1, 0.1]
    verdict = compare(probabilities, photos, Scheme.FP16, 0)
    assert verdict.parity.agreement == 0.9
    assert (verdict.refusal is None) is passes


def test_the_photos_that_differ_most_are_named_the_worst_first() -> None:
    photos = held_out([0] * 20, [0] * 20)
    probabilities = photos.reference.copy()
    for number, size in ((4, 0.25), (9, 0.5), (17, 0.1)):
        probabilities[number, 0] -= size
        probabilities[number, 1] += size
    verdict = compare(probabilities, photos, Scheme.INT8, 100)
    assert len(verdict.worst) == WORST
    assert [(each.path, each.answer, each.expected) for each in verdict.worst[:3]] == [
        ("9.jpg", 1, 0), ("4.jpg", 0, 0), ("17.jpg", 0, 0)
    ]  # fmt: skip
    assert [each.difference for each in verdict.worst[:3]] == pytest.approx([0.5, 0.25, 0.1])


@pytest.mark.parametrize(("lost", "won", "photos"), [(5, 0, 100), (8, 3, 713), (0, 4, 200), (31, 29, 10_000)])
def test_the_interval_of_the_drop_is_no_narrower_than_that_of_an_exact_test(lost: int, won: int, photos: int) -> None:
    before, after = np.ones(photos, bool), np.ones(photos, bool)
    before[:won], after[photos - lost :] = False, False
    low, high = paired_interval(before, after)
    assert low <= 100 * (lost - won) / photos <= high
    # At either end the share of lost among changed answers is as far from what was seen as 2.5% of chances allow.
    changed = lost + won
    for edge, seen in ((low, lost - 1), (high, lost)):
        share = (edge * photos / 100 / changed + 1) / 2
        tail = sum(comb(changed, k) * share**k * (1 - share) ** (changed - k) for k in range(seen + 1))
        if 0 < share < 1:
            assert tail > 0.975 - 1e-6 if edge == low else tail < 0.025 + 1e-6


def test_no_change_among_few_photos_proves_little() -> None:
    same = np.array([True, False] * 20)
    low, high = paired_interval(same, same)
    assert high == -low == pytest.approx(100 * (1 - 0.025 ** (1 / 40)))


class FixedBackend:
    """Gives known rows, in order, whatever the pictures are."""

    name, threads, provider, precision = "fixed", 1, "cpu", "fp32"

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self.rows, self.batches = rows, [0]

    def run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        begin = sum(self.batches)
        self.batches.append(len(batch))
        return self.rows[begin : begin + len(batch)]


def test_every_photo_goes_through_the_file_in_batches() -> None:
    answers = [number % CLASSES for number in range(2 * BATCH + 3)]
    photos = held_out(answers, answers)
    backend = FixedBackend(photos.reference)
    verdict = judge([backend], photos, Scheme.FP32, 0, Silent(), "m")
    assert backend.batches == [0, BATCH, BATCH, 3]
    assert verdict.accuracy == Accuracy(1.0, len(answers), "test")
    assert verdict.parity.max_difference == 0


def test_a_pruned_network_may_answer_otherwise_in_floats_too() -> None:
    answers = [number % CLASSES for number in range(100)]
    photos = held_out(answers, answers)
    changed = np.roll(photos.reference, 1, axis=1)
    changed[3:] = photos.reference[3:]
    assert compare(changed, photos, Scheme.FP32, 5).refusal is not None
    assert compare(changed, photos, Scheme.FP32, 5, compressed=True).refusal is None
    refusal = compare(changed, photos, Scheme.FP32, 2, compressed=True).refusal
    assert refusal == "its top-1 is 3.00 points below the network's; at most 2 (--max-drop)"


def test_backends_share_the_photos_and_every_answer_stays_with_its_photo() -> None:
    answers = [number % CLASSES for number in range(7 * BATCH + 3)]
    photos = held_out(answers, answers)
    # The first pixel of a picture says which one it is.
    pictures = np.zeros((len(answers), 2, 2, 3), np.uint8)
    pictures[:, 0, 0, 0] = range(len(answers))

    class Row(FixedBackend):
        def run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
            return self.rows[batch[:, 0, 0, 0]]

    found = answers_of([Row(photos.reference) for _ in range(3)], pictures)
    np.testing.assert_array_equal(found, photos.reference)


def test_a_refused_verdict_can_be_written_into_a_file(tmp_path: Path) -> None:
    import onnx

    model = onnx.load(ONNX)
    del model.metadata_props[:]
    photos = held_out([0] * 4, [0] * 4)
    verdict = compare(np.full_like(photos.reference, np.nan), photos, Scheme.FP32, 0)
    manifest = Manifest(
        "m", ("a", "b", "c"), InputSpec(32, 32), Scheme.FP32, accuracy=verdict.accuracy, parity=verdict.parity
    )  # fmt: skip
    (tmp_path / "m.onnx").write_bytes(embed_onnx(model.SerializeToString(), manifest))
    assert read_model(tmp_path / "m.onnx").manifest.parity == verdict.parity
