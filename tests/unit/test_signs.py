"""The drawn signs of the demo: reproducible, complete, readable, and never pointing the wrong way."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.spec import InputError, OutputError
from edgewise.train.sign_pose import pose_for, sheet_corners
from edgewise.train.sign_scene import draw_ink
from edgewise.train.sign_shapes import SHAPES, strokes_of
from edgewise.train.signs import LABELS, draw_sign, write_signs

DIRECTIONS = {"arrow-right": (1, 0), "arrow-down": (0, 1), "arrow-left": (-1, 0), "arrow-up": (0, -1)}


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.jpg"))}


def ink_of(label: str, seed: int) -> NDArray[np.float32]:
    """How much of each pixel the pen covers, (96, 96)."""
    rng = np.random.default_rng(seed)
    strokes = strokes_of(label, rng)
    cover, _ = draw_ink(strokes, pose_for(strokes, 20.0, 96, rng), rng)
    return cover


def test_labels_are_the_ten_signs_in_alphabetical_order() -> None:
    assert LABELS == (
        "arrow-down",
        "arrow-left",
        "arrow-right",
        "arrow-up",
        "heart",
        "moon",
        "plus",
        "spiral",
        "star",
        "tick",
    )


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("size", [32, 75, 160])
def test_a_drawing_is_a_square_rgb_picture(label: str, size: int) -> None:
    picture = draw_sign(label, np.random.default_rng(1), size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("label", LABELS)
def test_the_generator_decides_what_is_drawn(label: str) -> None:
    first, again, other = (draw_sign(label, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 5


def test_an_unknown_sign_is_refused_with_the_list_of_signs() -> None:
    with pytest.raises(InputError) as caught:
        draw_sign("square", np.random.default_rng(0))
    assert caught.value.got == "'square' is not a sign"
    assert caught.value.expected == f"one of {', '.join(LABELS)}"


def test_a_picture_too_small_for_a_sign_is_refused(tmp_path: Path) -> None:
    message = "a picture of 31 x 31 pixels is too small for a sign\nExpected: 32 or more"
    with pytest.raises(InputError) as caught:
        draw_sign("star", np.random.default_rng(0), 31)
    assert str(caught.value) == message
    with pytest.raises(InputError) as caught:
        write_signs(tmp_path / "signs", {"train": 10}, seed=1, size=31)
    assert str(caught.value) == message
    assert not (tmp_path / "signs").exists()


@pytest.mark.parametrize("label", LABELS)
def test_ink_stands_out_from_the_paper(label: str) -> None:
    """Where the pen went, the picture is darker than close by on the paper."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        strokes = strokes_of(label, rng)
        pose = pose_for(strokes, 20.0, 160, rng)
        cover, colour = draw_ink(strokes, pose, rng)
        assert 0.004 < (cover > 0.5).mean() < 0.5
        assert colour.mean() < 120
    for seed in range(12):
        grey = cv2.cvtColor(draw_sign(label, np.random.default_rng(seed)), cv2.COLOR_RGB2GRAY)
        closed = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones((31, 31), np.uint8))  # the paper without its lines
        assert np.percentile(closed.astype(int) - grey, 98.5) > 25


@pytest.mark.parametrize("label", LABELS)
def test_the_whole_sign_is_in_the_picture_and_on_the_sheet(label: str) -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        strokes = strokes_of(label, rng)
        pose = pose_for(strokes, 25.0, 160, rng)
        corners = sheet_corners(strokes, rng)
        points = np.concatenate([stroke.points for stroke in strokes])
        pixels = pose.project(points)
        assert pixels.min() >= 0.029 * 160
        assert pixels.max() <= 0.971 * 160
        assert 0.51 * 160 < np.ptp(pixels, axis=0).max() < 0.89 * 160
        hull = corners.astype(np.float32)
        assert all(cv2.pointPolygonTest(hull, (float(x), float(y)), False) > 0 for x, y in points)


def test_the_four_arrows_are_one_arrow_in_four_turns() -> None:
    """A turn keeps which side is left of the arrow; a mirror image would swap it."""
    for seed in range(20):
        right = SHAPES["arrow-right"](np.random.default_rng(seed))
        for label, (x, y) in DIRECTIONS.items():
            turn = np.array([[x, -y], [y, x]])
            assert np.linalg.det(turn) == pytest.approx(1)
            turned = SHAPES[label](np.random.default_rng(seed))
            for stroke, expected in zip(turned, right, strict=True):
                assert np.allclose(stroke.points, expected.points @ turn.T)
                assert stroke.closed == expected.closed


