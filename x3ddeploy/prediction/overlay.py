"""What is shown of a video, drawn into its frames or on a page: whose joints, joined how, and which answer where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from x3ddeploy.data.annotations import Annotation
from x3ddeploy.modalities.keypoints import COCO_17
from x3ddeploy.prediction.predict import Prediction

Colour = tuple[int, int, int]

_LIMBS = tuple(
    (COCO_17.index(first), COCO_17.index(second))
    for first, second in (
        ("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear"),
        ("left_shoulder", "right_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"), ("left_shoulder", "left_hip"),
        ("right_shoulder", "right_hip"), ("left_hip", "right_hip"), ("left_hip", "left_knee"),
        ("left_knee", "left_ankle"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    )
)  # fmt: skip
# Okabe and Ito's palette, which colour-blind people can tell apart; persons take turns.
PERSONS: tuple[Colour, ...] = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167), (240, 228, 66))
_MIN_SCORE = 0.3  # under this pose estimators mostly guess


def limbs(joints: int) -> tuple[tuple[int, int], ...]:
    """Pairs of joints that a line joins; none where that many joints are not COCO's."""
    return _LIMBS if joints == len(COCO_17) else ()


def drawn_joints(
    annotation: Annotation, size: tuple[int, int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Joints in pixels of pictures of that height and width, (M, T, K, 2), and which of them are drawn, (M, T, K).

    Raises:
        DataError: the keypoints are in space.
    """
    # Positions are pixels of the frames that the pose estimator saw; a pixel's middle is its coordinate.
    factor = np.array([size[1] / annotation.picture[1], size[0] / annotation.picture[0]])
    positions = (np.nan_to_num(annotation.keypoints.astype(np.float64)) + 0.5) * factor - 0.5
    return positions, (np.nan_to_num(annotation.scores) >= _MIN_SCORE) & (annotation.keypoints != 0).any(-1)


def nearest_window(predictions: Sequence[Prediction], frame: int) -> Prediction | None:
    """The window of one person, or of all together, whose middle is nearest to a frame.

    A person's window must hold the frame: elsewhere nobody looked at that person.
    """
    nearest = min(predictions, key=lambda entry: abs(entry.window.start + entry.window.end - 1 - 2 * frame))
    holds = nearest.window.start <= frame < nearest.window.end
    return nearest if holds or nearest.person is None else None
