"""The two-stream classification head: plain, hierarchical or prototype-rectified."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from x3ddeploy.families.two_stream_x3d.spec import HeadSpec

# Weight of the cosine similarity to the class prototypes in each stream's logits, fixed in the original head.
RGB_RECTIFICATION = 5.0
POSE_RECTIFICATION = 1.0
COSINE_EPS = 1e-8


class Prototypes(nn.Module):
    """Cosine similarity of a clip's embedding to each class's prototype."""

    def __init__(self, channels: int, dim: int, classes: int) -> None:
        super().__init__()
        self.cl_fc = nn.Linear(channels, dim)
        self.avg_f = nn.Parameter(torch.randn(dim, classes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels) -> (N, classes), each in -1..1."""
        return F.cosine_similarity(self.cl_fc(x)[:, :, None], self.avg_f[None], dim=1, eps=COSINE_EPS)


class Rectification(nn.Module):
    """Holds the prototypes under the name that the original layout gives them."""

    def __init__(self, channels: int, dim: int, classes: int) -> None:
        super().__init__()
        self.spatio_cl_net = Prototypes(channels, dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatio_cl_net(x)


class TwoStreamHead(nn.Module):
    """Pools each stream over T, H and W and classifies it; the scores are fused by the recognizer."""

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        self.spec = spec
        self.fc_rgb = nn.Linear(spec.rgb_channels, spec.classes)
        self.fc_pose = nn.Linear(spec.pose_channels, spec.classes)
        if spec.coarse_classes:
            self.fc_rgb_coarse = nn.Linear(spec.rgb_channels, spec.coarse_classes)
            self.fc_pose_coarse = nn.Linear(spec.pose_channels, spec.coarse_classes)
        if spec.prototype_dim:
            self.fr_rgb = Rectification(spec.rgb_channels, spec.prototype_dim, spec.classes)
            self.fr_pose = Rectification(spec.pose_channels, spec.prototype_dim, spec.classes)

    def forward(self, rgb_feat: Tensor, pose_feat: Tensor) -> dict[str, Tensor]:
        """Logits of one clip pair each.

        Args:
            rgb_feat: (N, rgb_channels, T, H, W).
            pose_feat: (N, pose_channels, T', H, W).

        Returns:
            `rgb_logits` and `pose_logits` (N, classes); with coarse classes also `rgb_coarse_logits` and
            `pose_coarse_logits` (N, coarse_classes).
        """
        rgb, pose = rgb_feat.mean((2, 3, 4)), pose_feat.mean((2, 3, 4))
        logits = {"rgb_logits": self.fc_rgb(rgb), "pose_logits": self.fc_pose(pose)}
        if self.spec.prototype_dim:
            logits["rgb_logits"] = logits["rgb_logits"] + RGB_RECTIFICATION * self.fr_rgb(rgb)
            logits["pose_logits"] = logits["pose_logits"] + POSE_RECTIFICATION * self.fr_pose(pose)
        if self.spec.coarse_classes:
            logits["rgb_coarse_logits"] = self.fc_rgb_coarse(rgb)
            logits["pose_coarse_logits"] = self.fc_pose_coarse(pose)
        return logits


def fuse_scores(rgb_logits: Tensor, pose_logits: Tensor, fusion: tuple[float, float]) -> Tensor:
    """Weighted mean of the streams' softmax probabilities: (N, classes) twice -> (N, classes)."""
    total = fusion[0] + fusion[1]
    return (fusion[0] / total) * rgb_logits.softmax(1) + (fusion[1] / total) * pose_logits.softmax(1)
