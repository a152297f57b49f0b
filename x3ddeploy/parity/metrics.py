"""How far two tensors are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from x3ddeploy.bundle import Spread as Spread
from x3ddeploy.errors import GateError

SCORES = "scores"


@dataclass(frozen=True)
class Difference:
    """`actual` against `reference`, over all elements.

    Attributes:
        max_abs: largest absolute difference.
        mean_abs: mean absolute difference.
        relative: max_abs over the tensor's scale: the reference's largest magnitude, or 1 for probabilities. Chosen
            over an element-wise ratio, which is unbounded where an element is near zero.
        rms, channels: see Spread.
        cosine: cosine of the two tensors as vectors; 1 where both are zero.
        top1_agreement: share of clips whose largest class is the same; None for tensors that are not (N, classes).
        finite: whether `actual` holds no NaN and no infinity; all else is meaningless where it does.
    """

    max_abs: float
    mean_abs: float
    relative: float
    rms: float
    channels: float
    cosine: float
    top1_agreement: float | None
    finite: bool

    @property
    def spread(self) -> Spread:
        return Spread(self.relative, self.rms, self.channels)

    def within(self, tolerance: float | Spread) -> bool:
        """Finite, and no measure beyond the tolerance; a number bounds `relative` alone. NaN is never within."""
        if not isinstance(tolerance, Spread):
            return self.finite and self.relative <= tolerance
        return (
            self.finite
            and self.relative <= tolerance.relative
            and self.rms <= tolerance.rms
            and self.channels <= tolerance.channels
        )


def compare(
    reference: npt.NDArray[np.generic], actual: npt.NDArray[np.generic], scale: float | None = None
) -> Difference:
    """Measure the difference of two tensors of the same shape, in float64.

    Args:
        reference: what is right; (N, C, ...), where channels are to be told apart.
        actual: what was computed.
        scale: what `relative` is relative to; None for the reference's largest magnitude.

    Raises:
        GateError: their shapes differ.
    """
    if reference.shape != actual.shape:
        raise GateError(f"shape {actual.shape} where {reference.shape} was expected")
    a, b = reference.astype(np.float64), actual.astype(np.float64)
    if not np.isfinite(b).all():
        infinite = float("inf")
        return Difference(infinite, infinite, infinite, infinite, infinite, 0.0, None, finite=False)
    error = b - a
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    largest, size = float(np.abs(error).max(initial=0.0)), _rms(a)
    return Difference(
        max_abs=largest,
        mean_abs=float(np.abs(error).mean()) if error.size else 0.0,
        relative=_ratio(largest, float(np.abs(a).max(initial=0.0)) if scale is None else scale),
        rms=_ratio(_rms(error), size),
        channels=_ratio(_rms(error.mean(axis=(0, *range(2, error.ndim))) if error.ndim > 2 else error), size),
        cosine=float(np.vdot(a, b)) / norms if norms > 0 else float(largest == 0),
        top1_agreement=float((reference.argmax(1) == actual.argmax(1)).mean()) if reference.ndim == 2 else None,
        finite=True,
    )


def compare_output(name: str, reference: npt.NDArray[np.generic], actual: npt.NDArray[np.generic]) -> Difference:
    """`compare` for a tensor of that name: `scores` are probabilities, and compared in absolute terms."""
    return compare(reference, actual, scale=1.0 if name == SCORES else None)


def _rms(values: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(values).mean())) if values.size else 0.0


def _ratio(value: float, scale: float) -> float:
    if scale > 0:
        return value / scale
    return 0.0 if value == 0 else float("inf")
