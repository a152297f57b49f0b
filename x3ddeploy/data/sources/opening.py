"""What a path names to the source of clips that it is."""

from __future__ import annotations

from pathlib import Path

from x3ddeploy.contract import Contract
from x3ddeploy.data.sources.annotated import VIDEO_LIST, AnnotatedVideos
from x3ddeploy.data.sources.base import ClipSource
from x3ddeploy.data.sources.npz import NpzClips
from x3ddeploy.data.sources.script import ScriptClips
from x3ddeploy.errors import UsageError
from x3ddeploy.modalities import needs_frames, needs_keypoints

_FORMS = (
    "DIR/ with annotations.pkl and videos/: a data set",
    "FILE.pkl: annotations of MMAction2's PoseDataset, with its videos/ beside it or named by --videos",
    "FILE.txt: a line a video, its file and its class, for a network that needs no keypoints",
    "DIR/ of .npz files: one clip each, as {inputs} or as what they are made of: frames, keypoints, keypoint_scores",
    "FILE.py: your own script, executed; its load_data() yields dicts of {inputs}",
)


def open_source(
    path: Path,
    contract: Contract,
    split: str | None = None,
    videos: Path | None = None,
    clips: int | None = None,
    min_keypoint_score: float | None = None,
) -> ClipSource:
    """Open a source of labelled clips.

    Args:
        path: a data-set directory, an annotation pickle, a list of videos, a folder of `.npz` files, or a script,
            which is executed.
        contract: what the network takes.
        split: split of annotations; may be left out where there is only one.
        videos: folder of the annotations' videos; default: `videos` beside them.
        clips: clips a video or raw clip along the time; None for as many as the network's own pipeline takes.
        min_keypoint_score: from 0 to 1; joints under it, and such that are not finite, are left out. None counts all.

    Raises:
        UsageError: the path is nothing of these, or the options do not fit it.
        DataError: what it holds cannot be used.
    """
    if path.is_dir() and (path / "annotations.pkl").is_file():
        path = path / "annotations.pkl"
    if path.is_file() and path.suffix in (".pkl", ".pickle", VIDEO_LIST):
        if path.suffix == VIDEO_LIST:
            _refuse(["split"] if split is not None else [], path, "a list of videos")
            if needs_keypoints(contract.inputs):
                raise UsageError(
                    f"{path} is a list of videos, and the network needs keypoints", details=_forms(contract)
                )
            beside = path.parent
        else:
            beside = path.parent / "videos"
        videos = beside if videos is None else videos
        if needs_frames(contract.inputs) and not videos.is_dir():
            raise UsageError(f"there is no folder of videos {videos}", hint="name it with --videos")
        return AnnotatedVideos(path, videos, contract, split, clips, min_keypoint_score)
    given = [name for name, value in (("split", split), ("videos", videos)) if value is not None]
    if path.is_dir() and any(path.glob("*.npz")):
        _refuse(given, path, "a folder of .npz files")
        return NpzClips(path, contract, clips, min_keypoint_score)
    if path.is_file() and path.suffix == ".py":
        given += (["clips"] if clips is not None else []) + (["joints"] if min_keypoint_score is not None else [])
        _refuse(given, path, "a script")
        return ScriptClips(path, contract.inputs)
    raise UsageError(
        f"{path} is no source of clips" if path.exists() else f"there is no {path}", details=_forms(contract)
    )


def _forms(contract: Contract) -> list[str]:
    return ["accepted are", *(form.format(inputs=" and ".join(contract.inputs)) for form in _FORMS)]


def _refuse(options: list[str], path: Path, kind: str) -> None:
    if options:
        raise UsageError(f"{path} is {kind}, which has no {' and no '.join(options)}", hint="leave the option out")
