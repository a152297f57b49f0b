"""From a histogram to the range that INT8 shall cover: max, percentile, MSE, entropy.

ONNX Runtime and ModelOpt have the same methods, but keep every clip's activations until the end (0.8 to 1.8 GiB a
clip at full size) or cannot be resumed; and none of them leaves a heatmap's zeros out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from x3ddeploy.calibration.histogram import BINS, Histogram
from x3ddeploy.errors import UsageError

PERCENTILE = 99.99  # of the values that are not zero; the value that Wu et al. recommend, arXiv:2004.09602, section 4.2
_CANDIDATES = 100
_SIGNED_LEVELS = 127
_UNSIGNED_LEVELS = 255
_KL_LEVELS = 128


@dataclass(frozen=True)
class Range:
    """Values that INT8 shall cover: low <= 0 <= high."""

    low: float
    high: float


def choose_range(histogram: Histogram, method: str, *, unsigned: bool) -> Range:
    """The range by a named method, never beyond the values that were seen.

    Args:
        histogram: histogram of one tensor.
        method: key in METHODS.
        unsigned: whether the range gets 255 levels of its own (uint8 with a zero point), or 127 a side.
    """
    if method not in METHODS:
        raise UsageError(f"no calibration method named {method!r}", hint=f"one of: {', '.join(METHODS)}")
    threshold = METHODS[method](histogram, unsigned)
    return Range(max(histogram.low, -threshold), min(histogram.high, threshold))


def _largest(histogram: Histogram, unsigned: bool) -> float:
    """All that was seen."""
    return max(-histogram.low, histogram.high)


def _percentile(histogram: Histogram, unsigned: bool) -> float:
    """The magnitude under which PERCENTILE % of the values lie that are not zero."""
    magnitudes = histogram.magnitudes()
    if not magnitudes.any():
        return _largest(histogram, unsigned)
    above = np.searchsorted(np.cumsum(magnitudes), magnitudes.sum() * PERCENTILE / 100)
    return float((above + 1) * 2 * histogram.limit / BINS)


def _least_squares(histogram: Histogram, unsigned: bool) -> float:
    """The threshold with the smallest mean squared error of rounding and clipping together."""
    largest = _largest(histogram, unsigned)
    seen = histogram.counts > 0
    values, counts = histogram.centres[seen], histogram.counts[seen]
    candidates = largest * np.arange(1, _CANDIDATES + 1) / _CANDIDATES
    errors = [_squared_error(values, counts, histogram, threshold, unsigned) for threshold in candidates]
    return float(candidates[int(np.argmin(errors))]) if len(values) else largest


def _squared_error(
    values: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
    histogram: Histogram,
    threshold: float,
    unsigned: bool,
) -> float:
    low, high = max(histogram.low, -threshold), min(histogram.high, threshold)
    scale = (high - low) / _UNSIGNED_LEVELS if unsigned else max(-low, high) / _SIGNED_LEVELS
    rounded = np.clip(np.rint(values / scale) * scale, low, high)
    return float((counts * (values - rounded) ** 2).sum())


def _entropy(histogram: Histogram, unsigned: bool) -> float:
    """The threshold with the least Kullback-Leibler divergence between the values and their 128 levels.

    S. Migacz, 8-bit Inference with TensorRT, GTC 2017. Bins are those of the magnitude.
    """
    magnitudes = histogram.magnitudes().astype(np.float64)
    seen = np.flatnonzero(magnitudes)
    if len(seen) == 0:
        return _largest(histogram, unsigned)
    width, bins = 2 * histogram.limit / BINS, int(seen[-1]) + 1
    ends = range(_KL_LEVELS, bins + 1)
    if bins <= _KL_LEVELS:
        return bins * width
    divergences = [_divergence(magnitudes[:bins], end) for end in ends]
    return float((ends[int(np.argmin(divergences))]) * width)


def _divergence(magnitudes: npt.NDArray[np.float64], end: int) -> float:
    """Divergence of the first `end` bins, the rest clipped into the last, from the same bins merged into levels."""
    reference = magnitudes[:end].copy()
    levels = np.arange(end) * _KL_LEVELS // end
    filled = magnitudes[:end] > 0
    merged = np.bincount(levels, magnitudes[:end], _KL_LEVELS)
    shared = np.bincount(levels, filled, _KL_LEVELS)
    expanded = np.where(filled, merged[levels] / np.maximum(shared[levels], 1), 0)
    reference[-1] += magnitudes[end:].sum()
    # Clipped values fall into a level that the merged histogram may not have: a count as small as none keeps it finite.
    p = reference / reference.sum()
    q = np.maximum(expanded, 1e-9)
    q /= q.sum()
    positive = p > 0
    return float((p[positive] * np.log(p[positive] / q[positive])).sum())


METHODS: dict[str, Callable[[Histogram, bool], float]] = {
    "max": _largest,
    "percentile": _percentile,
    "mse": _least_squares,
    "entropy": _entropy,
}
