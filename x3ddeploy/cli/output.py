"""What every verb prints with: results on stdout, progress on stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table


class Steps:
    """One line a finished or begun step on stderr, with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def __call__(self, text: str) -> None:
        click.echo(f"[{time.perf_counter() - self._start:5.1f} s] {text}", err=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout; NaN and infinity as strings would hide them, so they are refused."""
    click.echo(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False))


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """A table on stdout; columns with an index in `right` are aligned right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)


def size_text(size_bytes: int) -> str:
    """A file's size for people."""
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.1f} kB"
