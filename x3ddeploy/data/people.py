"""Is anybody in the picture? Which keypoints can be believed, and in which frames of a clip persons are.

A skeleton that is not there, or lies beside the picture, still gives the network something to be sure about: an empty
or a shifted heatmap. So keypoints are looked at before they are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import Input
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.errors import DataError
from x3ddeploy.modalities import modalities_of
from x3ddeploy.modalities.heatmaps import MIN_SCORE

Mask = npt.NDArray[np.bool_]

# Scores are peaks of regressed heatmaps, which overshoot 0 and 1 a little; percentages and logits do so by far.
_SCORE_MARGIN = 0.5
# Joints that all lie within so few pixels of the corner are shares of the picture, not pixels.
_NORMALISED_PX = 1.5
_SMALLEST_SIDE_PX = 4  # of a picture that this can be said of
_MOST_OUTSIDE = 0.5  # of the joints, weighed by their scores
_TURNED = 0.02  # how far the sides' ratio of a turned picture may be off


@dataclass(frozen=True)
class People:
    """Who is in a clip.

    Attributes:
        frames: how many frames the clip was drawn from.
        frames_with_persons: number of them in which a joint was found in the picture.
        seen: whether one was found in a frame that the network sees.
        notes: what is odd about the keypoints, or the clip, and was taken all the same.
    """

    frames: int
    frames_with_persons: int
    seen: bool
    notes: tuple[str, ...] = ()


def left_out(keypoints: npt.NDArray[np.floating], scores: npt.NDArray[np.floating], min_score: float) -> Mask:
    """(M, T, K): joints that are not finite, or whose score is 0, under `min_score` or no number."""
    return ~(np.isfinite(keypoints).all(-1) & np.isfinite(scores) & (scores > 0) & (scores >= min_score))


def check_keypoints(annotation: Annotation, min_score: float | None) -> tuple[str, ...]:
    """Refuse keypoints that cannot be a skeleton in the picture, where there is one.

    Args:
        annotation: the annotation of a whole video.
        min_score: joints under this score, and such that are not finite, are not looked at; None looks at all.

    Returns:
        What is odd, in words.

    Raises:
        DataError: scores far outside of 0 to 1; infinite keypoints; keypoints from 0 to 1 instead of pixels; most of
            them outside of the picture.
    """
    name, keypoints, scores = annotation.name, annotation.keypoints, annotation.scores
    notes = []
    known = scores[~np.isnan(scores)]
    low, high = (float(value) for value in (np.min(known, initial=0), np.max(known, initial=0)))
    if low < -_SCORE_MARGIN or high > 1 + _SCORE_MARGIN:
        raise DataError(
            f"{name} has keypoint scores from {low:g} to {high:g}", hint="a score is from 0, not found, to 1, certain"
        )
    if low < 0 or high > 1:
        notes.append(f"keypoint scores go from {low:g} to {high:g}")
    found = _found(keypoints, scores)
    if min_score is not None:
        found &= ~left_out(keypoints, scores, min_score)
    elif np.isinf(keypoints).any():
        raise DataError(
            f"{name} has infinite keypoints",
            hint="check the pose estimator; --min-keypoint-score leaves such joints, and doubtful ones, out",
        )
    if not found.any() or annotation.image_size is None:
        return tuple(notes)
    height, width = annotation.image_size
    if max(height, width) >= _SMALLEST_SIDE_PX and np.abs(keypoints[found]).max() <= _NORMALISED_PX:
        raise DataError(
            f"{name} has keypoints from {keypoints[found].min():g} to {keypoints[found].max():g} in pictures of "
            f"{width} x {height} pixels",
            hint="they look like shares of the picture: multiply x by its width and y by its height",
        )
    weights = np.where(found, scores, 0).astype(np.float64)
    outside = float(weights[~_inside(annotation)].sum() / weights.sum())
    if outside > _MOST_OUTSIDE:
        raise DataError(
            f"{name} has {outside:.0%} of its keypoints outside of the picture of {width} x {height} pixels",
            hint="they are of another video or resolution: run the pose estimator over this very file",
        )
    return tuple(notes)


def check_size(name: str, annotated: tuple[int, int], shown: tuple[int, int]) -> None:
    """Refuse keypoints of a picture that was turned by a quarter; those of one that was scaled are scaled along.

    Args:
        name: name of the keypoints.
        annotated: height and width of the frames that they were found in.
        shown: height and width of the video's frames.

    Raises:
        DataError: the picture was upright where the video is not, or the other way round.
    """
    ratio, turned = annotated[0] / annotated[1], shown[1] / shown[0]
    if abs(ratio / turned - 1) < _TURNED and abs(ratio * turned - 1) > _TURNED:
        raise DataError(
            f"{name} has keypoints in frames of {annotated[1]} x {annotated[0]} pixels, and the video is shown with "
            f"{shown[1]} x {shown[0]}",
            hint="take the frames turned as the file says: docs/predict.md shows how",
        )


def persons_by_frame(annotation: Annotation, min_score: float | None) -> Mask:
    """(T,): whether a joint was found in the picture."""
    found = _found(annotation.keypoints, annotation.scores) & _inside(annotation)
    if min_score is not None:
        found &= ~left_out(annotation.keypoints, annotation.scores, min_score)
    return np.asarray(found.any((0, 2)))


def people_in(persons: Mask, start: int, end: int, drawn: npt.NDArray[np.int64], notes: tuple[str, ...]) -> People:
    """Who is in frames `start` to `end` - 1 of a video, of which the network sees those `drawn`."""
    return People(end - start, int(persons[start:end].sum()), bool(persons[drawn].any()), notes)


def people_drawn(heatmaps: npt.NDArray[np.float32]) -> People:
    """Who is in ready heatmaps (clips, K, T, H, W): a frame without any person is 0 throughout."""
    drawn = (heatmaps >= MIN_SCORE).any((1, 3, 4))
    return People(drawn.size, int(drawn.sum()), bool(drawn.any()))


def repeated_frames(frames: int, inputs: Mapping[str, Input]) -> tuple[str, ...]:
    """A note where so few frames are there that the clip of the first input repeats them."""
    needed = next(iter(modalities_of(inputs).values())).length
    return (f"{frames} frames are repeated to the {needed} that the network takes",) if frames < needed else ()


def _found(keypoints: npt.NDArray[np.floating], scores: npt.NDArray[np.floating]) -> Mask:
    return np.asarray(np.isfinite(keypoints).all(-1) & (keypoints != 0).any(-1) & (scores >= MIN_SCORE))


def _inside(annotation: Annotation) -> Mask:
    if annotation.image_size is None:
        return np.ones(annotation.scores.shape, np.bool_)
    height, width = annotation.image_size
    return np.asarray(((annotation.keypoints >= 0) & (annotation.keypoints <= (width, height))).all(-1))
