"""Scores of clips as rows that are written, and read again by the run that goes on; see `x3ddeploy.rows`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from x3ddeploy.contract import Contract
from x3ddeploy.data.loader import SkippedClip
from x3ddeploy.errors import DataError
from x3ddeploy.evaluation.document import SCHEMA_VERSION, ClipRow, FailedRow
from x3ddeploy.evaluation.evaluate import ExecutionScores, Scored, ScoredClip
from x3ddeploy.evaluation.scores import VideoScores
from x3ddeploy.rows import Row, Rows, open_rows
from x3ddeploy.runtimes.registry import Execution

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
        self._path, self._contract = path, contract
        self.known: dict[str, Scored] = {}
        self.rows: Rows = open_rows(path, _KEY, run, self._keep, _row_schema(contract))

    def add(self, found: Scored) -> None:
        """Write one clip."""
        self.known[found.name] = found
        self.rows.add(msgspec.to_builtins(_rows(found)))

    def _keep(self, name: str, rows: Sequence[Row]) -> None:
        try:
            self.known[name] = _scored(name, rows, self._contract)
        except msgspec.ValidationError as error:
            raise DataError(
                f"{self._path}: the rows of {name} are damaged: {error}", hint="name another place"
            ) from error


def _rows(found: Scored) -> Sequence[ClipRow | FailedRow]:
    if isinstance(found, SkippedClip):
        return [FailedRow(SCHEMA_VERSION, found.name, found.reason)]
    return [
        ClipRow(
            SCHEMA_VERSION,
            found.name,
            label=found.label,
            people=found.people,
            runtime=outcome.execution.runtime,
            device=outcome.execution.device,
            precision=outcome.execution.precision,
            version=outcome.version,
            computed_on=outcome.device,
            averages={name: scores[0].tolist() for name, scores in outcome.scores.by_logits.items()},
        )
        for outcome in found.outcomes
    ]


def _scored(name: str, rows: Sequence[Row], contract: Contract) -> Scored:
    if rows[0].get("error") is not None:
        return SkippedClip(name, msgspec.convert(rows[0], FailedRow).error)
    written = msgspec.convert(rows, list[ClipRow])
    if any(row.averages.keys() != _logits(contract).keys() for row in written):
        raise msgspec.ValidationError("`averages` are not of the network's logits")
    return ScoredClip(
        name,
        written[0].label,
        written[0].people,
        tuple(
            ExecutionScores(
                Execution(row.runtime, row.device, row.precision),
                row.version,
                row.computed_on,
                VideoScores({logits: np.array([values]) for logits, values in row.averages.items()}, contract.outputs),
            )
            for row in written
        ),
    )


def _logits(contract: Contract) -> dict[str, None]:
    """Names of all logits that scores are made of, in the contract's order."""
    return dict.fromkeys(name for score in contract.scores.values() for name in score.weights)


def _row_schema(contract: Contract) -> Callable[[Any], Any]:
    """From pyarrow to its schema of the rows."""

    def schema(arrow: Any) -> Any:
        text, whole = arrow.string(), arrow.int64()
        people = {"frames": whole, "frames_with_persons": whole, "seen": arrow.bool_(), "notes": arrow.list_(text)}
        columns = {
            "schema_version": whole,
            _KEY: text,
            "label": whole,
            "people": arrow.struct(list(people.items())),
            **dict.fromkeys(("runtime", "device", "precision", "version", "computed_on"), text),
            "averages": arrow.struct([(name, arrow.list_(arrow.float64())) for name in _logits(contract)]),
            "error": text,
        }
        return arrow.schema(list(columns.items()))

    return schema
