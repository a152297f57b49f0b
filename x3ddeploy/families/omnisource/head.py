"""The head without its classifier of images."""

from __future__ import annotations

from typing import Any

from mmaction.models.heads.omni_head import OmniHead


class VideoHead(OmniHead):
    """MMAction2's on features of clips, (N, C, T, H, W)."""

    def __init__(self, image_classes: int, video_classes: int, in_channels: int, **others: Any) -> None:
        super().__init__(image_classes, video_classes, in_channels, **others)
        del self.fc2d
