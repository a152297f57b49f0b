"""Faults of written graphs: one node or one constant is wrong. Each is a part, and an edit of a graph that holds it."""

import numpy as np
from onnx import helper

from support.faults.editing import (
    bypass,
    constant,
    edit_value,
    insert,
    node_of,
    own_input,
    read_instead,
    set_attribute,
    set_operator,
    swap_inputs,
    swap_tensors,
    value_of,
)

INT64 = np.int64
LAST = 2**31


def _integers(*values):
    return np.array(values, INT64)


def _cut(model, tensor, output, start, end, axis):
    bounds = {"start": start, "end": end, "axis": axis}
    names = [constant(model, f"{output}/{key}", _integers(value)) for key, value in bounds.items()]
    return helper.make_node("Slice", [tensor, *names], [output])


def on(edit, name, *values, **attributes):
    """The part that holds a node or a constant, and an edit of it."""
    part = name.replace(".", "/").partition("/")[0]
    return part, lambda model: edit(model, name, *values, **attributes)


def scaled_channel(model):
    edit_value(model, "rgb_backbone.layer1.1.conv3.weight", lambda w: np.concatenate((w[:1] * 1.01, w[1:])))


def flushed_weight(model):
    def flush(weight):
        weight.flat[np.abs(weight).argmax()] = 0
        return weight

    edit_value(model, "pose_backbone.layer2.0.conv1.weight", flush)


def negated_weight(model):
    def negate(weight):
        weight.flat[np.abs(weight).argmax()] *= -1
        return weight

    edit_value(model, "rgb_backbone.conv5.weight", negate)


def weights_of_half_the_digits(model):
    edit_value(model, "pose_backbone.layer1.0.conv1.weight", lambda w: w.astype(np.float16).astype(np.float32))


def ahead_by_none(model):
    own_input(model, "rgb_backbone/layer1.0/shift/ahead", 1, _integers(0, 0))
    own_input(model, "rgb_backbone/layer1.0/shift/ahead", 2, _integers(3, 2))


def back_by_two(model):
    own_input(model, "pose_backbone/layer1.1/shift/back", 2, _integers(3, 6))
    own_input(model, "pose_backbone/layer1.1/shift/before_first", 1, _integers(0, 2, 0, 0, 0, 0, 0, 0))


def zero_frame_before(model):
    own_input(model, "pose_backbone/layer2.0/shift/after_last", 1, _integers(0, 1, 0, 0, 0, 0, 0, 0))


def fold_moved_by_one(model):
    own_input(model, "rgb_backbone/layer2.0/shift/ahead", 1, _integers(1, 1))
    own_input(model, "rgb_backbone/layer2.0/shift/ahead", 2, _integers(4, 3))


def frames_of_all_clips_shifted_together(model):
    shift = "rgb_backbone/layer1.1/shift"
    channels, pixels = 10, 24
    own_input(model, f"{shift}/to_clip", 1, _integers(1, -1, channels, pixels))
    own_input(model, f"{shift}/ahead", 2, _integers(LAST, 2))
    own_input(model, f"{shift}/back", 2, _integers(-1, 4))
    own_input(model, f"{shift}/stay", 2, _integers(LAST, channels))


def mean_of_first_frame(model):
    name = "rgb_backbone/layer1.0/se_module/mean_of_frame"
    bounds = [constant(model, f"fault/{key}", _integers(value)) for key, value in (("from", 0), ("to", 1), ("axis", 1))]
    insert(
        model, name, [helper.make_node("Slice", [name, *bounds], ["fault/first"], name="fault/first")], "fault/first"
    )


def mean_of_all_clips(model):
    squeeze = "pose_backbone/layer1.0/se_module"
    shape = value_of(model, node_of(model, f"{squeeze}/to_clip").input[1])
    own_input(model, f"{squeeze}/to_clip", 1, _integers(1, -1, *shape[2:]))


