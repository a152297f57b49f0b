"""The state of a calibration: one histogram a tensor and the clips that are in them; it can be saved and resumed."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from x3ddeploy.atomic import write_bytes
from x3ddeploy.calibration.histogram import Histogram
from x3ddeploy.data.arrays import CLIP_LIMIT, read_arrays
from x3ddeploy.errors import DataError


@dataclass
class TensorHistograms:
    """Histograms by tensor.

    Attributes:
        key: key of the calibration that they belong to.
        clips: names of the clips taken in so far, in order.
    """

    key: str
    histograms: dict[str, Histogram]
    clips: list[str] = field(default_factory=list)

    @classmethod
    def empty(cls, key: str, tensors: tuple[str, ...]) -> TensorHistograms:
        """Nothing seen yet."""
        return cls(key, {name: Histogram() for name in tensors})

    def with_room_for(self, clip: str) -> TensorHistograms:
        """A copy that names one clip more, whose values are still to be counted."""
        return TensorHistograms(self.key, copy.deepcopy(self.histograms), [*self.clips, clip])

    def save(self, path: Path) -> None:
        """Write the state so that `load` gives it back; a reader sees the old file or the new one."""
        about = {
            "key": self.key,
            "clips": self.clips,
            "tensors": {
                name: [histogram.limit, histogram.low, histogram.high, histogram.zeros, histogram.total]
                for name, histogram in self.histograms.items()
            },
        }
        buffer = io.BytesIO()
        counts = np.stack([histogram.counts for histogram in self.histograms.values()])
        np.savez_compressed(buffer, about=np.frombuffer(json.dumps(about).encode(), np.uint8), counts=counts)
        write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path, key: str) -> TensorHistograms:
        """Read a saved state.

        Raises:
            DataError: it cannot be read, or belongs to another calibration.
        """
        try:
            arrays = read_arrays(path, CLIP_LIMIT, only=("about", "counts"))
            about, counts = json.loads(arrays["about"].tobytes()), arrays["counts"]
            histograms = {
                name: Histogram(row.copy(), *values)
                for (name, values), row in zip(about["tensors"].items(), counts, strict=True)
            }
            statistics = cls(about["key"], histograms, about["clips"])
        except (DataError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"cannot resume the calibration in {path}: {error}",
                hint="delete that file, and calibrate from the start",
            ) from error
        if statistics.key != key:
            raise DataError(f"{path} belongs to another calibration", hint="delete that file")
        return statistics
