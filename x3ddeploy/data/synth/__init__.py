"""A synthetic action data set that stands on its own: videos, keypoints, labels and splits, from a seed."""

from x3ddeploy.data.synth.clip import SynthClip, make_clip
from x3ddeploy.data.synth.options import SynthOptions
from x3ddeploy.data.synth.write import Summary, generate

__all__ = ["Summary", "SynthClip", "SynthOptions", "generate", "make_clip"]
