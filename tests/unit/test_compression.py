"""What can be asked of compression, and what its fine-tuning can be like."""

from __future__ import annotations

from typing import Any

import pytest

from edgewise.export.compression import Compression
from edgewise.export.distillation import FineTuning
from edgewise.spec import InputError


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "nothing to compress\nExpected: at least one of pruning, clustering and quantization"),
        ({"prune": 1.0}, "a share of 1 of all weights to prune\nExpected: above 0 and below 1, such as 0.5"),
        ({"pattern": "1:4"}, "pruning in the pattern '1:4'\nExpected: 2:4"),
        (
            {"pattern": "2:4", "prune": 0.8},
            "pruning a share of 0.8 in the pattern 2:4\nExpected: 0.5, which the pattern makes\n"
            "Do: leave out one of the two",
        ),
        ({"cluster": 1}, "1 different weights\nExpected: 2 to 255"),
        (
            {"cluster": 2, "prune": 0.5},
            "2 different weights\nExpected: 3 to 255, because zero is one of them in a pruned network",
        ),
    ],
)
def test_what_cannot_be_asked_for(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Compression(**fields)
    assert str(caught.value) == message


def test_settings_out_of_range() -> None:
    with pytest.raises(InputError, match=r"fine-tuning with epochs 0\nExpected: 1 to 1000"):
        FineTuning(epochs=0)


def test_left_over_photos_are_not_counted() -> None:
    settings = FineTuning(epochs=3, batch_size=16)
    assert settings.steps(47) == 6
    assert settings.steps(5) == 3
