"""Which layers learn, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgewise.train.normalization import normalization_layers
from edgewise.train.recipe import Recipe
from edgewise.train.stages import layers_from, points_in


def freeze(model: Any, recipe: Recipe) -> None:
    """Keep what a recipe does not train.

    With given weights, normalization layers stay in inference mode: their statistics belong to the weights, and those
    of small batches are worse. ``recipe.unfreeze`` keeps everything before a block as it is, too.

    Raises:
        InputError: there is no such block.
    """
    if recipe.from_scratch:
        return
    for layer in normalization_layers(model):
        layer.trainable = False
    if recipe.unfreeze:
        learning = set(layers_from(model, recipe.unfreeze))
        for layer in model.layers:
            if layer.name not in learning:
                layer.trainable = False


def rate_multipliers(model: Any, variables: Sequence[Any], layer_decay: float) -> list[float]:
    """One multiplier of the learning rate per variable.

    It is 1 for the classifier, and for each block before it ``layer_decay`` times that of the next. Early layers of
    given weights hold what all photos have in common and need to change least (Bao et al., "BEiT", arXiv:2106.08254,
    section 3.1).
    """
    if layer_decay == 1:
        return [1.0] * len(variables)
    points = points_in(model)
    depth: dict[str, int] = {}
    for index, point in enumerate(points, 1):
        depth.update(dict.fromkeys(layers_from(model, point), index))
    depth["predictions"] = len(points) + 1
    of_variable = {id(variable): depth.get(layer.name, 0) for layer in model.layers for variable in layer.variables}
    return [layer_decay ** (len(points) + 1 - of_variable[id(variable)]) for variable in variables]
