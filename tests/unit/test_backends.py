"""The two engines: what they give, what they refuse, and that no file brings another exception out of them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgewise.export.metadata import embed_onnx, embed_tflite
from edgewise.runtime.backends import Backend, backends_for, open_backend
from edgewise.runtime.classifier import Classifier
from edgewise.runtime.cpu import usable_cores
from edgewise.runtime.modelfile import ModelFile, read_model
from edgewise.spec import BackendError, Format, InputSpec, Manifest, ModelError, Scheme
from edgewise.spec.digest import BLANK, MARKER, seal

DATA = Path(__file__).parent.parent / "data"
NAMES = ["tiny.tflite", "tiny.onnx"]
MANIFEST = Manifest("m", ("a", "b", "c"), InputSpec(32, 32), Scheme.FP32)


def flat(*colors: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.stack([np.full((32, 32, 3), color, np.uint8) for color in colors])


def plain(name: str) -> bytes:
    """The shipped model without what was embedded."""
    content = (DATA / name).read_bytes()
    if name.endswith(".tflite"):
        return content[content.index(b"TFL3", 8) - 4 : content.index(b"PK\x03\x04")]
    model = onnx.load_from_string(content)
    del model.metadata_props[:]
    return bytes(model.SerializeToString())


def refused(model: ModelFile) -> ModelError:
    with pytest.raises(ModelError) as caught:
        open_backend(model, threads=1)
    return caught.value


def stored(folder: Path, name: str, content: bytes) -> ModelFile:
    (folder / name).write_bytes(content)
    return read_model(folder / name)


def network(dtype: int = TensorProto.UINT8, shape: tuple[str | int, ...] = ("n", 32, 32, 3), out: int = 3) -> bytes:
    """An ONNX model that gives the means of the channels, and zeros for further classes."""
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["y"], axes=[1, 2], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", out])],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


def test_each_format_has_its_backend() -> None:
    assert backends_for(Format.TFLITE) == ("litert",)
    assert backends_for(Format.ONNX) == ("onnxruntime",)


@pytest.mark.parametrize("name", NAMES)
def test_colours_in_a_batch_of_any_size(name: str) -> None:
    backend = open_backend(read_model(DATA / name), threads=1)
    batch = flat((0, 0, 250), (0, 250, 0), (250, 0, 0), (250, 20, 10))
    rows = backend.run(batch)
    assert (rows.shape, rows.dtype) == ((4, 3), np.float32)
    assert rows.argmax(axis=1).tolist() == [0, 1, 2, 2]  # blue, green, red
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(backend.run(batch[2:3]), rows[2:3], atol=1e-6)


def test_results_stay_when_the_next_batch_runs() -> None:
    # LiteRT lends its own memory for some ways of reading results.
    for name in NAMES:
        backend = open_backend(read_model(DATA / name), threads=1)
        first = backend.run(flat((250, 0, 0)))
        kept = first.copy()
        backend.run(flat((0, 0, 250)))
        np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("name", NAMES)
def test_threads_are_those_asked_for_or_all(name: str) -> None:
    model = read_model(DATA / name)
    assert open_backend(model, threads=2).threads == 2
    assert open_backend(model).threads == usable_cores() >= 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threads", [0, -1])
def test_too_few_threads(name: str, threads: int) -> None:
    with pytest.raises(BackendError) as caught:
        open_backend(read_model(DATA / name), threads=threads)
    assert str(caught.value) == f"--threads {threads}\nExpected: a number of at least 1"


@pytest.mark.parametrize(
    ("name", "backend", "right"),
    [
        ("tiny.tflite", "onnxruntime", "litert"),
        ("tiny.onnx", "litert", "onnxruntime"),
        ("tiny.onnx", "tpu", "onnxruntime"),
    ],
)
def test_a_backend_that_does_not_run_the_format(name: str, backend: str, right: str) -> None:
    with pytest.raises(BackendError) as caught:
        open_backend(read_model(DATA / name), backend)
    assert str(caught.value) == (
        f"--backend {backend} does not run {name}\nExpected: for this file: {right}, openvino\nDo: leave --backend out"
    )
    assert open_backend(read_model(DATA / name), right, 1).name == right


@pytest.mark.parametrize("name", NAMES)
def test_the_file_may_go_away_after_it_was_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes((DATA / name).read_bytes())
    backend = open_backend(read_model(path), threads=1)
    path.write_bytes(b"")
    assert backend.run(flat((250, 0, 0))).argmax() == 2


# Files that pass the seal and are not what their manifest says


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (replace(MANIFEST, labels=("a", "b")), "(n, 32, 32, 3) and (n, 2), as its manifest says"),
        (replace(MANIFEST, labels=("a", "b", "c", "d")), "(n, 32, 32, 3) and (n, 4), as its manifest says"),
        (replace(MANIFEST, input=InputSpec(32, 31)), "(n, 32, 31, 3) and (n, 3), as its manifest says"),
        (replace(MANIFEST, input=InputSpec(16, 32)), "(n, 16, 32, 3) and (n, 3), as its manifest says"),
    ],
    ids=["labels-2", "labels-4", "width", "height"],
)
@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_that_does_not_fit_the_network(tmp_path: Path, name: str, manifest: Manifest, expected: str) -> None:
    embed = embed_tflite if name.endswith(".tflite") else embed_onnx
    error = refused(stored(tmp_path, name, embed(plain(name), manifest)))
    assert error.got.startswith(f"{tmp_path / name} has inputs [(")
    assert (error.expected, error.do) == (expected, "export it again")


def test_a_network_of_floats_is_refused(tmp_path: Path) -> None:
    error = refused(stored(tmp_path, "m.onnx", embed_onnx(network(TensorProto.FLOAT), MANIFEST)))
    assert error.got == f"{tmp_path / 'm.onnx'} takes float32 and gives float32"
    assert error.expected == "uint8 pixels in and float32 probabilities out, as its manifest says"


@pytest.mark.parametrize("shape", [("n", 3, 32, 32), ("n", 32, 32, 4), ("n", 32, 32), (), ("n", "h", "w", 3)])
def test_an_input_of_another_shape_is_refused(tmp_path: Path, shape: tuple[str | int, ...]) -> None:
    model = stored(tmp_path, "m.onnx", embed_onnx(network(shape=shape), MANIFEST))
    assert refused(model).do.startswith("export it again")


def test_an_engine_that_cannot_load_a_file_says_which(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("NoSuchOperator", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", 32, 32, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    error = refused(stored(tmp_path, "m.onnx", embed_onnx(content, MANIFEST)))
    assert error.got.startswith(f"ONNX Runtime cannot load {tmp_path / 'm.onnx'}: ")
    assert "NoSuchOperator" in error.got
    assert "\n" not in error.got
    assert error.do == "export it again, or update the backend"


def test_a_tflite_operator_that_does_not_exist(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import ai_edge_litert.schema_py_generated as schema
    import flatbuffers

    model = schema.ModelT.InitFromPackedBuf(plain("tiny.tflite"))
    for code in model.operatorCodes:
        code.builtinCode, code.deprecatedBuiltinCode, code.customCode = 32, 32, b"NoSuchOperator"
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(ModelError) as caught:
        stored(tmp_path, "m.tflite", embed_tflite(bytes(builder.Output()), MANIFEST))
    assert str(caught.value) == (
        f"{tmp_path / 'm.tflite'} needs the custom operator 'NoSuchOperator'\n"
        "Expected: only operators of TensorFlow Lite itself\n"
        "Do: export the model without custom operators"
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("seed", range(80))
def test_a_sealed_onnx_file_of_any_content_answers_or_is_refused(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray((DATA / "tiny.onnx").read_bytes())
    start = content.index(MARKER)
    for _ in range(chance.randint(1, 4)):
        content[chance.randrange(start)] = chance.choice((0, 1, 127, 255, chance.randrange(256)))
    content[start : start + len(BLANK)] = BLANK
    path = tmp_path / "m.onnx"
    path.write_bytes(seal(bytes(content)))
    try:
        rows = Classifier.open(path, threads=1).probabilities(flat((250, 0, 0)))
    except ModelError:
        return
    assert rows.shape == (1, 3)


def test_a_name_in_the_network_that_is_not_utf8(tmp_path: Path) -> None:
    content = plain("tiny.onnx").replace(b"batch", b"b\xe0\xe0ch")
    error = refused(stored(tmp_path, "m.onnx", embed_onnx(content, MANIFEST)))
    assert error.got.startswith(f"ONNX Runtime cannot load {tmp_path / 'm.onnx'}: ")


def test_the_engines_fit_the_protocol() -> None:
    backends: list[Backend] = [open_backend(read_model(DATA / name), threads=1) for name in NAMES]
    assert [backend.name for backend in backends] == ["litert", "onnxruntime"]
