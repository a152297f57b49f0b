"""A video seen as the video of one person after the other: an answer for each, with a crop and heatmaps of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from x3ddeploy.data.people import persons_by_frame
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.prediction.predict import OpenedVideo


def each_person(video: OpenedVideo, min_keypoint_score: float | None) -> Iterator[tuple[int, OpenedVideo]]:
    """Number of a person, from 0 as the keypoints count them, and the video with the keypoints of that person alone.

    Who is seen in no frame is left out.

    Raises:
        UsageError: there are no keypoints, as the network needs none.
        DataError: nobody is seen at all.
    """
    annotation = video.annotation
    if annotation is None:
        raise no_persons()
    found = False
    for person in range(len(annotation.keypoints)):
        alone = replace(
            annotation,
            keypoints=annotation.keypoints[person : person + 1],
            scores=annotation.scores[person : person + 1],
        )
        if persons_by_frame(alone, min_keypoint_score).any():
            found = True
            yield person, replace(video, annotation=alone)
    if not found:
        raise DataError(f"{annotation.name} has nobody in any frame")


def no_persons() -> UsageError:
    """The error of who asks for each person's answer where the network needs no keypoints."""
    return UsageError("the network looks at whole pictures, and not at persons", hint="leave --each-person out")
