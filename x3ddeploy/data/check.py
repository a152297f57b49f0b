"""What annotations and their videos hold, and what about them would go wrong, before anything is trained or judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import numpy as np

from x3ddeploy.data.annotations import Annotation, LabelledVideo, read_annotations, read_video_list
from x3ddeploy.data.folder import inside, video_of
from x3ddeploy.data.people import check_keypoints, check_size, persons_by_frame
from x3ddeploy.data.sources.annotated import VIDEO_LIST
from x3ddeploy.data.video import probe
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.progress import QUIET, Step, counting
from x3ddeploy.terms import AnyPath

SCHEMA_VERSION = 1
# Share of a video's frames that may be without any person before it is worth telling.
_MOST_EMPTY = 0.5


class Finding(msgspec.Struct, frozen=True):
    """Something about some samples.

    Attributes:
        what: the finding in words, without the samples' own numbers.
        names: names of the samples.
        details: as many as names, what it is about each.
        fatal: whether `eval` and `train` would stop there.
    """

    what: str
    names: tuple[str, ...]
    details: tuple[str, ...]
    fatal: bool


class FoundSplit(msgspec.Struct, frozen=True):
    """A split: its samples, its classes, and the classes of the whole set that it lacks."""

    samples: int
    classes: int
    without: tuple[int, ...]


class DataReport(msgspec.Struct, frozen=True):
    """What `x3ddeploy data check` found.

    Attributes:
        samples: how many there are.
        splits: name -> what is in it; empty for a list of videos.
        classes: class -> samples.
        joints: number of joints -> samples; empty where there are no keypoints.
        coordinates: 2 in pixels, 3 in space -> samples.
        persons: most persons of a sample -> samples.
        frames: fewest, median and most frames of a sample, by the annotations, or else by the videos.
        pictures: 'width x height' -> samples.
        videos: folder that was looked into; None for none.
        findings: what is wrong or odd.
    """

    schema_version: int
    annotations: str
    samples: int
    splits: dict[str, FoundSplit]
    classes: dict[int, int]
    joints: dict[int, int]
    coordinates: dict[int, int]
    persons: dict[int, int]
    frames: tuple[int, float, int] | None
    pictures: dict[str, int]
    videos: str | None
    findings: tuple[Finding, ...]

    def raise_for_findings(self) -> None:
        """Raises DataError where something would stop `eval` or `train`."""
        fatal = [finding for finding in self.findings if finding.fatal]
        if fatal:
            raise DataError(
                f"{self.annotations}: {sum(len(finding.names) for finding in fatal)} things would stop eval and train",
                details=[f"{finding.what}: {len(finding.names)}" for finding in fatal],
            )


class _Findings:
    """Findings as they come, those of one kind together."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, bool], list[tuple[str, str]]] = {}

    def add(self, what: str, name: str, detail: str = "", *, fatal: bool = False) -> None:
        self._found.setdefault((what, fatal), []).append((name, detail))

    def all(self) -> tuple[Finding, ...]:
        """What would stop the work first."""
        ordered = sorted(self._found.items(), key=lambda item: not item[0][1])
        return tuple(
            Finding(what, tuple(name for name, _ in entries), tuple(detail for _, detail in entries), fatal)
            for (what, fatal), entries in ordered
        )


def check_data(annotations: AnyPath, videos: AnyPath | None = None, *, progress: Step = QUIET) -> DataReport:
    """Look at annotations of MMAction2 and, where a folder is given, at every video that they name.

    Args:
        annotations: a pickle of PoseDataset's form, or VideoDataset's list (`.txt`).
        videos: folder of the videos; None looks at the annotations alone.
        progress: receives steps; a Progress counts the videos.

    Raises:
        DataError: the annotations cannot be read, or samples of them cannot be used; every such sample is listed.
        UsageError: there is no such folder.
        MissingRequirementError: PyAV, which opens videos, is not installed.
    """
    path, folder = Path(annotations), None if videos is None else Path(videos)
    if folder is not None and not folder.is_dir():
        raise UsageError(f"there is no folder of videos {folder}", hint="name it with --videos")
    findings, told = _Findings(), counting(progress)
    samples: tuple[LabelledVideo, ...]
    splits: Mapping[str, tuple[str, ...]] = {}
    is_list = path.suffix == VIDEO_LIST
    if is_list:
        samples = read_video_list(path)
    else:
        content = read_annotations(path, pictures=False)
        samples, splits = tuple(content.samples.values()), content.splits
    if not samples:
        raise DataError(f"{path} has no samples")
    _look_at_splits(splits, samples, findings)
    posed = [sample for sample in samples if isinstance(sample, Annotation)]
    for annotation in posed:
        _look_at_people(annotation, findings)
    lengths = [sample.frames for sample in posed]
    if folder is not None:
        for number, sample in enumerate(samples):
            told.count("videos", number, len(samples))
            frames = _look_at_video(sample, folder, folder / sample.name if is_list else None, findings)
            lengths += [frames] if frames and not posed else []
        told.count("videos", len(samples), len(samples))
    return DataReport(
        schema_version=SCHEMA_VERSION,
        annotations=str(path),
        samples=len(samples),
        splits=_splits(splits, samples),
        classes=_counted(sample.label for sample in samples),
        joints=_counted(sample.keypoints.shape[2] for sample in posed),
        coordinates=_counted(sample.keypoints.shape[3] for sample in posed),
        persons=_counted(_persons(sample) for sample in posed),
        frames=(min(lengths), float(np.median(lengths)), max(lengths)) if lengths else None,
        pictures=dict(Counter("{1} x {0}".format(*sample.image_size) for sample in posed if sample.image_size)),
        videos=None if folder is None else str(folder),
        findings=findings.all(),
    )


