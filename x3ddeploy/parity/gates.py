"""What every numeric gate of a graph allows: factors of a measured rounding, with floors, and what they are for.

The factors are over all that right runtimes did in benchmarks/gate_rounding.py (docs/proof.md); tests/faults has what
they have to find.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from x3ddeploy.bundle import PrecisionEntry, Spread
from x3ddeploy.errors import BundleError, UsageError
from x3ddeploy.modalities.graphs import is_preprocessing

# Float32 against PyTorch's float64, in units of PyTorch's own float32 distance from it.
FLOAT32_FACTOR = 8.0
# Of a range, or of a probability. PyTorch may round so well in an output that eight times is less than a right runtime
# needs: the full-size network's pose logits are 2e-7 off there, and 3.4e-6 in ONNX Runtime, whose sigmoid is another.
# The least of the faults in tests/faults moves an output by 1e-4.
FLOAT32_FLOOR = 1e-5
# Where eight times a network's own rounding would hide a fault, it is no network to deploy in float32.
FLOAT32_MOST = 1e-3
# Preprocessing graphs have no depth for rounding to grow in.
PREPROCESSING_TOLERANCE = 1e-5
# A lower precision's graphs against their own golden outputs: ONNX Runtime and OpenVINO differ by at most 1.7 of the
# rounding that precision/golden.py measures, in each of its three measures.
LOWER_FACTOR = 2.0
LOWER_FLOOR = 1e-3
# An output of zeros is off by all of its root mean square, whatever a precision's own rounding is.
LOWER_MOST_RMS = 0.9
# TensorRT's kernels are not in those measurements: it sums by Winograd's transforms in float32, and in float16 where
# that is faster. Half a percent of the logits' range is what deployments are promised.
ENGINE_FLOAT32_FLOOR = 1e-4
ENGINE_LOWER_FLOOR = 5e-3


@dataclass(frozen=True)
class Float32Gate:
    """What each output of the float32 graphs is held to.

    Attributes:
        rounding: 'part -> output' -> PyTorch's float32 distance from float64.
        explicit: a relative tolerance for every output instead (`--verify-tol`), or None.
    """

    rounding: Mapping[str, float]
    explicit: float | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for a tolerance that no comparison could fail, or none pass."""
        if self.explicit is not None and not 0 < self.explicit < math.inf:
            raise UsageError(f"a tolerance of {self.explicit:g} is no tolerance", hint="give a number over 0")

    def tolerance(self, part: str, output: str) -> float:
        """Largest relative error of one output (`scores`: absolute).

        Raises:
            BundleError: there is no rounding of this output.
        """
        if self.explicit is not None:
            return self.explicit
        if is_preprocessing(part):
            return PREPROCESSING_TOLERANCE
        label = f"{part} -> {output}"
        if label not in self.rounding:
            raise BundleError(f"the manifest has no rounding of {label}", hint="export again, or give --verify-tol")
        return float32_tolerance(self.rounding[label])

    def describe(self) -> str:
        """The rule, in words."""
        if self.explicit is not None:
            return f"at most {self.explicit:g} of its range"
        return f"at most {FLOAT32_FACTOR:g} times PyTorch's own float32 rounding, or {FLOAT32_FLOOR:g}"


def float32_tolerance(rounding: float) -> float:
    """How far float32 may be from float64 where PyTorch's own float32 is `rounding` away."""
    return min(max(FLOAT32_FACTOR * rounding, FLOAT32_FLOOR), FLOAT32_MOST)


def lower_tolerance(made: PrecisionEntry, label: str, floor: float = LOWER_FLOOR) -> Spread:
    """How far a lower precision may be from its golden output.

    Args:
        made: the precision's entry in the manifest.
        label: 'part -> output'.
        floor: least tolerance.

    Raises:
        BundleError: the manifest does not say what its rounding is.
    """
    if label not in made.rounding:
        raise BundleError(f"the manifest has no rounding of {label}", hint="run `x3ddeploy quantize` again")
    spread = made.rounding[label].times(LOWER_FACTOR, floor)
    return replace(spread, rms=min(spread.rms, LOWER_MOST_RMS))
