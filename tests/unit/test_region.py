"""The part of a frame that is classified: pixels, shares, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.runtime.region import Box, Region
from edgewise.spec import InputError


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("100,50,400,300", Box(100, 50, 500, 350)),
        ("0.25,0.25,0.5,0.5", Box(160, 120, 480, 360)),
        ("0,0,1,1", Box(0, 0, 640, 480)),
        ("600,400,400,300", Box(600, 400, 640, 480)),
        ("0.9,0.9,0.0001,0.0001", Box(576, 432, 577, 433)),
    ],
)
def test_pixels_and_shares_become_a_box_inside_the_frame(text: str, box: Box) -> None:
    assert Region.parse(text).box(480, 640) == box


def test_the_box_is_cut_out_of_the_picture() -> None:
    picture = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    assert np.array_equal(Box(2, 1, 5, 4).of(picture), picture[1:4, 2:5])


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "a,b,c,d", "-1,0,5,5", "0,0,0,10", "nan,0,1,1", "1,0,0.5,0.5", "1,2,3,4,5"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        Region.parse(text)
    assert str(caught.value).startswith(
        f"--region {text}\nExpected: x,y,width,height from the upper left corner, in pixels"
    )


def test_a_region_outside_the_frame_is_explained() -> None:
    with pytest.raises(InputError) as caught:
        Region.parse("700,0,50,50").box(480, 640)
    assert str(caught.value) == (
        "the region that starts at 700,0 is outside the frames, which are 640 x 480 pixels\nExpected: a region inside"
    )
