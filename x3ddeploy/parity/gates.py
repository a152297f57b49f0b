"""What every numeric gate allows: factors of a measured rounding, and floors below which nothing is told apart."""

from __future__ import annotations

from x3ddeploy.bundle import Precision
from x3ddeploy.errors import BundleError
from x3ddeploy.parity.metrics import Spread

# A lower precision's graphs against their own golden outputs. ONNX Runtime and OpenVINO differ by at most 1.6 of the
# rounding that precision/golden.py measures, in each of its three measures (benchmarks/results/gate_rounding.json).
LOWER_FACTOR = 2.0
LOWER_FLOOR = 1e-3


def lower_tolerance(made: Precision, label: str) -> Spread:
    """How far 'part -> output' of a lower precision may be from its golden output.

    Raises:
        BundleError: the manifest does not say what its rounding is.
    """
    if label not in made.rounding:
        raise BundleError(f"the manifest has no rounding of {label}", hint="run `x3ddeploy quantize` again")
    return made.rounding[label].times(LOWER_FACTOR, LOWER_FLOOR)
