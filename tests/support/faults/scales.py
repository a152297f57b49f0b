"""Faults of graphs of lower precision: scales, zero points, pairs, biases, weights and casts."""

import numpy as np
from onnx import helper

from support.faults.editing import bypass, constant, edit_value, node_of, read_instead, set_value, value_of

LAYERS = {
    "rgb_backbone": ("conv1_s", "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv3", "layer2.0.downsample", "conv5"),
    "pose_backbone": ("conv1_s", "layer1.1.conv1", "layer1.1.conv2", "layer2.0.conv3", "layer1.0.downsample", "conv5"),
}


def stored(model, name):
    """The constant under its name, whatever type it was given."""
    names = [tensor.name for tensor in model.graph.initializer]
    return next(found for found in (name, f"{name}/fp16", f"{name}/bf16", f"{name}/int8") if found in names)


def lost_bias(path):
    return lambda model: edit_value(model, stored(model, f"{path}.bias"), np.zeros_like)


LOST_BIASES = {
    **{
        f"{part}.{layer}: bias lost": (part, lost_bias(f"{part}.{layer}"))
        for part, layers in LAYERS.items()
        for layer in layers
    },
    "rgb_backbone.layer1.0.se_module.fc2: bias lost": (
        "rgb_backbone",
        lost_bias("rgb_backbone.layer1.0.se_module.fc2"),
    ),
    "cls_head.fc_rgb: bias lost": ("head", lost_bias("cls_head.fc_rgb")),
    "cls_head.fc_pose_coarse: bias lost": ("head", lost_bias("cls_head.fc_pose_coarse")),
}


def scale(source, edit):
    return lambda model: edit_value(model, stored(model, f"{source}/scale"), edit)


def scale_of_neighbour(model):
    other = value_of(model, stored(model, "rgb_backbone/layer1.1/Relu/scale"))
    set_value(model, stored(model, "rgb_backbone/layer1.0/Relu/scale"), other)


def two_scales_in_a_pair(model):
    """The tensor is dequantized by the scale of another."""
    source = "pose_backbone/layer1.0/swish/Mul"
    node_of(model, f"{source}/DequantizeLinear").input[1] = stored(model, "pose_backbone/layer1.1/swish/Mul/scale")


def zero_point(model):
    edit_value(
        model, "rgb_backbone/layer1.0/swish/Mul/zero_point", lambda zero: np.full_like(zero, np.iinfo(zero.dtype).max)
    )


def one_scale_for_all_channels(model):
    name = "rgb_backbone.layer2.0.conv1.weight"
    edit_value(model, stored(model, f"{name}/scale"), lambda scales: np.full_like(scales, scales.max()))


def no_pair(model):
    tensor = "pose_backbone/layer2.0/swish/Mul"
    bypass(model, f"{tensor}/DequantizeLinear")
    bypass(model, f"{tensor}/QuantizeLinear")


def pair_on_the_residual_alone(model):
    """The convolution behind the shift reads what the residual sum should: values that are not quantized."""
    source, moved = "rgb_backbone/layer1.0/Relu", "rgb_backbone/layer1.1/shift/to_frames"
    read_instead(model, f"{source}/DequantizeLinear", source, {"rgb_backbone/layer1.1/shift/to_clip"})
    bypass(model, f"{moved}/DequantizeLinear")
    bypass(model, f"{moved}/QuantizeLinear")


def pair_before_the_swish(model):
    """A pair stands on a tensor that no layer reads directly."""
    source = "pose_backbone/layer1.1/conv2/Conv"
    scale, zero = constant(model, "fault/scale", np.float16(0.05)), constant(model, "fault/zero", np.int8(0))
    index = next(index for index, node in enumerate(model.graph.node) if source in node.output) + 1
    read_instead(model, source, "fault/dequantized")
    nodes = list(model.graph.node)
    pair = [
        helper.make_node("QuantizeLinear", [source, scale, zero], ["fault/quantized"], name="fault/QuantizeLinear"),
        helper.make_node("DequantizeLinear", ["fault/quantized", scale, zero], ["fault/dequantized"], name="fault/Deq"),
    ]
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:index], *pair, *nodes[index:]])


def rotated(name):
    return lambda model: edit_value(model, stored(model, f"{name}/scale"), lambda scales: np.roll(scales, 1))


def one_channel_doubled(model):
    def double(scales):
        scales[0] *= 2
        return scales

    edit_value(model, stored(model, "pose_backbone.layer2.0.conv3.weight/scale"), double)


def largest_weight_flushed(model):
    def flush(weight):
        weight.flat[np.abs(weight.astype(np.float32)).argmax()] = 0
        return weight

    edit_value(model, stored(model, "pose_backbone.layer1.0.conv3.weight"), flush)


def channels_swapped(model):
    def swap(weight):
        weight[[0, 1]] = weight[[1, 0]]
        return weight

    edit_value(model, stored(model, "rgb_backbone.layer1.1.conv1.weight"), swap)


SCALES = {
    "scale doubled": ("rgb_backbone", scale("rgb_backbone/layer1.1/swish/Mul", lambda value: value * 2)),
    "scale halved": ("pose_backbone", scale("pose_backbone/layer2.0/swish/Mul", lambda value: value / 2)),
    "scale of the neighbouring block": ("rgb_backbone", scale_of_neighbour),
    "pair with two scales": ("pose_backbone", two_scales_in_a_pair),
    "zero point moved": ("rgb_backbone", zero_point),
    "weight scales rotated by one channel": ("pose_backbone", rotated("pose_backbone.layer1.1.conv3.weight")),
    "one scale for all channels of a weight": ("rgb_backbone", one_scale_for_all_channels),
    "weight scale of one channel doubled": ("pose_backbone", one_channel_doubled),
    "pair missing": ("pose_backbone", no_pair),
    "pair on the residual alone": ("rgb_backbone", pair_on_the_residual_alone),
    "pair where none belongs": ("pose_backbone", pair_before_the_swish),
}
WEIGHTS = {
    "largest weight flushed to zero": ("pose_backbone", largest_weight_flushed),
    "two output channels exchanged": ("rgb_backbone", channels_swapped),
}
