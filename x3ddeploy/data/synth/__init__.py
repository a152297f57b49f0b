"""A synthetic action data set that stands on its own: videos, keypoints, labels and splits, from a seed."""

from x3ddeploy.data.synth.clip import SynthClip, make_clip
from x3ddeploy.data.synth.options import SynthOptions

__all__ = ["SynthClip", "SynthOptions", "make_clip"]
