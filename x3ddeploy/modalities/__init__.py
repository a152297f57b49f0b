"""What the inputs of networks are: clips of frames and of heatmaps, made as their contract says.

A modality is made from an `Input` of a contract. It samples, prepares, synthesises and, as an ONNX graph, preprocesses.
"""

from x3ddeploy.modalities.frames import Frames
from x3ddeploy.modalities.heatmaps import Heatmaps
from x3ddeploy.modalities.kinds import Modality, modalities_of, needs_frames, needs_keypoints
from x3ddeploy.modalities.sampling import Indices, sample_clips, uniform_indices

__all__ = [
    "Frames",
    "Heatmaps",
    "Indices",
    "Modality",
    "modalities_of",
    "needs_frames",
    "needs_keypoints",
    "sample_clips",
    "uniform_indices",
]