def relu_for_swish(model):
    node = node_of(model, "rgb_backbone/layer1.0/swish/Mul")
    source = node.input[0]
    del node.input[:]
    node.input.append(source)
    node.op_type = "Relu"


def gate_alone_for_swish(model):
    swish = node_of(model, "pose_backbone/layer1.0/swish/Mul")
    read_instead(model, swish.output[0], "pose_backbone/layer1.0/swish/Sigmoid")
    model.graph.node.remove(swish)


def identity_after_the_shift(model):
    swap = node_of(model, "rgb_backbone/layer1.1/Add").input
    swap[1] = "rgb_backbone/layer1.1/shift/to_frames"


def downsample_after_the_shift(model):
    node_of(model, "pose_backbone/layer1.0/downsample/Conv").input[0] = "pose_backbone/layer1.0/shift/to_frames"


def turned_frames(model):
    set_attribute(model, "rgb_backbone/frames/Transpose", perm=[0, 2, 1, 4, 3])


def one_frame_late(model):
    """The whole stream sees each frame one step later."""
    name = "rgb_backbone/frames/to_frames"
    clip = constant(model, "fault/clip", _integers(-1, 4, 3, 24 * 16))
    pads = constant(model, "fault/pads", _integers(0, 1, 0, 0, 0, 0, 0, 0))
    back = constant(model, "fault/back", _integers(-1, 3, 24, 16))
    nodes = [
        helper.make_node("Reshape", [name, clip], ["fault/clips"]),
        _cut(model, "fault/clips", "fault/cut", 0, 3, axis=1),
        helper.make_node("Pad", ["fault/cut", pads], ["fault/late"]),
        helper.make_node("Reshape", ["fault/late", back], ["fault/frames"]),
    ]
    insert(model, name, nodes, "fault/frames")


def first_clip_for_all(model):
    """Every clip of a batch gets the pooled features of the first."""
    name = "head/rgb/pool"
    nothing = constant(model, "fault/nothing", np.float32(0))
    nodes = [
        _cut(model, name, "fault/one", 0, 1, axis=0),
        helper.make_node("Mul", [name, nothing], ["fault/none"]),
        helper.make_node("Add", ["fault/none", "fault/one"], ["fault/all"]),
    ]
    insert(model, name, nodes, "fault/all")


def exchanged_coarse_logits(model):
    swap_tensors(model, "rgb_coarse_logits", "pose_coarse_logits")


def pool_of_first_frame(model):
    name = node_of(model, "head/pose/pool").input[0]
    insert(model, name, [_cut(model, name, "fault/first", 0, 1, axis=2)], "fault/first")


def _still(taps):
    taps[0] = np.array([0, 1, 0], np.float32).reshape(taps[0].shape)
    return taps


def _neighbour(taps):
    border = next(index for index in range(len(taps)) if not np.array_equal(taps[index], taps[0]))
    taps[border - 1] = taps[border]
    return taps


FRAMES = {
    "shift: directions exchanged": on(swap_inputs, "rgb_backbone/layer1.0/shift/Concat", 0, 1),
    "shift: what stays comes first": on(swap_inputs, "pose_backbone/layer1.0/shift/Concat", 0, 2),
    "shift: one direction does not move": ("rgb_backbone", ahead_by_none),
    "shift: two frames instead of one": ("pose_backbone", back_by_two),
    "shift: zero frame on the wrong side": ("pose_backbone", zero_frame_before),
    "shift: the last frame is repeated": on(set_attribute, "rgb_backbone/layer1.1/shift/after_last", mode="edge"),
    "shift: the fold begins one channel late": ("rgb_backbone", fold_moved_by_one),
    "shift: frames of neighbouring clips meet": ("rgb_backbone", frames_of_all_clips_shifted_together),
    "squeeze: mean of the first frame": ("rgb_backbone", mean_of_first_frame),
    "squeeze: mean over all clips of the batch": ("pose_backbone", mean_of_all_clips),
    "squeeze: largest value instead of the mean": on(
        set_operator, "pose_backbone/layer2.0/se_module/mean_of_frame", "ReduceMax"
    ),
    "input: height and width exchanged": ("rgb_backbone", turned_frames),
    "input: channels taken for frames": on(bypass, "pose_backbone/frames/Transpose"),
    "input: one frame late": ("rgb_backbone", one_frame_late),
    "input: padded before the joints": on(own_input, "pose_backbone/conv1_s/Pad", 1, _integers(0, 3, 0, 0, 0, 0, 0, 0)),
    "stride: odd pixels instead of even ones": on(set_attribute, "rgb_backbone/layer1.0/conv2/Conv", pads=[0, 0, 2, 2]),
    "identity taken after the shift": ("rgb_backbone", identity_after_the_shift),
    "downsample reads the shifted tensor": ("pose_backbone", downsample_after_the_shift),
}

