"""What a camera and a pose estimator gave of clips, as sessions that prepare them on a device are fed with it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import Input
from x3ddeploy.data.prepare import Preparation, RawTensors, raw_clips
from x3ddeploy.modalities import Heatmaps, Skeletons, modalities_of
from x3ddeploy.modalities.heatmaps import MIN_SCORE, RAW_KEYPOINTS, RAW_SCORES


def fed_clips(raw: RawTensors, taken: Container[str]) -> RawTensors:
    """Raw tensors as a session is fed with them: those that it takes, with as few persons as they need.

    A heatmap is the maximum over persons, frame by frame, so who is drawn in a frame takes its first places. There are
    1, 2, 4, 8, ... of them, for a session holds contexts for each number that it has met. Who is not drawn has a score
    of 0, or, where the network was trained without scores, no place: where a score can say it, no kernel has to know
    what infinity is.

    Args:
        raw: what `raw_clips` gave.
        taken: names of tensors. A network that was trained without scores takes none.
    """
    fed = {name: value for name, value in raw.items() if name in taken}
    if RAW_KEYPOINTS not in fed:
        return fed
    has_scores = RAW_SCORES in fed
    found = np.isfinite(fed[RAW_KEYPOINTS]).all(-1, keepdims=True)
    if has_scores:
        found &= np.isfinite(fed[RAW_SCORES]) & (fed[RAW_SCORES] >= MIN_SCORE)
    nothing = _nothing(has_scores)
    is_drawn = found.any(-1).any(-1)  # (N, M, T)
    places = np.argsort(~is_drawn, axis=1, kind="stable")[..., None, None]
    most = max(1, int(is_drawn.sum(1).max()))
    slots = 1 << (most - 1).bit_length()
    for name in (RAW_KEYPOINTS, RAW_SCORES)[: 1 + has_scores]:
        value = np.take_along_axis(np.where(found, fed[name], nothing), places, 1)[:, :slots]
        fed[name] = _with_places(value, slots, has_scores)
    return fed


def _nothing(has_scores: bool) -> np.float32:
    """What stands where nobody is."""
    return np.float32(0 if has_scores else np.nan)


def _with_places(value: npt.NDArray[Any], places: int, has_scores: bool) -> npt.NDArray[Any]:
    """Keypoints or their scores (N, M, T, K, ...) with as many persons; those that are added are nobody."""
    added = [(0, 0), (0, places - value.shape[1]), (0, 0), (0, 0), (0, 0)]
    return np.pad(value, added, constant_values=_nothing(has_scores))


def feeding(taken: Container[str], inputs: Mapping[str, Input] | None = None) -> Preparation:
    """As `prepare_clips`, for a session of raw tensors: what it takes of them.

    Args:
        taken: names of tensors.
        inputs: the network's, which are made of the same clips as well, for sessions that take those.
    """

    def prepare(*arguments: Any, **others: Any) -> RawTensors:
        raw = raw_clips(*arguments, **others)
        ready = {name: kind.from_raw(raw) for name, kind in modalities_of(inputs or {}).items()}
        return {**ready, **fed_clips(raw, taken)}

    return prepare


def one_behind_the_other(videos: Sequence[Mapping[str, npt.NDArray[Any]]]) -> RawTensors:
    """The clips of several videos, as a session is fed with them: raw ones get as many persons each."""
    if len(videos) == 1:
        return dict(videos[0])
    joined: RawTensors = {}
    for name in videos[0]:
        values = [video[name] for video in videos]
        if name in (RAW_KEYPOINTS, RAW_SCORES):
            most = max(value.shape[1] for value in values)
            values = [_with_places(value, most, RAW_SCORES in videos[0]) for value in values]
        joined[name] = np.concatenate(values)
    return joined


def can_be_fed_raw(inputs: Mapping[str, Input]) -> bool:
    """Whether raw tensors are all a video's views need: skeletons, and heatmaps with a mirrored twin, take more."""
    return not any(
        isinstance(kind, Skeletons) or (isinstance(kind, Heatmaps) and kind.twin is not None)
        for kind in modalities_of(inputs).values()
    )
