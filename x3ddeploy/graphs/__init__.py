"""ONNX graphs: written from traced modules, read back, checked, cut, and understood by their structure."""
