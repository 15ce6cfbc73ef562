"""What ``--normalize`` understands."""

from __future__ import annotations

import pytest

from edgewise.runtime.normalization import EXPECTED, parse_normalization
from edgewise.spec import InputError


@pytest.mark.parametrize(
    ("text", "mean", "deviation"),
    [
        ("none", (0.0,), (1.0,)),
        ("0..1", (0.0,), (255.0,)),
        ("-1..1", (127.5,), (127.5,)),
        ("imagenet", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        ("127/128", (127.0,), (128.0,)),
        ("124,116,104/58", (124.0, 116.0, 104.0), (58.0,)),
        ("-1/2,3,4", (-1.0,), (2.0, 3.0, 4.0)),
    ],
)
def test_names_and_numbers(text: str, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
    found = parse_normalization(text)
    assert (found.mean, found.deviation, found.asked) == (mean, deviation, True)


@pytest.mark.parametrize(
    "text", ["", "imgnet", "1", "1/", "/1", "1/0", "1/-2", "nan/1", "1/inf", "1,2/3", "1/1,2,3,4", "1/2/3"]
)
def test_what_is_no_normalization_is_told_what_there_is(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_normalization(text)
    assert str(caught.value) == f"--normalize {text}\nExpected: {EXPECTED}"
    assert "imagenet" in EXPECTED
    assert "MEAN/DEVIATION in pixel values" in EXPECTED
