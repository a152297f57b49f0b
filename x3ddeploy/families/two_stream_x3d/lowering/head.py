"""The head with the fusion of its scores, stream by stream, and the prototype cosine as one product.

cos(e, p_k) = (e . p_k / |p_k|) / max(|e|, eps): the prototypes' norms do not depend on the clip, so they are normalised
once, and the embedding's norm is taken once for all classes (torch.nn.functional.cosine_similarity, which clamps each
norm at eps).
"""

from __future__ import annotations

import copy
import operator

import torch
from torch import Tensor, nn

from x3ddeploy.families.two_stream_x3d.head import (
    COSINE_EPS,
    POSE_RECTIFICATION,
    RGB_RECTIFICATION,
    Prototypes,
    TwoStreamHead,
)
from x3ddeploy.lowering.rewrite import Operation


def lower_head(head: TwoStreamHead, fusion: tuple[float, float]) -> LoweredHead:
    """The head and the score fusion in the form that is deployed. Exact up to float rounding."""
    return LoweredHead(copy.deepcopy(head), fusion)


class UnitPrototypes(nn.Module):
    """Prototypes of unit length: (N, channels) and the smallest norm -> (N, classes) cosines."""

    def __init__(self, module: Prototypes, weights_of: str) -> None:
        super().__init__()
        self.weights_of = weights_of
        self.cl_fc = module.cl_fc
        norm = module.avg_f.detach().double().norm(dim=0).clamp_min(COSINE_EPS)
        self.avg_f = nn.Parameter((module.avg_f.detach().double() / norm).float(), requires_grad=False)

    def forward(self, x: Tensor, eps: Tensor) -> Tensor:
        embedding = self.cl_fc(x)
        norm = torch.maximum(torch.linalg.vector_norm(embedding, dim=1, keepdim=True), eps)
        return embedding @ self.avg_f / norm


class Rectify(nn.Module):
    """Adds weighted cosines to the logits."""

    def forward(self, logits: Tensor, cosine: Tensor, strength: Tensor) -> Tensor:
        return logits + cosine * strength


class StreamHead(nn.Module):
    """One stream's features (N, C, T, H, W) to its logits, its coarse logits or None, and its share of the scores."""

    def __init__(self, head: TwoStreamHead, stream: str, strength: float, weight: float) -> None:
        super().__init__()
        self.weights_of = "cls_head"
        self.stream = stream
        self.pool, self.weigh = Operation(torch.mean), Operation(operator.mul)
        self.add_module(f"fc_{stream}", head.get_submodule(f"fc_{stream}"))
        self.rectify: Rectify | None = None
        if head.spec.prototype_dim:
            path = f"fr_{stream}.spatio_cl_net"
            prototypes = head.get_submodule(path)
            assert isinstance(prototypes, Prototypes)
            self.prototypes = UnitPrototypes(prototypes, f"cls_head.{path}")
            self.rectify = Rectify()
            self.register_buffer("strength", torch.tensor(strength))
            self.strength: Tensor
        if head.spec.coarse_classes:
            self.add_module(f"fc_{stream}_coarse", head.get_submodule(f"fc_{stream}_coarse"))
        self.register_buffer("fusion_weight", torch.tensor(weight))

    def forward(self, features: Tensor, eps: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        pooled = self.pool(features, (2, 3, 4))
        logits = self.get_submodule(f"fc_{self.stream}")(pooled)
        if self.rectify is not None:
            logits = self.rectify(logits, self.prototypes(pooled, eps), self.strength)
        outputs = {f"{self.stream}_logits": logits}
        if hasattr(self, f"fc_{self.stream}_coarse"):
            outputs[f"{self.stream}_coarse_logits"] = self.get_submodule(f"fc_{self.stream}_coarse")(pooled)
        return outputs, self.weigh(logits.softmax(1), self.fusion_weight)


class LoweredHead(nn.Module):
    """Features of both streams to the logits and `scores`, in the order of the bundle's outputs."""

    def __init__(self, head: TwoStreamHead, fusion: tuple[float, float]) -> None:
        super().__init__()
        total = sum(fusion)
        self.rgb = StreamHead(head, "rgb", RGB_RECTIFICATION, fusion[0] / total)
        self.pose = StreamHead(head, "pose", POSE_RECTIFICATION, fusion[1] / total)
        self.fuse = Operation(operator.add)
        self.register_buffer("cosine_eps", torch.tensor(COSINE_EPS))
        self.cosine_eps: Tensor

    def forward(self, rgb_feat: Tensor, pose_feat: Tensor) -> dict[str, Tensor]:
        """(N, C, T, H, W) of each stream -> what `TwoStreamX3D.classify` gives."""
        rgb, rgb_score = self.rgb(rgb_feat, self.cosine_eps)
        pose, pose_score = self.pose(pose_feat, self.cosine_eps)
        return {**rgb, **pose, "scores": self.fuse(rgb_score, pose_score)}
