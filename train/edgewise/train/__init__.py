"""From a folder of photos to a trained InceptionResNetV2: data, network, fitting, evaluation."""
