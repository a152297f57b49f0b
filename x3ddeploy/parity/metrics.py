"""How far two tensors are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from x3ddeploy.errors import GateError


@dataclass(frozen=True)
class Difference:
    """`actual` against `reference`, over all elements.

    Attributes:
        max_abs: largest absolute difference.
        mean_abs: mean absolute difference.
        relative: max_abs over the reference's largest magnitude. Chosen over an element-wise ratio, which is
            unbounded where an element is near zero.
        cosine: of the two tensors as vectors; 1 where both are zero.
        top1_agreement: share of clips whose largest class is the same; None for tensors that are not (N, classes).
        finite: whether `actual` holds no NaN and no infinity; all else is meaningless where it does.
    """

    max_abs: float
    mean_abs: float
    relative: float
    cosine: float
    top1_agreement: float | None
    finite: bool

    def within(self, tolerance: float) -> bool:
        """Finite, and the relative difference at most `tolerance`."""
        return self.finite and self.relative <= tolerance


def compare(reference: npt.NDArray[np.generic], actual: npt.NDArray[np.generic]) -> Difference:
    """Measure the difference of two tensors of the same shape, in float64.

    Raises:
        GateError: their shapes differ.
    """
    if reference.shape != actual.shape:
        raise GateError(f"shape {actual.shape} where {reference.shape} was expected")
    a, b = reference.astype(np.float64).ravel(), actual.astype(np.float64).ravel()
    if not np.isfinite(b).all():
        return Difference(float("inf"), float("inf"), float("inf"), 0.0, None, finite=False)
    error = np.abs(a - b)
    scale, norms = np.abs(a).max(initial=0.0), float(np.linalg.norm(a) * np.linalg.norm(b))
    largest = float(error.max(initial=0.0))
    cosine = float(a @ b) / norms if norms > 0 else float(largest == 0)
    relative = largest / float(scale) if scale > 0 else (0.0 if largest == 0 else float("inf"))
    top1 = float((reference.argmax(1) == actual.argmax(1)).mean()) if reference.ndim == 2 else None
    return Difference(largest, float(error.mean()) if error.size else 0.0, relative, cosine, top1, finite=True)
