"""Calibrated ranges as a file that people can read, and that is refused where it does not fit."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from x3ddeploy.calibration.histogram import Histogram
from x3ddeploy.calibration.ranges import Range, choose_range
from x3ddeploy.errors import BundleError
from x3ddeploy.files import read_json

SCHEMA_VERSION = 1
RANDOM = "random"
_LARGEST_FILE = 64 << 20  # a few hundred tensors are 100 kB


@dataclass(frozen=True)
class CalibrationKey:
    """All that decides the ranges.

    Attributes:
        graph_sha256: SHA-256 of the float32 recognizer graph.
        target: lowering target, which also says whether activations are unsigned.
        data: the clips' source in words and digests; its `kind` is 'random' where no data was given.
        clips: names of the clips.
        method: method of choosing a range.
        versions: versions of x3ddeploy and of the runtime that ran the graph.
    """

    graph_sha256: str
    target: str
    data: dict[str, Any]
    clips: tuple[str, ...]
    method: str
    versions: dict[str, str]

    def digest(self) -> str:
        """Sixteen hex digits, the cache file's name."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:16]


@dataclass(frozen=True)
class TensorRange:
    """What was found for one tensor: the chosen range, the values' extremes, the share of zeros."""

    low: float
    high: float
    seen_low: float
    seen_high: float
    zeros: float

    def __post_init__(self) -> None:
        # No comparison with NaN holds, and a range without zero has no scale.
        if not (-math.inf < self.seen_low <= self.low <= 0 <= self.high <= self.seen_high < math.inf):
            raise ValueError(
                f"a range from {self.low:g} to {self.high:g} within {self.seen_low:g} to {self.seen_high:g}"
            )
        if not 0 <= self.zeros <= 1:
            raise ValueError(f"a share of {self.zeros:g}")


@dataclass(frozen=True)
class Calibration:
    """A cache file's content."""

    schema_version: int
    key: CalibrationKey
    tensors: dict[str, TensorRange]

    @property
    def random(self) -> bool:
        """Whether the clips were made up."""
        return self.key.data.get("kind") == RANDOM

    def ranges(self) -> dict[str, Range]:
        """The chosen ranges by tensor."""
        return {name: Range(tensor.low, tensor.high) for name, tensor in self.tensors.items()}


def calibrate(key: CalibrationKey, histograms: dict[str, Histogram], *, unsigned: bool) -> Calibration:
    """Choose every tensor's range by the key's method."""
    tensors = {}
    for name, histogram in histograms.items():
        chosen = choose_range(histogram, key.method, unsigned=unsigned)
        zeros = histogram.zeros / max(histogram.total, 1)
        tensors[name] = TensorRange(chosen.low, chosen.high, histogram.low, histogram.high, round(zeros, 4))
    return Calibration(SCHEMA_VERSION, key, tensors)


def read_calibration(path: Path, key: CalibrationKey) -> Calibration:
    """Read a cache file that shall hold the ranges for `key`.

    Raises:
        BundleError: it cannot be read, or is of another graph, other data, another method or other versions; the
            message says which.
    """
    try:
        calibration: Calibration = read_json(path, Calibration, _LARGEST_FILE)
    except (OSError, ValueError) as error:
        raise BundleError(f"cannot read the calibration {path}: {error}", hint="calibrate again") from error
    if calibration.schema_version != SCHEMA_VERSION:
        raise BundleError(f"{path} has schema version {calibration.schema_version}", hint="calibrate again")
    found, wanted = msgspec.to_builtins(calibration.key), msgspec.to_builtins(key)
    differing = [name for name in wanted if found[name] != wanted[name]]
    if differing:
        raise BundleError(
            f"{path} is a calibration of something else: {', '.join(differing)} differ",
            details=[f"{name}: {_short(found[name])}, not {_short(wanted[name])}" for name in differing],
            hint="calibrate again with --calib",
        )
    return calibration


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 90 else f"{text[:87]}..."
