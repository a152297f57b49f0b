"""The two-stream recognizer and its preprocessor under the names of the original configs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from mmaction.models.data_preprocessors import MultiModalDataPreprocessor
from mmengine.dist import all_reduce
from mmengine.model import BaseModel
from torch import Tensor

from x3ddeploy.errors import UsageError
from x3ddeploy.families.two_stream_x3d.training.head import STREAMS
from x3ddeploy.families.two_stream_x3d.x3d import X3DBackbone
from x3ddeploy.registry import MODELS

_INPUTS = {"rgb": "imgs", "pose": "heatmap_imgs"}


@MODELS.register_module()
class RGBPoseDataPreprocessor(MultiModalDataPreprocessor):
    """MMAction2's, under the original network's name: one ActionDataPreprocessor for each of the inputs."""


class TwoStreamRecognizer(BaseModel):
    """A recognizer of frames and heatmaps, as MMEngine trains one; `features` is what a concrete one computes.

    Args:
        data_preprocessor: config.
    """

    cls_head: Any

    def __init__(
        self,
        data_preprocessor: dict[str, Any] | None = None,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        if train_cfg or test_cfg:
            raise UsageError(f"{type(self).__name__} has no use for train_cfg and test_cfg", hint="leave them out")
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)

    def add_head(self, cls_head: dict[str, Any], *backbones: X3DBackbone) -> None:
        """Build the head, after the backbones: a seed gives each module its weights by their order.

        Args:
            cls_head: config; its type is RGBPoseHead where it has none.
            backbones: RGB's and pose's.

        Raises:
            UsageError: the head takes other features than they give.
        """
        self.cls_head = MODELS.build({"type": "RGBPoseHead", **cls_head})
        actual = tuple(backbone.spec.out_channels for backbone in backbones)
        if tuple(self.cls_head.config.in_channels) != actual:
            raise UsageError(
                f"cls_head in_channels is {tuple(self.cls_head.config.in_channels)}, and the backbones give {actual}"
            )

    def features(self, rgb: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
        """What the head takes of (N, 3, T, H, W) frames and (N, joints, T', H', W') heatmaps."""
        raise NotImplementedError

    def forward(
        self, inputs: dict[str, Tensor], data_samples: Sequence[Any] | None = None, mode: str = "tensor"
    ) -> Any:
        """MMEngine's three modes.

        Args:
            inputs: `imgs` (N, clips, 3, T, H, W) and `heatmap_imgs` (N, clips, joints, T', H', W').
            data_samples: N samples; in training their labels.
            mode: 'loss' for a dict of losses, 'predict' for samples with scores, 'tensor' for features and logits.
        """
        rgb, pose = (_channels_last(inputs[_INPUTS[stream]].flatten(0, 1)) for stream in STREAMS)
        feats = self.features(rgb, pose)
        if mode == "loss":
            return self.cls_head.loss(feats, data_samples)
        if mode == "predict":
            return self.cls_head.predict(feats, data_samples)
        return {"rgb_feat": feats[0], "pose_feat": feats[1], **self.cls_head(*feats)}

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the losses, of this process, and what is logged: means over all processes."""
        total, logged = super().parse_losses(losses)
        values = torch.stack([value.detach().float() for value in logged.values()])
        all_reduce(values, op="mean")
        return total, OrderedDict(zip(logged, values.unbind(), strict=True))


@MODELS.register_module()
class RGBPoseX3DRecognizer(TwoStreamRecognizer):
    """Two backbones and the head, with the state_dict of `TwoStreamX3D`.

    Args:
        rgb_backbone: config; its type is X3DTemporalShift where it has none.
        pose_backbone: config; its type is X3DTemporalShiftPose where it has none.
        cls_head: config; its type is RGBPoseHead where it has none.
        others: arguments of `TwoStreamRecognizer`.
    """

    def __init__(
        self,
        rgb_backbone: dict[str, Any],
        pose_backbone: dict[str, Any],
        cls_head: dict[str, Any],
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self.rgb_backbone = MODELS.build({"type": "X3DTemporalShift", **rgb_backbone})
        self.pose_backbone = MODELS.build({"type": "X3DTemporalShiftPose", **pose_backbone})
        self.add_head(cls_head, self.rgb_backbone, self.pose_backbone)

    def features(self, rgb: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
        return self.rgb_backbone(rgb), self.pose_backbone(pose)


def _channels_last(x: Tensor) -> Tensor:
    """(N, C, T, H, W) with a position's channels together in memory, which CPUs compute faster.

    A training step of configs/synth.py on one core of a 2-core machine took 0.17 s instead of 0.65 s.
    """
    return x.contiguous(memory_format=torch.channels_last_3d) if x.device.type == "cpu" else x
