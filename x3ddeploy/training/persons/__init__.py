"""A detector of persons and a pose network, small enough to be trained on a CPU in a minute, and their ONNX files."""
