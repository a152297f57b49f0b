"""What every verb prints with: results on stdout, progress on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from x3ddeploy.cli.echo import echo
from x3ddeploy.text import escaped

if TYPE_CHECKING:
    from rich.progress import TextColumn


class Steps:
    """One line a finished or begun step on stderr, with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def __call__(self, text: str) -> None:
        echo(f"[{time.perf_counter() - self._start:5.1f} s] {text}", err=True)


def described() -> TextColumn:
    """What a bar counts; '[red]' in a file's name is no markup."""
    from rich.progress import TextColumn

    return TextColumn("{task.description:<12}", markup=False)


@contextlib.contextmanager
def counting() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr for each long step where that is a terminal; gives what is told its name, how far, of what."""
    if not sys.stderr.isatty():
        yield lambda name, done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (described(), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def on_count(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(escaped(name), total=total)
            bar.update(tasks[name], completed=done, visible=done < total)

        yield on_count


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """A table on stdout; columns with an index in `right` are aligned right.

    Cells may come from files: they are escaped, and what looks like rich's markup is shown as it is. Only a column's
    name may have two lines.
    """
    table = Table(title=Text(escaped(title)), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, name in enumerate(header):
        table.add_column(Text(escaped(name, keep="\n")), justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(escaped(cell)) for cell in row))
    # A pipe or a file has no width of its own: give it enough for a row to stay on its line.
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)


def print_origins(values: Mapping[str, str], origins: Mapping[str, str], notes: Sequence[str]) -> None:
    """What a model is and where each of its values came from, then what its reader had to say."""
    rows = [(name, values[name], origin) for name, origin in origins.items()]
    print_table("What the model is, and where each value came from", ("value", "", "from"), rows)
    for note in notes:
        echo(f"note: {note}")


def size_text(size_bytes: int) -> str:
    """A file's size for people."""
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.1f} kB"
