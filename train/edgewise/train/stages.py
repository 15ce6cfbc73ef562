"""Where a network can be cut for fine-tuning: from which block on its layers learn."""

from __future__ import annotations

from typing import Any

from edgewise.spec import InputError
from edgewise.train.architecture import Architecture
from edgewise.train.backbones import BACKBONES, INCEPTION_RESNET_V2, STAGES


def unfreeze_points(architecture: Architecture) -> tuple[str, ...]:
    """The blocks of a network from input to output; each can be the first that learns.

    Everything from the first one on is the whole network. InceptionResNetV2 leaves out the blocks that were not kept.
    """
    points = BACKBONES[architecture.backbone].points
    if architecture.backbone != INCEPTION_RESNET_V2:
        return points
    kept = {f"{stage}_{number}" for stage, numbers in architecture.blocks.items() for number in numbers}
    return tuple(point for point in points if point in kept or not point.startswith(tuple(STAGES)))


def check_point(architecture: Architecture, point: str) -> None:
    """Refuse a block that a network does not have, before anything slow begins.

    Raises:
        InputError: there is no such block; the message lists those there are.
    """
    points = unfreeze_points(architecture)
    if point not in points:
        raise InputError(
            f"--unfreeze {point}: {architecture.backbone} has no such block here", "one of " + ", ".join(points)
        )


def layers_from(model: Any, point: str) -> tuple[str, ...]:
    """The names of all layers from a block on, in order, classifier included.

    Blocks follow each other with one tensor between them, so the layers of a later block all stand behind those of an
    earlier one in Keras' order, which goes by depth.

    Args:
        model: built by `edgewise.train.network.build`.
        point: one of `unfreeze_points` of its architecture.

    Raises:
        InputError: the model has no such block.
    """
    if point not in points_in(model):
        raise InputError(f"--unfreeze {point}: {model.name} has no such block here")
    names = [layer.name for layer in model.layers]
    return tuple(names[next(index for index, name in enumerate(names) if _belongs(name, point)) :])


def points_in(model: Any) -> tuple[str, ...]:
    """The blocks that a built network has, from input to output; those that were not kept are left out."""
    names = [layer.name for layer in model.layers]
    return tuple(point for point in BACKBONES[model.name].points if any(_belongs(name, point) for name in names))


def _belongs(name: str, point: str) -> bool:
    return name == point or name.startswith(f"{point}_")
