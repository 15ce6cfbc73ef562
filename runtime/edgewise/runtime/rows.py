"""What is said about one photo: a row of the output."""

from __future__ import annotations

from dataclasses import dataclass

from edgewise.runtime.classifier import Prediction
from edgewise.spec import EdgewiseError


@dataclass(frozen=True)
class Row:
    """The answer about one photo: a prediction, or an error."""

    name: str  # path as it was given or found, masked URL, "video.mp4#frame=120", or "#3" for the fourth array
    prediction: Prediction | None
    error: EdgewiseError | None  # why there is no prediction
    milliseconds: float | None  # time of the network alone, without reading and decoding; None with an error
