"""What a manifest says was measured or built, against the reports that were written when it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from x3ddeploy.bundle.manifest import AccuracyEntry, EngineEntry, Spread
from x3ddeploy.bundle.opened import Bundle
from x3ddeploy.bundle.paths import PARITY, golden_folder
from x3ddeploy.files import JSON_LIMIT, read_json

_REPORT = "report.json"  # in the folder of a precision
D = TypeVar("D")


class _Measured(msgspec.Struct):
    """What of parity.json or of a precision's report is in the manifest, too; less in those of older versions."""

    rounding: dict[str, float | Spread] | UnsetType = UNSET
    golden_error: dict[str, float] | UnsetType = UNSET
    float_layers: dict[str, str] | UnsetType = UNSET
    random: bool | UnsetType = UNSET
    accuracy: dict[str, AccuracyEntry] | UnsetType | None = UNSET


class _Built(msgspec.Struct):
    """What of an engine's report is in the manifest, too."""

    entry: EngineEntry | UnsetType = UNSET


def rounding_problems(bundle: Bundle) -> Iterator[str]:
    """Every output has a rounding, or none has: an output without one would be compared with nothing."""
    manifest = bundle.manifest
    outputs = {f"{name} -> {output}" for name, part in manifest.parts.items() for output in part.outputs}
    if manifest.rounding and manifest.rounding.keys() != outputs:
        yield f"rounding: it is not of the graphs' outputs: {_odd(manifest.rounding.keys() ^ outputs)}"
    for precision, made in manifest.precisions.items():
        has_golden = any(name.startswith(f"{golden_folder(precision)}/") for name in manifest.files)
        if (made.rounding or has_golden) and made.rounding.keys() != outputs:
            differing = _odd(made.rounding.keys() ^ outputs)
            yield f"precisions.{precision}.rounding: it is not of the graphs' outputs: {differing}"
        outputs_there = [f"{golden_folder(precision)}/{name}.npy" for name in bundle.contract.outputs]
        yield from (f"{file}: missing" for file in outputs_there if made.rounding and file not in manifest.files)
        said = {
            "rounding": made.rounding,
            "golden_error": made.golden_error,
            "float_layers": made.float_layers,
            "random": made.random_calibration,
            "accuracy": made.accuracy,
        }
        yield from _as_measured(bundle, f"{precision}/{_REPORT}", f"precisions.{precision}.", said)
    yield from _as_measured(bundle, PARITY, "", {"rounding": manifest.rounding})


def _as_measured(bundle: Bundle, file: str, place: str, said: Mapping[str, Any]) -> Iterator[str]:
    """What a manifest says was measured is what was written down when it was; older versions wrote less.

    Tolerances are multiples of some of it.
    """
    if file not in bundle.manifest.files:
        if said["rounding"]:
            yield f"{file}: missing"
        return
    measured = _written(bundle, file, _Measured)
    if isinstance(measured, str):
        yield measured
        return
    for key, value in said.items():
        found = getattr(measured, key)
        if found is not UNSET and found != value:
            yield f"{place}{key}: it is not that of {file}"


def engine_problems(bundle: Bundle) -> Iterator[str]:
    """What a manifest says of an engine is what was written down beside it when it was built."""
    for name, entry in bundle.manifest.engines.items():
        file = f"{name.removesuffix('.plan')}.json"
        if file not in bundle.manifest.files:
            yield f"{file}: missing"
            continue
        built = _written(bundle, file, _Built)
        if isinstance(built, str):
            yield built
        elif built.entry not in (UNSET, entry):
            yield f"engines.{name}: it is not that of {file}"


def _written(bundle: Bundle, file: str, kind: type[D]) -> D | str:
    """What a report in the bundle says, or why it cannot be read."""
    try:
        return read_json(bundle.path / file, kind, JSON_LIMIT)
    except (OSError, ValueError) as error:
        return f"{file}: cannot be read: {error}"


def _odd(names: Set[str]) -> str:
    return ", ".join(sorted(names)[:4])
