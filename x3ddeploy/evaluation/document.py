"""eval.json as a type, which its writer, the command line and the benchmark share. Shares are from 0 to 1."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from x3ddeploy.bundle import Source
from x3ddeploy.data.loader import SkippedClip
from x3ddeploy.data.people import People
from x3ddeploy.terms import Precision

# Of eval.json and of the rows of `eval --scores`.
SCHEMA_VERSION = 1

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class MachineEntry(msgspec.Struct, frozen=True):
    """The machine in words."""

    cpu: str
    cores: int
    os: str
    python: str


class BundleEntry(msgspec.Struct, frozen=True):
    """What was evaluated; `fusion` are the weights of the deployed score."""

    path: str
    source: Source
    fusion: list[float]


class DataEntry(msgspec.Struct, frozen=True):
    """The clips, and what they depend on."""

    path: str
    split: str | None
    description: dict[str, Any]


class ViewsEntry(msgspec.Struct, frozen=True):
    """The views of each video; `count` is their number in all."""

    count: int
    clips: int
    crops: int
    flip: bool


class SkippedVideos(msgspec.Struct, frozen=True):
    """The videos that could not be loaded."""

    count: int
    videos: list[SkippedClip]


class NoteEntry(msgspec.Struct, frozen=True):
    """What is odd about a video's keypoints and was taken all the same."""

    name: str
    note: str


class PersonsEntry(msgspec.Struct, frozen=True):
    """In how many frames persons were found, and which videos show the network nobody."""

    frames: int
    frames_with_persons: int
    videos_without: list[str]
    notes: list[NoteEntry]


class LoadingEntry(msgspec.Struct, frozen=True):
    """How long the runtimes waited for clips, in seconds and as a share of the whole."""

    workers: int
    waiting_s: float
    total_s: float
    waiting_share: float


class Accuracies(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracies of one score; an entry of `by_class` is null where the class has no videos.

    `mean1` is `acc/mean1`, which the first files of this schema did not have.
    """

    top1: Share
    top5: Share
    mean_class: Share
    mean1: Share | UnsetType = UNSET
    by_class: list[Share | None]


class Confusion(msgspec.Struct, frozen=True):
    """How many videos of a class were taken for another."""

    class_index: int = msgspec.field(name="class")
    predicted: int
    videos: int


class ClassChange(msgspec.Struct, frozen=True):
    """How many videos of a class were gained or lost."""

    class_index: int = msgspec.field(name="class")
    videos: int


class ClassVideos(msgspec.Struct, frozen=True):
    """How many videos a class has."""

    class_index: int = msgspec.field(name="class")
    label: str
    videos: int


class ChangedVideo(msgspec.Struct, frozen=True):
    """A video whose class is another one than the reference's.

    `margin` is the reference's probability of its class less that of its second; small ones are coin tosses.
    """

    name: str
    label: int
    before: int
    after: int
    margin: float


class Against(msgspec.Struct, frozen=True):
    """One kind of scores against the reference's.

    `agreement` is the share of videos with the same class, `largest_difference` that of any probability;
    `class_changes` are videos gained (positive) or lost, only of classes that changed.
    """

    agreement: Share
    largest_difference: float
    class_changes: list[ClassChange]
    changed_videos: list[ChangedVideo]


class Result(msgspec.Struct, frozen=True):
    """One runtime and precision: accuracies by score, and the deployed score's confusions, most frequent first."""

    runtime: str
    precision: str
    version: str
    device: str
    scores: dict[str, Accuracies]
    confusions: list[Confusion]
    against_reference: dict[str, Against] | None


class Changes(msgspec.Struct, frozen=True):
    """Accuracies by score in an earlier eval.json and now, in one runtime and precision; `data` was evaluated then."""

    path: str
    data: str
    runtime: str
    precision: str
    before: dict[str, Accuracies]
    after: dict[str, Accuracies]


class KnownEval(msgspec.Struct, frozen=True):
    """What of an eval.json a benchmark reads, whichever version wrote it. The first of `results` is the reference."""

    schema_version: int
    bundle: BundleEntry
    data: DataEntry
    videos: Annotated[int, msgspec.Meta(ge=1)]
    deployed: str
    results: list[Result]


class EarlierEval(KnownEval, frozen=True):
    """What of an earlier eval.json another evaluation is compared with."""

    classes: list[ClassVideos]


class EvalReport(EarlierEval, frozen=True):
    """What `x3ddeploy eval` writes; docs/eval.md."""

    x3ddeploy: str
    machine: MachineEntry
    limit: int | None
    num_clips: int
    views: ViewsEntry
    average_clips: str
    batch: int
    skipped: SkippedVideos
    persons: PersonsEntry | None
    loading: LoadingEntry
    left_out: list[str]
    random_calibration: list[str]
    reference: str
    against: Changes | None


class ClipRow(msgspec.Struct, frozen=True):
    """What an evaluation knows of a clip in one runtime and precision; `people` is null where nobody is looked for.

    `averages` are of the clip's views, by name of the logits: mean probabilities, or mean logits where the bundle
    averages by 'score'.
    """

    schema_version: int
    name: str
    label: int
    people: People | None
    runtime: str
    device: str
    precision: Precision
    version: str
    computed_on: str
    averages: dict[str, list[float]]


class FailedRow(msgspec.Struct, frozen=True):
    """What it knows of a clip that could not be loaded."""

    schema_version: int
    name: str
    error: str


class WrittenClip(ClipRow, frozen=True):
    """A row of `eval --scores`; `rows` is how many rows the clip has, and `run` of which settings they are."""

    run: str
    rows: int


class FailedClip(FailedRow, frozen=True):
    """A row about a clip that could not be loaded."""

    run: str
    rows: int
