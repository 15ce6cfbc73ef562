"""Walking a functional Keras network layer by layer, to make another one from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def sources(layer: Any) -> list[Any]:
    """The layers whose outputs a layer takes, in order; none for an input."""
    before = layer.inbound_nodes[0].inbound_layers
    return list(before) if isinstance(before, (list, tuple)) else [before]


def made_again(layer: Any, **changes: Any) -> Any:
    """A new layer of the same kind and options, with other weights, after ``changes`` to its options."""
    return type(layer).from_config({**layer.get_config(), **changes})


def rebuilt(model: Any, start: Any, convert: Callable[[Any, Any], Any]) -> Any:
    """Follow a network from its input to its output.

    Args:
        model: a functional ``keras.Model`` with one input and one output, in which every layer is called once.
        start: stands for the output of the input layer.
        convert: makes the output of a layer from the layer and what it takes: one object, or a list where a layer
            takes several.

    Returns:
        What ``convert`` made of the last layer.
    """
    made = {model.layers[0].name: start}
    for layer in model.layers[1:]:
        made[layer.name] = convert(layer, _as_call([made[source.name] for source in sources(layer)]))
    return made[model.layers[-1].name]


def _as_call(inputs: Sequence[Any]) -> Any:
    return inputs[0] if len(inputs) == 1 else inputs
