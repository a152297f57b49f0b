"""Words that the whole toolchain shares: precisions of graphs, and targets that graphs are lowered for."""

from __future__ import annotations

from enum import Enum


class _Word(str, Enum):
    """A value that is its own text wherever it is printed, compared or put into JSON."""

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, specification: str) -> str:
        return format(str(self.value), specification)


class Precision(_Word):
    """What a graph's values are stored and computed in; float32 graphs lie in the bundle's root, others in a folder."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


class Target(_Word):
    """The runtime whose kernels a graph is lowered for."""

    TENSORRT = "tensorrt"
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
