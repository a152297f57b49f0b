"""MMAction2's MMDecode with PyAV in decord's place: the reader that evaluation and prediction use, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mmaction.datasets.transforms import MMDecode as MMActionMMDecode

from x3ddeploy.data.folder import video_of
from x3ddeploy.data.video import read_frames
from x3ddeploy.errors import UsageError
from x3ddeploy.registry import TRANSFORMS


@TRANSFORMS.register_module()
class MMDecode(MMActionMMDecode):
    """Takes the video of `frame_dir` and the keypoints; videos are files of this machine (`io_backend` 'disk')."""

    def __init__(self, io_backend: str = "disk", **kwargs: Any) -> None:
        super().__init__(io_backend, **kwargs)
        if io_backend != "disk":
            raise UsageError(f"MMDecode io_backend {io_backend!r} is not supported", hint="put the videos on a disk")

    def _get_video_reader(self, filename: str) -> Path:
        path = Path(filename)  # MMAction2 asks for <frame_dir>.mp4 where a sample names no file
        return path if path.exists() else video_of(path.parent, path.name.removesuffix(path.suffix))

    def _decord_load_frames(self, container: Path, frame_inds: npt.NDArray[np.integer]) -> list[npt.NDArray[np.uint8]]:
        return list(read_frames(container, frame_inds.tolist()))
