"""`x3ddeploy doctor`: show the examination; the findings themselves come from x3ddeploy.doctor."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.parameters import Verb
from x3ddeploy.doctor.report import Report
from x3ddeploy.doctor.text import StyledLine, render
from x3ddeploy.errors import MissingRequirementError
from x3ddeploy.text import escaped


@click.command("doctor", cls=Verb)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(as_json: bool) -> None:
    """Say what this machine is, what works here, and what to install for the rest.

    Runs with nothing optional installed: each package is tried in a child process, so that one that crashes or
    hangs is a finding. Exit code 0 if export and its parity check can run, 4 if something is missing for them.
    """
    if sys.stderr.isatty():
        echo("trying each package in a process of its own ...", err=True)
    report = x3ddeploy.examine()
    if as_json:
        print_json(asdict(report.document()))
    else:
        _show(render(report, max(60, min(shutil.get_terminal_size().columns, 110))))
    if not report.core_works:
        raise _lacking(report)


def _lacking(report: Report) -> MissingRequirementError:
    return MissingRequirementError(f"export cannot run here: {report.core.reason}", hint=report.core.install)


def _show(lines: Sequence[StyledLine]) -> None:
    """Print with rich where it is, else plain."""
    if importlib.util.find_spec("rich") is None:
        for line in lines:
            echo(line.text)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for line in lines:
        text = Text(escaped(line.text))
        text.stylize(line.style, 0, line.styled)
        console.print(text)
