"""NVIDIA's libraries: the only code that knows TensorRT and the CUDA driver, and which engine fits a machine."""
