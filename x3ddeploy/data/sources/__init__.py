"""Sources of labelled clips: `open_source` picks by what the path is."""

from x3ddeploy.data.sources.annotated import AnnotatedVideos
from x3ddeploy.data.sources.base import ClipSource, LabelledClip, PreparedSource, checked_inputs
from x3ddeploy.data.sources.npz import NpzClips
from x3ddeploy.data.sources.opening import open_source
from x3ddeploy.data.sources.script import ScriptClips

__all__ = [
    "AnnotatedVideos",
    "ClipSource",
    "LabelledClip",
    "NpzClips",
    "PreparedSource",
    "ScriptClips",
    "checked_inputs",
    "open_source",
]
