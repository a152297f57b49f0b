"""What every verb prints with: results on stdout, progress on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from x3ddeploy.cli.echo import echo
from x3ddeploy.text import escaped

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID


class Steps:
    """One line a finished or begun step on stderr, with the seconds since the start; a bar where one is opened."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, text: str, /) -> None:
        echo(f"[{time.perf_counter() - self._start:5.1f} s] {text}", err=True)

    def count(self, name: str, done: float, total: float) -> None:
        """Move the bar of something long; what has a total of 1 is a share, not a number."""
        if self._bar is None:
            return
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(escaped(name), total=total, is_share=total == 1)
        self._bar.update(self._tasks[name], completed=done, visible=done < total)

    @contextlib.contextmanager
    def bars(self) -> Iterator[Steps]:
        """Show what is counted meanwhile as bars on stderr, where that is a terminal."""
        if not sys.stderr.isatty():
            yield self
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        # '[red]' in a file's name is no markup.
        described = TextColumn("{task.description:<12}", markup=False)
        columns = (described, BarColumn(), _how_far(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as self._bar:
            yield self
        self._bar = None
        self._tasks = {}


def _how_far() -> ProgressColumn:
    from rich.progress import MofNCompleteColumn, ProgressColumn, Task

    class HowFar(ProgressColumn):
        """'3/10' of what is counted, '30%' of a share."""

        _counted = MofNCompleteColumn()

        def render(self, task: Task) -> Text:
            return Text(f"{task.percentage:>3.0f}%") if task.fields["is_share"] else self._counted.render(task)

    return HowFar()


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
