"""When a measurement may end: its medians no longer move, or its time is used up."""

from __future__ import annotations

import numpy as np

WINDOWS = 3
SMALLEST_WINDOW = 5
# A shared machine's medians of five runs scatter by about this much while nothing changes.
LARGEST_CV = 0.02


def window_cv(samples_ms: list[float]) -> float | None:
    """Coefficient of variation (standard deviation over mean) of the medians of the last WINDOWS windows.

    The windows share the later half of the samples, each of at least SMALLEST_WINDOW; None where there are too few.
    """
    size = max(SMALLEST_WINDOW, len(samples_ms) // (2 * WINDOWS))
    if len(samples_ms) < WINDOWS * size:
        return None
    medians = np.median(np.reshape(samples_ms[-WINDOWS * size :], (WINDOWS, size)), axis=1)
    return float(medians.std() / medians.mean()) if medians.mean() > 0 else 0.0


def is_stable(samples_ms: list[float]) -> bool:
    """Whether the windows' medians agree within LARGEST_CV."""
    cv = window_cv(samples_ms)
    return cv is not None and cv <= LARGEST_CV
