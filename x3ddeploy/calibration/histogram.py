"""What one tensor's values look like over many clips, in constant memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

BINS = 2048  # over [-limit, limit]; what TensorRT's and ONNX Runtime's calibrators use for one side is 1024 to 2048
# Elements of one clip that enter the histogram; evenly spaced ones stand for the rest. Extremes come from all.
SAMPLE = 1 << 20
_MIN_LIMIT = 2.0**-24


@dataclass
class Histogram:
    """Counts of a tensor's values in equal bins over [-limit, limit]; zeros are counted apart.

    The limit is a power of two and doubles when a value exceeds it, so that old bins fall into new ones in pairs and
    the counts stay exact. Zeros say nothing of a scale: every scheme has a zero. In a heatmap they are 99 % of all
    values, and a percentile or an entropy over them cuts off what the network looks at.

    Attributes:
        counts: (BINS,) int64.
        limit: upper end of the last bin.
        low, high: extremes of all values, zero included.
        zeros, total: number of zeros and of all among the sampled elements.
    """

    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    limit: float = _MIN_LIMIT
    low: float = 0.0
    high: float = 0.0
    zeros: int = 0
    total: int = 0

    def add(self, values: npt.NDArray[np.generic]) -> None:
        """Take in one clip's tensor. Its values must be finite."""
        flat = values.reshape(-1)
        low, high = float(flat.min()), float(flat.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._grow(max(-low, high))
        # An odd step meets every channel and column of the layouts in use, whose sizes are mostly even.
        sample = flat[:: max(1, flat.size // SAMPLE) | 1]
        nonzero = sample[sample != 0]
        place = nonzero + np.float32(self.limit)
        place *= np.float32(BINS / (2 * self.limit))
        counts = np.bincount(place.astype(np.intp), minlength=BINS + 1)  # from 0 on: the cast rounds down
        counts[BINS - 1] += counts[BINS]  # the limit itself
        self.counts += counts[:BINS]
        self.zeros += int(sample.size - nonzero.size)
        self.total += int(sample.size)

    @property
    def centres(self) -> npt.NDArray[np.float64]:
        """(BINS,) middle of each bin."""
        return np.linspace(-self.limit, self.limit, BINS, endpoint=False) + self.limit / BINS

    def magnitudes(self) -> npt.NDArray[np.int64]:
        """(BINS / 2,) counts of |value| in bins over [0, limit]."""
        half = BINS // 2
        return self.counts[half:] + self.counts[:half][::-1]

    def _grow(self, largest: float) -> None:
        while largest > self.limit:
            doublings = max(1, math.ceil(math.log2(largest / self.limit)))
            for _ in range(min(doublings, 11)):  # after eleven, all old counts are in the two middle bins
                paired = self.counts.reshape(-1, 2).sum(1)
                self.counts = np.zeros(BINS, np.int64)
                self.counts[BINS // 4 : 3 * BINS // 4] = paired
            self.limit *= 2.0**doublings
