"""Scores of clips as rows that are written, and read again by the run that goes on; see `x3ddeploy.rows`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from x3ddeploy.contract import Contract
from x3ddeploy.data.loader import SkippedClip
from x3ddeploy.data.people import People
from x3ddeploy.evaluation.document import SCHEMA_VERSION
from x3ddeploy.evaluation.evaluate import ExecutionScores, Scored, ScoredClip
from x3ddeploy.evaluation.scores import VideoScores
from x3ddeploy.rows import Row, Rows, open_rows
from x3ddeploy.runtimes.registry import Execution
from x3ddeploy.terms import Precision

_KEY = "name"


class WrittenClips:
    """The rows of a run; `rows` closes them.

    Args:
        path: .jsonl or .parquet.
        run: see `x3ddeploy.rows.run_of`.
        contract: the network's.

    Attributes:
        known: rows by name, those that are there already and those that are added.
        rows: what is written to.

    Raises:
        as `x3ddeploy.rows.open_rows`.
    """

    def __init__(self, path: Path, run: str, contract: Contract) -> None:
        self._contract = contract
        self.known: dict[str, Scored] = {}
        self.rows: Rows = open_rows(path, _KEY, run, self._keep, _row_schema(contract))

    def add(self, found: Scored) -> None:
        """Write one clip."""
        self.known[found.name] = found
        self.rows.add(_rows(found))

    def _keep(self, name: str, rows: Sequence[Row]) -> None:
        self.known[name] = _scored(name, rows, self._contract)


def _rows(found: Scored) -> list[Row]:
    head = {"schema_version": SCHEMA_VERSION, _KEY: found.name}
    if isinstance(found, SkippedClip):
        return [{**head, "error": found.reason}]
    people = None if found.people is None else {**asdict(found.people), "notes": list(found.people.notes)}
    return [
        {
            **head,
            "label": found.label,
            "people": people,
            "runtime": outcome.execution.runtime,
            "device": outcome.execution.device,
            "precision": outcome.execution.precision.value,
            "version": outcome.version,
            "computed_on": outcome.device,
            "averages": {name: scores[0].tolist() for name, scores in outcome.scores.by_logits.items()},
        }
        for outcome in found.outcomes
    ]


def _scored(name: str, rows: Sequence[Row], contract: Contract) -> Scored:
    if (reason := rows[0].get("error")) is not None:
        return SkippedClip(name, reason)
    people = rows[0]["people"]
    return ScoredClip(
        name,
        rows[0]["label"],
        None if people is None else People(**{**people, "notes": tuple(people["notes"])}),
        tuple(
            ExecutionScores(
                Execution(row["runtime"], row["device"], Precision(row["precision"])),
                row["version"],
                row["computed_on"],
                VideoScores(
                    {logits: np.array([values]) for logits, values in row["averages"].items()}, contract.outputs
                ),
            )
            for row in rows
        ),
    )


def _row_schema(contract: Contract) -> Callable[[Any], Any]:
    """From pyarrow to its schema of the rows."""

    def schema(arrow: Any) -> Any:
        text, whole = arrow.string(), arrow.int64()
        logits = dict.fromkeys(name for score in contract.scores.values() for name in score.weights)
        people = {"frames": whole, "frames_with_persons": whole, "seen": arrow.bool_(), "notes": arrow.list_(text)}
        columns = {
            "schema_version": whole,
            _KEY: text,
            "label": whole,
            "people": arrow.struct(list(people.items())),
            **dict.fromkeys(("runtime", "device", "precision", "version", "computed_on"), text),
            "averages": arrow.struct([(name, arrow.list_(arrow.float64())) for name in logits]),
            "error": text,
        }
        return arrow.schema(list(columns.items()))

    return schema
