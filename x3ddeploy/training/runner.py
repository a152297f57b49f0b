"""MMEngine's Runner for processes without a GPU, too."""

from __future__ import annotations

from typing import Any

from mmengine.device import get_device
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner
from torch import nn

from x3ddeploy.training.batchnorm import share_batch_norm


class TrainingRunner(Runner):
    """Wraps the model for gloo where the device is the CPU, and makes `sync_bn` work there."""

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        if not self.distributed or get_device() != "cpu" or model_wrapper_cfg is not None:
            return super().wrap_model(model_wrapper_cfg, model)
        if self.cfg.get("sync_bn") is not None:
            share_batch_norm(model)
        return MMDistributedDataParallel(
            module=model,
            broadcast_buffers=False,
            find_unused_parameters=self.cfg.get("find_unused_parameters", False),
        )
