"""The backend "auto": measured once, remembered, and never wrong about what there is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgewise.runtime import Classifier, backends, loading, tuning
from edgewise.runtime.bulk import open_bulk
from edgewise.runtime.engines import onnxruntime, openvino
from edgewise.runtime.engines.base import CPU, Engine, Network, Settings
from edgewise.runtime.tuning import Plan, Tuning, plans
from edgewise.spec import BackendError, InputError, ModelError, Scheme
from edgewise.spec.cache import cache_folder
from edgewise.spec.opening import Opening

DATA = Path(__file__).parents[1] / "data"
FOUND = Tuning(Plan("openvino", 1), Plan("openvino", 1, 2, 4), 1.5, 900.0, 12.5, 22)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tuning, "SECONDS", 0.5)
    monkeypatch.setattr(tuning, "BLOCK_SECONDS", 0.001)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was measured, instead of measuring it."""
    made: list[Any] = []

    def tune(*arguments: Any, **more: Any) -> Tuning:
        made.append((arguments, more))
        return FOUND

    monkeypatch.setattr(loading, "tune", tune)
    return made


def remembered() -> list[Path]:
    return sorted((cache_folder() / "tuning-1").glob("*.json"))


@pytest.mark.parametrize("name", ["tiny.tflite", "tiny.onnx"])
def test_what_is_measured_is_something_that_runs(name: str) -> None:
    classifier = Classifier.open(DATA / name, backend="auto", threads=2)
    assert classifier.predict(DATA / "red.png").label == "red"
    (path,) = remembered()
    data = json.loads(path.read_text())
    assert path.name.startswith(classifier.model.sha256)
    assert data["single"]["backend"] == classifier.backend.name
    assert data["single"]["threads"] == classifier.backend.threads <= 2
    assert data["machine"]["cores"] == 2
    assert classifier.backend.name in data["machine"]["engines"]
    with open_bulk(DATA / name, backend="auto", threads=2) as bulk:
        assert (bulk.streams, bulk.batch) == (data["bulk"]["streams"], data["bulk"]["batch"])
        rows = list(bulk.run([np.full((2, 32, 32, 3), (250, 0, 0), np.uint8)] * 5))
    assert [row.argmax() for each in rows for row in each] == [2] * 10


def test_it_is_measured_once_for_each_file_and_machine(calls: list[Any]) -> None:
    for threads in (2, 2, 3):
        classifier = Classifier.open(DATA / "tiny.onnx", backend="auto", threads=threads)
        assert (classifier.backend.name, classifier.backend.threads) == ("openvino", 1)
    Classifier.open(DATA / "tiny.tflite", backend="auto", threads=2)
    assert len(calls) == len(remembered()) == 3


