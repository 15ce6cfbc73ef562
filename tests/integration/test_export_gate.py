"""Files that are not faithful: they are told apart, kept under another name, and listed nowhere."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewise.export import conversion, ladder, release
from edgewise.export.compression import Compressed
from edgewise.export.gate import Verdict
from edgewise.export.plain import Network
from edgewise.export.preparation import Preparation
from edgewise.export.quantization import Numerics, Weights
from edgewise.export.ranges import min_max
from edgewise.export.release import Request, export
from edgewise.export.variants import Variant
from edgewise.runtime.backends import Backend
from edgewise.runtime.modelfile import read_model
from edgewise.spec import Format, GateError, Scheme
from edgewise.spec.progress import Silent
from edgewise.train.pixels import load_pixels
from edgewise.train.reference import KerasReference
from edgewise.train.run import Run

NAMES = ["small-fp32.onnx", "small-fp32.tflite", "small-int8.onnx", "small-int8.tflite"]
ONNX = (Variant(Format.ONNX, Scheme.FP32), Variant(Format.ONNX, Scheme.INT8))
Command = Callable[..., int]
Check = Callable[[Path], None]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def index(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "index.json").read_text())["variants"]
    return rows


def always(answer: int, size: int = 75, classes: int = 10) -> bytes:
    """An ONNX network that gives the same answer for every picture."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Gemm", ["mean", "weights", "bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "always",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", size, size, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", classes])],
        [
            numpy_helper.from_array(np.zeros((3, classes), np.float32), "weights"),
            numpy_helper.from_array(9 * np.eye(classes, dtype=np.float32)[answer], "bias"),
        ],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


def answers_otherwise(patch: pytest.MonkeyPatch, answer: int, weights: Weights) -> None:
    """ONNX files with these weights give one answer for every picture."""

    def convert(network: Network, numerics: Numerics, model_format: Format) -> bytes:
        wrong = model_format is Format.ONNX and numerics.weights is weights
        return always(answer) if wrong else conversion.convert(network, numerics, model_format)

    patch.setattr(release, "convert", convert)


def untrained(prepared: Preparation) -> Compressed:
    """What quantization-aware training gives without a step of training."""
    return Compressed(prepared.network, dict(prepared.calibration.best.ranges), {"epochs": 0.0})


def test_a_float_file_that_answers_otherwise_is_kept_as_rejected(
    sums_fit: Check, edgewise: Command, converted: pytest.MonkeyPatch, reference: KerasReference,
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    answers = reference.run(load_pixels(Run.open(small_run).photos("test"), 75).images).argmax(axis=1)
    rarest = int(np.bincount(answers, minlength=10).argmin())
    answers_otherwise(converted, rarest, Weights.FLOAT32)
    out, schemes = tmp_path / "out", ("--quantize", "fp32", "--quantize", "int8")
    assert edgewise("export", "release", small_run, "--out", out, "--max-drop", 100, *schemes) == 1
    printed = capsys.readouterr()
    rejected = out / "small-fp32.rejected.onnx"
    assert printed.out == ""
    assert "error: 1 of 4 files were not made:" in printed.err
    assert re.search(rf"{rejected}: it agrees with the network on [\d.]+% of the photos; at least 99.5%", printed.err)
    assert "Do: train longer, or allow more with --max-drop" in printed.err
    others = [name for name in NAMES if name != "small-fp32.onnx"]
    assert names(out) == sorted(["SHA256SUMS", "index.json", "release.md", rejected.name, *others])
    assert [row["file"] for row in index(out)] == others
    assert rejected.name not in (out / "SHA256SUMS").read_text()
    sums_fit(out)
    parity = read_model(rejected).manifest.parity
    assert parity is not None
    assert parity.agreement < 0.995


def test_a_quantized_file_that_loses_too_much_is_rejected_until_more_is_allowed(
    sums_fit: Check, converted: pytest.MonkeyPatch, reference: KerasReference, run_copy: Path, tmp_path: Path
) -> None:
    # The network is right about every photo of this run, and the file about those of one class.
    examples = [example for split in ("test", "validation") for example in Run.open(run_copy).photos(split)]
    answers = reference.run(load_pixels(examples, 75).images).argmax(axis=1)
    given = {
        example.sha256: Run.open(run_copy).labels[answer] for example, answer in zip(examples, answers, strict=True)
    }
    with (run_copy / "photos.csv").open(newline="") as file:
        rows = [{**row, "label": given.get(row["sha256"], row["label"])} for row in csv.DictReader(file)]
    with (run_copy / "photos.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    counts = np.bincount(answers, minlength=10)
    answers_otherwise(converted, int(counts.argmin()), Weights.INT8)
    converted.setattr(ladder, "FLOAT_SHARES", (0.1,))
    converted.setattr(Preparation, "quantization_aware", property(untrained))
    drop = 100 * (1 - counts.min() / len(answers))
    words = {"run": run_copy, "out": tmp_path / "out", "name": "m", "variants": ONNX}
    with pytest.raises(GateError) as caught:
        export(Request(**words, max_drop=drop - 1), Silent())
    assert f"m-int8.rejected.onnx: its top-1 is {drop:.2f} points below the network's; at most {drop - 1:g}" in str(
        caught.value
    )
    reports = ["m-int8.onnx.layers.json", "m-int8.onnx.layers.png"]
    assert names(tmp_path / "out") == [
        "SHA256SUMS", "index.json", "m-fp32.onnx", *reports, "m-int8.rejected.onnx", "release.md"
    ]  # fmt: skip
    layers = json.loads((tmp_path / "out" / reports[0]).read_text())
    assert {"name", "operator", "own_sqnr", "sqnr", "cosine"} == set(layers[0])
    assert (tmp_path / "out" / reports[1]).read_bytes().startswith(b"\x89PNG")
    passed = export(Request(**words, max_drop=drop), Silent())  # what had passed is left as it is
    assert [row.file for row in passed] == ["m-fp32.onnx", "m-int8.onnx"]
    assert passed[1].drop == pytest.approx(drop)
    assert names(tmp_path / "out") == ["SHA256SUMS", "index.json", "m-fp32.onnx", "m-int8.onnx", "release.md"]
    sums_fit(tmp_path / "out")


def test_the_ladder_goes_on_until_a_file_passes_and_says_what_it_tried(
    converted: pytest.MonkeyPatch,
    small_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    edgewise: Command,
) -> None:
    def convert(network: Network, numerics: Numerics, model_format: Format) -> bytes:
        # Only what keeps layers in float, besides the classifier and its softmax, gives other answers than one.
        return conversion.convert(network, numerics, model_format) if len(numerics.floats) > 2 else always(0)

    converted.setattr(release, "convert", convert)
    refused_where(converted, always_the_same)
    assert edgewise("export", "onnx", small_run, "--out", tmp_path, "--quantize", "int8") == 0
    (row,) = index(tmp_path)
    tried = [attempt["attempt"] for attempt in row["attempts"]]
    assert [words.split(" by ")[0] for words in tried[:4]] == ["ranges"] * 4
    assert re.fullmatch(r"\d+ of \d+ layers in float", tried[4])
    assert len(tried) == 5
    assert all(attempt["seconds"] >= 0 for attempt in row["attempts"])
    assert len(row["float_steps"]) > 2
    assert row["remark"] == "" or "layers in float" in row["remark"]
    manifest = read_model(tmp_path / "small-int8.onnx").manifest
    assert manifest.provenance["float_layers"] == row["float_steps"]
    assert "making small-int8.onnx: " in capsys.readouterr().err


def test_what_took_the_place_of_another_file_is_not_made_again(
    converted: pytest.MonkeyPatch,
    small_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    edgewise: Command,
) -> None:
    def convert(network: Network, numerics: Numerics, model_format: Format) -> bytes:
        return conversion.convert(network, numerics, model_format) if numerics.bits == 16 else always(0)

    converted.setattr(release, "convert", convert)
    converted.setattr(ladder, "FLOAT_SHARES", ())
    converted.setattr("edgewise.export.calibration.METHODS", {"min-max": min_max})
    refused_where(converted, always_the_same)
    words = ("export", "onnx", small_run, "--out", tmp_path, "--max-drop", "100", "--quantize", "int8")
    assert edgewise(*words) == 0
    assert "small-int8.onnx is left out: small-w8a16.onnx takes its place" in capsys.readouterr().err
    assert [row["file"] for row in index(tmp_path)] == ["small-w8a16.onnx"]
    converted.setattr(Preparation, "held_out", property(lambda _: pytest.fail("nothing has to be proven")))
    assert edgewise(*words, "--quantize", "w8a16") == 0
    assert "small-w8a16.onnx is there already" in capsys.readouterr().err


def test_what_took_the_place_of_another_file_does_not_where_more_may_be_lost(
    converted: pytest.MonkeyPatch,
    small_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    edgewise: Command,
) -> None:
    allowed = 90.0

    def too_much_lost(_: Verdict, scheme: Scheme) -> bool:
        return scheme is Scheme.INT8 and allowed < 95

    refused_where(converted, too_much_lost)
    converted.setattr(ladder, "FLOAT_SHARES", ())
    converted.setattr("edgewise.export.calibration.METHODS", {"min-max": min_max})
    words = ("export", "onnx", small_run, "--out", tmp_path, "--quantize", "int8", "--max-drop")
    assert edgewise(*words, "90") == 0
    assert [row["file"] for row in index(tmp_path)] == ["small-w8a16.onnx"]
    allowed = 100.0
    assert edgewise(*words, "100") == 0
    assert [row["file"] for row in index(tmp_path)] == ["small-int8.onnx", "small-w8a16.onnx"]
    capsys.readouterr()
    assert edgewise(*words, "100") == 0
    assert "small-int8.onnx is there already" in capsys.readouterr().err


def always_the_same(verdict: Verdict, _: Scheme) -> bool:
    return verdict.parity.max_difference > 0.5


def refused_where(patch: pytest.MonkeyPatch, refused: Callable[[Verdict, Scheme], bool]) -> None:
    """Let nothing but ``refused`` decide which files pass."""
    judge = release.judge

    def judged(backends: Sequence[Backend], held: Any, scheme: Scheme, _: float, *rest: Any, **more: Any) -> Verdict:
        verdict = judge(backends, held, scheme, 100, *rest, **more)
        return replace(verdict, refusal="it is refused" if refused(verdict, scheme) else None)

    patch.setattr(release, "judge", judged)


def test_a_file_that_cannot_be_made_does_not_stop_the_others(
    sums_fit: Check, edgewise: Command, converted: pytest.MonkeyPatch, small_run: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def convert(network: Network, numerics: Numerics, model_format: Format) -> bytes:
        if numerics.weights is Weights.FLOAT16:
            raise RuntimeError("tool of others: no such operator\nand more")
        return conversion.convert(network, numerics, model_format)

    converted.setattr(release, "convert", convert)
    words = ("export", "onnx", small_run, "--out", tmp_path, "--quantize", "fp16", "--quantize", "fp32")
    assert edgewise(*words) == 1
    said = capsys.readouterr().err
    assert "error: 1 of 2 files were not made:" in said
    assert "small-fp16.onnx: writing failed: tool of others: no such operator" in said
    assert said.endswith("Do: run it again: what was made stays\n")
    assert "Traceback" not in said
    assert "Traceback" in (tmp_path / "small-fp16.onnx.log").read_text()
    assert [row["file"] for row in index(tmp_path)] == ["small-fp32.onnx"]
    sums_fit(tmp_path)
    converted.setattr(release, "convert", conversion.convert)
    assert edgewise(*words) == 0
    assert "small-fp32.onnx is there already" in capsys.readouterr().err
    assert not (tmp_path / "small-fp16.onnx.log").exists()


def test_what_is_there_already_costs_nothing(
    small_run: Path, small_release: Path, monkeypatch: pytest.MonkeyPatch, edgewise: Command, tmp_path: Path
) -> None:
    out = shutil.copytree(small_release, tmp_path / "out")
    (out / ".draft-of-a-killed-export").mkdir()
    monkeypatch.setattr(Preparation, "held_out", property(lambda _: pytest.fail("nothing has to be proven")))
    words = (
        "export",
        "release",
        small_run,
        "--out",
        out,
        "--quantize",
        "fp32",
        "--quantize",
        "int8",
        "--name",
        "small",
    )
    assert edgewise(*words, "--max-drop", 100) == 0
    assert names(out) == names(small_release)
    (out / "small-int8.tflite").write_bytes(b"damaged")
    assert edgewise(*words, "--max-drop", 100) == 1  # it is no file of ours any more: not overwritten
    assert edgewise(*words, "--max-drop", 50) == 1  # made in another way
    assert edgewise(*words, "--max-drop", 100, "--held-out", 7) == 1  # proven on other photos
