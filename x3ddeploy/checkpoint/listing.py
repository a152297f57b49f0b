"""Text out of files, made fit for errors and notes: printable and of a readable length."""

from __future__ import annotations

from collections.abc import Sequence

from x3ddeploy.text import escaped


def printable(text: str, limit: int = 160) -> str:
    """`text` cut to `limit` characters, control characters escaped: a file must not steer the user's terminal."""
    return escaped(text[:limit])


def shortened(lines: Sequence[str], limit: int, what: str = "") -> list[str]:
    """The first `limit` lines, made printable, and how many more there are (of `what`)."""
    more = [f"... and {len(lines) - limit} more {what}".rstrip()] if len(lines) > limit else []
    return [*map(printable, lines[:limit]), *more]
