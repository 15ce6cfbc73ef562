"""Weights: files in the official layout load or are refused by name, and ImageNet's come only from Keras' own place."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edgewise.spec import InputError, ModelError
from edgewise.train import weights
from edgewise.train.architecture import Architecture, choose, keep_blocks
from edgewise.train.backbones import BACKBONES
from edgewise.train.framework import keras
from edgewise.train.network import build
from edgewise.train.weights import fetch_imagenet, load_initial, load_official, load_weights, save_weights

SMALL = keep_blocks((1, 1, 1))
TOP = "predictions"


@pytest.fixture(scope="module")
def network() -> Any:
    return build(Architecture(5, 75, SMALL))


@pytest.fixture(scope="module")
def hollow(official_network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the official layout whose arrays have their shapes and were never written: all zeros, and small."""
    path = tmp_path_factory.mktemp("hollow") / "hollow.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name for layer in official_network.layers]
        for layer in official_network.layers:
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = [variable.name for variable in layer.weights]
            for variable in layer.weights:
                group.create_dataset(variable.name, tuple(variable.shape), "f4")
    return path


@pytest.fixture
def edited(hollow: Path, tmp_path: Path) -> Callable[[Callable[[h5py.File], None]], Path]:
    """A copy of ``hollow`` after a change."""

    def edit(change: Callable[[h5py.File], None]) -> Path:
        path = tmp_path / "edited.h5"
        shutil.copy(hollow, path)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return edit


Edited = Callable[[Callable[[h5py.File], None]], Path]


def drop(file: h5py.File, *names: str) -> None:
    """Take layers out of the file and out of its list."""
    file.attrs["layer_names"] = [name for name in file.attrs["layer_names"] if name not in names]
    for name in names:
        del file[name]


def refused(network: Any, path: Path) -> ModelError:
    with pytest.raises(ModelError) as error:
        load_official(network, path)
    assert str(path) in error.value.got
    return error.value


