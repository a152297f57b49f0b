"""A tiny network's graphs in every precision, made in memory: no calibration, ranges of one."""

from functools import cache

import numpy as np

from support.parts import PARTS
from x3ddeploy.calibration.ranges import Range
from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.precision.half import float32_nodes, to_half
from x3ddeploy.precision.targets import target_named
from x3ddeploy.precision.trials import Quantizer
from x3ddeploy.terms import Precision

SPEC = PRESETS["tiny"]


@cache
def network():
    return random_network(SPEC, seed=1)


@cache
def graphs(precision, batch=None, opset17=False):
    """Part -> model."""

    parts = build_parts(network(), "tensorrt", batch, "0" * 64)
    if precision == "fp32":
        return parts
    if precision == "fp16":
        return {part: to_half(graph, Precision.FP16, float32_nodes(graph)) for part, graph in parts.items()}
    quantizer = Quantizer(target_named("tensorrt"), _ranges(parts["recognizer"]), (), opset17)
    sites = {site.node for site in quantizer.eligible(parts["recognizer"])}
    return {part: quantizer.quantize(graph, sites) for part, graph in parts.items()}


def _ranges(recognizer):
    from x3ddeploy.precision.sites import find_sites

    return {site.source: Range(-4.0, 4.0) for site in find_sites(recognizer)}


def inputs(part, batch, seed=0):
    random = np.random.default_rng(seed)
    shapes = {**SPEC.input_shapes(batch), **SPEC.feature_shapes(batch)}
    names = {
        "rgb_backbone": ("imgs",),
        "pose_backbone": ("heatmap_imgs",),
        "head": ("rgb_feat", "pose_feat"),
        "recognizer": ("imgs", "heatmap_imgs"),
    }[part]
    return {name: random.random(shapes[name], np.float32) for name in names}


__all__ = ["PARTS", "SPEC", "graphs", "inputs", "network"]
