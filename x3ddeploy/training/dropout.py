"""Dropout that a run repeats: on another number of processes, and after it was resumed."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor, nn


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
