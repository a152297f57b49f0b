"""Faults of the preprocessing: in its graphs, and in Python's."""

import dataclasses

import numpy as np
from onnx import helper

import x3ddeploy.modalities.heatmaps as heatmaps
from support.faults.editing import bypass, constant, edit_value, insert, node_of, set_operator
from x3ddeploy.modalities import Frames


def _gathered(model, tensor, axis, order):
    """Whoever reads `tensor` gets its slices along `axis` in another order."""
    index = constant(model, "fault/order", np.array(order, np.int64))
    insert(
        model, tensor, [helper.make_node("Gather", [tensor, index], ["fault/gathered"], axis=axis)], "fault/gathered"
    )


def _late(model, output, axis):
    """The output's frames come one step late."""
    inner = f"{output}/early"
    for node in model.graph.node:
        node.output[:] = [inner if name == output else name for name in node.output]
    frames = next(value for value in model.graph.output if value.name == output).type.tensor_type.shape.dim[axis]
    order = constant(model, "fault/order", np.maximum(np.arange(frames.dim_value) - 1, 0))
    model.graph.node.append(helper.make_node("Gather", [inner, order], [output], axis=axis))


def x_and_y(model):
    split = node_of(model, "keypoints/Split")
    split.output[0], split.output[1] = split.output[1], split.output[0]


def no_scores(model):
    one = constant(model, "fault/one", np.float32(1))
    where = next(node for node in model.graph.node if node.name == "peak/Where")
    where.input[1] = one


def first_person(model):
    index = constant(model, "fault/first", np.array([0], np.int64))
    name = "draw/persons"
    insert(model, name, [helper.make_node("Gather", [name, index], ["fault/person"], axis=1)], "fault/person")


GRAPHS = {
    "mean without std": ("preprocess_rgb", lambda m: bypass(m, "normalise/Div")),
    "std without mean": ("preprocess_rgb", lambda m: bypass(m, "normalise/Sub")),
    "means of the channels turned around": ("preprocess_rgb", lambda m: edit_value(m, "mean", lambda v: v[::-1])),
    "frames in B, G, R": ("preprocess_rgb", lambda m: _gathered(m, "frames", 4, [2, 1, 0])),
    "pixels in 0..1": ("preprocess_rgb", lambda m: edit_value(m, "std", lambda v: v * 255)),
    "frames one late": ("preprocess_rgb", lambda m: _late(m, "imgs", 2)),
    "frames turned around in time": ("preprocess_rgb", lambda m: _gathered(m, "frames", 1, [3, 2, 1, 0])),
    "frames mirrored": ("preprocess_rgb", lambda m: _gathered(m, "frames", 3, list(range(15, -1, -1)))),
    "two joints exchanged": ("preprocess_pose", lambda m: _gathered(m, "keypoints", 3, [0, 2, 1, 3, 4])),
    "x and y exchanged": ("preprocess_pose", x_and_y),
    "heatmaps one pixel to the right": ("preprocess_pose", lambda m: edit_value(m, "x/pixels", lambda v: v - 1)),
    "sigma a tenth larger": ("preprocess_pose", lambda m: edit_value(m, "minus_two_variances", lambda v: v * 1.21)),
    "window a pixel smaller": ("preprocess_pose", lambda m: edit_value(m, "reach", lambda v: v - 1)),
    "scaling of full size": ("preprocess_pose", lambda m: edit_value(m, "scaling", lambda v: v * 2)),
    "scores ignored": ("preprocess_pose", no_scores),
    "first person alone": ("preprocess_pose", first_person),
    "persons added up": ("preprocess_pose", lambda m: _summed(m)),
    "heatmaps one frame late": ("preprocess_pose", lambda m: _late(m, "heatmap_imgs", 2)),
}


def _summed(model):
    """ReduceSum takes its axes as an input, where ReduceMax has an attribute."""
    name = next(node.name for node in model.graph.node if node.op_type == "ReduceMax")
    axes = constant(model, "fault/axes", np.array([1], np.int64))
    node = node_of(model, name)
    node.input.append(axes)
    set_operator(model, name, "ReduceSum")
    kept = [entry for entry in node.attribute if entry.name != "axes"]
    del node.attribute[:]
    node.attribute.extend(kept)


def in_frames(change):
    """A fault in how frames are normalised; `change` gets what is right, the frames and their modality."""

    def inject(patch):
        normalise = Frames.normalise

        def right(frames, rgb):
            return normalise(rgb, frames)

        patch(Frames, "normalise", lambda rgb, frames: np.ascontiguousarray(change(right, frames, rgb)))

    return inject


def in_heatmaps(change):
    def inject(patch):
        draw = heatmaps.Heatmaps._draw

        def changed(pose, clip, *drawn):
            def right(keypoints, scores, pose):
                made = np.zeros_like(clip)
                draw(pose, made, keypoints, scores)
                return made

            clip[:] = change(right, *drawn, pose)

        patch(heatmaps.Heatmaps, "_draw", changed)

    return inject


def _without(rgb, **values):
    return dataclasses.replace(rgb, **values)


PYTHON = {
    "mean without std": in_frames(lambda right, frames, rgb: right(frames, _without(rgb, std=(1.0, 1.0, 1.0)))),
    "std without mean": in_frames(lambda right, frames, rgb: right(frames, _without(rgb, mean=(0.0, 0.0, 0.0)))),
    "frames in B, G, R": in_frames(lambda right, frames, rgb: right(frames[..., ::-1], rgb)),
    "one frame late": in_frames(lambda right, frames, rgb: np.roll(right(frames, rgb), 1, axis=-3)),
    "means of the channels turned around": in_frames(
        lambda right, frames, rgb: right(frames, _without(rgb, mean=rgb.mean[::-1]))
    ),
    "two joints exchanged": in_heatmaps(lambda right, k, s, pose: right(k[:, :, [0, 2, 1, 3, 4]], s, pose)),
    "sigma a tenth larger": in_heatmaps(lambda right, k, s, pose: right(k, s, _without(pose, sigma=pose.sigma * 1.1))),
    "heatmaps one pixel down": in_heatmaps(lambda right, k, s, pose: np.roll(right(k, s, pose), 1, axis=2)),
    "heatmaps one frame late": in_heatmaps(lambda right, k, s, pose: np.roll(right(k, s, pose), 1, axis=1)),
    "scores ignored": in_heatmaps(lambda right, k, s, pose: right(k, s, _without(pose, use_score=False))),
    "x and y exchanged": in_heatmaps(lambda right, k, s, pose: right(k[..., ::-1], s, pose)),
    "window of two sigma": lambda patch: patch(heatmaps, "REACH", 2),
}
