"""Faults of the rewrites: one thing is wrong in the modules that the graphs are written from."""

from __future__ import annotations

import copy

import torch
from torch import nn

from x3ddeploy.families.two_stream_x3d.lowering import blocks, head, strategy
from x3ddeploy.lowering import padding


def in_backbone(stream, change):
    """A fault that `change` makes in one stream's lowered backbone."""

    def inject(patch):
        lower = strategy.lower

        def faulty(backbone, frames, strategy):
            form = lower(backbone, frames, strategy)
            if (backbone.spec.in_channels == 3) == (stream == "rgb"):
                with torch.no_grad():
                    change(form)
            return form

        patch(strategy, "lower", faulty)

    return inject


def in_head(change):
    def inject(patch):
        lower_head = head.lower_head

        def faulty(head, fusion):
            lowered = lower_head(copy.deepcopy(head), fusion)
            with torch.no_grad():
                change(lowered)
            return lowered

        patch(strategy, "lower_head", faulty)

    return inject


def lost_bias(path):
    """The bias of the module at `path` is zero."""
    return lambda form: form.get_submodule(path).bias.zero_()


def relu(path, value):
    return lambda form: setattr(form.get_submodule(path), "relu", value)


def no_se(form):
    form.layer1[0].se_module = None


def idle_block(form):
    form.layer1[1].conv3.weight.zero_()
    form.layer1[1].conv3.bias.zero_()


def fold_div(value):
    return lambda form: setattr(form.layer1[1].shift, "fold_div", value)


def reversed_kernel(form):
    weight = form.layer1[0].conv2.weight
    weight.copy_(weight.flip(-2, -1))


def transposed_kernel(form):
    weight = form.layer1[0].conv2.weight
    weight.copy_(weight.transpose(-2, -1).clone())


def swapped_channels(form):
    weight = form.layer2[0].conv3.weight
    weight[[0, 1]] = weight[[1, 0]]


def swapped_joints(form):
    weight = form.conv1_s.weight
    weight[:, [1, 2]] = weight[:, [2, 1]]


def in_fold(change):
    """A fault in how the third BatchNorm of each backbone is folded; `change` gets its layer's copy."""

    def inject(patch):
        fold, seen = blocks._fold, [0]

        def faulty(layer):
            seen[0] += 1
            return change(fold, layer) if seen[0] == 3 else fold(layer)

        patch(blocks, "_fold", faulty)

    return inject


def _with(layer, **values):
    for name, value in values.items():
        setattr(layer.bn, name, value)
    return layer


def grown_with_copies(patch):
    """What is padded on repeats the first channel where zeros belong."""
    grown = padding.grown

    def faulty(tensor, *sizes):
        made = grown(tensor, *sizes)
        for axis, size in enumerate(tensor.shape[: len(sizes)]):
            made.narrow(axis, size, made.shape[axis] - size).copy_(made.narrow(axis, 0, 1))
        return made.detach()

    patch(padding, "grown", faulty)


def swapped_strengths(head):
    head.rgb.strength, head.pose.strength = head.pose.strength, head.rgb.strength


def swapped_fusion(head):
    head.rgb.fusion_weight, head.pose.fusion_weight = head.pose.fusion_weight, head.rgb.fusion_weight


def rolled_prototypes(head):
    module = head.rgb.prototypes
    module.avg_f.copy_(module.avg_f.roll(1, 1))


def long_prototypes(head):
    module = head.pose.prototypes
    module.avg_f.mul_(torch.linspace(0.9, 1.1, module.avg_f.shape[1]))


LOWERED = {
    "RGB stem: bias lost": in_backbone("rgb", lost_bias("conv1_s")),
    "expanding convolution: bias lost": in_backbone("rgb", lost_bias("layer1.0.conv1")),
    "depthwise convolution: bias lost": in_backbone("pose", lost_bias("layer1.1.conv2")),
    "projecting convolution: bias lost": in_backbone("rgb", lost_bias("layer2.0.conv3")),
    "downsample: bias lost": in_backbone("pose", lost_bias("layer2.0.downsample")),
    "last convolution: bias lost": in_backbone("pose", lost_bias("conv5")),
    "squeeze: bias lost": in_backbone("rgb", lost_bias("layer1.0.se_module.fc1")),
    "excitation: bias lost": in_backbone("pose", lost_bias("layer2.0.se_module.fc2")),
    "squeeze-and-excitation of one block skipped": in_backbone("rgb", no_se),
    "one block without effect": in_backbone("pose", idle_block),
    "ReLU after the expanding convolution lost": in_backbone("rgb", relu("layer1.0.conv1", False)),
    "ReLU after the depthwise convolution added": in_backbone("pose", relu("layer1.0.conv2", True)),
    "ReLU before the residual sum added": in_backbone("rgb", relu("layer1.1.conv3", True)),
    "ReLU of the last convolution lost": in_backbone("rgb", relu("conv5", False)),
    "shift: one fold too many channels": in_backbone("rgb", fold_div(3)),
    "shift: one fold too few channels": in_backbone("pose", fold_div(4)),
    "shift dropped": in_backbone("pose", fold_div(1000)),
    "depthwise kernel turned around": in_backbone("rgb", reversed_kernel),
    "depthwise kernel: height and width exchanged": in_backbone("pose", transposed_kernel),
    "two output channels exchanged": in_backbone("rgb", swapped_channels),
    "two joints exchanged in the stem": in_backbone("pose", swapped_joints),
    "BatchNorm: eps 1e-3 in one layer": in_fold(lambda fold, layer: fold(_with(layer, eps=1e-3))),
    "BatchNorm: gamma lost in one layer": in_fold(
        lambda fold, layer: fold(_with(layer, weight=nn.Parameter(torch.ones_like(layer.bn.weight))))
    ),
    "BatchNorm: mean lost in one layer": in_fold(
        lambda fold, layer: fold(_with(layer, running_mean=torch.zeros_like(layer.bn.running_mean)))
    ),
    "BatchNorm: variance where its root belongs": in_fold(
        lambda fold, layer: fold(_with(layer, running_var=layer.bn.running_var**2))
    ),
    "BatchNorm of one layer not folded": in_fold(lambda fold, layer: fold(_with(layer, **_IDENTITY(layer.bn)))),
    "padded channels are not zero": grown_with_copies,
    "RGB classifier: bias lost": in_head(lost_bias("rgb.fc_rgb")),
    "coarse pose classifier: bias lost": in_head(lost_bias("pose.fc_pose_coarse")),
    "embedding: bias lost": in_head(lost_bias("pose.prototypes.cl_fc")),
    "prototypes of the neighbouring class": in_head(rolled_prototypes),
    "prototypes not of unit length": in_head(long_prototypes),
    "rectification: 5 and 1 exchanged between streams": in_head(swapped_strengths),
    "fusion weights exchanged": in_head(swapped_fusion),
}


def _IDENTITY(bn):
    zeros, ones = torch.zeros_like(bn.running_mean), torch.ones_like(bn.running_var)
    return {"weight": nn.Parameter(ones), "bias": nn.Parameter(zeros), "running_mean": zeros, "running_var": ones}