@pytest.mark.parametrize("label", DIRECTIONS)
def test_an_arrow_points_where_its_label_says(label: str) -> None:
    """The widest part of the ink across the direction, the head, lies ahead of the middle or close to it."""
    direction = np.array(DIRECTIONS[label])
    ahead = []
    for seed in range(60):
        rows, columns = np.nonzero(ink_of(label, seed) > 0.4)
        points = np.stack([columns, rows], axis=1) - [columns.mean(), rows.mean()]
        along, across = points @ direction, np.abs(points @ direction[::-1])
        place = (along[across > 0.8 * across.max()] - along.min()).mean() / np.ptp(along)
        ahead.append(place)
    assert np.mean(ahead) > 0.55


@pytest.mark.parametrize("label", DIRECTIONS)
def test_no_tilt_nor_frame_shape_makes_an_arrow_ambiguous(label: str) -> None:
    direction = np.array(DIRECTIONS[label], np.float64)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        pose = pose_for(strokes_of(label, rng), 20.0, 160, rng)
        tail, tip = pose.project(np.array([-direction, direction]))
        cosine = (tip - tail) @ direction / np.hypot(*(tip - tail))
        assert cosine > np.cos(np.radians(42))


def test_write_signs_lays_out_splits_and_spreads_the_classes(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_signs(
        tmp_path / "new" / "signs",
        {"train": 23, "test": 10},
        seed=3,
        size=48,
        progress=lambda done, total: seen.append((done, total)),
    )
    files = contents(tmp_path / "new" / "signs")
    expected = {f"train/{label}/{label}-000{number}.jpg" for label in LABELS for number in (1, 2)}
    expected |= {f"train/{label}/{label}-0003.jpg" for label in LABELS[:3]}
    expected |= {f"test/{label}/{label}-0001.jpg" for label in LABELS}
    assert set(files) == expected
    assert seen == [(done, 33) for done in range(1, 34)]
    assert sorted(path.name for path in (tmp_path / "new" / "signs").iterdir()) == ["test", "train"]
    for content in files.values():
        assert content.startswith(b"\xff\xd8")
        assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape == (48, 48, 3)


def test_files_are_rgb_drawings_encoded_in_the_right_colour_order(tmp_path: Path) -> None:
    """Yellow and skin exist, their opposites hardly do: over many drawings red is not the weaker of red and blue."""
    write_signs(tmp_path, {"train": 60}, seed=1, size=48)
    decoded = [cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR) for file in contents(tmp_path).values()]
    blue, _, red = np.mean(decoded, axis=(0, 1, 2))
    assert red > blue


def test_same_seed_same_bytes_and_more_drawings_leave_the_others_alone(tmp_path: Path) -> None:
    write_signs(tmp_path / "a", {"train": 20, "test": 10}, seed=7, size=48)
    write_signs(tmp_path / "b", {"train": 40}, seed=7, size=48)
    write_signs(tmp_path / "c", {"train": 20}, seed=8, size=48)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    train = {name: content for name, content in a.items() if name.startswith("train")}
    assert train == {name: b[name] for name in train}
    assert all(c[name] != content for name, content in train.items())


def test_no_drawing_is_in_two_splits_or_twice_in_one(tmp_path: Path) -> None:
    write_signs(tmp_path, {"train": 60, "validation": 30, "test": 30}, seed=1, size=40)
    files = contents(tmp_path)
    assert len(files) == len(set(files.values())) == 120


def test_the_quality_of_the_files_varies(tmp_path: Path) -> None:
    write_signs(tmp_path, {"train": 40}, seed=1, size=48)
    tables = {content[content.index(b"\xff\xdb") :][:69] for content in contents(tmp_path).values()}
    assert len(tables) > 10


def test_too_few_drawings_for_the_signs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        write_signs(tmp_path / "signs", {"train": 20, "test": 9}, seed=1)
    assert str(caught.value) == "9 drawings for 'test'\nExpected: at least 10, one of each sign"
    assert not (tmp_path / "signs").exists()


def test_an_existing_split_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "mine.txt").write_text("keep")
    with pytest.raises(OutputError) as caught:
        write_signs(tmp_path, {"test": 10, "train": 10}, seed=1, size=48)
    assert str(caught.value) == f"{tmp_path / 'train'} exists already\nDo: delete it or choose another folder"
    assert [path.name for path in tmp_path.iterdir()] == ["train"]
    assert (tmp_path / "train" / "mine.txt").read_text() == "keep"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught:
        write_signs(tmp_path / "file", {"train": 10}, seed=1, size=48)
    assert caught.value.got == f"cannot write {tmp_path / 'file' / 'train'}: Not a directory"
    assert caught.value.do == "free some space or choose another folder"


def test_an_interrupted_split_is_absent_and_started_again_by_the_next_call(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 15:
            raise KeyboardInterrupt

    counts = {"train": 10, "test": 200}
    with pytest.raises(KeyboardInterrupt):
        write_signs(tmp_path / "a", counts, seed=2, size=40, progress=stop)
    assert not (tmp_path / "a" / "test").exists()
    write_signs(tmp_path / "a", {"test": 200}, seed=2, size=40)
    write_signs(tmp_path / "b", counts, seed=2, size=40)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["test", "train"]
