"""How a network of another maker is fed: layout, size, channels and dtype of its input, and what pixels become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edgewise.runtime.engines.base import Engine, TensorInfo
from edgewise.runtime.interface import Feed, normalized_table, raw_table
from edgewise.runtime.normalization import EXPECTED, Normalization
from edgewise.spec import InputError, ModelError
from edgewise.spec.manifest import MAX_IMAGE_SIZE
from edgewise.spec.opening import Opening

FLOATS = ("float16", "float32", "float64")
WHOLE = ("uint8", "int8", "uint16", "int16")

_NCHW = "NCHW"
LAYOUTS = {"NHWC": (1, 2, 3), _NCHW: (2, 3, 1)}
"""Places of height, width and channels in the shape."""

_CHANNELS = (1, 3)


@dataclass(frozen=True)
class Taken:
    """What a network takes."""

    height: int  # pixels
    width: int  # pixels
    feed: Feed


def find_input(engine: Engine, name: str, normalization: Normalization | None, opening: Opening) -> Taken:
    """Find out how a network is fed.

    Args:
        engine: the network.
        name: how the file is called in error messages.
        normalization: what is known about it; None: nothing.
        opening: what the user says.

    Raises:
        ModelError: it takes no pictures, or something cannot be found out; the message names the option.
        InputError: an option contradicts the network.
    """
    if len(engine.inputs) != 1:
        raise ModelError(f"{name} has {len(engine.inputs)} inputs", "an image classifier, with one input")
    info = engine.inputs[0]
    layout = _layout(info, name, opening)
    at_height, at_width, at_channels = LAYOUTS[layout]
    height, width = (_size(info.shape[place], info, name, opening) for place in (at_height, at_width))
    table = _table(info, info.shape[at_channels] or 3, name, normalization)
    bgr = opening.color_order == "bgr"
    # A normalization says what becomes of red, green and blue.
    return Taken(height, width, Feed(table[::-1] if bgr else table, channels_first=layout == _NCHW, bgr=bgr))


def _layout(info: TensorInfo, name: str, opening: Opening) -> str:
    """The order in which channels stand where there are 1 or 3 of them."""
    shape, asked = info.shape, opening.input_layout
    possible = [layout for layout, places in LAYOUTS.items() if len(shape) == 4 and shape[places[2]] in _CHANNELS]
    if not possible or info.dtype not in (*FLOATS, *WHOLE):
        raise ModelError(f"{name} takes {shown(info)}", "an image classifier: pictures of 1 or 3 channels")
    if asked is not None and asked not in possible:
        raise InputError(f"--input-layout {asked} for {name}, which takes {shown(info)}", " or ".join(possible))
    if asked is None and len(possible) > 1:
        raise ModelError(
            f"{name} takes {shown(info)}, which may be NHWC or NCHW", "one that is said", "add --input-layout"
        )
    return asked or possible[0]


def _size(size: int | None, info: TensorInfo, name: str, opening: Opening) -> int:
    asked = opening.image_size
    if size is None and asked is None:
        raise ModelError(
            f"{name} takes {shown(info)}, pictures of any size", "a size that is said", "add --image-size PIXELS"
        )
    if size is not None and asked not in (None, size):
        raise InputError(f"--image-size {asked} for {name}, which takes {shown(info)}", "no --image-size")
    found = int(size or asked or 0)
    if not 1 <= found <= MAX_IMAGE_SIZE:
        raise ModelError(f"{name} takes {shown(info)}", f"height and width from 1 to {MAX_IMAGE_SIZE}")
    return found


def _table(info: TensorInfo, channels: int, name: str, normalization: Normalization | None) -> NDArray[Any]:
    whole = info.dtype in WHOLE
    # Other tools feed whole numbers with pixels as they are, whatever the metadata says for floats.
    if whole and (normalization is None or not normalization.asked):
        return raw_table(info.dtype, channels)
    if normalization is None:
        raise ModelError(
            f"{name} takes {shown(info)}, and nothing says what pixels become",
            f"--normalize with {EXPECTED}",
            "add --normalize as in the network's training",
        )
    if whole and not info.scale:
        raise InputError(f"--normalize for {name}, which takes {info.dtype} without a scale", "no --normalize")
    if normalization.channels > channels:
        raise InputError(f"a normalization by three numbers for {name}, which takes {shown(info)}", "one number each")
    return normalized_table(
        info.dtype, normalization.mean, normalization.deviation, channels, info.scale, info.zero_point
    )


def shown(info: TensorInfo) -> str:
    """A tensor in words."""
    return f"{info.dtype} of shape ({', '.join('n' if size is None else str(size) for size in info.shape)})"
