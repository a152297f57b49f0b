"""What is found in videos as rows that are written, and read again by the run that goes on; see `x3ddeploy.rows`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from x3ddeploy.contract import Contract
from x3ddeploy.prediction.document import SCHEMA_VERSION
from x3ddeploy.prediction.videos import Found, SkippedVideo
from x3ddeploy.rows import Row

KEY = "video"


def video_rows(video: Path, found: Sequence[Found], top: int) -> list[Row]:
    """A row a window, with its `top` classes, and one that says why there are no more; at least one.

    Args:
        video: the file.
        found: everything about it.
        top: classes listed, of each kind of scores.
    """
    rows = [
        _failed(video, str(item.reason)) if isinstance(item, SkippedVideo) else item.line(top).to_json()
        for item in found
    ]
    return rows or [_failed(video, "nobody is seen in any window")]


def _failed(video: Path, reason: str) -> Row:
    return {"schema_version": SCHEMA_VERSION, KEY: str(video), "error": reason}


def is_failed(rows: Sequence[Row]) -> bool:
    """Whether a video could not be used, by its rows."""
    return any(row.get("error") is not None for row in rows)


def row_schema(contract: Contract) -> Callable[[Any], Any]:
    """From pyarrow to its schema of the rows: those of JSON lines, the scores of each name as a list of classes."""

    def schema(arrow: Any) -> Any:
        text, whole, number = arrow.string(), arrow.int64(), arrow.float64()
        classes = arrow.list_(arrow.struct([("class", whole), ("label", text), ("score", number)]))
        columns = {
            "schema_version": whole,
            KEY: text,
            "start_frame": whole,
            "end_frame": whole,
            "start_s": number,
            "end_s": number,
            "person": whole,
            "frames_with_persons": whole,
            "notes": arrow.list_(text),
            "label": text,
            **dict.fromkeys(dict.fromkeys((contract.deployed, *contract.scores)), classes),
            "error": text,
        }
        return arrow.schema(list(columns.items()))

    return schema
