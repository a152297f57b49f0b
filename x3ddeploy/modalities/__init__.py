"""What the inputs of networks are: clips of frames, of heatmaps and of skeletons, made as their contract says.

A modality is made from an `Input` of a contract. It samples, prepares, synthesises and, as an ONNX graph, preprocesses.
"""

from x3ddeploy.modalities.frames import Frames
from x3ddeploy.modalities.heatmaps import Heatmaps
from x3ddeploy.modalities.kinds import (
    Modality,
    modalities_of,
    needs_frames,
    needs_keypoints,
    needs_pictures,
    needs_rate,
    views_of,
    with_own_views,
)
from x3ddeploy.modalities.samplers import Indices, uniform_indices
from x3ddeploy.modalities.sampling import sample_clips
from x3ddeploy.modalities.skeletons import Skeletons
from x3ddeploy.modalities.views import one_view, with_clips

__all__ = [
    "Frames",
    "Heatmaps",
    "Indices",
    "Modality",
    "Skeletons",
    "modalities_of",
    "needs_frames",
    "needs_keypoints",
    "needs_pictures",
    "needs_rate",
    "one_view",
    "sample_clips",
    "uniform_indices",
    "views_of",
    "with_clips",
    "with_own_views",
]
