"""RGBPoseHead with the arguments of the configs in the field, called as MMAction2 calls a head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from x3ddeploy.families.two_stream_x3d.head import TwoStreamHead
from x3ddeploy.families.two_stream_x3d.spec import HeadSpec

STREAMS = ("rgb", "pose")
COARSE = (*STREAMS, "rgb_coarse", "pose_coarse")


class RGBPoseHead(TwoStreamHead):
    """MMAction2's head; with coarse classes and prototypes, that of the two-stream network in the field.

    Args:
        num_classes: number of classes of each stream.
        in_channels: channels of the RGB and the pose features.
        num_coarse_classes, prototype_dim: 0 where the head has none.
        average_clips: see `HeadSpec`; None for 'none'.
        loss_components: which scores MMAction2 reports.
        loss_weights, dropout, coarse_of: settings of the training.

    Raises:
        ValueError: other scores than those of both streams are asked for.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        num_coarse_classes: int = 0,
        prototype_dim: int = 0,
        average_clips: str | None = None,
        multi_class: bool = False,
        loss_components: Sequence[str] = STREAMS,
        loss_weights: Any = 1.0,
        dropout: Any = 0.5,
        coarse_of: Any = None,
    ) -> None:
        if tuple(loss_components) not in (STREAMS, COARSE):
            raise ValueError(
                f"loss_components {loss_components}: the scores of both streams, rgb and pose, are exported"
            )
        rgb, pose = in_channels
        average = average_clips or "none"
        super().__init__(HeadSpec(rgb, pose, num_classes, num_coarse_classes, prototype_dim, average))
        self.average_clips, self.multi_class = average_clips, multi_class

    def forward(self, features: tuple[Tensor, Tensor]) -> dict[str, Tensor]:  # type: ignore[override]
        """Logits of each stream, and its coarse ones, by the stream's name."""
        return {name.removesuffix("_logits"): value for name, value in super().forward(*features).items()}
