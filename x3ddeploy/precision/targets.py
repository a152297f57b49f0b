"""How each lowering target wants its INT8 graphs, chosen by measurement (docs/quantize.md)."""

from __future__ import annotations

from dataclasses import dataclass

from x3ddeploy.errors import UsageError
from x3ddeploy.graphs.roles import Role
from x3ddeploy.precision.qdq import Scheme
from x3ddeploy.precision.sites import QUANTIZABLE
from x3ddeploy.terms import Precision, Target

_PRODUCTS = frozenset({Role.POINTWISE, Role.DENSE, Role.CLASSIFIER})


@dataclass(frozen=True)
class TargetPrecision:
    """Lower precision for one lowering target.

    Attributes:
        scheme: its Q/DQ.
        rest: type of what is not quantized; None is float32.
        runtime: what its graphs are judged in on a machine without a GPU.
        bf16: whether it computes bfloat16 graphs.
    """

    scheme: Scheme
    rest: Precision | None
    runtime: str
    bf16: bool = False


TARGETS: dict[Target, TargetPrecision] = {
    # int8 with zero point 0 and weights behind a pair are what TensorRT 8.6 to 11 all take. Depthwise convolutions
    # and the stem stay half: they do little arithmetic, and INT8 tensor cores have no form of them.
    Target.TENSORRT: TargetPrecision(
        Scheme(_PRODUCTS, unsigned=False, stored_int8=False, one_axis=False, odd_groups=False),
        Precision.FP16,
        "onnxruntime",
        bf16=True,
    ),
    # The pointwise layers alone lose least: each quantized depthwise convolution costs two more layout changes there.
    Target.ONNXRUNTIME: TargetPrecision(Scheme(_PRODUCTS, unsigned=True, stored_int8=True), None, "onnxruntime"),
    # Everything: its plugin fuses ReLU and the next quantization into a convolution, which then writes a quarter.
    Target.OPENVINO: TargetPrecision(Scheme(QUANTIZABLE, unsigned=True, stored_int8=True), None, "openvino", bf16=True),
}


def target_named(name: str) -> TargetPrecision:
    """Raises UsageError for an unknown name."""
    if name not in TARGETS:
        raise UsageError(f"no target named {name!r}", hint=f"one of: {', '.join(TARGETS)}")
    return TARGETS[Target(name)]
