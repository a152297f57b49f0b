"""Augmentation and dropout that a run repeats: on another number of processes, and after it was resumed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from x3ddeploy.registry import HOOKS


class ShardedDropout(nn.Module):
    """Dropout whose mask is a function of the seed and the iteration.

    One mask is drawn for the whole batch, and each process takes the rows of its samples: MMEngine's sampler gives
    process r the samples r, r + world, r + 2 world, ... of the batch that a single process would have.

    Attributes:
        state: seed and iteration, set before each iteration (`SeedHook`).
    """

    def __init__(self, probability: float, stream: int) -> None:
        super().__init__()
        self.probability = probability
        self.stream = stream
        self.state = (0, 0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C) -> (N, C)."""
        if not self.training or self.probability == 0:
            return x
        world, rank = get_world_size(), get_rank()
        seed = int(np.random.SeedSequence([*self.state, self.stream]).generate_state(1)[0])
        drawn = torch.rand(len(x) * world, x.shape[1], generator=torch.Generator().manual_seed(seed))
        kept = drawn[rank::world] >= self.probability
        return x * kept.to(x.device, x.dtype) / (1 - self.probability)


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
