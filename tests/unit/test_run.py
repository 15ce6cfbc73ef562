"""The run folder: complete, read back as it was written, and nothing in it is trusted."""

from __future__ import annotations

import csv
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgewise.spec import DataError, InputError, ModelError
from edgewise.train.architecture import Architecture, keep_blocks
from edgewise.train.batches import Augmentation
from edgewise.train.dataset import load_dataset
from edgewise.train.recipe import Recipe
from edgewise.train.run import Config, Run

RECIPE = Recipe(
    weights="/w/official.h5",
    epochs=3,
    head_epochs=4,
    batch_size=8,
    learning_rate=3e-4,
    patience=2,
    seed=11,
    augmentation=Augmentation(flip=False, zoom=0.1, light=0.4),
)
CONFIG = Config(Architecture(2, 96, keep_blocks((2, 2, 2))), RECIPE, Path("/photos/größe \udcff"), "a" * 64, None)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight different files in each of two classes; one name is not UTF-8, one has a comma and a line break."""
    root = tmp_path / "photos"
    for label in ("a b", "ü,x"):
        (root / label).mkdir(parents=True)
        for number in range(8):
            (root / label / f"{number}.jpg").write_text(f"{label}{number}")
    (root / "a b" / "0.jpg").rename(root / "a b" / os.fsdecode(b"\xff.jpg"))
    (root / "a b" / "1.jpg").rename(root / "a b" / 'x, "y"\nz.jpg')
    (root / "a b" / "2.jpg").rename(root / "a b" / "x\ry.jpg")
    return root


@pytest.fixture
def run(photos: Path, tmp_path: Path) -> Run:
    dataset = load_dataset(photos, seed=0)
    return Run.create(tmp_path / "run", replace(CONFIG, data=photos, data_sha256=dataset.sha256), dataset)


def refused(path: Path) -> ModelError:
    with pytest.raises(ModelError) as error:
        Run.open(path)
    return error.value


def test_the_configuration_survives() -> None:
    assert Config.from_yaml(CONFIG.to_yaml(), "config.yaml") == CONFIG


def test_the_configuration_is_plain_data_for_people_too() -> None:
    data = yaml.safe_load(CONFIG.to_yaml())
    assert data["architecture"]["blocks"] == {"block35": [5, 10], "block17": [10, 20], "block8": [5, 10]}
    varied = {"flip": False, "zoom": 0.1, "light": 0.4, "operations": 0, "magnitude": 0.5}
    assert data["recipe"]["augmentation"] == varied
    assert "!!" not in CONFIG.to_yaml()


def test_a_run_survives(run: Run) -> None:
    opened = Run.open(run.path)
    assert opened == run
    assert opened.labels == ("a b", "ü,x")
    assert not opened.finished
    assert (run.path / "labels.txt").read_text(encoding="utf-8") == "a b\nü,x\n"


def test_photos_come_back_with_their_splits(run: Run, photos: Path) -> None:
    dataset = load_dataset(photos, seed=0)
    for split, examples in dataset.splits.items():
        assert run.photos(split) == examples
        assert Run.open(run.path).photos(split) == examples
    assert run.photos("nothing") == ()


def test_photos_may_have_moved(run: Run, photos: Path, tmp_path: Path) -> None:
    moved = photos.rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"the photos of this run are not at .*photos\nDo: say where they are"):
        run.photos("train")
    assert all(example.path.is_relative_to(moved) for example in run.photos("train", moved))


def test_a_photo_that_changed_or_is_gone_is_named(run: Run) -> None:
    first, second, *_ = run.photos("train")
    first.path.write_text("other")
    with pytest.raises(DataError, match="has changed since training"):
        run.photos("train")
    first.path.unlink()
    with pytest.raises(DataError, match="is not there any more"):
        run.photos("train")
    assert second.path.exists()


@pytest.mark.parametrize("path", ["../outside.jpg", "a b/../../outside.jpg", "ABSOLUTE"])
def test_photos_outside_of_the_folder_are_not_read(run: Run, photos: Path, path: str) -> None:
    outside = photos.parent / "outside.jpg"
    outside.write_text("secret")
    with (run.path / "photos.csv").open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow([path.replace("ABSOLUTE", str(outside)), "a b", "stolen", "0" * 64])
    with pytest.raises(DataError, match="is not there any more"):
        run.photos("stolen")


@pytest.mark.parametrize(
    "text", ["", "path\nx\n", "path,label,split,sha256\nx,y\n", "path,label,split,sha256\n1,2,3,4,5\n"]
)
def test_a_damaged_list_of_photos(run: Run, text: str) -> None:
    (run.path / "photos.csv").write_text(text)
    if not text:
        assert run.photos("train") == ()
        return
    with pytest.raises(ModelError, match=r"photos\.csv has other columns\nExpected: path, label, split, sha256"):
        run.photos("train")


def test_a_list_of_photos_with_a_cell_without_end(run: Run) -> None:
    (run.path / "photos.csv").write_text('path,label,split,sha256\n"' + "x" * 200_000)
    with pytest.raises(ModelError, match="cannot be read as CSV"):
        run.photos("train")


def test_not_a_run_folder(tmp_path: Path) -> None:
    error = refused(tmp_path)
    assert error.got == f"{tmp_path} is not a run folder: it has no config.yaml, labels.txt or photos.csv"
    assert error.expected == "a folder that `edgewise train` made"


@pytest.mark.parametrize("text", ["a b\n", "a b\na b\n", "1\n2\n3\n", ""])
def test_labels_that_do_not_fit(run: Run, text: str) -> None:
    (run.path / "labels.txt").write_text(text)
    error = refused(run.path)
    assert error.got == f"{run.path}/labels.txt has {len(text.splitlines())} names"
    assert error.expected == "2 different ones"


def test_missing_labels(run: Run) -> None:
    (run.path / "labels.txt").unlink()
    assert "it has no config.yaml, labels.txt or photos.csv" in refused(run.path).got


HOSTILE = [
    "!!python/object/apply:os.system ['touch hacked']",
    "recipe: !!python/object/new:os.system ['touch hacked']",
    "architecture: !!python/name:os.system",
    "a: [unclosed",
    "",
    "just text",
    "- 1",
    "recipe: 5",
    "[" * 1500,
    "\x00",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_yaml_is_refused_and_not_executed(
    run: Run, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (run.path / "config.yaml").write_text(text)
    assert f"{run.path}/config.yaml is not the configuration of a run" in refused(run.path).got
    assert not (tmp_path / "hacked").exists()


BAD_VALUES: list[tuple[str, Any]] = [
    ("epochs", 0),
    ("epochs", "3"),
    ("batch_size", 1),
    ("seed", -1),
    ("seed", 1 << 31),
    ("patience", None),
    ("learning_rate", -1),
    ("learning_rate", "fast"),
    ("weight_decay", "x"),
    ("weight_decay", -1),
    ("weights", ["none"]),
    ("augmentation", {"flip": True, "zoom": 5, "light": 0}),
    ("augmentation", {"flip": True, "spin": 1}),
    ("augmentation", None),
    ("unknown", 1),
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_a_recipe_out_of_range_is_refused(run: Run, name: str, value: Any) -> None:
    data = yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8"))
    data["recipe"][name] = value
    (run.path / "config.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    assert "is not the configuration of a run" in refused(run.path).got


def test_yaml_that_unfolds_without_end_is_refused_shortly(run: Run) -> None:
    lines = ["l0: &l0 [x]", *(f"l{n}: &l{n} [*l{n - 1}, *l{n - 1}]" for n in range(1, 60))]
    text = CONFIG.to_yaml()
    for old in ("classes: 2", "weights: /w/official.h5", "epochs: 3", "flip: false"):
        key = old.partition(":")[0]
        (run.path / "config.yaml").write_text("\n".join(lines) + "\n" + text.replace(old, f"{key}: *l59"))
        assert len(str(refused(run.path))) < 1000


def test_an_architecture_out_of_range_is_refused(run: Run) -> None:
    path = run.path / "config.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("image_size: 96", "image_size: 74"), encoding="utf-8")
    assert refused(run.path).got == "image_size of the network is 74"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "--epochs 0\nExpected: a whole number from 1 to 10000"),
        ({"batch_size": 1}, "--batch-size 1\nExpected: a whole number from 2 to 4096"),
        ({"seed": 1 << 31}, "--seed 2147483648\nExpected: a whole number from 0 to 2147483647"),
        ({"learning_rate": 0.0}, "--learning-rate 0.0\nExpected: a number above 0, usually 0.00001 to 0.01, or 'auto'"),
        ({"optimizer": "adam"}, "--optimizer 'adam'\nExpected: adamw or sgd"),
        ({"mixup": -1}, "--mixup -1\nExpected: a number from 0 to 10"),
        ({"ema": 1.0}, "--ema 1.0\nExpected: a number from 0 to 0.99999"),
    ],
)
def test_options_out_of_range_are_named_as_they_are_typed(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        Recipe(**values)
    assert str(error.value) == message


def test_the_learning_rate_follows_the_weights() -> None:
    assert Recipe(weights="none").peak_rate == 1e-3
    assert Recipe(weights="imagenet").peak_rate == 5e-4
    assert Recipe(weights="none", learning_rate=0.5).peak_rate == 0.5


def test_a_folder_with_some_configuration_is_not_a_run(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("debug: true\n")
    (tmp_path / "thesis.txt").write_text("years of work")
    assert not Run.is_run(tmp_path)


def test_the_half_of_a_run_that_a_killed_process_left_is_known_as_one(run: Run, tmp_path: Path) -> None:
    for name in ("labels.txt", "photos.csv"):
        (run.path / name).unlink()
    assert not Run.is_run(run.path)
    assert Run.is_begun(run.path)
    (run.path / "config.yaml").write_text("debug: true\n")
    assert not Run.is_begun(run.path)
    assert not Run.is_begun(tmp_path / "nowhere")


@pytest.mark.parametrize("again", [Run.clear, None])
def test_halves_of_files_that_a_killed_process_left_are_removed(run: Run, photos: Path, again: Any) -> None:
    (run.path / "logs" / "training").mkdir(parents=True)
    (run.path / "checkpoints").mkdir(exist_ok=True)
    halves = [".config.yaml.ab_12x.yaml", ".model.weights.h5.k3.h5", "logs/training/.events.out.tfevents.edgewise.x"]
    halves.append("checkpoints/.best-00000.h5.x1.h5")
    for name in (*halves, ".notes.txt.swp"):
        (run.path / name).touch()
    if again:
        again(run.path)
    else:
        Run.create(run.path, run.config, load_dataset(photos, seed=0))
    assert [name for name in halves if (run.path / name).exists()] == []
    assert (run.path / ".notes.txt.swp").exists()


def test_clearing_a_run_leaves_what_is_not_its_own(run: Run) -> None:
    (run.path / "checkpoints" / "epoch-00001").mkdir(parents=True)
    (run.path / "release").mkdir()
    (run.path / "notes.txt").write_text("keep me")
    Run.clear(run.path)
    assert sorted(path.name for path in run.path.iterdir()) == ["notes.txt", "release"]


def test_a_configuration_that_repeats_itself_by_aliases_is_refused(run: Run) -> None:
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\ndata_sha256: [*b, *b]\n"
    (run.path / "config.yaml").write_text(bomb)
    assert "aliases" in refused(run.path).got


def test_a_digest_that_is_none_is_refused(run: Run) -> None:
    path = run.path / "config.yaml"
    path.write_text(path.read_text().replace(run.config.data_sha256, "abc"))
    assert "'abc' is not a SHA-256" in refused(run.path).got


def test_a_run_folder_can_be_moved(run: Run, tmp_path: Path) -> None:
    shutil.move(run.path, tmp_path / "moved")
    assert Run.open(tmp_path / "moved").config == run.config
