"""The part of a frame that is classified."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgewise.runtime.frames import BgrPicture
from edgewise.spec import InputError


@dataclass(frozen=True)
class Box:
    """A rectangle in whole pixels, inside its picture."""

    left: int
    top: int
    right: int  # the first column outside
    bottom: int  # the first row outside

    def of(self, picture: BgrPicture) -> BgrPicture:
        """The pixels of the box, as a view: (bottom - top, right - left, 3)."""
        return picture[self.top : self.bottom, self.left : self.right]


@dataclass(frozen=True)
class Region:
    """A rectangle in the frame: in pixels, or in shares of the frame's width and height."""

    x: float
    y: float
    width: float
    height: float
    shares: bool  # True: each number is from 0 to 1

    @classmethod
    def parse(cls, text: str) -> Region:
        """Read ``x,y,width,height``: shares of the frame where no number is above 1, and pixels otherwise.

        Raises:
            InputError: other text, a negative number, an empty rectangle, or one that leaves the frame.
        """
        wanted = InputError(
            f"--region {text}",
            "x,y,width,height from the upper left corner, in pixels (100,50,400,300) or in shares of the frame "
            "(0.25,0.25,0.5,0.5)",
        )
        try:
            x, y, width, height = (float(word) for word in text.split(","))
        except ValueError:
            raise wanted from None
        numbers = (x, y, width, height)
        if not all(math.isfinite(number) and number >= 0 for number in numbers) or not (width and height):
            raise wanted
        shares = max(numbers) <= 1
        if shares and (x >= 1 or y >= 1):
            raise wanted
        return cls(x, y, width, height, shares)

    def box(self, height: int, width: int) -> Box:
        """The rectangle in a frame of that size, cut at its edges, at least one pixel.

        Raises:
            InputError: no part of it is inside.
        """
        across, down = (width, height) if self.shares else (1, 1)
        left, top = int(self.x * across), int(self.y * down)
        if left >= width or top >= height:
            raise InputError(
                f"the region that starts at {left},{top} is outside the frames, which are {width} x {height} pixels",
                "a region inside",
            )
        right = min(width, max(left + 1, round((self.x + self.width) * across)))
        bottom = min(height, max(top + 1, round((self.y + self.height) * down)))
        return Box(left, top, right, bottom)
