"""RGB frames to the network's input."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from x3ddeploy.families.two_stream_x3d.spec import RGBInput


def normalise_frames(frames: npt.NDArray[np.uint8], rgb: RGBInput) -> npt.NDArray[np.float32]:
    """(T, H, W, 3) RGB to (3, T, H, W), (value - mean) / std by channel."""
    values = (frames.astype(np.float32) - np.array(rgb.mean, np.float32)) / np.array(rgb.std, np.float32)
    return np.ascontiguousarray(values.transpose(3, 0, 1, 2), np.float32)
