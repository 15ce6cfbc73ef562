"""Run exported image classifiers, with nothing of TensorFlow.

>>> from edgewise.runtime import Classifier
>>> classifier = Classifier.open("clothes-int8.tflite")
>>> classifier.predict("photo.jpg").label
>>> for row in classifier.stream("new-photos"):
...     print(row.name, row.prediction.label if row.prediction else row.error)

Many photos are answered sooner by several copies of the network side by side:

>>> with open_bulk("clothes-int8.tflite", backend="auto") as bulk:
...     for row in bulk.stream("new-photos"):
...         print(row.name, row.prediction.label if row.prediction else row.error)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgewise.runtime.bulk import Bulk, open_bulk
    from edgewise.runtime.classifier import UNKNOWN, Classifier, Prediction, Score
    from edgewise.runtime.rows import Row
    from edgewise.spec.opening import Opening

__all__ = ["UNKNOWN", "Bulk", "Classifier", "Opening", "Prediction", "Row", "Score", "open_bulk"]

_ELSEWHERE = {"Bulk": "runtime.bulk", "open_bulk": "runtime.bulk", "Row": "runtime.rows", "Opening": "spec.opening"}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and no more: a model file can then be read while numpy is still being imported."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"edgewise.{_ELSEWHERE.get(name, 'runtime.classifier')}"), name)


def __dir__() -> list[str]:
    return __all__
