"""The whole network in its training form, compatible with the original layout's state_dict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from x3ddeploy.contract import WHOLE, Contract
from x3ddeploy.families.network import Network
from x3ddeploy.families.two_stream_x3d.contract import EQUAL_FUSION, FAMILY, two_stream_contract
from x3ddeploy.families.two_stream_x3d.head import TwoStreamHead, fuse_scores
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec, model_of
from x3ddeploy.families.two_stream_x3d.x3d import X3DBackbone


class TwoStreamX3D(Network):
    """RGB and pose backbones and their head; `forward` gives what the deployed recognizer gives."""

    family: ClassVar[str] = FAMILY

    def __init__(self, spec: ModelSpec, fusion: tuple[float, float] = EQUAL_FUSION) -> None:
        super().__init__()
        self.spec = spec
        self.fusion = fusion
        self.rgb_backbone = X3DBackbone(spec.rgb)
        self.pose_backbone = X3DBackbone(spec.pose)
        self.cls_head = TwoStreamHead(spec.head)

    def forward(self, imgs: Tensor, heatmap_imgs: Tensor) -> dict[str, Tensor]:
        """Features, logits and fused scores.

        Args:
            imgs: (N, 3, T, H, W), normalised.
            heatmap_imgs: (N, joints, T', H', W').

        Returns:
            `rgb_feat`, `pose_feat`, the head's logits, and `scores` (N, classes), fused probabilities.
        """
        rgb_feat, pose_feat = self.rgb_backbone(imgs), self.pose_backbone(heatmap_imgs)
        return {"rgb_feat": rgb_feat, "pose_feat": pose_feat, **self.classify(rgb_feat, pose_feat)}

    def classify(self, rgb_feat: Tensor, pose_feat: Tensor) -> dict[str, Tensor]:
        """The head alone, on features: logits and fused `scores`."""
        logits = self.cls_head(rgb_feat, pose_feat)
        return {**logits, "scores": fuse_scores(logits["rgb_logits"], logits["pose_logits"], self.fusion)}

    @property
    def model(self) -> dict[str, Any]:
        return model_of(self.spec)

    def contract(self, batch: int | None = None) -> Contract:
        return two_stream_contract(self.spec, self.fusion, batch, {})

    def part(self, name: str) -> Callable[..., dict[str, Tensor]]:
        if name == "head":
            return self.classify
        if name == WHOLE:
            return self._logits_and_scores
        stream, backbone = name.removesuffix("_backbone"), self.get_submodule(name)
        return lambda clip: {f"{stream}_feat": backbone(clip)}

    def blocks(self, part: str) -> dict[str, nn.Module]:
        backbone = getattr(self, part, None)
        if not isinstance(backbone, X3DBackbone):
            return {}
        return {f"{part}/{name}": backbone.get_submodule(name) for name in backbone.blocks}

    def _logits_and_scores(self, imgs: Tensor, heatmap_imgs: Tensor) -> dict[str, Tensor]:
        return self.classify(self.rgb_backbone(imgs), self.pose_backbone(heatmap_imgs))
