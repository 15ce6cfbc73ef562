"""Files of other makers are tried out in a child process: whatever they do to it is an error here."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgewise.runtime import Classifier, trial
from edgewise.spec import EdgewiseError, ModelError
from edgewise.spec.child import run_module

DATA = Path(__file__).parents[1] / "data"
PICTURE = np.full((8, 8, 3), (200, 60, 20), np.uint8)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("red\ngreen\nblue\n")
    return path


def network(path: Path, *nodes: object, constants: list[object]) -> Path:
    """An ONNX file that takes ``x`` and gives ``y``, with what the nodes do in between."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["float"], ["means"], axes=[1, 2], keepdims=0),
            *nodes,
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", 8, 8, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def endless(path: Path) -> Path:
    """A loop of a million million million rounds."""
    values = [("i", TensorProto.INT64, []), ("go", TensorProto.BOOL, []), ("v", TensorProto.FLOAT, ["n", 3])]
    body = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in ("go", "v")],
        "body",
        [helper.make_tensor_value_info(*value) for value in values],
        [helper.make_tensor_value_info(f"{name}_out", kind, shape) for name, kind, shape in values[1:]],
    )
    constants = [
        helper.make_tensor("rounds", TensorProto.INT64, [], [10**18]),
        helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
    ]
    return network(path, helper.make_node("Loop", ["rounds", "yes", "means"], ["y"], body=body), constants=constants)


def greedy(path: Path) -> Path:
    """A few hundred bytes that ask for eight gigabytes, which many a machine has."""
    return network(
        path,
        helper.make_node("ConstantOfShape", ["size"], ["much"]),
        helper.make_node("ReduceMean", ["much"], ["mean"], keepdims=0),
        helper.make_node("Add", ["means", "mean"], ["y"]),
        constants=[helper.make_tensor("size", TensorProto.INT64, [2], [1 << 15, 1 << 16])],
    )


def refused(path: Path, labels: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        Classifier.open(path, labels=labels, threads=1)
    return caught.value


def test_a_sound_file_is_loaded_after_it_was_tried_out(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    path = foreign.foreign_tflite(tmp_path / "m.tflite", "uint8", 1 / 128, 128)
    assert Classifier.open(path, labels=labels).predict(PICTURE).label == "red"


def test_a_file_that_crashes_its_engine_is_an_error(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    path = foreign.endless_tflite(tmp_path / "m.tflite")
    assert str(refused(path, labels)) == (
        f"{path} was tried out in a process of its own, and LiteRT crashed (SIGSEGV)\n"
        "Expected: a file that can be loaded and run\nDo: copy or export the file again"
    )


def test_a_file_that_takes_for_ever_is_an_error(tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 2)
    path = endless(tmp_path / "m.onnx")
    assert refused(path, labels).got == f"{path} was tried out, and took more than 2 seconds"


def test_a_file_that_asks_for_more_memory_than_it_is_given_is_an_error(tmp_path: Path, labels: Path) -> None:
    path = greedy(tmp_path / "m.onnx")
    assert refused(path, labels).got.startswith(f"ONNX Runtime cannot run {path}: ")


def test_the_child_tells_what_it_found_in_the_words_of_the_user(
    tmp_path: Path, labels: Path, foreign: ModuleType
) -> None:
    path = foreign.foreign_onnx(tmp_path / "m.onnx")
    assert refused(path, labels).do == "add --normalize as in the network's training"


def test_the_child_answers_with_json_and_nothing_else() -> None:
    outcome = run_module(
        "edgewise.runtime.trial", [json.dumps({"kind": "litert", "settings": {"threads": 1}})], b"", 300
    )
    assert (outcome.code, outcome.signal, outcome.timed_out) == (1, "", False)  # the task is not complete
    assert outcome.output == b""


def damaged(content: bytes, seed: int) -> bytes:
    """Up to four bits flipped, or an end cut off."""
    chance, copy = random.Random(seed), bytearray(content)
    if seed % 4 == 0:
        return bytes(copy[: chance.randrange(8, len(copy))])
    for _ in range(chance.randint(1, 4)):
        copy[chance.randrange(len(copy))] ^= 1 << chance.randrange(8)
    return bytes(copy)


@pytest.mark.parametrize("name", ["tiny.tflite", "tiny.onnx"])
def test_damage_to_a_file_of_ours_is_found_before_anything_parses_it(tmp_path: Path, name: str) -> None:
    content = (DATA / name).read_bytes()
    path = tmp_path / name
    for seed in range(40):
        path.write_bytes(damaged(content, seed))
        with pytest.raises(ModelError):
            Classifier.open(path)


@pytest.mark.parametrize("seed", range(6))
def test_damage_to_a_file_of_others_ends_in_an_answer_or_an_error(
    tmp_path: Path, labels: Path, foreign: ModuleType, seed: int
) -> None:
    # The full attack is benchmarks/attack_models.py.
    if seed % 2:
        path = foreign.foreign_tflite(tmp_path / "m.tflite", "int8", 1 / 128, 0, softmax=True)
    else:
        path = foreign.foreign_onnx(tmp_path / "m.onnx", dtype=TensorProto.UINT8, shape=("n", 8, 8, 3), axes=(1, 2))
    path.write_bytes(damaged(path.read_bytes(), seed))
    try:
        label = Classifier.open(path, labels=labels, threads=1).predict(PICTURE).label
    except EdgewiseError as error:
        label = error.got
    assert label in ("red", "green", "blue") or str(path) in label
