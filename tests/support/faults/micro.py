"""A network of every kind of block that exports in a tenth of a second: what the faults are injected into."""

from functools import cache

from x3ddeploy.bundle import Source
from x3ddeploy.calibration.ranges import Range
from x3ddeploy.exporting.parts import ExportOptions, build_graphs
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import IMAGENET_MEAN, IMAGENET_STD
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.families.two_stream_x3d.spec import BackboneSpec, HeadSpec, ModelSpec, PoseInput, RGBInput, StageSpec
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.precision.faithful import Intent
from x3ddeploy.precision.half import float32_nodes, to_half
from x3ddeploy.precision.sites import find_sites
from x3ddeploy.precision.targets import target_named
from x3ddeploy.precision.trials import Quantizer
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.terms import Precision

# Height is not width, frames of the streams differ, no channel count is another's, and no fold divides 10 or 22.
STAGES = (StageSpec(2, 10, 22, 2, (8, 0)), StageSpec(1, 12, 26, 2, (8,)))
SPEC = ModelSpec(
    rgb=BackboneSpec(3, 8, 2, STAGES, 20, fold_div=4),
    pose=BackboneSpec(5, 8, 1, STAGES, 16, fold_div=3),
    head=HeadSpec(20, 16, classes=6, coarse_classes=3, prototype_dim=8),
    rgb_input=RGBInput(4, 24, 16, IMAGENET_MEAN, IMAGENET_STD),
    pose_input=PoseInput(5, 12, 8, sigma=0.6, scaling=0.5, keypoint_order="dataset"),
)
SOURCE = Source("micro.pth", "0" * 64)


@cache
def network():
    made = random_network(SPEC, seed=3)
    made.fusion = (2.0, 1.0)
    return made


def options(target, preprocess=False):
    return ExportOptions(target, None, preprocess, None, None, overwrite=False)


@cache
def graphs(target):
    """Part -> float32 graph, with the preprocessing; nobody may change them."""
    return build_graphs(network(), SOURCE, options(target, preprocess=True))


@cache
def quantizer(target):
    """With the extremes of every tensor over a few clips as its ranges."""
    recognizer = graphs(target)["recognizer"]
    sources = {site.source for site in find_sites(recognizer)}
    inner = tuple(sorted(sources - set(SPEC.input_shapes())))
    clips = batch_inputs(clip_inputs(SPEC), 4, seed=9)
    values = {**open_session("onnxruntime", recognizer.SerializeToString(), outputs=inner).run(clips), **clips}
    ranges = {name: Range(float(min(0, values[name].min())), float(max(0, values[name].max()))) for name in sources}
    return Quantizer(target_named(target), ranges)


def _sites(target, part):
    return {site.node for site in quantizer(target).eligible(graphs(target)[part])}


@cache
def lower(target, precision, part):
    """A part's graph in 'fp16', 'bf16' or 'int8'; nobody may change it."""
    graph = graphs(target)[part]
    if precision == "int8":
        return quantizer(target).quantize(graph, _sites(target, part))
    return to_half(graph, Precision(precision), float32_nodes(graph))


def intent(target, precision, part):
    """What `lower` was to make."""
    graph = graphs(target)[part]
    if precision == "int8":
        return quantizer(target).intent(graph, _sites(target, part))
    return Intent(Precision(precision), float32_nodes(graph))
