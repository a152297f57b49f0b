"""Reading a bench.json again: a number that is none is refused, never compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

from x3ddeploy.benchmarking.document import READABLE, SCHEMA_VERSION, Compared
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.files import read_json

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
        report: dict[str, Any] = read_json(path, dict[str, Any], _LARGEST_REPORT)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise X3DDeployError(f"{path} is no bench.json: {reason}", hint="`x3ddeploy bench` writes one") from error
    version = report.get("schema_version")
    if version not in READABLE or version is True:
        raise X3DDeployError(
            f"{path} is of schema {report.get('schema_version')!r:.40}, and this is schema {SCHEMA_VERSION}",
            hint="measure it again",
        )
    check_report(report, str(path))
    return cast(Compared, report)


def check_report(report: Mapping[str, object], where: str) -> None:
    """Raises X3DDeployError where a report holds what is no measurement: times of zero, NaN, rows without a name.

    Args:
        report: as parsed from a bench.json.
        where: it comes from, for the message.
    """
    try:
        rows = msgspec.convert(report, Compared)["competitors"]
    except msgspec.ValidationError as error:
        raise X3DDeployError(f"{where} is no bench.json that can be compared: {error}", hint="measure again") from error
    names = [(row["name"], row["scope"]) for row in rows]
    twice = sorted({f"{name} [{scope}]" for name, scope in names if names.count((name, scope)) > 1})
    wrong = [
        f"{row['name']} [{row['scope']}]: median_ms {written:g}, and the median of its samples is {median:g}"
        for row in rows
        if row["samples_ms"] and (written := row.get("median_ms")) is not None
        # Written so that a median that is no number is wrong, too.
        if not abs(written / (median := float(np.median(row["samples_ms"]))) - 1) <= _SAME
    ]
    if twice or wrong:
        raise X3DDeployError(
            f"{where} contradicts itself", details=[*(f"{name} stands there twice" for name in twice), *wrong]
        )
