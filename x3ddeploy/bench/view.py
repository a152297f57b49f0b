"""What reports and tables show of bench.json, apart from how they look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Report = Mapping[str, Any]
Row = Mapping[str, Any]


def timed_rows(report: Report, scope: str) -> list[Row]:
    """Competitors timed in a scope, fastest first."""
    rows = [row for row in report["competitors"] if row["scope"] == scope and row["samples_ms"]]
    return sorted(rows, key=lambda row: float(row["median_ms"]))


def times_floor(row: Row) -> float | None:
    """The median over what the machine's ceilings allow; None where that is not known or holds more than inference."""
    if row["floor_ms"] is None or row["scope"] == "pipeline":
        return None
    return float(row["median_ms"] / row["floor_ms"]["total_ms"])


def absent_by_reason(report: Report) -> dict[str, list[str]]:
    """Reason -> names of what was not measured for it."""
    found: dict[str, list[str]] = {}
    for entry in report["absent"]:
        found.setdefault(entry["reason"], []).append(entry["name"])
    return found


def headline_text(entry: Mapping[str, Any]) -> str:
    """A ratio in words, with its scope, spread, and in what the two are not alike."""
    ratio = entry["times_as_fast"]
    unlike = f". Not alike: {'; '.join(entry['unlike'])}" if entry["unlike"] else ""
    return (
        f"{entry['faster']} is {ratio['median']:.2f} times as fast as {entry['slower']} ({entry['network']}), scope "
        f"{entry['scope']}, quartiles {ratio['lower_quartile']:.2f} to {ratio['upper_quartile']:.2f}{unlike}"
    )
