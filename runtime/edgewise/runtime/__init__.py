"""Run exported image classifiers, with nothing of TensorFlow.

>>> from edgewise.runtime import Classifier
>>> Classifier.open("clothes-int8.tflite").predict("photo.jpg").label
"""

from edgewise.runtime.classifier import UNKNOWN, Classifier, Prediction, Score

__all__ = ["UNKNOWN", "Classifier", "Prediction", "Score"]
