"""What `quantize` is asked for, and what it says of each precision that it made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from msgspec import UNSET, UnsetType

from x3ddeploy.bundle import Spread
from x3ddeploy.calibration.recipe import Recipe
from x3ddeploy.precision.accuracy import Agreement, StreamAccuracy
from x3ddeploy.precision.search import Sensitivity
from x3ddeploy.terms import Precision


@dataclass(frozen=True)
class Request:
    """What to make.

    Attributes:
        precisions: all but float32.
        recipe: the clips and the budget.
        random: calibrate with made-up clips.
        calibration: a cache file to take the ranges from.
        opset17: whether graphs are for TensorRT 8.6: quantized ones whose other tensors stay float32.
        runtime: where graphs are judged; None for the bundle's target's, or one that computes the precision.
        device: device of that runtime; None for its default.
    """

    precisions: tuple[Precision, ...]
    recipe: Recipe
    random: bool = False
    calibration: Path | None = None
    opset17: bool = False
    runtime: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class UnitEntry:
    """A Unit, its layers in order; `others` is absent where there are none."""

    name: str
    stream: str
    sites: tuple[str, ...]
    multiply_adds: int
    others: tuple[str, ...] | UnsetType = UNSET


@dataclass(frozen=True)
class SensitivityEntry:
    """What quantizing one unit alone does to the logits of its stream."""

    unit: UnitEntry
    agreement: Agreement


@dataclass(frozen=True)
class MadeReport:
    """The report.json beside a precision's graphs.

    Attributes:
        float_layers: what stays in a higher precision, each with the reason.
        accuracy: against float32 on the judging clips; null where there are none.
        golden_error: 'part -> output' -> relative error on the golden clip.
        rounding: 'part -> output' -> what the manifest says, see `x3ddeploy.bundle.PrecisionEntry`.
        sensitivities: sensitivities of blocks and of kinds of layers, for INT8.
        steps: steps of the search, for INT8.
        random: whether it was calibrated with made-up clips.
    """

    precision: Precision
    float_layers: dict[str, str]
    accuracy: dict[str, StreamAccuracy] | None
    golden_error: dict[str, float]
    rounding: dict[str, Spread]
    sensitivities: tuple[SensitivityEntry, ...]
    steps: tuple[str, ...]
    random: bool


def _entry(found: Sensitivity) -> SensitivityEntry:
    unit = found.unit
    entry = UnitEntry(unit.name, unit.stream, tuple(sorted(unit.sites)), unit.multiply_adds, unit.others or UNSET)
    return SensitivityEntry(entry, found.agreement)


@dataclass(frozen=True)
class MadePrecision:
    """One precision, made.

    Attributes:
        float_layers: what stays in a higher precision, each with the reason.
        accuracy: against float32 on the judging clips, where there are any.
        golden_error: 'part -> output' -> relative error on the golden clip.
        rounding: 'part -> output' -> what the manifest says, see `x3ddeploy.bundle.PrecisionEntry`.
        sensitivities: sensitivities of blocks and of kinds of layers, for INT8.
        steps: steps of the search, for INT8.
        random: whether it was calibrated with made-up clips.
    """

    precision: Precision
    float_layers: dict[str, str]
    accuracy: dict[str, StreamAccuracy] | None
    golden_error: dict[str, float]
    rounding: dict[str, Spread]
    sensitivities: tuple[Sensitivity, ...] = ()
    steps: tuple[str, ...] = ()
    random: bool = False

    def report(self) -> MadeReport:
        """For `--json` and report.json."""
        return MadeReport(**vars(self) | {"sensitivities": tuple(map(_entry, self.sensitivities))})
