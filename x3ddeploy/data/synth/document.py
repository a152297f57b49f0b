"""What `x3ddeploy synth --json` prints and the dataset.json beside the videos, as types."""

from __future__ import annotations

from typing import Annotated

import msgspec

OURS = "x3ddeploy synthetic"
Kind = Annotated[str, msgspec.Meta(pattern=f"^{OURS}")]


class AnyRecord(msgspec.Struct, frozen=True):
    """What of a dataset.json says that the set is synthetic, whichever version made it: such a set may be replaced."""

    kind: Kind


class OptionsEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What the clips depend on; `size` is height and width in pixels."""

    seed: int
    size: tuple[int, int]
    frames: int
    clips_per_class: int
    subjects: int
    together: int


class SynthReport(OptionsEntry, frozen=True, kw_only=True):
    """What was written; `splits` are numbers of clips."""

    directory: str
    classes: list[str]
    clips: int
    splits: dict[str, int]
    size_bytes: int


class ActionEntry(msgspec.Struct, frozen=True):
    """A class, and which of its inputs tells it from the others of its group."""

    name: str
    group: str
    told_apart_by: str


class DatasetRecord(OptionsEntry, frozen=True, kw_only=True):
    """dataset.json; `largest_accuracy_without_seeing` is that of a network that does not see a cue, as a share."""

    kind: Kind
    schema_version: int
    versions: dict[str, str]
    clips: int
    splits: dict[str, int]
    classes: list[ActionEntry]
    largest_accuracy_without_seeing: dict[str, float]
    shows: str
    does_not_show: str


class PicturesRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What `synth --pictures --json` prints, and dataset.json beside the pictures; `splits` are numbers of pictures."""

    kind: Kind
    schema_version: int
    versions: dict[str, str]
    seed: int
    pictures: int
    size: tuple[int, int]
    subjects: int
    splits: dict[str, int]
    persons: int
    shows: str
    does_not_show: str
