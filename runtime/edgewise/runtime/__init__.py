"""Run exported image classifiers, with nothing of TensorFlow.

>>> from edgewise.runtime import Classifier
>>> classifier = Classifier.open("clothes-int8.tflite")
>>> classifier.predict("photo.jpg").label
>>> for row in classifier.stream("new-photos"):
...     print(row.name, row.prediction.label if row.prediction else row.error)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgewise.runtime.classifier import UNKNOWN, Classifier, Prediction, Score
    from edgewise.runtime.rows import Row

__all__ = ["UNKNOWN", "Classifier", "Prediction", "Row", "Score"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, and no more: a model file can then be read while numpy is still being imported."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'rows' if name == 'Row' else 'classifier'}"), name)


def __dir__() -> list[str]:
    return __all__