EVERY_FORM = {
    "weights of one channel 1 % larger": ("rgb_backbone", scaled_channel),
    "one weight flushed to zero": ("pose_backbone", flushed_weight),
    "one weight with the wrong sign": ("rgb_backbone", negated_weight),
    "weights of one layer rounded to float16": ("pose_backbone", weights_of_half_the_digits),
    "excitation: ReLU between its layers lost": on(bypass, "rgb_backbone/layer1.0/se_module/Relu"),
    "excitation: added instead of multiplied": on(set_operator, "pose_backbone/layer2.0/se_module/Mul", "Add"),
    "swish missing": on(bypass, "pose_backbone/layer1.1/swish/Mul"),
    "swish: ReLU instead": ("rgb_backbone", relu_for_swish),
    "swish: its gate alone": ("pose_backbone", gate_alone_for_swish),
    "swish: gate added": on(set_operator, "rgb_backbone/layer2.0/swish/Mul", "Add"),
    "residual missing": on(bypass, "pose_backbone/layer1.1/Add"),
    "residual alone": on(bypass, "rgb_backbone/layer1.1/Add", 1),
    "residual subtracted": on(set_operator, "rgb_backbone/layer2.0/Add", "Sub"),
    "ReLU after the residual lost": on(bypass, "pose_backbone/layer2.0/Relu"),
    "head: largest value instead of the mean": on(set_operator, "head/rgb/pool", "ReduceMax"),
    "head: pool of the first frame": ("head", pool_of_first_frame),
    "head: the first clip's features for all": ("head", first_clip_for_all),
    "head: prototypes not divided by the embedding's length": on(bypass, "head/rgb/prototypes/Div"),
    "head: rectification left out": on(bypass, "head/pose/rectify/Add"),
    "head: coarse logits exchanged": ("head", exchanged_coarse_logits),
    "scores: softmax over the clips": on(set_attribute, "head/rgb/Softmax", axis=0),
    "scores: one stream alone": on(bypass, "head/fuse"),
    "scores: logits fused": on(bypass, "head/pose/Softmax"),
}

CLIP = {
    "taps turned around": on(edit_value, "rgb_backbone.layer1.0.shift.taps", lambda w: w[:, :, ::-1]),
    "taps of one fold do not move": on(edit_value, "pose_backbone.layer1.1.shift.taps", _still),
    "one tap of its neighbour": on(edit_value, "rgb_backbone.layer2.0.shift.taps", _neighbour),
    "taps: no padding before, two frames after": on(
        set_attribute, "pose_backbone/layer1.0/shift/Conv", pads=[0, 0, 0, 2, 0, 0]
    ),
    "squeeze: each frame its own mean": on(bypass, "rgb_backbone/layer1.0/se_module/mean_of_clip"),
    "stride: odd pixels in three dimensions": on(
        set_attribute, "pose_backbone/layer2.0/conv2/Conv", pads=[0, 0, 0, 0, 2, 2]
    ),
    "downsample reads the tapped tensor": (
        "rgb_backbone",
        lambda m: node_of(m, "rgb_backbone/layer1.0/downsample/Conv").input.__setitem__(
            0, "rgb_backbone/layer1.0/shift/Conv"
        ),
    ),
}
