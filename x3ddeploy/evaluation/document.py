"""eval.json as a type, which its writer, the command line and the benchmark share. Shares are from 0 to 1."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import msgspec

# Of eval.json and of the rows of `eval --scores`.
SCHEMA_VERSION = 1

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class MachineEntry(TypedDict):
    """The machine in words."""

    cpu: str
    cores: int
    os: str
    python: str


class SourceEntry(TypedDict):
    """The checkpoint that the bundle was made from."""

    name: str
    sha256: str
    epoch: int | None


class BundleEntry(TypedDict):
    """What was evaluated; `fusion` are the weights of the deployed score."""

    path: str
    source: SourceEntry
    fusion: list[float]


class DataEntry(TypedDict):
    """The clips, and what they depend on."""

    path: str
    split: str | None
    description: dict[str, Any]


class ViewsEntry(TypedDict):
    """The views of each video; `count` is their number in all."""

    count: int
    clips: int
    crops: int
    flip: bool


class SkippedEntry(TypedDict):
    """A video that could not be loaded, and why."""

    name: str
    reason: str


class SkippedVideos(TypedDict):
    """The videos that could not be loaded."""

    count: int
    videos: list[SkippedEntry]


class NoteEntry(TypedDict):
    """What is odd about a video's keypoints and was taken all the same."""

    name: str
    note: str


class Persons(TypedDict):
    """In how many frames persons were found, and which videos show the network nobody."""

    frames: int
    frames_with_persons: int
    videos_without: list[str]
    notes: list[NoteEntry]


class LoadingEntry(TypedDict):
    """How long the runtimes waited for clips, in seconds and as a share of the whole."""

    workers: int
    waiting_s: float
    total_s: float
    waiting_share: float


class LaterAccuracies(TypedDict, total=False):
    """What the first files of this schema did not have."""

    mean1: Share


class Accuracies(LaterAccuracies):
    """Accuracies of one score; an entry of `by_class` is null where the class has no videos, `mean1` is `acc/mean1`."""

    top1: Share
    top5: Share
    mean_class: Share
    by_class: list[Share | None]


Confusion = TypedDict("Confusion", {"class": int, "predicted": int, "videos": int})
ClassChange = TypedDict("ClassChange", {"class": int, "videos": int})
ClassVideos = TypedDict("ClassVideos", {"class": int, "label": str, "videos": int})


class ChangedVideo(TypedDict):
    """A video whose class is another one than the reference's, and by how little it was the reference's."""

    name: str
    label: int
    before: int
    after: int
    margin: float


class Against(TypedDict):
    """What differs from the reference; `class_changes` are videos gained or lost."""

    agreement: Share
    largest_difference: float
    class_changes: list[ClassChange]
    changed_videos: list[ChangedVideo]


class Result(TypedDict):
    """One runtime and precision: accuracies by score, and the deployed score's confusions, most frequent first."""

    runtime: str
    precision: str
    version: str
    device: str
    scores: dict[str, Accuracies]
    confusions: list[Confusion]
    against_reference: dict[str, Against] | None


class Changes(TypedDict):
    """Accuracies by score in an earlier eval.json and now, in one runtime and precision; `data` was evaluated then."""

    path: str
    data: str
    runtime: str
    precision: str
    before: dict[str, Accuracies]
    after: dict[str, Accuracies]


class EvalCore(TypedDict):
    """What of an eval.json is read again, whichever version wrote it. The first of `results` is the reference."""

    schema_version: int
    bundle: BundleEntry
    data: DataEntry
    videos: Annotated[int, msgspec.Meta(ge=1)]
    deployed: str
    results: list[Result]


class EvalReport(EvalCore):
    """What `x3ddeploy eval` writes; docs/eval.md."""

    x3ddeploy: str
    machine: MachineEntry
    limit: int | None
    num_clips: int
    views: ViewsEntry
    average_clips: str
    batch: int
    skipped: SkippedVideos
    persons: Persons | None
    loading: LoadingEntry
    left_out: list[str]
    random_calibration: list[str]
    reference: str
    classes: list[ClassVideos]
    against: Changes | None


class PeopleEntry(TypedDict):
    """Who is in a clip; see `People`."""

    frames: int
    frames_with_persons: int
    seen: bool
    notes: list[str]


class WrittenClip(TypedDict):
    """A row of `eval --scores`: a clip in one runtime and precision; `people` is null where nobody is looked for.

    `averages` are of the clip's views, by name of the logits: mean probabilities, or mean logits where the bundle
    averages by 'score'; `rows` is how many rows the clip has, and `run` of which settings they are.
    """

    schema_version: int
    name: str
    label: int
    people: PeopleEntry | None
    runtime: str
    device: str
    precision: str
    version: str
    computed_on: str
    averages: dict[str, list[float]]
    run: str
    rows: int


class FailedClip(TypedDict):
    """A row about a clip that could not be loaded."""

    schema_version: int
    name: str
    error: str
    run: str
    rows: int
