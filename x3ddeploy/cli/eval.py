"""`x3ddeploy eval`: how accurate is this bundle, in every runtime and precision, beside PyTorch?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, other_threads_on_stderr, print_json
from x3ddeploy.cli.next_steps import print_next
from x3ddeploy.cli.parameters import (
    MOST_CLIPS,
    MOST_CLIPS_AT_A_TIME,
    MOST_THREADS,
    Count,
    Verb,
    min_keypoint_score,
    placement_options,
    ray_options,
)
from x3ddeploy.text import shell_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from x3ddeploy.evaluation.document import EvalReport, Result

# Over this share of the time spent waiting, more threads are worth a hint.
_LONG_WAITING = 0.3
_MOST_CHANGES = 10


@click.command(cls=Verb)
@click.argument("bundle", type=click.Path(path_type=Path), default="deploy")
@click.option("--data", "data_path", type=click.Path(path_type=Path), required=True, help="Labelled clips.")
@click.option("--split", help="Split of the annotations, e.g. xsub_val.")
@click.option("--videos", type=click.Path(path_type=Path), help="Folder of the videos.  [default: beside the data]")
@placement_options
@click.option(
    "--num-clips",
    type=Count(MOST_CLIPS_AT_A_TIME),
    help="Clips a video, averaged.  [default: as many as the network was tested with]",
)
@min_keypoint_score
@click.option("--batch", type=Count(MOST_CLIPS_AT_A_TIME), help="Clips at a time.  [default: the bundle's, or 1]")
@click.option("--workers", type=Count(MOST_THREADS), default=2, show_default=True, help="Threads that load clips.")
@click.option(
    "--on-error",
    type=click.Choice(["raise", "skip"]),
    default="raise",
    show_default=True,
    help="What becomes of a clip that cannot be loaded; skipped ones are named.",
)
@click.option("--limit", type=Count(MOST_CLIPS), help="Evaluate this many videos, of all classes alike.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder for eval.json and plots.  [default: the bundle]"
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="EVAL.json",
    help="Say what changed since that evaluation, of the same videos with other keypoints or another checkpoint.",
)
@click.option(
    "--plot",
    type=click.Choice(["png", "svg"]),
    help="Format of the confusion matrices in -o.  [default: png where matplotlib is installed]",
)
@click.option(
    "--scores",
    type=click.Path(path_type=Path),
    help="Write each clip's scores, to a file .jsonl or a folder .parquet; what is there is not run again.",
)
@ray_options
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    bundle: Path,
    data_path: Path,
    split: str | None,
    videos: Path | None,
    runtimes: tuple[str, ...],
    device: str | None,
    precisions: tuple[str, ...],
    num_clips: int | None,
    min_keypoint_score: float | None,
    batch: int | None,
    workers: int,
    on_error: Literal["raise", "skip"],
    limit: int | None,
    output: Path | None,
    against: Path | None,
    plot: Literal["png", "svg"] | None,
    scores: Path | None,
    ray: str | None,
    ray_workers: int | None,
    as_json: bool,
) -> None:
    """Measure the accuracy of BUNDLE (default: deploy) on labelled clips: each stream, and two fused 1:1, 2:1 and 1:2.

    Every runtime and precision stands beside PyTorch's numbers on the float32 weights. Labelled clips are a data set (a
    folder with annotations.pkl and videos/), an annotation pickle, a folder of .npz clips, or, for a network that needs
    no keypoints, a list of videos (FILE.txt).
    """
    from x3ddeploy.cli.output import Steps

    with Steps().bars() as progress, other_threads_on_stderr():
        evaluated = x3ddeploy.evaluate(
            bundle,
            data=data_path,
            split=split,
            videos=videos,
            runtimes=runtimes,
            device=device,
            precisions=precisions,
            num_clips=num_clips,
            min_keypoint_score=min_keypoint_score,
            batch=batch,
            workers=workers,
            on_error=on_error,
            limit=limit,
            output=output,
            against=against,
            plot=plot,
            scores=scores,
            ray=ray,
            ray_workers=ray_workers,
            progress=progress,
        )
    if as_json:
        print_json(evaluated.report)
    else:
        _print(evaluated.report, evaluated.streams)
        echo(f"written: {', '.join(map(str, evaluated.files))}")
        print_next(f"bench {shell_word(bundle)}")


def _print(report: EvalReport, streams: Sequence[str]) -> None:
    _print_accuracies(report)
    _print_classes(report, streams)
    _print_changes(report)
    _print_against(report)
    persons = report.persons
    if persons is not None:
        echo(f"persons in {persons.frames_with_persons} of {persons.frames} frames")
        for name in persons.videos_without:
            echo(f"no person: {name}")
        for entry in persons.notes:
            echo(f"note: {entry.name}: {entry.note}")
    skipped = report.skipped
    for video in skipped.videos:
        echo(f"skipped: {video.name}: {video.reason.partition(chr(10))[0]}")
    for line in report.left_out:
        echo(f"not evaluated: {line}")
    for precision in report.random_calibration:
        echo(f"{precision} was calibrated with made-up clips: its accuracy is not what real ones would give")
    loading = report.loading
    line = (
        f"{report.videos} videos of {_clips(report)}, {skipped.count} skipped; waited for data "
        f"{loading.waiting_s:.1f} of {loading.total_s:.1f} s ({loading.waiting_share:.0%}, "
        f"{loading.workers} workers)"
    )
    echo(line + (": --workers may shorten it" if loading.waiting_share > _LONG_WAITING else ""))


def _clips(report: EvalReport) -> str:
    views = report.views
    clips = "1 clip" if views.clips == 1 else f"{views.clips} clips"
    crops = "" if views.crops == 1 else f" x {views.crops} crops"
    return clips + crops + (", each mirrored as well," if views.flip else "")


def _print_accuracies(report: EvalReport) -> None:
    from x3ddeploy.cli.output import print_table

    reference = report.results[0]
    rows = []
    for result in report.results:
        for name, scores in result.scores.items():
            against = result.against_reference
            first = name == next(iter(result.scores))
            rows.append(
                (
                    f"{result.runtime} {result.version}" if first else "",
                    result.precision if first else "",
                    name + (" (deployed)" if name == report.deployed else ""),
                    *(f"{share:.2%}" for share in (scores.top1, scores.top5, scores.mean_class)),
                    "" if against is None else f"{100 * (scores.top1 - reference.scores[name].top1):+.2f}",
                    "" if against is None else f"{against[name].agreement:.2%}",
                    "" if against is None else f"{against[name].largest_difference:.1e}",
                )
            )
    print_table(
        f"{report.data.path} {report.data.split or ''}: {report.videos} videos, "
        f"{_clips(report)} each, on {report.machine.cpu}; differences from {report.reference}",
        ("runtime", "", "scores", "top-1", "top-5", "mean class", "top-1 +-", "same class", "largest"),
        rows,
        right=(3, 4, 5, 6, 7, 8),
    )


def _print_classes(report: EvalReport, streams: Sequence[str]) -> None:
    """Accuracy of each class in the reference, and how many videos each target gained or lost of it."""
    from x3ddeploy.cli.output import print_table

    reference, *others = report.results
    deployed = report.deployed
    shown = list(dict.fromkeys([*streams, deployed]))
    rows = []
    for entry in report.classes:
        if not entry.videos:
            continue
        index = entry.class_index
        rows.append(
            (
                str(index),
                entry.label,
                str(entry.videos),
                *(f"{reference.scores[name].by_class[index]:.1%}" for name in shown),
                *(_change(result, deployed, index) for result in others),
            )
        )
    print_table(
        f"By class: {report.reference}, and videos gained or lost ({deployed}) by",
        ("class", "", "videos", *shown, *(f"{result.runtime}\n{result.precision}" for result in others)),
        rows,
        right=(0, *range(2, 3 + len(shown) + len(others))),
    )
    absent = sum(not entry.videos for entry in report.classes)
    if absent:
        echo(f"{absent} of {len(report.classes)} classes have no videos here")


def _change(result: Result, scores: str, index: int) -> str:
    against = result.against_reference or {}
    changes = {entry.class_index: entry.videos for entry in against[scores].class_changes}
    return f"{changes[index]:+d}" if index in changes else "="


def _print_changes(report: EvalReport) -> None:
    """The videos whose class changed, by target."""
    names = [entry.label for entry in report.classes]
    for result in report.results[1:]:
        against = result.against_reference or {}
        changed = against[report.deployed].changed_videos
        for video in changed[:_MOST_CHANGES]:
            echo(
                f"{result.runtime} {result.precision}: {video.name} ({names[video.label]}): "
                f"{names[video.before]} -> {names[video.after]}, by a margin of {video.margin:.3f}"
            )
        if len(changed) > _MOST_CHANGES:
            echo(f"... and {len(changed) - _MOST_CHANGES} more, in eval.json")


def _print_against(report: EvalReport) -> None:
    """What changed since an earlier evaluation: by score, and by class in the deployed one."""
    from x3ddeploy.cli.output import print_table

    changes, deployed = report.against, report.deployed
    if changes is None:
        return
    rows = [
        (name + (" (deployed)" if name == deployed else ""), before.top1, changes.after[name].top1)
        for name, before in changes.before.items()
    ]
    if deployed in changes.before:
        by_class = (accuracies[deployed].by_class for accuracies in (changes.before, changes.after))
        for entry, before, after in zip(report.classes, *by_class, strict=True):
            if before is not None and after is not None and before != after:
                rows.append((f"{entry.label}, {deployed}", before, after))
    print_table(
        f"Top-1 against {changes.path} ({changes.data}), {changes.runtime} {changes.precision}",
        ("", "before", "now", "points"),
        [(name, f"{before:.2%}", f"{after:.2%}", f"{100 * (after - before):+.2f}") for name, before, after in rows],
        right=(1, 2, 3),
    )
