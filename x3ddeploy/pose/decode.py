"""What pose models and detectors give, as keypoints and boxes in pixels of the model's input."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.modalities.opencv import require_opencv

Floats = npt.NDArray[np.float32]

LEAST_SCORE = 0.3  # of a person
_OVERLAP = 0.65  # two boxes that share more are one person's
_MOST_PERSONS = 100  # of a picture


def from_heatmaps(heatmaps: Floats, height: int, width: int) -> tuple[Floats, Floats]:
    """Peaks, moved a quarter of a pixel towards the higher neighbour.

    Source: mmpose 1.x, codecs MSRAHeatmap with refine_keypoints (https://arxiv.org/abs/1603.06937).

    Args:
        heatmaps: (N, K, h, w).
        height: height of the model's input.
        width: width of the model's input.

    Returns:
        (N, K, 2) x and y in pixels of the input, (N, K) scores.
    """
    people, joints, h, w = heatmaps.shape
    flat = heatmaps.reshape(people, joints, -1)
    peaks, scores = flat.argmax(-1), flat.max(-1)
    x, y = peaks % w, peaks // w
    points = np.stack([x, y], -1).astype(np.float32)
    padded = np.pad(heatmaps, ((0, 0), (0, 0), (1, 1), (1, 1)))
    person, joint = np.indices((people, joints))
    inner = (x > 0) & (x < w - 1) & (y > 0) & (y < h - 1)
    for axis, (dy, dx) in enumerate(((0, 1), (1, 0))):
        rise = padded[person, joint, y + 1 + dy, x + 1 + dx] - padded[person, joint, y + 1 - dy, x + 1 - dx]
        points[..., axis] += np.where(inner, 0.25 * np.sign(rise), 0)
    return points * np.array((width / w, height / h), np.float32), _bounded(scores)


def from_simcc(along_x: Floats, along_y: Floats, height: int, width: int) -> tuple[Floats, Floats]:
    """Peaks of both axes; a joint is as sure as its less sure axis.

    Source: SimCC (https://arxiv.org/abs/2107.03332), mmpose's get_simcc_maximum.

    Args:
        along_x: (N, K, bins), as many bins a pixel as the model was trained with.
        along_y: scores of the bins along y, as those along x.
        height: height of the model's input.
        width: width of the model's input.
    """
    points = np.stack(
        [along_x.argmax(-1) * (width / along_x.shape[-1]), along_y.argmax(-1) * (height / along_y.shape[-1])], -1
    )
    return points.astype(np.float32), _bounded(np.minimum(along_x.max(-1), along_y.max(-1)))


def best_boxes(boxes: Floats, scores: Floats) -> npt.NDArray[np.int64]:
    """Places of the persons among candidates, the surest first: scores over 0.3, no two of one person.

    Args:
        boxes: (A, 4), x0, y0, x1, y1.
        scores: (A,).
    """
    cv2: Any = require_opencv("finding persons")
    sure = np.flatnonzero(scores >= LEAST_SCORE)
    if not len(sure):
        return sure
    sizes = np.concatenate([boxes[sure, :2], boxes[sure, 2:] - boxes[sure, :2]], 1)
    kept = cv2.dnn.NMSBoxes(sizes.tolist(), scores[sure].tolist(), LEAST_SCORE, _OVERLAP, top_k=_MOST_PERSONS)
    return np.asarray(sure[np.asarray(kept, np.int64).ravel()])


def corners(centred: Floats) -> Floats:
    """(A, 4), centre x, centre y, width, height, to x0, y0, x1, y1."""
    half = centred[:, 2:4] / 2
    return np.concatenate([centred[:, :2] - half, centred[:, :2] + half], 1)


def from_yolox(raw: Floats, height: int, width: int) -> tuple[Floats, Floats]:
    """YOLOX's (A, 5 + classes), offsets on grids of strides 8, 16 and 32, to boxes and the persons' scores."""
    places, strides = [], []
    for stride in (8, 16, 32):
        rows, columns = height // stride, width // stride
        y, x = np.divmod(np.arange(rows * columns), columns)
        places.append(np.stack([x, y], 1))
        strides.append(np.full((rows * columns, 1), stride))
    grid, stride_of = np.concatenate(places), np.concatenate(strides)
    centred = np.concatenate([(raw[:, :2] + grid) * stride_of, np.exp(raw[:, 2:4]) * stride_of], 1)
    return corners(centred.astype(np.float32)), raw[:, 4] * raw[:, 5]


def _bounded(scores: Floats) -> Floats:
    """Peaks that were regressed overshoot 0 and 1 a little."""
    return np.clip(scores, 0, 1).astype(np.float32)
