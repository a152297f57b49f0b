"""Words that the whole toolchain shares: paths, precisions of graphs, targets that graphs are lowered for."""

from __future__ import annotations

from enum import Enum
from os import PathLike
from typing import TypeVar

from x3ddeploy.errors import UsageError

AnyPath = str | PathLike[str]


class _Word(str, Enum):
    """A value that is its own text wherever it is printed, compared or put into JSON."""

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, specification: str) -> str:
        return format(str(self.value), specification)


_AWord = TypeVar("_AWord", bound=_Word)


def named(kind: type[_AWord], name: str) -> _AWord:
    """The word of that kind. Raises UsageError where there is none."""
    try:
        return kind(name)
    except ValueError as error:
        raise UsageError(f"no {kind.__name__.lower()} named {name!r}", hint=f"one of: {', '.join(kind)}") from error


class Decoder(_Word):
    """Who decodes video files: FFmpeg, through PyAV; or the decoder of the first NVIDIA GPU, through PyNvVideoCodec."""

    PYAV = "pyav"
    NVDEC = "nvdec"


class Precision(_Word):
    """What a graph's values are stored and computed in; float32 graphs lie in the bundle's root, others in a folder."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


class Pixels(_Word):
    """What a pose model or a detector takes a picture's pixels as."""

    IMAGENET = "imagenet"  # R, G, B, less ImageNet's mean, over its standard deviation: mmpose's top-down models
    UNIT = "unit"  # R, G, B in 0..1: Ultralytics' models
    BGR = "bgr"  # B, G, R in 0..255: YOLOX, RTMO
    BGR_IMAGENET = "bgr_imagenet"  # B, G, R, less mean, over standard deviation: RTMDet


class Target(_Word):
    """The runtime whose kernels a graph is lowered for."""

    TENSORRT = "tensorrt"
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
