"""Reading a bench.json again: a number that is none is refused, never compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from msgspec import UnsetType

from x3ddeploy.benchmarking.document import READABLE, SCHEMA_VERSION, Compared
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.files import Versioned, decode_json, read_file

# Samples of every competitor and scope: a thousand rounds of a hundred rows are 2 MB.
_LARGEST_REPORT = 64 << 20
# A written median is rounded at most by the way through JSON.
_SAME = 1e-6


def read_report(path: Path) -> Compared:
    """A bench.json.

    Raises:
        X3DDeployError: it is none, is of a schema that this version does not know, or holds what is no measurement.
    """
    try:
        data = read_file(path, _LARGEST_REPORT)
        versioned: Versioned = decode_json(data, Versioned)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise X3DDeployError(f"{path} is no bench.json: {reason}", hint="`x3ddeploy bench` writes one") from error
    if versioned.schema_version not in READABLE:
        raise X3DDeployError(
            f"{path} is of schema {versioned.schema_version}, and this is schema {SCHEMA_VERSION}", hint="measure again"
        )
    try:
        report: Compared = decode_json(data, Compared)
    except ValueError as error:
        raise X3DDeployError(f"{path} is no bench.json that can be compared: {error}", hint="measure again") from error
    _check(report, path)
    return report


def _check(report: Compared, path: Path) -> None:
    """Raises X3DDeployError where a row stands there twice, or its median is not that of its samples."""
    names = [(row.name, row.scope) for row in report.competitors]
    twice = sorted({f"{name} [{scope}]" for name, scope in names if names.count((name, scope)) > 1})
    wrong = [
        f"{row.name} [{row.scope}]: median_ms {row.median_ms:g}, and the median of its samples is {median:g}"
        for row in report.competitors
        if row.samples_ms and not isinstance(row.median_ms, UnsetType)
        # Written so that a median that is no number is wrong, too.
        if not abs(row.median_ms / (median := float(np.median(row.samples_ms))) - 1) <= _SAME
    ]
    if twice or wrong:
        raise X3DDeployError(
            f"{path} contradicts itself", details=[*(f"{name} stands there twice" for name in twice), *wrong]
        )
