from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from edgewise.benchmarks.runner import ROUNDS, Step, run_benchmark
from edgewise.cli.benchmark import benchmark
from edgewise.spec import DataError, InputError, OutputError

TINY = Path(__file__).parents[1] / "data"
CHANNELS = {"red": 2, "green": 1, "blue": 0}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos each of red, green and blue, and a red one that is mislabelled as blue."""
    root = tmp_path / "photos"
    for label, channel in CHANNELS.items():
        (root / label).mkdir(parents=True)
        picture = np.full((40, 60, 3), 40, np.uint8)
        picture[..., channel] = 220
        for number in range(2):
            assert cv2.imwrite(str(root / label / f"{number}.png"), picture)
    shutil.copy(root / "red/0.png", root / "blue/wrong.png")
    return root


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    for name in ("tiny.tflite", "tiny.onnx"):
        shutil.copy(TINY / name, folder)
    return folder


@pytest.fixture
def app() -> typer.Typer:
    """The one command, in an application of its own."""
    application = typer.Typer()
    application.command()(benchmark)
    return application


def test_every_variant_is_measured(release: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "red/broken.jpg").write_bytes(b"")
    (release / "broken.onnx").write_bytes(b"not a model")
    steps: list[Step] = []
    out = tmp_path / "out"
    results = run_benchmark(release, photos, out, threads=1, seconds=0.2, progress=steps.append)
    assert {row.entry.title for row in results.rows} == {"tiny.tflite on LiteRT", "tiny.onnx on ONNX Runtime"}
    for row in results.rows:
        # Eight photos, of which one cannot be read and one is mislabelled.
        assert (row.top1.successes, row.top1.total) == (6, 7)
        assert row.threads == 1
        assert len(row.rounds) == ROUNDS
        assert row.latency.queries == sum(len(done.samples_ns) for done in row.rounds)
        assert 0 < row.bare_bytes < row.memory_bytes
        assert row.load_ms > 0
        assert row.images_per_second > 0
    assert [failure.entry.name for failure in results.failures] == ["broken.onnx"]
    assert any("left out of every figure: 1 (" in remark and "broken.jpg" in remark for remark in results.remarks)
    titles = [step.title.split(" ")[0] for step in steps]
    assert titles == ["tiny.onnx", "tiny.tflite", "tiny.tflite", "tiny.onnx", "done"]
    assert json.loads((out / "results.json").read_text())["data"]["photos"] == 8
    assert "tiny.onnx" in (out / "report.html").read_text()


def test_the_network_of_a_run_is_the_reference(release: Path, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("tf_keras", reason="the reference needs the extra 'train'")
    from edgewise.train.architecture import Architecture, keep_blocks
    from edgewise.train.network import build
    from edgewise.train.recipe import Recipe
    from edgewise.train.run import Config
    from edgewise.train.weights import save_weights

    run = tmp_path / "run"
    architecture = Architecture(classes=3, image_size=75, blocks=keep_blocks((1, 1, 1)))
    save_weights(build(architecture), run / "model.weights.h5")
    (run / "labels.txt").write_text("blue\ngreen\nred\n")
    (run / "config.yaml").write_text(Config(architecture, Recipe(), photos, "0" * 64, None).to_yaml())
    (run / "photos.csv").write_text("path,label,split,sha256\n")
    results = run_benchmark(release / "tiny.onnx", photos, tmp_path / "out", reference=str(run), threads=1, seconds=0.2)
    reference = next(row for row in results.rows if row.entry.is_reference)
    assert reference.entry.title == "run on Keras"
    assert reference.entry.bytes == (run / "model.weights.h5").stat().st_size
    assert reference.top1.total == 7
    assert reference.threads == 1


def test_a_reference_that_fails_is_reported_and_the_rest_is_measured(
    release: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    results = run_benchmark(
        release / "tiny.onnx", photos, tmp_path / "out", reference=str(tmp_path / "run"), threads=1, seconds=0.1
    )
    assert [row.entry.name for row in results.rows] == ["tiny.onnx"]
    assert [failure.entry.title for failure in results.failures] == ["run on Keras"]
    assert results.failures[0].error.splitlines()[0] in (tmp_path / "out/report.md").read_text().replace("\\_", "_")


def test_a_class_the_model_does_not_know_ends_it_early(release: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "blue").rename(photos / "azure")
    with pytest.raises(DataError, match=r"classes that .* does not know: azure"):
        run_benchmark(release, photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_unasked(release: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.json").write_text("{}")
    with pytest.raises(OutputError, match="exists already\nDo: add --overwrite"):
        run_benchmark(release, photos, out)
    with pytest.raises(OutputError, match="was not made by this command"):
        run_benchmark(release, photos, release, overwrite=True)


@pytest.mark.parametrize(("threads", "seconds"), [(0, 1.0), (1, 0.0)])
def test_impossible_settings_are_refused(
    release: Path, photos: Path, tmp_path: Path, threads: int, seconds: float
) -> None:
    with pytest.raises(InputError, match=r"--threads is \d and --seconds is \d\nExpected: both above 0"):
        run_benchmark(release, photos, tmp_path / "out", threads=threads, seconds=seconds)


def test_the_command_prints_a_table(app: typer.Typer, release: Path, photos: Path, tmp_path: Path) -> None:
    arguments = [
        str(release),
        "--data",
        str(photos),
        "--out",
        str(tmp_path / "out"),
        "--seconds",
        "0.1",
        "--limit",
        "3",
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "tiny.tflite" in done.stdout
    assert "Measured on 3 of 7 photos" in done.stdout.replace("\n", " ")
    assert "report.html" in done.stderr


def test_the_command_prints_json_lines(app: typer.Typer, release: Path, photos: Path, tmp_path: Path) -> None:
    file = release / "tiny.onnx"
    done = CliRunner().invoke(
        app, [str(file), "--data", str(photos), "--out", str(tmp_path / "out"), "--seconds", "0.1", "--json"]
    )
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["entry"]["name"] == "tiny.onnx"
    assert json.loads(line)["accuracy"]["top1"]["total"] == 7


def test_quick_and_seconds_exclude_each_other(app: typer.Typer, release: Path, photos: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, [str(release), "--data", str(photos), "--out", str(tmp_path / "out"), "--quick", "--seconds", "5"]
    )
    assert done.exit_code == 2
    assert "--quick or --seconds" in done.stderr
