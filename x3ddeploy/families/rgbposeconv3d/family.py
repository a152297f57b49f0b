"""RGBPoseConv3D as a family: MMAction2's backbone, and its head, plain, with coarse classes or with prototypes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from x3ddeploy.contract import InputKind
from x3ddeploy.families.base import LoweredPart
from x3ddeploy.families.mmaction.family import MMActionFamily, channels_in
from x3ddeploy.families.mmaction.model import HEAD, unpacked
from x3ddeploy.terms import Target

if TYPE_CHECKING:
    from torch import Tensor, nn

    from x3ddeploy.families.mmaction.building import Classes
    from x3ddeploy.families.network import Network

_COARSE, _PROTOTYPES = "cls_head.fc_rgb_coarse.weight", "cls_head.fr_rgb.spatio_cl_net.avg_f"


class RGBPoseConv3DFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "rgbposeconv3d"
    title: ClassVar[str] = "RGBPoseConv3D"
    recognizers: ClassVar[tuple[str, ...]] = ("MMRecognizer3D",)
    backbones: ClassVar[tuple[str, ...]] = ("RGBPoseConv3D",)
    heads: ClassVar[tuple[str, ...]] = ("RGBPoseHead",)
    kinds: ClassVar[frozenset[InputKind]] = frozenset({InputKind.FRAMES, InputKind.HEATMAPS})
    features: ClassVar[tuple[str, ...]] = ("rgb_feat", "pose_feat")
    scored: ClassVar[tuple[str, ...]] = ("rgb_logits", "pose_logits")
    # Coarse prototypes, a loss of the training alone.
    training_only: ClassVar[tuple[str, ...]] = ("cls_head.fr_coarse_rgb.", "cls_head.fr_coarse_pose.")

    def own(self) -> Classes:
        from x3ddeploy.families.rgbposeconv3d.head import RGBPoseHead

        return {"RGBPoseHead": RGBPoseHead}

    def shown(self, part: str, weights: Mapping[str, Tensor]) -> Mapping[str, Any]:
        if part != "cls_head":
            return {}
        found = {"num_coarse_classes": weights.get(_COARSE), "prototype_dim": weights.get(_PROTOTYPES)}
        return {name: value.shape[0] for name, value in found.items() if value is not None}

    def channels(self, backbone: Mapping[str, Any]) -> int:
        pathway = unpacked({**backbone["defaults"], **backbone["arguments"]})["pose_pathway"]
        return channels_in(pathway, "model.backbone.pose_pathway")

    def blocks(self, backbone: nn.Module) -> dict[str, nn.Module]:
        return {
            f"{path}.{name}": block
            for path in ("rgb_path", "pose_path")
            for name, block in super(RGBPoseConv3DFamily, self).blocks(backbone.get_submodule(path)).items()
        }

    def lower(self, network: Network, target: Target) -> dict[str, LoweredPart]:
        from x3ddeploy.families.two_stream_x3d.head import TwoStreamHead
        from x3ddeploy.families.two_stream_x3d.lowering.head import lower_head

        head = network.get_submodule("cls_head")
        assert isinstance(head, TwoStreamHead)
        weights = network.contract().fusion
        lowered = super().lower(network, target)
        part = replace(lowered[HEAD], module=lower_head(head, (weights[0], weights[1])), path=None)
        return {**lowered, HEAD: part}


RGBPOSECONV3D = RGBPoseConv3DFamily()
