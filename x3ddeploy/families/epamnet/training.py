"""EPAM-Net in the registries of the training, under the names and keys of the public configs."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModule, kaiming_init
from torch import Tensor, nn

from x3ddeploy.families.epamnet.config import FIXED
from x3ddeploy.families.epamnet.network import Attention
from x3ddeploy.families.two_stream_x3d.checkpoint.model_keys import BACKBONES
from x3ddeploy.families.two_stream_x3d.training.recognizer import TwoStreamRecognizer
from x3ddeploy.registry import MODELS


@MODELS.register_module()
class EPAMBackbone(BaseModule):
    """Both backbones, and the attention of pose features on those of RGB.

    Args:
        rgb_backbone, pose_backbone: configs; None for those of the published network.
        others: keys of the public configs that say nothing of the network (`num_classes`), or its only form.
    """

    def __init__(
        self,
        rgb_backbone: dict[str, Any] | None = None,
        pose_backbone: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
        **others: Any,
    ) -> None:
        super().__init__(init_cfg)
        self.rgb_backbone, self.pose_backbone = (
            MODELS.build({"type": BACKBONES[stream], **(FIXED[stream] if given is None else given)})
            for stream, given in (("rgb", rgb_backbone), ("pose", pose_backbone))
        )
        self.attention_module = Attention()

    def init_weights(self) -> None:
        """The backbones' own, and Kaiming for the attention's convolutions."""
        for module in self.attention_module.modules():
            if isinstance(module, (nn.Conv3d, nn.Conv1d)):
                kaiming_init(module)
        super().init_weights()

    def forward(self, rgb: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, T, H, W) frames and (N, K, T', H', W') heatmaps to both features, RGB's attended."""
        rgb_feat, pose_feat = self.rgb_backbone(rgb), self.pose_backbone(pose)
        return self.attention_module(rgb_feat, pose_feat), pose_feat


@MODELS.register_module()
class EPAMRecognizer(TwoStreamRecognizer):
    """The backbone and the two-stream head, with the state_dict of the public code's.

    Args:
        backbone: config; its type is EPAMBackbone where it has none.
        cls_head: see `TwoStreamRecognizer.add_head`.
        others: arguments of `TwoStreamRecognizer`.
    """

    def __init__(self, backbone: dict[str, Any], cls_head: dict[str, Any], **others: Any) -> None:
        super().__init__(**others)
        self.backbone = MODELS.build({"type": "EPAMBackbone", **backbone})
        self.add_head(cls_head, self.backbone.rgb_backbone, self.backbone.pose_backbone)

    def features(self, rgb: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
        features: tuple[Tensor, Tensor] = self.backbone(rgb, pose)
        return features
