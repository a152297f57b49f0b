"""The backbones under the names and keys of the original configs."""

from __future__ import annotations

from typing import Any, cast

from mmengine.model import BaseModule, constant_init, kaiming_init
from mmengine.runner.checkpoint import load_checkpoint
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # SyncBatchNorm is one, too

from x3ddeploy.families.two_stream_x3d.config_keys import BackboneConfig, PoseBackboneConfig, read_keys
from x3ddeploy.families.two_stream_x3d.x3d import ConvBN, X3DBackbone, X3DBlock
from x3ddeploy.registry import MODELS


@MODELS.register_module()
class X3DTemporalShift(X3DBackbone, BaseModule):
    """RGB stream; the keys are those of `BackboneConfig`, and MMEngine's `init_cfg`."""

    config_kind: type[BackboneConfig] = BackboneConfig

    def __init__(self, init_cfg: dict[str, Any] | None = None, **keys: Any) -> None:
        config = read_keys(self.config_kind, type(self).__name__, keys)
        super().__init__(config.spec())
        self.init_cfg = init_cfg
        self.config = config

    def init_weights(self) -> None:
        """Kaiming for convolutions, 1 and 0 for BatchNorm; then what `pretrained` or `init_cfg` names."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                kaiming_init(module)
            elif isinstance(module, _BatchNorm):
                constant_init(module, 1)
        if self.config.zero_init_residual:
            for block in (module for module in self.modules() if isinstance(module, X3DBlock)):
                constant_init(cast(ConvBN, block.conv3).bn, 0)
        if self.config.pretrained is not None:
            load_checkpoint(self, self.config.pretrained, map_location="cpu", strict=True)
        super().init_weights()

    def train(self, mode: bool = True) -> X3DTemporalShift:
        super().train(mode)
        if mode and self.config.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


@MODELS.register_module()
class X3DTemporalShiftPose(X3DTemporalShift):
    """Pose stream; the same keys with the defaults of `PoseBackboneConfig`."""

    config_kind = PoseBackboneConfig
