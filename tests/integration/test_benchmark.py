from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from edgewise.benchmarks import runner
from edgewise.benchmarks.processes import FreshProcesses
from edgewise.benchmarks.request import EFFORTS, Request
from edgewise.benchmarks.results import Kind, Results, read_results
from edgewise.benchmarks.runner import Step, run_benchmark
from edgewise.cli import main
from edgewise.cli.benchmark import benchmark
from edgewise.spec import DataError, InputError, OutputError

TINY = Path(__file__).parents[1] / "data"
CHANNELS = {"red": 2, "green": 1, "blue": 0}
BASE = ("litert", "onnxruntime")


def draw_photos(root: Path) -> Path:
    """Two photos each of red, green and blue, and a red one that is mislabelled as blue."""
    for label, channel in CHANNELS.items():
        (root / label).mkdir(parents=True)
        picture = np.full((40, 60, 3), 40, np.uint8)
        picture[..., channel] = 220
        for number in range(2):
            assert cv2.imwrite(str(root / label / f"{number}.png"), picture)
    shutil.copy(root / "red/0.png", root / "blue/wrong.png")
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw_photos(tmp_path / "photos")


@pytest.fixture
def app() -> typer.Typer:
    """The one command, in an application of its own."""
    application = typer.Typer()
    application.command()(benchmark)
    return application


def request(release: Path, photos: Path, out: Path) -> Request:
    return Request(release, photos, out, threads="1", mode="quick", seconds=0.2, backends=BASE)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path, list[Step]]:
    """A folder of two good files and a bad one, with a photo that cannot be read and grey ones of no class."""
    folder = tmp_path_factory.mktemp("benchmark")
    photos, release, grey = draw_photos(folder / "photos"), folder / "release", folder / "grey"
    (photos / "red/broken.jpg").write_bytes(b"")
    release.mkdir()
    grey.mkdir()
    for name in ("tiny.tflite", "tiny.onnx"):
        shutil.copy(TINY / name, release)
    (release / "broken.onnx").write_bytes(b"not a model")
    assert cv2.imwrite(str(grey / "grey.png"), np.full((40, 40, 3), 128, np.uint8))
    steps: list[Step] = []
    asked = Request(
        release, photos, folder / "out", threads="1", mode="in turns", seconds=0.2, backends=BASE, ood=grey,
        sustain_minutes=0.005,
    )  # fmt: skip
    return run_benchmark(asked, steps.append), folder / "out", steps


def test_every_variant_and_its_plain_loop_is_measured(measured: tuple[Results, Path, list[Step]]) -> None:
    results, _, steps = measured
    assert {row.title for row in results.rows} == {
        "tiny.tflite on LiteRT",
        "plain loop of LiteRT on tiny.tflite",
        "tiny.onnx on ONNX Runtime",
        "plain loop of ONNX Runtime on tiny.onnx",
    }
    assert [failure.entry.name for failure in results.failures] == ["broken.onnx"]
    assert [row.latency.p50 for row in results.rows] == sorted(row.latency.p50 for row in results.rows)
    for row in results.rows:
        assert (row.threads, row.provider, row.precision) == (1, "cpu", "fp32")
        assert len(row.rounds) == results.settings.rounds == 2
        assert row.latency.queries == sum(len(done.samples_ns) for done in row.rounds)
        assert row.start_ms is not None
        assert row.start_ms.value > row.latency.p50
        assert row.ceiling_share is not None
        assert 0 < row.ceiling_share < 1
    assert steps[-1].title == "done"
    assert {step.title.split(":")[0] for step in steps} >= {"accuracy", "memory", "many photos at once", "sustained"}


def test_a_variant_has_accuracy_memory_and_throughput(measured: tuple[Results, Path, list[Step]]) -> None:
    for row in measured[0].rows:
        if row.entry.kind is Kind.PLAIN:
            assert (row.accuracy, row.offline, row.memory_bytes) == (None, None, 0)
            continue
        assert row.accuracy is not None
        # Eight photos, of which one cannot be read and one is mislabelled.
        assert (row.accuracy.top1.successes, row.accuracy.top1.total) == (6, 7)
        assert row.accuracy.confusion == ((2, 0, 1), (0, 2, 0), (0, 0, 2))
        assert row.accuracy.ood is not None
        assert row.accuracy.ood.photos == 1
        assert row.offline is not None
        assert row.offline.images_per_second.value > 0
        assert row.memory_bytes > 1_000_000
        assert row.stages is not None
        assert row.stages.decode > 0
        assert row.sustained is not None
        assert len(row.sustained.series_ms) == 60


def test_what_cannot_be_read_is_told_and_everything_is_kept(measured: tuple[Results, Path, list[Step]]) -> None:
    results, out, _ = measured
    assert any("left out of every figure: 1 (" in remark and "broken.jpg" in remark for remark in results.remarks)
    assert (results.data.photos, results.data.unreadable) == (8, 1)
    assert read_results(out / "results.json") == results
    assert "tiny.onnx" in (out / "report.html").read_text()
    assert not (out / "unfinished").exists()
    assert results.ceilings[0].fp32_gflops > 0.1