def test_another_size_of_pictures_is_measured_by_itself(calls: list[Any], foreign: ModuleType, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("red\ngreen\nblue\n")
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx", shape=("n", "h", "w", 3), axes=(1, 2)))
    for size in (8, 16, 8):
        Classifier.open(path, backend="auto", labels=labels, normalize="-1..1", threads=2, image_size=size)
    assert len(calls) == len(remembered()) == 2


def test_a_provider_that_falls_back_to_the_cpu_is_measured_as_the_cpu(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As with onnxruntime-gpu on a machine without a GPU: the provider is there in name, and opening it fails."""

    def refuse(network: Network, settings: Settings) -> Engine:
        if settings.provider != CPU:
            raise BackendError("the provider cuda cannot be used")
        return onnxruntime.KIND.open(network, settings)

    in_name = replace(onnxruntime.KIND, providers=lambda: (CPU, "cuda"), open=refuse)
    monkeypatch.setattr(backends, "kinds_for", lambda _: (in_name, openvino.KIND))
    opening = Opening(backend="auto", provider="cuda", allow_fallback=True, threads=4)
    classifier = Classifier.open(DATA / "tiny.onnx", opening)
    assert (classifier.backend.name, classifier.backend.provider) == ("openvino", "cpu")
    (choices, _, _, cores, _), _ = calls[0]
    assert [choice.settings.provider for choice in choices] == ["cpu", "cpu"]
    assert cores == 4
    assert "--provider cuda is not granted; cpu is used instead" in caplog.text


def test_retune_measures_again(calls: list[Any]) -> None:
    for retune in (False, True, True):
        Classifier.open(DATA / "tiny.onnx", backend="auto", threads=2, retune=retune)
    assert len(calls) == 3
    with pytest.raises(InputError) as caught:
        Classifier.open(DATA / "tiny.onnx", retune=True)
    assert str(caught.value) == "--retune without --backend auto\nExpected: both, or neither"


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "{",
        lambda _: "[]",
        lambda data: json.dumps({**data, "machine": {}}),
        lambda data: json.dumps({**data, "single": {"backend": "tpu", "threads": 1}}),
        lambda data: json.dumps({**data, "bulk": {**data["bulk"], "streams": 3}}),
        lambda data: json.dumps({**data, "bulk": {**data["bulk"], "batch": 0}}),
        lambda data: json.dumps({**data, "single": {**data["single"], "threads": "1"}}),
        lambda data: json.dumps({**data, "rate": float("nan")}),
        lambda data: json.dumps({**data, "more": 1}),
    ],
)
def test_what_is_remembered_wrongly_is_measured_again(calls: list[Any], damage: Any) -> None:
    for _ in range(2):
        Classifier.open(DATA / "tiny.onnx", backend="auto", threads=2)
        (path,) = remembered()
        path.write_text(damage(json.loads(path.read_text())))
    assert len(calls) == 2


def test_where_nothing_can_be_kept_it_is_measured_every_time(
    calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("EDGEWISE_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        assert Classifier.open(DATA / "tiny.onnx", backend="auto", threads=2).backend.name == "openvino"
    assert len(calls) == 2


def test_the_grid_uses_no_more_threads_than_there_are() -> None:
    single, bulk = plans(["a", "b"], 6, [1, 4])
    assert {plan.threads for plan in single} == {1, 2, 3, 4, 6}
    assert len(single) == len(set(single)) == 10
    assert len(bulk) == len(set(bulk)) == 4 * len({(plan.threads, plan.streams) for plan in bulk})
    assert max(plan.threads * plan.streams for plan in bulk) == 6
    assert min(plan.threads * plan.streams for plan in bulk) == 3
    assert {(plan.threads, plan.streams) for plan in bulk} >= {(1, 6), (2, 3), (3, 2), (6, 1), (2, 2)}
    assert single[0] == Plan("a", 6)  # the usual one first, should there be no time for more


def test_files_of_others_take_part(tmp_path: Path, foreign: ModuleType, calls: list[Any]) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("red\ngreen\nblue\n")
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx"))
    classifier = Classifier.open(path, backend="auto", labels=labels, normalize="-1..1", threads=2)
    assert classifier.backend.name == "openvino"
    assert classifier.predict(np.full((8, 8, 3), (0, 200, 0), np.uint8)).label == "green"


def test_a_file_that_no_engine_runs(tmp_path: Path, foreign: ModuleType) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("red\ngreen\n")
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx"))
    with pytest.raises(ModelError) as caught:
        Classifier.open(path, backend="auto", labels=labels, normalize="-1..1", threads=2)
    assert "has 2 names, and the network gives 3 numbers" in caught.value.got


def test_a_provider_that_no_engine_has() -> None:
    with pytest.raises(BackendError) as caught:
        Classifier.open(DATA / "tiny.onnx", backend="auto", provider="cuda")
    assert caught.value.got.startswith("--provider cuda is not there with ONNX Runtime")


def test_only_engines_that_grant_the_precision_take_part(calls: list[Any]) -> None:
    if "bf16" not in openvino.precisions("cpu"):
        pytest.skip("this CPU does not compute in bfloat16")
    classifier = Classifier.open(DATA / "tiny.onnx", backend="auto", precision="bf16", threads=2)
    assert (classifier.backend.name, classifier.backend.precision) == ("openvino", "bf16")
    (choices, *_), _ = calls[0]
    assert [choice.kind.name for choice in choices] == ["openvino"]


@pytest.mark.parametrize(
    ("flags", "chosen"),
    [(("sse4_2", "avx2"), ["onnxruntime"]), (("sse4_2", "avx512_vnni"), ["onnxruntime", "openvino"])],
)
def test_an_engine_that_is_not_exact_on_this_processor_takes_no_part_and_says_so_when_asked_for(
    flags: tuple[str, ...], chosen: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(openvino, "_WHOLE_NUMBERS", {Scheme.FP32})  # the file stands for one of whole numbers
    opener = loading.Opener(DATA / "tiny.onnx", Opening(backend="auto"))
    assert [choice.kind.name for choice in opener.choices()] == chosen
    assert Classifier.open(DATA / "tiny.onnx", backend="openvino", threads=1).predict(DATA / "red.png").label == "red"
    told = "tiny.onnx: OpenVINO cuts sums of 8-bit products off at 16 bits on this CPU" in caplog.text
    assert told == (len(chosen) == 1)


def test_without_memory_only_the_first_copy_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_free_memory", lambda: 0)
    Classifier.open(DATA / "tiny.onnx", backend="auto", threads=2)
    (path,) = remembered()
    data = json.loads(path.read_text())
    assert (
        data["single"]
        == data["bulk"] | {"batch": 1}
        == {**vars(replace(FOUND.single, backend="onnxruntime", threads=2))}
    )
