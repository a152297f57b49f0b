"""Tells augmentation and dropout the seed and the time, so that a resumed run goes on as if never interrupted."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from x3ddeploy.registry import HOOKS
from x3ddeploy.training.dropout import ShardedDropout


@HOOKS.register_module()
class SeedHook(Hook):
    """Sets a data set's `seed_and_epoch` before each epoch and `ShardedDropout.state` before each iteration."""

    priority = "VERY_HIGH"

    def before_train(self, runner: Any) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._dropouts = [module for module in model.modules() if isinstance(module, ShardedDropout)]

    def before_train_epoch(self, runner: Any) -> None:
        dataset = find_seeded_dataset(runner.train_dataloader.dataset)
        if dataset is not None:
            dataset.seed_and_epoch[0], dataset.seed_and_epoch[1] = runner.seed, runner.epoch

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        for dropout in self._dropouts:
            dropout.state = (runner.seed, runner.iter)


def find_seeded_dataset(dataset: Any) -> Any:
    """What takes seed and epoch, inside of RepeatDataset and its like; None where nothing does."""
    while dataset is not None and not hasattr(dataset, "seed_and_epoch"):
        dataset = getattr(dataset, "dataset", None)
    return dataset
