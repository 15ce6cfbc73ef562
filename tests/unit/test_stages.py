"""Cut points: the blocks of a network in order, each with all later layers behind it."""

from __future__ import annotations

from typing import Any

import pytest

from edgewise.spec import InputError
from edgewise.train.architecture import Architecture, keep_blocks
from edgewise.train.network import build
from edgewise.train.stages import check_point, layers_from, unfreeze_points

SMALL = Architecture(3, 75, keep_blocks((2, 1, 1)))


@pytest.fixture(scope="module")
def model() -> Any:
    return build(SMALL)


def test_from_the_first_block_on_is_the_whole_network(model: Any) -> None:
    assert layers_from(model, "stem") == tuple(layer.name for layer in model.layers[1:])


def test_each_block_is_a_piece_of_the_one_before(model: Any) -> None:
    points = unfreeze_points(SMALL)
    parts = [layers_from(model, point) for point in points]
    for point, longer, shorter in zip(points, parts, parts[1:], strict=False):
        assert longer[-len(shorter) :] == shorter
        block = longer[: -len(shorter)]
        assert point == "stem" or {name for name in block if name.startswith(f"{point}_") or name == point} == set(
            block
        )
    assert parts[-1] == ("conv_7b", "conv_7b_bn", "conv_7b_ac", "avg_pool", "dropout", "predictions")


def test_blocks_that_were_not_kept_are_no_points() -> None:
    assert unfreeze_points(SMALL) == (
        *("stem", "block35_5", "block35_10", "mixed_6a", "block17_20", "mixed_7a", "block8_10", "conv_7b"),
    )
    assert len(unfreeze_points(Architecture(3))) == 44


@pytest.mark.parametrize("point", ["block35_1", "block_1", "stem_1", "predictions", ""])
def test_other_names_are_refused_with_those_there_are(model: Any, point: str) -> None:
    with pytest.raises(InputError, match=f"--unfreeze {point}: inception_resnet_v2 has no such block here") as refused:
        check_point(SMALL, point)
    assert refused.value.expected == "one of " + ", ".join(unfreeze_points(SMALL))
    with pytest.raises(InputError, match=f"--unfreeze {point}"):
        layers_from(model, point)
    check_point(SMALL, "block17_20")