def _counted(values: Iterable[int]) -> dict[int, int]:
    return dict(sorted(Counter(values).items()))


def _splits(splits: Mapping[str, tuple[str, ...]], samples: tuple[LabelledVideo, ...]) -> dict[str, FoundSplit]:
    labels = {sample.name: sample.label for sample in samples}
    every = set(labels.values())
    found = {}
    for split, names in splits.items():
        classes = {labels[name] for name in names if name in labels}
        found[split] = FoundSplit(len(names), len(classes), tuple(sorted(every - classes)))
    return found


def _look_at_splits(
    splits: Mapping[str, tuple[str, ...]], samples: tuple[LabelledVideo, ...], findings: _Findings
) -> None:
    known = {sample.name for sample in samples}
    for split, names in splits.items():
        for name, count in Counter(names).items():
            if name not in known:
                findings.add("in a split, and not annotated", name, split, fatal=True)
            if count > 1:
                findings.add("more than once in a split", name, f"{count} times in {split}")
    in_splits = frozenset(name for names in splits.values() for name in names)
    for name in sorted(known - in_splits) if splits else ():
        findings.add("annotated, and in no split", name)
    for split, names in splits.items():
        protocol, _, part = split.rpartition("train")
        for judged in ("val", "test"):
            shared = set(names) & set(splits.get(f"{protocol}{judged}{part}", ())) if "train" in split else ()
            for name in sorted(shared):
                findings.add("trained on and judged by", name, f"{split} and {protocol}{judged}{part}")
    labels = {sample.label for sample in samples}
    for label in sorted(set(range(max(labels) + 1)) - labels)[:1000]:
        findings.add("classes without any sample", str(label))


def _persons(sample: Annotation) -> int:
    """Most persons in one frame."""
    present = np.isfinite(sample.keypoints).all(-1) & (sample.keypoints != 0).any(-1)
    return int(present.any(-1).sum(0).max(initial=0))


def _look_at_people(sample: Annotation, findings: _Findings) -> None:
    try:
        for note in check_keypoints(sample, None):
            findings.add("odd scores", sample.name, note)
    except DataError as error:
        findings.add("keypoints that cannot be meant", sample.name, error.message, fatal=True)
        return
    empty = ~persons_by_frame(sample, None)
    if empty.all():
        findings.add("nobody in any frame", sample.name)
    elif empty.mean() > _MOST_EMPTY:
        findings.add("nobody in most frames", sample.name, f"{int(empty.sum())} of {sample.frames}")


def _look_at_video(sample: LabelledVideo, folder: Path, listed: Path | None, findings: _Findings) -> int | None:
    """Compare the video with its annotation; its frames, where it can be read."""
    try:
        path = inside(folder, listed or video_of(folder, sample.name))
        if not path.exists():
            findings.add("without a video", sample.name, str(path), fatal=True)
            return None
        shown = probe(path)
        if isinstance(sample, Annotation):
            if shown.frames < sample.frames:
                short = f"{shown.frames} frames of {sample.frames}"
                findings.add("video shorter than annotated", sample.name, short, fatal=True)
            elif shown.frames > sample.frames:
                findings.add("video longer than annotated", sample.name, f"{shown.frames} frames, {sample.frames} seen")
            if sample.image_size is not None:
                check_size(sample.name, sample.image_size, (shown.height, shown.width))
                if sample.image_size != (shown.height, shown.width):
                    sizes = "{1} x {0}".format(*sample.image_size), f"{shown.width} x {shown.height}"
                    findings.add("keypoints of another size, scaled", sample.name, f"{sizes[0]} for {sizes[1]}")
        return shown.frames
    except DataError as error:
        findings.add("video that cannot be used", sample.name, error.message, fatal=True)
        return None
