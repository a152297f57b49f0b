"""`x3ddeploy verify`: is this bundle what it says, and does it compute right on this machine?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.next_steps import print_next
from x3ddeploy.cli.parameters import Number, Verb, placement_options
from x3ddeploy.text import shell_word

if TYPE_CHECKING:
    from x3ddeploy.bundle import Spread
    from x3ddeploy.verification import Check


@click.command(cls=Verb)
@click.argument("bundle", type=click.Path(path_type=Path), default="deploy")
@placement_options
@click.option("--per-block", is_flag=True, help="Compare every block of the backbones, not only the outputs.")
@click.option(
    "--verify-tol",
    type=Number(1, over=True),
    default=None,
    help="Largest relative error; default: what the export used.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    bundle: Path,
    runtimes: tuple[str, ...],
    device: str | None,
    precisions: tuple[str, ...],
    per_block: bool,
    verify_tol: float | None,
    as_json: bool,
) -> None:
    """Check a BUNDLE (default: deploy): its files against the manifest, then every part in every runtime and precision
    against golden outputs: PyTorch's of the export, and of a lower precision those that its graphs gave when they were
    made. Engines are among the runtimes where they fit. Exit code 3 where something differs.
    """
    from x3ddeploy.cli.output import Steps, print_table

    report = x3ddeploy.verify(
        bundle,
        runtimes=runtimes,
        device=device,
        precisions=precisions,
        per_block=per_block,
        tolerance=verify_tol,
        progress=Steps(),
    )
    if as_json:
        print_json(report.document())
    else:
        rows = [_row(check) for check in report.checks]
        print_table(
            f"{bundle}: {len(report.runtimes)} runtimes; fp32: {report.rule}",
            ("runtime", "output", "max", "mean", "relative", "cosine", "top-1", ""),
            rows,
            right=(2, 3, 4, 5, 6),
        )
        for line in report.skipped:
            echo(f"not verified: {line}")
    report.raise_for_failures()
    if not as_json:
        echo(f"all {len(report.checks)} comparisons hold, {report.file_count} files are unaltered")
        word = shell_word(bundle)
        print_next(f"bench {word}", f"predict VIDEO --bundle {word}")


def _row(check: Check) -> tuple[str, ...]:
    difference = check.difference
    if not difference.finite:
        return (check.runtime, check.name, "-", "-", "-", "-", "-", "NaN or infinity")
    agreement = "" if difference.top1_agreement is None else f"{difference.top1_agreement:.0%}"
    return (
        check.runtime,
        check.name,
        f"{difference.max_abs:.1e}",
        f"{difference.mean_abs:.1e}",
        f"{difference.relative:.1e}",
        f"{difference.cosine:.7f}",
        agreement,
        "ok" if check.holds else f"DIFFERS by more than {_allowed(check.tolerance)}",
    )


def _allowed(tolerance: float | Spread) -> str:
    if isinstance(tolerance, float):
        return f"{tolerance:.1e}"
    return f"{tolerance.relative:.1e}, rms {tolerance.rms:.1e} or channels {tolerance.channels:.1e}"
