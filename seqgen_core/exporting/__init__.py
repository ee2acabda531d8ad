"""Trained models as single files: weights with their settings inside, and one step as an ONNX graph."""
