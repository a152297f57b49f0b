"""MMEngine's Runner for processes without a GPU, too."""

from __future__ import annotations

from typing import Any

from mmengine.device import get_device
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner
from torch import nn

from x3ddeploy.errors import DataError
from x3ddeploy.training.batchnorm import share_batch_norm
from x3ddeploy.training.dataset import find_pose_dataset


class TrainingRunner(Runner):
    """Wraps the model for gloo where the device is the CPU, makes `sync_bn` work there, and checks labels first."""

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

    def build_train_loop(self, loop: Any) -> Any:
        """The loop. Raises DataError for labels that the head has no class for, which a GPU reports as a crash."""
        built = super().build_train_loop(loop)
        classes = self.cfg.model.get("cls_head", {}).get("num_classes")
        dataset = find_pose_dataset(built.dataloader.dataset)
        if classes is not None and dataset is not None and dataset.highest_label >= classes:
            raise DataError(
                f"the training data have class {dataset.highest_label}, and cls_head num_classes is {classes}",
                hint="classes are counted from 0: set num_classes to that of the data set",
            )
        return built