def test_the_network_of_a_run_is_the_reference(photos: Path, tmp_path: Path) -> None:
    from edgewise.benchmarks.queries import measure_latency
    from edgewise.benchmarks.task import Job, Task
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
    from edgewise.benchmarks.contention import SystemMeter, Watch
    from edgewise.benchmarks.latency import MonotonicClock

    clock = MonotonicClock()
    task = Task(Job.LATENCY, Kind.REFERENCE, str(run), "keras", photos=(str(TINY / "red.png"),), seconds=0.2)
    found = measure_latency(task, clock, lambda: Watch(SystemMeter(), clock))
    assert found.error == ""
    assert len(found.samples_ns) >= 5
    assert found.stages.photos == 1


def test_a_reference_that_fails_is_reported_and_the_rest_is_measured(
    app: typer.Typer, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    words = ["--backend", "onnxruntime", "--limit", "3", "--threads", "1", "--quick", "--json"]
    words += ["--data", str(photos), "--out", str(tmp_path / "out"), "--reference", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [str(TINY / "tiny.onnx"), *words])
    assert done.exit_code == 0, done.output
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["entry"]["name"] for line in told if "latency" in line} == {"tiny.onnx"}
    (failure,) = [line for line in told if "error" in line]
    assert failure["entry"]["kind"] == "reference"
    assert failure["error"].splitlines()[0] in (tmp_path / "out/report.md").read_text().replace("\\_", "_")
    assert "report.html" in done.stderr


def test_a_class_the_model_does_not_know_ends_it_early(photos: Path, tmp_path: Path) -> None:
    (photos / "blue").rename(photos / "azure")
    with pytest.raises(DataError, match=r"classes that .* does not know: azure"):
        run_benchmark(request(TINY / "tiny.onnx", photos, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_photos_that_cannot_be_read_end_it(photos: Path, tmp_path: Path) -> None:
    for path in photos.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"none of the 7 photos can be read; the first: .* is empty"):
        run_benchmark(request(TINY / "tiny.onnx", photos, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_unasked(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.json").write_text("{}")
    with pytest.raises(OutputError, match="exists already\nDo: add --overwrite"):
        run_benchmark(request(TINY / "tiny.onnx", photos, out))
    with pytest.raises(OutputError, match="was not made by this command"):
        run_benchmark(request(TINY / "tiny.onnx", photos, photos))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--quick", "--seconds", "5"], "--quick or --seconds"),
        (["--quick", "--thorough"], "--quick or --thorough"),
    ],
)
def test_options_that_exclude_each_other(app: typer.Typer, photos: Path, words: list[str], told: str) -> None:
    done = CliRunner().invoke(app, [str(TINY), "--data", str(photos), "--out", str(photos / "out"), *words])
    assert done.exit_code == 2
    assert told in done.stderr


def test_a_first_look_without_time_says_what_it_left_out(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EFFORTS, "quick", replace(EFFORTS["quick"], within=0.0))
    results = run_benchmark(replace(request(TINY / "tiny.onnx", photos, tmp_path / "out"), backends=("onnxruntime",)))
    settings = results.settings
    assert (settings.rounds, settings.offline_rounds, settings.seconds, settings.limit) == (1, 0, 0.1, 100)
    (row,) = results.rows
    assert row.accuracy is not None
    assert row.accuracy.photos == results.data.photos == 7
    assert (row.offline, row.memory_bytes, len(row.rounds)) == (None, 0, 1)
    assert row.stages is not None
    told = "Not measured, because --quick had no time left for it: memory, many photos at once, a second round"
    for report in ("report.md", "report.html"):
        assert told in (tmp_path / "out" / report).read_text()


def test_an_interrupted_benchmark_goes_on_and_what_it_chooses_is_what_predict_takes(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, out = tmp_path / "release", tmp_path / "out"
    release.mkdir()
    shutil.copy(TINY / "tiny.onnx", release)
    words = ["benchmark", release, "--data", photos, "--out", out, "--threads", "1", "--backend", "onnxruntime"]
    words = [*map(str, words), "--quick", "--select"]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in ("FEWEST", "MOST"):
        monkeypatch.setattr(f"edgewise.benchmarks.request.{number}", 6)  # of the 7 photos
    with monkeypatch.context() as patch:
        patch.setattr(runner, "write_reports", interrupt)
        assert CliRunner().invoke(main.app, words).exit_code != 0
    assert not (out / "results.json").exists()
    refused = CliRunner().invoke(main.app, words)
    assert str(refused.exception).endswith("Do: add --resume to go on with it, or --overwrite to begin anew")
    with monkeypatch.context() as patch:
        patch.setattr(FreshProcesses, "run", interrupt)  # nothing is left to be measured
        done = CliRunner().invoke(main.app, [*words, "--resume"])
    assert done.exit_code == 0, done.output
    results = read_results(out / "results.json")
    for told in ("Continued after an interruption: ", "Measured on 6 of 7 photos"):
        assert any(remark.startswith(told) for remark in results.remarks)
    assert [row.title for row in results.rows] == ["tiny.onnx on ONNX Runtime"]
    assert f"chosen: {release}" in done.stderr
    predicted = CliRunner().invoke(main.app, ["predict", str(release), str(TINY / "red.png"), "--json"])
    assert predicted.exit_code == 0, predicted.output
    assert json.loads(predicted.stdout)["label"] == "red"
