"""Run exported image classifiers, with nothing of TensorFlow.

>>> from edgewise.runtime import Classifier
>>> classifier = Classifier.open("clothes-int8.tflite")
>>> classifier.predict("photo.jpg").label
>>> for row in classifier.stream("new-photos"):
...     print(row.name, row.prediction.label if row.prediction else row.error)
"""

from edgewise.runtime.classifier import UNKNOWN, Classifier, Prediction, Score
from edgewise.runtime.rows import Row

__all__ = ["UNKNOWN", "Classifier", "Prediction", "Row", "Score"]
