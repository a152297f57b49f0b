"""MMAction2's PoseDataset with a safe reader, early checks, and augmentation that a run repeats."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.datasets import PoseDataset as MMActionPoseDataset

from x3ddeploy.data.annotations import Annotation, read_annotations
from x3ddeploy.data.folder import video_of
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.registry import DATASETS
from x3ddeploy.text import shortened

_LISTED = 20


@DATASETS.register_module()
class PoseDataset(MMActionPoseDataset):
    """Takes MMAction2's keys. Executes nothing of the annotation file, and names missing videos before training.

    In training the random augmentation of a sample is a function of the seed, the epoch and the sample alone
    (`SeedHook` tells them), not of the worker or the process that loads it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Shared memory: workers that live through all epochs see the hook's changes.
        self.seed_and_epoch = torch.zeros(2, dtype=torch.int64).share_memory_()
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Samples of the split, as MMAction2's pipelines take them.

        Raises:
            DataError: the file is unsafe or incomplete, or videos are missing; all of them are named.
            UsageError: there is no such split, or no split is named.
        """
        annotations = read_annotations(Path(self.ann_file), pictures=False)
        if self.split is None:
            names = ", ".join(annotations.splits)
            raise UsageError(f"the data set of {self.ann_file} names no split", hint=f"set split= to one of {names}")
        chosen = annotations.split(self.split)
        self.highest_label = max((sample.label for sample in chosen), default=-1)
        samples = [_as_sample(annotation) for annotation in chosen]
        if (folder := self.data_prefix.get("video")) is not None:
            _add_videos(samples, Path(folder), self.split)
        return samples

    def prepare_data(self, idx: int) -> Any:
        if self.test_mode:
            return super().prepare_data(idx)
        with _seeded(*self.seed_and_epoch.tolist(), idx):
            return super().prepare_data(idx)


def _as_sample(annotation: Annotation) -> dict[str, Any]:
    """A sample as MMAction2's pipelines take it; keypoints in space have no picture and no scores there.

    Raises:
        DataError: the keypoints are pixels of pictures of unknown size.
    """
    sample = {
        "frame_dir": annotation.name,
        "label": annotation.label,
        "total_frames": annotation.frames,
        "keypoint": annotation.keypoints,
    }
    if not annotation.in_space:
        picture = annotation.picture
        sample |= {"img_shape": picture, "original_shape": picture, "keypoint_score": annotation.scores}
    return sample


def _add_videos(samples: list[dict[str, Any]], folder: Path, split: str) -> None:
    """Give each sample its video: `filename` for MMAction2's decoders of frames, `frame_dir` for MMDecode."""
    files = [video_of(folder, sample["frame_dir"]) for sample in samples]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(samples)} videos of the split {split!r} are missing",
            details=shortened(missing, _LISTED),
            hint="check data_prefix=dict(video=...), the folder of the videos, <frame_dir>.mp4 or .avi",
        )
    for sample, path in zip(samples, files, strict=True):
        sample.update(frame_dir=str(folder / sample["frame_dir"]), filename=str(path))


def find_pose_dataset(dataset: Any) -> PoseDataset | None:
    """The PoseDataset inside of RepeatDataset and its like; None where there is another one."""
    while dataset is not None and not isinstance(dataset, PoseDataset):
        dataset = getattr(dataset, "dataset", None)
    return dataset


@contextmanager
def _seeded(*numbers: int) -> Iterator[None]:
    """Python's and NumPy's random numbers as a function of `numbers`; the outer streams go on as if not used."""
    outer, outer_numpy = random.getstate(), np.random.get_state()
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(outer)
        np.random.set_state(outer_numpy)
