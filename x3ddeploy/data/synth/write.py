"""A data set on disk: videos, MMAction2's annotation pickle, labels, and a record of what it is. Whole or absent.

DIR/annotations.pkl   {'split': name -> clips' names, 'annotations': one dict a clip}
DIR/skeletons.pkl     the same with keypoints in space, as NTU RGB+D's 3-D files are
DIR/videos/<name>.mp4
DIR/together/<name>.mp4   videos of two performers, where they are asked for; without keypoints
DIR/labels.txt        one class a line
DIR/dataset.json      options, versions, counts, what the data shows and what it does not; marks it as ours
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from x3ddeploy.atomic import explain_os_errors, staged_directory, write_bytes, write_json
from x3ddeploy.data.synth.actions import ACTIONS, Cue, ceiling
from x3ddeploy.data.synth.clip import SynthClip, make_clip
from x3ddeploy.data.synth.document import OURS, ActionEntry, DatasetRecord, SynthReport
from x3ddeploy.data.synth.options import SynthOptions, clip_names, splits_of
from x3ddeploy.data.synth.place import RECORD, library_versions, require_replaceable
from x3ddeploy.data.synth.together import make_together
from x3ddeploy.data.synth.video import require_pyav, write_video
from x3ddeploy.modalities.opencv import require_opencv

_KIND = f"{OURS} actions"
_SCHEMA_VERSION = 1
_PICKLE_PROTOCOL = 4  # what every Python that runs MMAction2 reads
_SHOWS = (
    "that a training, an evaluation or a deployed model works end to end; whether a model sees time order, held "
    "objects and hidden joints; whether its fused streams know more than each alone"
)
_SHOWS_NOT = "anything about accuracy on real video: it is no stand-in for NTU RGB+D or any other recorded data set"


@dataclass(frozen=True)
class Summary:
    """What was written.

    Attributes:
        classes: their names, in the order of the labels.
        clips: their number.
        splits: number of clips by split.
        size_bytes: size in bytes of all files together.
    """

    directory: Path
    options: SynthOptions
    classes: tuple[str, ...]
    clips: int
    splits: dict[str, int]
    size_bytes: int

    def document(self) -> SynthReport:
        """For `--json`."""
        return SynthReport(
            **asdict(self.options),
            directory=str(self.directory),
            classes=list(self.classes),
            clips=self.clips,
            splits=self.splits,
            size_bytes=self.size_bytes,
        )


def generate(
    directory: Path,
    options: SynthOptions,
    progress: Callable[[int, int], None],
    *,
    overwrite: bool = False,
) -> Summary:
    """Make all clips of a data set and put it in place when it is whole.

    Args:
        directory: absent, empty, or, with `overwrite`, a synthetic data set.
        options: what the clips depend on.
        progress: receives, after each clip, how many are made, and of how many.
        overwrite: replace a synthetic data set; nothing else is ever replaced.

    Raises:
        UsageError: the directory holds something else, or a data set that `overwrite` does not allow to replace.
        MissingRequirementError: OpenCV or PyAV is not installed.
        X3DDeployError: the files cannot be written.
    """
    require_opencv("drawing")
    require_pyav()
    require_replaceable(directory, overwrite)
    names = clip_names(options)
    splits = splits_of(options, names)
    with staged_directory(directory) as staging:
        (staging / "videos").mkdir()
        annotations, skeletons = [], []
        for done, name in enumerate(names, start=1):
            clip = make_clip(options, name.action, name.performer, name.camera, name.repetition)
            with explain_os_errors(staging):
                write_video(staging / "videos" / f"{name}.mp4", clip.frames)
            annotations.append(_annotation(str(name), name.action - 1, clip))
            skeletons.append(_skeleton(str(name), name.action - 1, clip))
            progress(done, len(names) + options.together)
        if options.together:
            (staging / "together").mkdir()
        for number in range(1, options.together + 1):
            video = make_together(options, number)
            with explain_os_errors(staging):
                write_video(staging / "together" / f"{video.name}.mp4", video.frames)
            progress(len(names) + number, len(names) + options.together)
        for file, entries in (("annotations.pkl", annotations), ("skeletons.pkl", skeletons)):
            content = {"split": splits, "annotations": entries}
            write_bytes(staging / file, pickle.dumps(content, protocol=_PICKLE_PROTOCOL))
        write_bytes(staging / "labels.txt", "".join(f"{action.name}\n" for action in ACTIONS).encode())
        counts = {split: len(members) for split, members in splits.items()}
        write_json(staging / RECORD, _record(options, len(names), counts))
        size = sum(file.stat().st_size for file in staging.rglob("*") if file.is_file())
    return Summary(directory, options, tuple(action.name for action in ACTIONS), len(names), counts, size)


def _annotation(name: str, label: int, clip: SynthClip) -> dict[str, Any]:
    """One entry as MMAction2's PoseDataset reads it."""
    frames, height, width, _ = clip.frames.shape
    return {
        "frame_dir": name,
        "label": label,
        "img_shape": (height, width),
        "original_shape": (height, width),
        "total_frames": frames,
        "keypoint": clip.keypoints,
        "keypoint_score": clip.scores,
    }


def _skeleton(name: str, label: int, clip: SynthClip) -> dict[str, Any]:
    """One entry as NTU RGB+D's 3-D files have it: neither pictures nor scores."""
    return {"frame_dir": name, "label": label, "total_frames": clip.space.shape[1], "keypoint": clip.space}


def _record(options: SynthOptions, clips: int, splits: dict[str, int]) -> DatasetRecord:
    blind = {cue.value: round(ceiling(cue), 4) for cue in Cue if cue is not Cue.BOTH}
    return DatasetRecord(
        **asdict(options),
        kind=_KIND,
        schema_version=_SCHEMA_VERSION,
        versions=library_versions("numpy", "av"),
        clips=clips,
        splits=splits,
        classes=[ActionEntry(action.name, action.group, action.told_apart_by.value) for action in ACTIONS],
        largest_accuracy_without_seeing=blind,
        shows=_SHOWS,
        does_not_show=_SHOWS_NOT,
    )
