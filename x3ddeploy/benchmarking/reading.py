"""What of a bench.json a comparison relies on, as types: a number that is none is refused, never compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.files import read_json

SCHEMA_VERSION = 3
# What a comparison reads was the same before headlines said what they are of.
_READABLE = (2, SCHEMA_VERSION)
# Samples of every competitor and scope: a thousand rounds of a hundred rows are 2 MB.
_LARGEST_REPORT = 64 << 20
# A written median is rounded at most by the way through JSON.
_SAME = 1e-6

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
# Over a day no round takes; a median of zero is no measurement. NaN is in no range.
Milliseconds = Annotated[float, msgspec.Meta(gt=0, le=1e8)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=1e21)]
Extent = Annotated[int, msgspec.Meta(ge=1, le=2**31)]


class Row(msgspec.Struct):
    """A competitor in a scope."""

    name: Name
    scope: Name
    precision: Name
    batch: Extent
    shapes: dict[str, Annotated[list[Extent], msgspec.Meta(min_length=3, max_length=8)]]
    samples_ms: list[Milliseconds]
    median_ms: Milliseconds | None = None


class Ceiling(msgspec.Struct):
    """What a device can do at most."""

    device: Name
    gemm_flops: dict[str, Rate | None]
    copy_bytes_per_s: Rate


class _Gpu(msgspec.Struct):
    name: str


class _Machine(msgspec.Struct):
    cpu: str
    gpu: _Gpu | None


class _Measured(msgspec.Struct):
    machine: _Machine
    threads: Extent
    ceilings: list[Ceiling]
    competitors: Annotated[list[Row], msgspec.Meta(min_length=1)]


def read_report(path: Path) -> dict[str, Any]:
    """A bench.json.

    Raises:
        X3DDeployError: it is none, is of a schema that this version does not know, or holds what is no measurement.
    """
    try:
        report: dict[str, Any] = read_json(path, dict[str, Any], _LARGEST_REPORT)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise X3DDeployError(f"{path} is no bench.json: {reason}", hint="`x3ddeploy bench` writes one") from error
    version = report.get("schema_version")
    if version not in _READABLE or version is True:
        raise X3DDeployError(
            f"{path} is of schema {report.get('schema_version')!r:.40}, and this is schema {SCHEMA_VERSION}",
            hint="measure it again",
        )
    check_report(report, str(path))
    return report


def check_report(report: Mapping[str, Any], where: str) -> None:
    """Raises X3DDeployError where a report holds what is no measurement: times of zero, NaN, rows without a name.

    Args:
        report: as parsed from a bench.json.
        where: it comes from, for the message.
    """
    try:
        rows = msgspec.convert(report, _Measured).competitors
    except msgspec.ValidationError as error:
        raise X3DDeployError(f"{where} is no bench.json that can be compared: {error}", hint="measure again") from error
    names = [(row.name, row.scope) for row in rows]
    twice = sorted({f"{name} [{scope}]" for name, scope in names if names.count((name, scope)) > 1})
    wrong = [
        f"{row.name} [{row.scope}]: median_ms {row.median_ms:g}, and the median of its samples is {median:g}"
        for row in rows
        if row.samples_ms and row.median_ms is not None
        # Written so that a median that is no number is wrong, too.
        if not abs(row.median_ms / (median := float(np.median(row.samples_ms))) - 1) <= _SAME
    ]
    if twice or wrong:
        raise X3DDeployError(
            f"{where} contradicts itself", details=[*(f"{name} stands there twice" for name in twice), *wrong]
        )
