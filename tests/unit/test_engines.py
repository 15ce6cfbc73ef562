"""The engines behind their Protocol: what each grants, refuses and says; OpenVINO with the same files as the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgewise.runtime import Classifier, loading
from edgewise.runtime.backends import open_backend
from edgewise.runtime.bulk import open_bulk
from edgewise.runtime.cpu import usable_cores
from edgewise.runtime.engines import KINDS, is_installed, kind_called, kinds_for, onnxruntime, openvino
from edgewise.runtime.engines.base import Kind, Network, Settings
from edgewise.runtime.modelfile import read_model
from edgewise.spec import BackendError, Format, ModelError
from edgewise.spec.opening import Opening

DATA = Path(__file__).parents[1] / "data"
NAMES = ["tiny.tflite", "tiny.onnx"]
each_file = pytest.mark.parametrize("name", NAMES)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), np.uint8)


def refused(name: str, **opening: object) -> str:
    with pytest.raises(BackendError) as caught:
        Classifier.open(DATA / name, **opening)
    return str(caught.value)


def test_each_format_lists_its_usual_engine_first() -> None:
    assert [kind.name for kind in kinds_for(Format.TFLITE)] == ["litert", "openvino"]
    assert [kind.name for kind in kinds_for(Format.ONNX)] == ["onnxruntime", "openvino"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_engine_says_what_it_has(kind: Kind) -> None:
    assert is_installed(kind)
    assert kind_called(kind.name) is kind
    assert kind.providers()[0] == "cpu"
    assert kind.precisions("cpu")[0] == "fp32"
    assert kind.version()[0].isdigit()


@each_file
def test_openvino_answers_as_the_usual_engine_does(name: str) -> None:
    usual, other = (Classifier.open(DATA / name, backend=backend, threads=1) for backend in (None, "openvino"))
    np.testing.assert_allclose(usual.probabilities(noise(5)), other.probabilities(noise(5)), atol=1e-5)
    backend = other.backend
    assert (backend.name, backend.provider, backend.precision, backend.threads) == ("openvino", "cpu", "fp32", 1)


def test_openvino_answers_about_one_picture_as_about_many_in_any_order() -> None:
    backend = open_backend(read_model(DATA / "tiny.onnx"), "openvino", 1)
    pictures = noise(4)
    alone = np.concatenate([backend.run(picture[np.newaxis]) for picture in pictures])
    together = backend.run(pictures)
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(backend.run(pictures[:1]), together[:1], atol=1e-5)
    np.testing.assert_allclose(backend.run(pictures[:3]), together[:3], atol=1e-5)


@each_file
def test_openvino_takes_a_picture_whichever_way_it_lies_in_memory(name: str) -> None:
    backend = open_backend(read_model(DATA / name), "openvino", 1)
    whole = noise(1)
    mirrored = np.ascontiguousarray(whole[:, :, ::-1])[:, :, ::-1]  # the same pixels, backwards in memory
    assert not mirrored.flags.c_contiguous
    expected = backend.run(whole)
    backend.run(255 - whole)
    np.testing.assert_array_equal(backend.run(mirrored), expected)


@each_file
def test_openvino_reads_the_verified_bytes_and_leaves_nothing_behind(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    path = tmp_path / name
    path.write_bytes((DATA / name).read_bytes())
    model = read_model(path)
    path.write_bytes(b"changed")
    assert open_backend(model, "openvino", 1).run(noise(1)).shape == (1, 3)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_openvino_keeps_results_when_the_next_batch_runs() -> None:
    backend = open_backend(read_model(DATA / "tiny.onnx"), "openvino", 1)
    first = backend.run(noise(1))
    kept = first.copy()
    backend.run(255 - noise(1))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("count", [1, 4])
def test_openvino_gives_the_output_that_is_asked_for(count: int) -> None:
    network = Network("many.onnx", Format.ONNX, several_outputs())
    engine = openvino.OpenVinoEngine(network, Settings(1))
    values = np.random.default_rng(2).normal(size=(count, 3)).astype(np.float32)
    for place, expected in enumerate((np.abs(values), -values, np.abs(values))):
        np.testing.assert_array_equal(engine.run(values, place), expected)


def several_outputs() -> bytes:
    """A network that gives sizes, the numbers with their signs changed, and the sizes once more."""
    numbers = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "a", "b", "c")}
    graph = helper.make_graph(
        [
            helper.make_node("Abs", ["x"], ["a"]),
            helper.make_node("Neg", ["x"], ["b"]),
            helper.make_node("Identity", ["a"], ["c"]),
        ],
        "g",
        [numbers.pop("x")],
        list(numbers.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_openvino_reports_nobody() -> None:
    """Its Python package calls a server when it is imported, if it is let."""
    script = (
        "import sys\n"
        "sys.addaudithook(lambda event, _: event.startswith('socket.') and sys.stdout.write(event))\n"
        "from edgewise.runtime import Classifier\n"
        f"Classifier.open({str(DATA / 'tiny.onnx')!r}, backend='openvino')\n"
        "sys.stdout.write(' '.join(name for name in sys.modules if name.startswith('openvino_telemetry')))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""


# What is asked for and not there


@each_file
def test_a_provider_that_is_not_there_is_an_error_that_lists_what_is(name: str) -> None:
    told = refused(name, provider="CUDA")
    assert told.startswith("--provider CUDA is not there with ")
    assert "on this machine\nExpected: one of cpu" in told
    assert told.endswith("\nDo: leave --provider out, or add --allow-fallback to go on with cpu")


@each_file
def test_a_fallback_that_is_allowed_is_taken_and_recorded(name: str) -> None:
    classifier = Classifier.open(DATA / name, provider="tensorrt", precision="fp8", allow_fallback=True)
    assert (classifier.backend.provider, classifier.backend.precision) == ("cpu", "fp32")
    assert classifier.predict(DATA / "red.png").label == "red"


def test_a_backend_that_does_not_run_the_file_falls_back_only_where_that_is_allowed() -> None:
    assert refused("tiny.onnx", backend="litert").startswith("--backend litert does not run tiny.onnx")
    assert Classifier.open(DATA / "tiny.onnx", backend="litert", allow_fallback=True).backend.name == "onnxruntime"


@pytest.mark.parametrize(("name", "title"), [("tiny.tflite", "LiteRT"), ("tiny.onnx", "ONNX Runtime")])
def test_a_precision_that_is_not_there(name: str, title: str) -> None:
    told = refused(name, precision="bf16") if title == "LiteRT" else refused(name, precision="fp8")
    assert told.startswith("--precision ")
    assert f" is not there with {title} " in told
    assert "Expected: one of fp32" in told


@each_file
def test_bfloat16_where_the_cpu_computes_in_it(name: str) -> None:
    if "bf16" not in openvino.precisions("cpu"):
        assert "Expected: one of fp32\n" in refused(name, backend="openvino", precision="bf16")
        return
    rough = Classifier.open(DATA / name, backend="openvino", precision="bf16", threads=1)
    exact = Classifier.open(DATA / name, backend="openvino", threads=1)
    assert rough.backend.precision == "bf16"
    difference = np.abs(rough.probabilities(noise(8)) - exact.probabilities(noise(8))).max()
    assert 0 < difference < 0.02


def test_a_provider_that_computes_elsewhere_is_none() -> None:
    # The package lists it, takes it, and lets the CPU compute.
    assert "azure" not in onnxruntime.providers()
    assert refused("tiny.onnx", provider="azure").startswith("--provider azure is not there with ONNX Runtime ")


def test_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewise.runtime.backends.is_installed", lambda kind: kind.name != "openvino")
    told = refused("tiny.onnx", backend="openvino")
    assert told == "the backend 'openvino' is not installed\nDo: pip install 'edgewise[openvino]'"
    told = refused("tiny.onnx", backend="tpu")
    assert "Expected: for this file: onnxruntime, openvino (not installed)\n" in told
    assert Classifier.open(DATA / "tiny.onnx", backend="openvino", allow_fallback=True).backend.name == "onnxruntime"


def test_an_engine_that_cannot_load_a_file_says_why_in_one_line(tmp_path: Path, foreign: ModuleType) -> None:
    content = foreign.foreign_onnx(tmp_path / "m.onnx", ending="NoSuchOperator").read_bytes()
    for kind in kinds_for(Format.ONNX):
        with pytest.raises(ModelError) as caught:
            kind.open(Network("m.onnx", Format.ONNX, content), Settings(1))
        assert caught.value.got.startswith(f"{kind.title} cannot load m.onnx: ")
        assert "NoSuchOperator" in caught.value.got
        assert "\n" not in caught.value.got


# Many pictures


@each_file
@pytest.mark.parametrize("backend", [None, "openvino"])
def test_many_pictures_are_answered_in_order(name: str, backend: str | None) -> None:
    pictures = noise(23)
    single = Classifier.open(DATA / name, backend=backend, threads=1).probabilities(pictures)
    with open_bulk(DATA / name, backend=backend, threads=3) as bulk:
        assert (bulk.streams, bulk.classifier.backend.threads) == (3, 1)
        rows = np.concatenate(list(bulk.run(pictures[start : start + 2] for start in range(0, 23, 2))))
    np.testing.assert_allclose(rows, single, atol=1e-6)


def test_as_many_copies_as_cores_and_threads_no_more() -> None:
    with open_bulk(DATA / "tiny.onnx", Opening()) as bulk:
        assert bulk.streams == usable_cores()


def test_there_are_no_more_copies_than_photos_or_than_memory_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "usable_cores", lambda: 64)
    monkeypatch.setattr("edgewise.runtime.backends.usable_cores", lambda: 64)
    with open_bulk(DATA / "tiny.onnx", Opening(), 3) as bulk:
        assert bulk.streams == 3
    monkeypatch.setattr("edgewise.runtime.tuning._free_memory", lambda: 300 << 20)
    with open_bulk(DATA / "tiny.onnx", Opening()) as bulk:
        assert bulk.streams == 2
    _, copies, _ = loading.load_bulk(DATA / "tiny.onnx", Opening())
    # The cores of the copies for which there is no room help the others.
    assert [copy.threads for copy in copies] == [32, 32]


def test_onnx_runtime_collects_nothing(tmp_path: Path) -> None:
    """It keeps an account of its use in the home folder, if it is let."""
    script = f"from edgewise.runtime import Classifier; Classifier.open({str(DATA / 'tiny.onnx')!r})"
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    home.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", script], env=home, check=True)
    assert list(tmp_path.rglob("*")) == []
