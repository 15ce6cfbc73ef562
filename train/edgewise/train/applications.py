"""The networks of ``tf_keras.applications``, built again from plain layers with names that never change.

Keras numbers unnamed layers over a whole process (``conv2d_94``), puts functions into the graph (``x + 3``) and wants
other pixels for each network. Weights are kept by layer name, exporters know plain layers, and training feeds every
network with pixels in [-1, 1]. So each network is walked once, and every layer is made again: named by its place,
functions as `Rescaling`, and what the official network does with pixels as one `Rescaling` in front of it.

The order of the layers with weights stays, so that the official weight files load.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgewise.train.framework import keras
from edgewise.train.graph import made_again, rebuilt

applications = keras.applications

PREPROCESSING = "preprocessing"
"""Name of the layer that gives a backbone other pixels than those in [-1, 1]."""

FUNCTION = "TFOpLambda"
"""How Keras calls a layer that it made of a function of TensorFlow."""

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
"""Of the pixels of ImageNet, RGB, 0-1: what EfficientNetV2-B0 takes from them."""

BUILDERS: dict[str, Callable[..., Any]] = {
    "inception_v3": applications.InceptionV3,
    "mobilenet_v2": applications.MobileNetV2,
    "mobilenet_v3_small": applications.MobileNetV3Small,
    "mobilenet_v3_large": applications.MobileNetV3Large,
    "efficientnet_v2_b0": applications.EfficientNetV2B0,
}
WITHOUT_PREPROCESSING: dict[str, dict[str, bool]] = {
    name: {"include_preprocessing": False}
    for name in ("mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_v2_b0")
}


def application_features(name: str, pixels: Any, momentum: float) -> Any:
    """Put a backbone with random weights behind an input.

    Args:
        name: a key of `BUILDERS`.
        pixels: a Keras input of float32 ``(batch, size, size, 3)`` in [-1, 1].
        momentum: of the moving normalization statistics, 0-1.

    Returns:
        The Keras tensor ``(batch, rows, columns, channels)`` before the global average.
    """
    original = BUILDERS[name](
        include_top=False, weights=None, input_shape=tuple(pixels.shape[1:]), **WITHOUT_PREPROCESSING.get(name, {})
    )
    names = dict(zip((layer.name for layer in original.layers), stable_names(original.layers), strict=True))

    def convert(layer: Any, inputs: Any) -> Any:
        return _plain(layer, names[layer.name], momentum)(inputs)

    return rebuilt(original, _preprocessed(name, pixels), convert)


def _preprocessed(name: str, pixels: Any) -> Any:
    """What the official network computes from raw pixels, for pixels in [-1, 1]."""
    if name != "efficientnet_v2_b0":
        return pixels
    # (x + 1) / 2 is 0-1 again: ((x + 1) / 2 - mean) / deviation.
    scale, offset = 0.5 / DEVIATION, (0.5 - MEAN) / DEVIATION
    return keras.layers.Rescaling(scale.tolist(), offset.tolist(), name=PREPROCESSING)(pixels)


def _plain(layer: Any, name: str, momentum: float) -> Any:
    """The same layer, new, under another name."""
    kind = type(layer).__name__
    if kind == FUNCTION:
        return _rescaling(layer, name)
    changes: dict[str, Any] = {"name": name}
    if kind == "BatchNormalization":
        changes["momentum"] = momentum
    return made_again(layer, **changes)


def _rescaling(layer: Any, name: str) -> Any:
    """Adding or multiplying with a number, as a layer. KeyError: another function, which no backbone has."""
    node = layer.inbound_nodes[0]
    (number,) = (value for value in (*node.call_args, *node.call_kwargs.values()) if isinstance(value, float))
    return {
        "__operators__.add": lambda: keras.layers.Rescaling(1.0, number, name=name),
        "math.multiply": lambda: keras.layers.Rescaling(number, name=name),
    }[layer.get_config()["function"]]()


def stable_names(layers: Sequence[Any]) -> list[str]:
    """A name for each layer that depends on the network alone.

    Names that Keras made up become the kind of the layer and its number among all such of the network. Blocks of
    InceptionV3 have a name only at their end (``mixed0``); their layers get it as a prefix, and those before the
    second pooling get ``stem``. A slash, which would be a group in a weights file, becomes ``_``.
    """
    counts: Counter[str] = Counter()
    names, given = [], []
    for layer in layers:
        kind = _snake(type(layer).__name__)
        counts[kind] += 1
        made_up = re.fullmatch(rf"({kind}|tf\..*?)(_\d+)?", layer.name) is not None
        names.append(f"{kind}_{counts[kind]}" if made_up else layer.name.replace("/", "_"))
        given.append(not made_up)
    block = ""
    for index in reversed(range(len(names))):
        if re.fullmatch(r"mixed\d+", names[index]):
            block = names[index]
        elif block == "mixed0" and names[index] == "max_pooling2d_2":
            block = "stem"
        if block and not given[index]:
            names[index] = f"{block}_{names[index]}"
    return names


def _snake(kind: str) -> str:
    """Keras' own way from the name of a class to that of a layer: ``ReLU`` is ``re_lu``, ``Conv2D`` is ``conv2d``."""
    if kind == FUNCTION:
        return "rescaling"  # what it becomes
    split = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", kind)
    return re.sub("([a-z])([A-Z])", r"\1_\2", split).lower()
