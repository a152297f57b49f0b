"""`x3ddeploy data check`: can these annotations and videos be trained and judged on?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.parameters import Verb

if TYPE_CHECKING:
    from x3ddeploy.data.check import DataReport

_SHOWN = 5  # samples of a finding; --json has all


@click.group()
def command() -> None:
    """Look at data sets."""


@command.command(cls=Verb)
@click.argument("annotations", type=click.Path(path_type=Path))
@click.option("--videos", type=click.Path(path_type=Path), help="Folder of the videos; without it none is opened.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with every sample.")
def check(annotations: Path, videos: Path | None, as_json: bool) -> None:
    """Say what ANNOTATIONS hold, and what would stop `eval` and `train`; exit code 1 where something would.

    ANNOTATIONS is a pickle of MMAction2's PoseDataset or a list of its VideoDataset (.txt). Nothing in it is executed.
    """
    from x3ddeploy.cli.output import Steps

    steps = Steps()
    with steps.bars():
        report = x3ddeploy.check_data(annotations, videos, progress=steps)
    if as_json:
        print_json(report)
    else:
        _print(report)
    report.raise_for_findings()


def _print(report: DataReport) -> None:
    from x3ddeploy.cli.output import print_table

    facts = [("samples", str(report.samples)), ("classes", _classes(report.classes))]
    if report.joints:
        facts.append(("joints", ", ".join(f"{joints} in {count}" for joints, count in report.joints.items())))
        where = {2: "pixels", 3: "space"}
        facts.append(("keypoints", ", ".join(f"in {where[of]}: {count}" for of, count in report.coordinates.items())))
        facts.append(("persons", ", ".join(f"{most} in {count}" for most, count in report.persons.items())))
    if report.frames:
        least, median, most = report.frames
        facts.append(("frames", f"{least} to {most}, median {median:g}"))
    if report.pictures:
        facts.append(("pictures", ", ".join(f"{size}: {count}" for size, count in report.pictures.items())))
    facts.append(("videos", "not looked at: --videos names their folder" if report.videos is None else report.videos))
    print_table(report.annotations, ("", ""), facts)
    if report.splits:
        print_table(
            "Splits",
            ("split", "samples", "classes", "without classes"),
            [
                (name, str(split.samples), str(split.classes), _few([*map(str, split.without)]))
                for name, split in report.splits.items()
            ],
            right=(1, 2),
        )
    for finding in report.findings:
        pairs = zip(finding.names, finding.details, strict=True)
        named = [f"{name} ({detail})" if detail else name for name, detail in pairs]
        echo(f"{'STOPS' if finding.fatal else 'note'}: {len(named)} {finding.what}: {_few(named)}")
    if not report.findings:
        echo("nothing to complain of")


def _classes(classes: dict[int, int]) -> str:
    counts = classes.values()
    return f"{len(classes)}, of {min(counts)} to {max(counts)} samples each"


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
