"""Files that are not faithful: they are told apart, kept under another name, and listed nowhere."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewise.export import release
from edgewise.export.release import Request, Variant, export
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


def test_a_float_file_that_answers_otherwise_is_kept_as_rejected(
    sums_fit: Check, edgewise: Command, converted: pytest.MonkeyPatch, reference: KerasReference,
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    answers = reference.run(load_pixels(Run.open(small_run).photos("test"), 75).images).argmax(axis=1)
    rarest = int(np.bincount(answers, minlength=10).argmin())
    converted.setattr(release, "onnx_fp32", lambda _: always(rarest))
    out = tmp_path / "out"
    assert edgewise("export", "release", small_run, "--out", out, "--max-drop", 100) == 1
    printed = capsys.readouterr()
    rejected = out / "small-fp32.rejected.onnx"
    assert printed.out == ""
    assert "error: 1 of 4 files did not pass the gate:" in printed.err
    assert re.search(rf"{rejected}: it agrees with the network on [\d.]+% of the photos; at least 99.5%", printed.err)
    assert "Do: train longer, or allow more with --max-drop" in printed.err
    others = [name for name in NAMES if name != "small-fp32.onnx"]
    assert names(out) == sorted(["SHA256SUMS", "index.json", rejected.name, *others])
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
    converted.setattr(release, "onnx_int8", lambda *_: always(int(counts.argmin())))
    drop = 100 * (1 - counts.min() / len(answers))
    words = {"run": run_copy, "out": tmp_path / "out", "name": "m", "variants": ONNX}
    with pytest.raises(GateError) as caught:
        export(Request(**words, max_drop=drop - 1), Silent())
    assert f"m-int8.rejected.onnx: its top-1 is {drop:.2f} points below the network's; at most {drop - 1:g}" in str(
        caught.value
    )
    assert names(tmp_path / "out") == ["SHA256SUMS", "index.json", "m-fp32.onnx", "m-int8.rejected.onnx"]
    passed = export(Request(**words, max_drop=drop, overwrite=True), Silent())
    assert [item.path.name for item in passed] == ["m-fp32.onnx", "m-int8.onnx"]
    assert passed[1].verdict.drop == pytest.approx(drop)
    assert names(tmp_path / "out") == ["SHA256SUMS", "index.json", "m-fp32.onnx", "m-int8.onnx"]
    sums_fit(tmp_path / "out")
