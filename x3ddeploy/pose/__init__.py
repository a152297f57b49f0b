"""Keypoints of persons in videos, by pose models that people already have as ONNX files."""
