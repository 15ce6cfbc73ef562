"""Weights of a network: our own files, files in the official Keras layout, and ImageNet's."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from edgewise.spec import InputError, ModelError
from edgewise.spec.files import sha256_file
from edgewise.train.architecture import Architecture
from edgewise.train.backbones import BACKBONES, INCEPTION_RESNET_V2, Backbone
from edgewise.train.framework import keras
from edgewise.train.hdf5 import find_dataset, opened, read_arrays, read_dataset, write_arrays
from edgewise.train.network import build, residual_scale
from edgewise.train.run import WEIGHTS
from edgewise.train.stages import points_in

IMAGENET_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
"""Where Keras fetches the weights of its applications."""

NORMALIZES = re.compile(r"(^|[_/])(bn|batch_?norm(alization)?)([_/]|$)", re.IGNORECASE)
"""In the names of normalization layers: ``conv_7b_bn``, ``batch_normalization_3``, ``bn_Conv1``, ``Conv/BatchNorm``."""

CLASSIFIER = "predictions"
FETCH_TIMEOUT = 30.0
"""Seconds without an answer before fetching the ImageNet weights is given up."""


@dataclass(frozen=True)
class InitialWeights:
    """Where a network's first weights came from."""

    source: str  # "none", "imagenet" or the path that was given
    sha256: str | None  # of the file; None for "none"


def variable_name(variable: Any) -> str:
    """The name of a Keras variable without its output number: ``stem_1/kernel``."""
    return str(variable.name).split(":")[0]


def save_weights(model: Any, path: Path) -> None:
    """Write a model's weights as ``/layer/variable`` data sets, atomically. Raises OutputError."""
    write_arrays(path, {variable_name(variable): variable.numpy() for variable in model.weights})


def load_weights(model: Any, path: Path) -> None:
    """Fill a model from a file that `save_weights` wrote.

    Raises:
        ModelError: no such file, damaged, or an array is missing or of another shape; the message names it.
    """
    arrays = read_arrays(path, {variable_name(variable): tuple(variable.shape) for variable in model.weights})
    for variable in model.weights:
        variable.assign(arrays[variable_name(variable)])


def load_initial(model: Any, source: str) -> InitialWeights:
    """Fill a new network with its first weights.

    Args:
        model: built by `edgewise.train.network.build`, with or without top.
        source: ``"none"`` (keep the random ones), ``"imagenet"``, the path of a file in the official layout, or of the
            folder of another run.

    Raises:
        InputError: ImageNet's weights cannot be fetched, or the path does not exist.
        ModelError: the file does not fit the network; the message names the layer.
    """
    if source == "none":
        return InitialWeights("none", None)
    path, load = Path(source), load_official
    if source == "imagenet":
        path = fetch_imagenet(BACKBONES[model.name], model.input_shape[1])
    elif path.is_dir():
        path, load = path / WEIGHTS, load_trained
    if not path.is_file():
        raise InputError(
            f"--weights {source}: there is no such file",
            "'imagenet', 'none', the path of an .h5 file in the official Keras layout, or the folder of another run",
        )
    load(model, path)
    return InitialWeights(source, sha256_file(path))


def load_trained(model: Any, path: Path) -> None:
    """Fill a network from what `save_weights` wrote of one with the same backbone.

    Blocks that ``model`` does not have are skipped. The classifier is taken where it has as many classes.

    Raises:
        ModelError: a layer is missing, or an array has another shape; the message names it.
    """
    with opened(path) as file:
        for layer in model.layers:
            names = [variable_name(variable) for variable in layer.weights]
            if layer.name == CLASSIFIER and not _classifier_fits(layer, file, names, path):
                continue
            shapes = [tuple(variable.shape) for variable in layer.weights]
            layer.set_weights([read_dataset(file, *wanted, path) for wanted in zip(names, shapes, strict=True)])


