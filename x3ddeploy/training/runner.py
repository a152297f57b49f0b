"""MMEngine's Runner where it needs help: processes without a GPU, and checkpoints under PyTorch's safe loading."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.logging import HistoryBuffer
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner
from torch import nn

from x3ddeploy.training.batchnorm import share_batch_norm

# What MMEngine's own checkpoints hold beyond weights; torch.load (2.6 and later) wants it named.
_CHECKPOINT_TYPES = [
    HistoryBuffer,
    np.ndarray,
    np.dtype,
    np.zeros(1).__reduce__()[0],  # how arrays and scalars are made again, wherever this NumPy keeps it
    np.float64(0).__reduce__()[0],
    type(np.dtype(np.float64)),
    type(np.dtype(np.float32)),
    type(np.dtype(np.int64)),
]


class TrainingRunner(Runner):
    """MMEngine's Runner; on the CPU it wraps the model for gloo, and `sync_bn` works there, too."""

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

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        with torch.serialization.safe_globals(_CHECKPOINT_TYPES):
            return super().load_checkpoint(*args, **kwargs)
