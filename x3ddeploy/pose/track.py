"""Who is who from frame to frame: boxes that overlap most are the same person's.

A library was looked for and none taken: persons are found in every frame here, so that boxes of neighbouring frames
overlap and no motion has to be predicted; what trackers add (Kalman filters, appearance) is for detections far apart.
"""

from __future__ import annotations

import numpy as np

from x3ddeploy.pose.pictures import Floats

_LEAST_OVERLAP = 0.2
_FORGOTTEN = 15  # frames after which a person who comes back is another one


class Tracker:
    """Numbers for the persons of one video, from 0."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, Floats]] = {}  # frame and box in which a person was seen last
        self._frame = 0
        self.persons = 0

    def follow(self, boxes: Floats) -> list[int]:
        """The number of each person of the next frame.

        Args:
            boxes: (M, 4), the surest first.
        """
        self._last = {number: seen for number, seen in self._last.items() if self._frame - seen[0] <= _FORGOTTEN}
        known = list(self._last)
        overlaps = np.array([[overlap(self._last[number][1], box) for number in known] for box in boxes])
        numbers = [-1] * len(boxes)
        while overlaps.size and overlaps.max() >= _LEAST_OVERLAP:
            of_box, of_known = divmod(int(overlaps.argmax()), len(known))
            numbers[of_box] = known[of_known]
            overlaps[of_box, :] = overlaps[:, of_known] = -1
        for place, box in enumerate(boxes):
            if numbers[place] < 0:
                numbers[place] = self.persons
                self.persons += 1
            self._last[numbers[place]] = self._frame, box
        self._frame += 1
        return numbers


def overlap(one: Floats, other: Floats) -> float:
    """Intersection over union."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    areas = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]))
    return shared / max(areas - shared, 1e-9)
