"""A network as it answers in training.

Dropout is drawn from the number of the step instead of a generator with a state. So a training that was interrupted
draws on as it would have, and devices that share a batch draw what one device would.
"""

from __future__ import annotations

from typing import Any

from edgewise.train.framework import keras, tf
from edgewise.train.graph import rebuilt


def training_answers(model: Any, images: Any, seed: int, step: Any) -> Any:
    """What a network answers in training mode, in a graph.

    Args:
        model: see `edgewise.train.network.build`.
        images: float32 ``(batch, size, size, 3)`` in [-1, 1]; on one of several devices, its part of the batch.
        seed: of all dropout layers.
        step: integer tensor; equal steps draw equally.
    """
    dropouts = {layer.name: index for index, layer in enumerate(dropout_layers(model))}

    def call(layer: Any, inputs: Any) -> Any:
        if layer.name in dropouts:
            key = tf.stack(
                [tf.constant(seed, tf.int64) * len(dropouts) + dropouts[layer.name], tf.cast(step, tf.int64)]
            )
            return _dropped(layer, inputs, key)
        if isinstance(layer, keras.layers.BatchNormalization):
            return layer(inputs, training=True)
        return layer(inputs)

    return rebuilt(model, images, call)


def dropout_layers(model: Any) -> list[Any]:
    """The dropout layers of a flat network, in order."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]


def _dropped(layer: Any, inputs: Any, key: Any) -> Any:
    """Inverted dropout; a layer with a ``noise_shape`` drops whole pictures or channels."""
    if not layer.rate:
        return inputs
    context = tf.distribute.get_replica_context()
    devices, device = context.num_replicas_in_sync, context.replica_id_in_sync_group
    shape = tf.shape(inputs)
    wanted = layer.noise_shape or (None,) * len(inputs.shape)
    rest = [shape[axis] if length is None else length for axis, length in enumerate(wanted)][1:]
    # Drawn for the whole batch; a device takes the rows that are its part.
    draw = tf.random.stateless_uniform([shape[0] * devices, *rest], key)
    draw = draw[device * shape[0] : (device + 1) * shape[0]]
    return tf.where(draw >= layer.rate, inputs / tf.cast(1 - layer.rate, inputs.dtype), tf.zeros_like(inputs))