def test_own_weights_survive(network: Any, tmp_path: Path) -> None:
    save_weights(network, tmp_path / "w.h5")
    other = build(Architecture(5, 75, SMALL))
    load_weights(other, tmp_path / "w.h5")
    for name, got, expected in zip(
        (variable.name for variable in network.weights), other.get_weights(), network.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(got, expected, err_msg=name)


def test_own_weights_of_another_network_are_refused_by_name(network: Any, tmp_path: Path) -> None:
    save_weights(network, tmp_path / "w.h5")
    with pytest.raises(ModelError, match=r"'predictions/kernel' in .* has shape \(1536, 5\)\nExpected: \(1536, 4\)"):
        load_weights(build(Architecture(4, 75, SMALL)), tmp_path / "w.h5")
    with pytest.raises(ModelError, match=r"has no array 'block35_5_b\d_1/kernel'"):
        load_weights(build(Architecture(5, 75, keep_blocks((2, 1, 1)))), tmp_path / "w.h5")


def test_truncated_own_weights(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    save_weights(network, path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(ModelError, match="cannot be read as HDF5"):
        load_weights(network, path)


def test_none_leaves_the_random_weights(network: Any) -> None:
    before = network.get_weights()
    initial = load_initial(network, "none")
    assert (initial.source, initial.sha256) == ("none", None)
    for got, expected in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_path_is_loaded_and_its_digest_kept(official_network: Any, official_file: Path) -> None:
    model = build(Architecture(5, 75, SMALL))
    initial = load_initial(model, str(official_file))
    assert initial.source == str(official_file)
    assert initial.sha256 == hashlib.sha256(official_file.read_bytes()).hexdigest()
    for ours, theirs in (("stem_1", "conv2d"), (TOP, TOP), ("conv_7b", "conv_7b"), ("conv_7b_bn", "conv_7b_bn")):
        layer = next(each for each in official_network.layers if each.name.startswith(theirs))
        for got, expected in zip(model.get_layer(ours).get_weights(), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(got, expected, err_msg=ours)


@pytest.mark.parametrize(("classes", "has_classifier"), [(5, True), (4, False)])
def test_the_folder_of_another_run_is_loaded(network: Any, tmp_path: Path, classes: int, has_classifier: bool) -> None:
    save_weights(network, tmp_path / "model.weights.h5")
    model = build(Architecture(classes, 96, SMALL))
    classifier = model.get_layer(TOP).get_weights()
    initial = load_initial(model, str(tmp_path))
    assert initial.sha256 == hashlib.sha256((tmp_path / "model.weights.h5").read_bytes()).hexdigest()
    for layer in model.layers:
        expected = network.get_layer(layer.name).get_weights() if layer.name != TOP or has_classifier else classifier
        for got, wanted in zip(layer.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=layer.name)


def test_a_folder_that_is_no_run(network: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--weights .*: there is no such file"):
        load_initial(network, str(tmp_path))


def test_another_run_with_another_backbone(tmp_path: Path) -> None:
    save_weights(build(choose("mobilenet_v2", 2, image_size=64)), tmp_path / "model.weights.h5")
    with pytest.raises(ModelError, match="has no array 'stem_1/kernel'"):
        load_initial(build(Architecture(2, 75, SMALL)), str(tmp_path))


def test_without_top_in_the_file_the_classifier_stays(network: Any, edited: Edited) -> None:
    model = build(Architecture(5, 75, SMALL))
    before = model.get_layer(TOP).get_weights()
    load_official(model, edited(lambda file: drop(file, TOP)))
    np.testing.assert_array_equal(model.get_layer(TOP).get_weights()[0], before[0])
    assert not model.get_layer("stem_1").get_weights()[0].any()


def test_a_classifier_of_other_classes_stays_behind(hollow: Path) -> None:
    model = build(Architecture(3, 75, SMALL))
    load_official(model, hollow)
    assert model.get_layer(TOP).get_weights()[0].any()
    assert not model.get_layer("conv_7b").get_weights()[0].any()


def test_a_network_without_top_takes_a_file_with_top(hollow: Path) -> None:
    model = build(Architecture(5, 75, SMALL), top=False)
    load_official(model, hollow)
    assert not any(array.any() for array in model.get_weights())


def test_another_shape_names_the_layer_and_both_shapes(network: Any, edited: Edited) -> None:
    def change(file: h5py.File) -> None:
        name = file["block8_10_conv"].attrs["weight_names"][0]
        del file["block8_10_conv"][name]
        file["block8_10_conv"].create_dataset(name, (1, 1, 448, 7), "f4")

    error = refused(network, edited(change))
    assert "'block8_10_conv/kernel:0'" in error.got
    assert "(1, 1, 448, 7)" in error.got
    assert error.expected == "(1, 1, 448, 2080)"


def test_a_listed_layer_that_is_not_there_is_named(network: Any, edited: Edited) -> None:
    def change(file: h5py.File) -> None:
        del file["block17_20_conv"]

    assert "lists the layer 'block17_20_conv' but does not have it" in refused(network, edited(change)).got


def test_an_array_that_is_not_there_is_named(network: Any, edited: Edited) -> None:
    def change(file: h5py.File) -> None:
        del file["block17_20_conv"]["block17_20_conv/bias:0"]

    assert "has no array 'block17_20_conv/bias:0'" in refused(network, edited(change)).got


def test_too_few_arrays_name_the_layer(network: Any, edited: Edited) -> None:
    def change(file: h5py.File) -> None:
        file["conv_7b_bn"].attrs["weight_names"] = file["conv_7b_bn"].attrs["weight_names"][:2]

    error = refused(network, edited(change))
    assert "layer 'conv_7b_bn' in" in error.got
    assert "has 2 arrays" in error.got


def test_missing_layers_name_the_first(network: Any, edited: Edited) -> None:
    error = refused(network, edited(lambda file: drop(file, "conv_7b_bn", TOP)))
    assert "has 447 layers with weights" in error.got
    assert "'conv_7b_bn' is missing" in error.got
    assert error.expected == "448 of InceptionResNetV2, or 449 with its classifier"


def test_a_missing_layer_of_a_file_with_classifier_is_noticed_where_it_is(network: Any, edited: Edited) -> None:
    error = refused(network, edited(lambda file: drop(file, "conv_7b_bn")))
    assert "layer 'predictions' in" in error.got
    assert "has 2 arrays" in error.got
    assert error.expected == "3, as 'conv_7b_bn' has"


def test_weights_of_another_network_are_refused(network: Any, tmp_path: Path) -> None:
    other = keras.Sequential([keras.layers.Dense(2, input_shape=(3,), name="dense")])
    other.save_weights(tmp_path / "other.h5")
    error = refused(network, tmp_path / "other.h5")
    assert "has 1 layers with weights" in error.got
    assert error.do == "use a weights file of InceptionResNetV2 in tf_keras.applications"


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_full_models_are_refused_and_why(network: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
    model.save(tmp_path / "model.h5")
    error = refused(network, tmp_path / "model.h5")
    assert "not in the official Keras layout" in error.got
    assert "loading it can run code" in error.do
    model.save(tmp_path / "model.keras")
    assert "cannot be read as HDF5" in refused(network, tmp_path / "model.keras").got


def test_not_hdf5_and_truncated(network: Any, hollow: Path, tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"<html>404</html>")
    assert "cannot be read as HDF5" in refused(network, tmp_path / "a.h5").got
    (tmp_path / "b.h5").write_bytes(hollow.read_bytes()[: hollow.stat().st_size // 2])
    assert "cannot be read as HDF5" in refused(network, tmp_path / "b.h5").got


@pytest.mark.parametrize("name", ["stem", TOP])
def test_arrays_in_other_files_are_refused(network: Any, hollow: Path, edited: Edited, name: str) -> None:
    def link(file: h5py.File) -> None:
        layer = TOP if name == TOP else first_convolution(file)
        key = file[layer].attrs["weight_names"][0]
        del file[layer][key]
        file[layer][key] = h5py.ExternalLink(str(hollow), f"/{layer}/{key}")

    assert "is a link" in refused(network, edited(link)).got

    def store_elsewhere(file: h5py.File) -> None:
        layer = TOP if name == TOP else first_convolution(file)
        key = file[layer].attrs["weight_names"][0]
        shape = file[layer][key].shape
        del file[layer][key]
        raw = [(str(hollow), 0, int(np.prod(shape)) * 4)]
        file[layer].create_dataset(key, shape, "f4", external=raw)

    assert "is not plain numbers" in refused(network, edited(store_elsewhere)).got


def test_a_layer_in_another_file_is_refused(network: Any, hollow: Path, edited: Edited) -> None:
    def change(file: h5py.File) -> None:
        del file["conv_7b"]
        file["conv_7b"] = h5py.ExternalLink(str(hollow), "/conv_7b")

    assert "lists the layer 'conv_7b' but does not have it" in refused(network, edited(change)).got


@pytest.mark.parametrize("value", [7, b"conv2d", h5py.Empty("f4"), [1.5], [b"\xff\xfe"], [""]])
def test_a_strange_list_of_layers_is_refused(network: Any, edited: Edited, value: Any) -> None:
    def change(file: h5py.File) -> None:
        file.attrs["layer_names"] = value

    refused(network, edited(change))


@pytest.mark.parametrize("value", [7, b"", [b""], [b"/"], [b"../x", b"y"]])
def test_a_strange_list_of_arrays_is_refused(network: Any, edited: Edited, value: Any) -> None:
    def change(file: h5py.File) -> None:
        file["conv_7b"].attrs["weight_names"] = value

    refused(network, edited(change))


def first_convolution(file: h5py.File) -> str:
    return next(name for name in file.attrs["layer_names"] if name.startswith("conv2d"))


def test_a_path_that_does_not_exist(network: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--weights .*nowhere\.h5: there is no such file") as error:
        load_initial(network, str(tmp_path / "nowhere.h5"))
    assert error.value.expected == (
        "'imagenet', 'none', the path of an .h5 file in the official Keras layout, or the folder of another run"
    )


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nobody answers, in the place of Keras' own, and an empty cache."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(weights, "IMAGENET_URL", "http://127.0.0.1:9/")
    return "http://127.0.0.1:9/"


def test_imagenet_that_cannot_be_fetched_says_how_to_go_on(
    network: Any, nowhere: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError) as error:
        load_initial(network, "imagenet")
    name = "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5"
    assert error.value.got.startswith("the ImageNet weights could not be fetched (")
    assert "Connection refused" in error.value.got
    assert error.value.expected == f"the file {name} (about 217 MB, MD5 d19885ff4a710c122648d3b5c3b684e4)"
    assert f"get {nowhere}inception_resnet_v2/{name}" in error.value.do
    assert f"--weights PATH/TO/{name}" in error.value.do
    assert "--weights none" in error.value.do
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("backbone", "size", "file"),
    [
        ("mobilenet_v2", 128, "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_128_no_top.h5"),
        ("mobilenet_v2", 100, "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
        ("efficientnet_v2_b0", 128, "efficientnet_v2/efficientnetv2-b0_notop.h5"),
    ],
)
def test_the_file_that_keras_would_fetch_is_asked_for(nowhere: str, backbone: str, size: int, file: str) -> None:
    with pytest.raises(InputError) as error:
        fetch_imagenet(BACKBONES[backbone], size)
    assert f"get {nowhere}{file}\n" in error.value.do


def test_imagenet_is_taken_from_keras_cache(tmp_path: Path, nowhere: str) -> None:
    assert nowhere
    cached = tmp_path / ".keras" / "models" / "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"weights")
    backbone = replace(BACKBONES["inception_v3"], weights_md5=hashlib.md5(b"weights").hexdigest())
    assert fetch_imagenet(backbone, 299) == cached
