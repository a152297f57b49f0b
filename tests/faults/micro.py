"""A network of every kind of block that exports in a tenth of a second: what the faults are injected into."""

from functools import cache

from x3ddeploy.bundle import Source
from x3ddeploy.export.pipeline import Options, build_graphs
from x3ddeploy.models.presets import IMAGENET_MEAN, IMAGENET_STD
from x3ddeploy.models.randomized import random_network
from x3ddeploy.models.spec import BackboneSpec, HeadSpec, ModelSpec, PoseInput, RGBInput, StageSpec
from x3ddeploy.parity.compare import DEFAULT_TOLERANCE

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
    return Options(target, None, preprocess, DEFAULT_TOLERANCE, None, overwrite=False)


@cache
def graphs(target):
    """Part -> float32 graph, with the preprocessing; nobody may change them."""
    return build_graphs(network(), SOURCE, options(target, preprocess=True))
