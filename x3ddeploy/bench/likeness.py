"""What has to be the same for two times to be compared, and what is not, in words to stand beside the ratio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]


def differences(row: Row, other: Row) -> list[str]:
    """Of two rows of bench.json: scope, precision, clips, and each input's T, H, W; empty where they are alike.

    Batch and channels are in the shapes, too: (N, C, T, H, W).
    """
    found = [
        f"{key} {row[key]} against {other[key]}" for key in ("scope", "precision", "batch") if row[key] != other[key]
    ]
    for name in sorted({*row["shapes"], *other["shapes"]}):
        mine, theirs = row["shapes"].get(name), other["shapes"].get(name)
        if mine is None or theirs is None:
            found.append(f"only one of them takes {name}")
        elif list(mine[2:]) != list(theirs[2:]):
            found.append(f"{name} of {_extent(mine)} against {_extent(theirs)}")
    return found


def _extent(shape: list[int]) -> str:
    frames, *size = shape[2:]
    return f"{frames} frames of {' x '.join(map(str, size))}"
