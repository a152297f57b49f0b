"""The lines of `x3ddeploy predict --json` as types, which what predicts and what prints share; docs/predict.md."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

SCHEMA_VERSION = 1


class RankedClass(msgspec.Struct, frozen=True):
    """A class and its probability."""

    index: int = msgspec.field(name="class")
    label: str
    score: float


class PredictionLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a window shows. Without a person there is no label, and no class is listed.

    Attributes:
        start_frame, end_frame: the window; its end is not in it.
        start_s, end_s: the same in seconds; null where the video does not say how many frames a second it has.
        person: number of the person whom the line is about; absent where it is about all.
        frames_with_persons: null where nobody is looked for.
        scores: name of a score -> its best classes, the deployed one first; the names lie beside the other fields.
    """

    BESIDE: ClassVar[str] = "scores"

    schema_version: int
    video: str
    start_frame: int
    end_frame: int
    start_s: float | None
    end_s: float | None
    person: int | msgspec.UnsetType = msgspec.UNSET
    frames_with_persons: int | None
    notes: list[str]
    label: str | None
    scores: dict[str, list[RankedClass]]

    def to_json(self) -> dict[str, Any]:
        """The line, each score under its own name."""
        told: dict[str, Any] = {}
        for name, value in msgspec.to_builtins(self).items():
            told |= value if name == self.BESIDE else {name: value}
        return told


class LiveLine(PredictionLine, frozen=True, kw_only=True):
    """What the last seconds of a stream show.

    Attributes:
        latency_s: from the moment in which the window's last frame came, or a folder's video was whole, to the answer.
        dropped_frames: since the source began: those that came too fast to be looked at.
        dropped_videos: videos of a folder that were left out since then.
    """

    latency_s: float
    dropped_frames: int
    dropped_videos: int


class ExplainedFrame(msgspec.Struct, frozen=True):
    """A frame that the network looked at, and its share of the heat over all of them."""

    frame: int
    share: float


class ExplainedJoint(msgspec.Struct, frozen=True):
    """What a joint adds to the class.

    Attributes:
        joint: number of the joint, and `name`.
        evidence: log odds of the class with the joint, less those without it; below 0 it speaks against the class.
        score_without: the class's probability without it.
    """

    joint: int
    name: str
    evidence: float
    score_without: float


class ExplanationReport(msgspec.Struct, frozen=True, kw_only=True):
    """`x3ddeploy explain --json`: why a window has a label.

    Attributes:
        start_frame, end_frame: the window; its end is not in it.
        start_s, end_s: the same in seconds; null where the video does not say how many frames a second it has.
        person: number of the person whom the answer is about; absent where it is about all.
        label: the class that is explained, and `class` its number.
        score: its probability over all views of the window, as `predict` says it.
        view_score: its probability in the one view that is explained.
        frames: null where the network takes no pictures.
        joints: those that add most first; null where the network takes none.
    """

    schema_version: int
    video: str
    start_frame: int
    end_frame: int
    start_s: float | None
    end_s: float | None
    person: int | msgspec.UnsetType = msgspec.UNSET
    label: str
    class_index: int = msgspec.field(name="class")
    score: float
    view_score: float
    frames: list[ExplainedFrame] | None
    joints: list[ExplainedJoint] | None


class WrittenLine(PredictionLine, frozen=True, kw_only=True):
    """A line of `predict -o FILE.jsonl`.

    Attributes:
        run: digest of the settings that the rows are of.
        rows: how many lines the video has.
    """

    run: str
    rows: int


class FailedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line about a video that could not be used; it may have lines of windows before."""

    schema_version: int
    video: str
    error: str
    run: str
    rows: int
