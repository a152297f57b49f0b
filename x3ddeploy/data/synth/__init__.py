"""A synthetic action data set that stands on its own: videos, keypoints, labels and splits, from a seed."""

from x3ddeploy.data.synth.clip import SynthClip, make_clip
from x3ddeploy.data.synth.options import SynthOptions
from x3ddeploy.data.synth.pictures import PictureOptions, generate_pictures
from x3ddeploy.data.synth.write import Summary, generate

__all__ = ["PictureOptions", "Summary", "SynthClip", "SynthOptions", "generate", "generate_pictures", "make_clip"]