def fetch_imagenet(backbone: Backbone, image_size: int) -> Path:
    """Fetch the official ImageNet weights through Keras, once; later calls find them in Keras' cache.

    Args:
        backbone: whose weights, without classifier.
        image_size: pixels; some backbones have files for several sizes.

    Raises:
        InputError: they cannot be fetched; the message says how to get and use the file by hand.
    """
    place = backbone.official_file(image_size)
    name, url = place.rpartition("/")[2], IMAGENET_URL + place
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(FETCH_TIMEOUT)
    try:
        with redirect_stdout(sys.stderr):  # Keras prints its progress, and results belong on standard output
            return Path(keras.utils.get_file(name, url, cache_subdir="models", file_hash=backbone.weights_md5))
    except Exception as error:  # Keras raises the bare class
        reason = str(error).rsplit(" -- ", 1)[-1].strip() or type(error).__name__
        digest = f", MD5 {backbone.weights_md5}" if backbone.weights_md5 else ""
        raise InputError(
            f"the ImageNet weights could not be fetched ({reason})",
            f"the file {name} (about {backbone.fp32_bytes / 1e6:.0f} MB{digest})",
            f"on a machine with a connection get {url}\n"
            f"    then use it here:   --weights PATH/TO/{name}\n"
            "    or, from scratch:   --weights none   (needs far more photos and time)",
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def load_official(model: Any, path: Path) -> None:
    """Fill a network from a file in the layout of its original in ``tf_keras.applications``.

    The n-th layer with weights in the file belongs to the n-th layer with weights of the full network, whatever their
    names, as in Keras itself. InceptionResNetV2's up-projections are multiplied by the residual scale, and blocks that
    ``model`` does not have are skipped. The classifier is taken where the file has the same one with as many classes;
    otherwise it stays as it is.

    Raises:
        ModelError: not that layout, a layer is missing, or an array has another shape; the message names the layer.
    """
    known = BACKBONES[model.name]
    expected = _official_order(model)
    backbone = len(expected) - 1
    own = {layer.name: layer for layer in model.layers}
    with opened(path) as file:
        stored = _official_layers(file, path, known.title)
        if len(stored) not in (backbone, backbone + known.top_layers):
            raise ModelError(
                f"{path} has {len(stored)} layers with weights{_first_missing(stored, expected)}",
                f"{backbone} of {known.title}, or {backbone + known.top_layers} with its classifier",
                f"use a weights file of {known.title} in tf_keras.applications",
            )
        for wanted, name in zip(expected, stored, strict=False):
            if wanted in own:
                _fill(own[wanted], file, name, path)


def _official_order(model: Any) -> tuple[str, ...]:
    """Names of all layers with weights of the full network, in Keras' order; the classifier is the last."""
    names = [layer.name for layer in model.layers if layer.weights]
    # Building the whole network takes seconds: only where blocks of it were left out.
    if model.name == INCEPTION_RESNET_V2 and points_in(model) != BACKBONES[model.name].points:
        return _all_of_inception_resnet_v2()
    return (*(name for name in names if name != CLASSIFIER), CLASSIFIER)


@cache
def _all_of_inception_resnet_v2() -> tuple[str, ...]:
    smallest = build(Architecture(classes=2, image_size=BACKBONES[INCEPTION_RESNET_V2].min_image_size))
    return tuple(layer.name for layer in smallest.layers if layer.weights)


def _fill(own: Any, file: h5py.File, name: str, path: Path) -> None:
    """Give a layer the arrays stored under ``name``, if they fit."""
    keys = [_text(key) for key in np.ravel(file[name].attrs["weight_names"])]
    if own.name == CLASSIFIER and not _classifier_fits(own, file[name], keys, path):
        return
    if len(keys) != len(own.weights):
        raise ModelError(f"layer '{name}' in {path} has {len(keys)} arrays", f"{len(own.weights)}, as '{own.name}' has")
    shapes = [tuple(variable.shape) for variable in own.weights]
    arrays = [read_dataset(file[name], key, shape, path) for key, shape in zip(keys, shapes, strict=True)]
    own.set_weights(_scaled(own.name, arrays))


def _scaled(name: str, arrays: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Fold the residual scale into an up-projection's kernel and bias; leave other layers alone."""
    up_projection = re.fullmatch(r"(block\d+)_(\d+)_conv", name)
    if not up_projection:
        return arrays
    scale = np.float32(residual_scale(up_projection[1], int(up_projection[2])))
    return [array * scale for array in arrays]


def _classifier_fits(layer: Any, group: h5py.Group, keys: Sequence[str], path: Path) -> bool:
    return [find_dataset(group, key, path).shape for key in keys] == [tuple(w.shape) for w in layer.weights]


def _official_layers(file: h5py.File, path: Path, title: str) -> list[str]:
    """Names of the layers with weights, in the order of the file."""
    if "layer_names" not in file.attrs:
        raise ModelError(
            f"{path} is not in the official Keras layout (it has no 'layer_names')",
            f"a weights file of {title} in tf_keras.applications",
            "a full model (.keras, or .h5 with the architecture) is not loaded, because loading it can run code",
        )
    names = [_text(name) for name in np.ravel(file.attrs["layer_names"])]
    plain = (name for name in names if not _lies_inside(file, name))
    missing = next(plain, None)
    if missing is not None:
        raise ModelError(f"{path} lists the layer '{missing}' but does not have it", "an undamaged file")
    return [name for name in names if np.size(file[name].attrs.get("weight_names", ()))]


def _lies_inside(file: h5py.File, name: str) -> bool:
    """Whether every step to a layer is a hard link: any other could lead out of the file.

    MobileNetV3 has layers in the groups of others: ``Conv/BatchNorm``.
    """
    node: Any = file
    for part in name.split("/"):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) and part else None
        if not isinstance(link, h5py.HardLink):
            return False
        node = node[part]
    return True


def _first_missing(stored: Sequence[str], expected: Sequence[str]) -> str:
    """Name the first layer that should be there by kind and is not, to help finding what is wrong with a file."""
    for name, layer in zip(stored, expected, strict=False):
        if bool(NORMALIZES.search(name)) != bool(NORMALIZES.search(layer)):
            return f" (where '{layer}' should be there is '{name}')"
    return f" ('{expected[len(stored)]}' is missing)" if len(stored) < len(expected) else ""


def _text(value: Any) -> str:
    """A name from a foreign file as text that can be encoded again, whatever bytes it was made of."""
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
    return content.decode("utf-8", "replace")
