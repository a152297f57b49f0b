"""BatchNorm over the batches of all processes, on the CPU, where torch.nn.SyncBatchNorm does not run."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


class SharedBatchNorm3d(nn.BatchNorm3d):
    """In training, normalises with the mean and variance over all processes' clips, of which each has as many.

    Gradients flow through the reduction, so that the step is that of one process with the whole batch.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        shape = (1, -1, 1, 1, 1)
        # Mean first: the difference of two moments would lose digits.
        mean = _mean_over_processes(x)
        centred = x - mean.reshape(shape)
        variance = _mean_over_processes(centred * centred)
        self._track(mean.detach(), variance.detach(), x.numel() // x.shape[1] * dist.get_world_size())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale.reshape(shape) + self.bias.reshape(shape)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), momentum)  # torch keeps the unbiased variance


def _mean_over_processes(x: Tensor) -> Tensor:
    """(N, C, T, H, W) -> (C,)."""
    mean: Tensor = all_reduce(x.mean((0, 2, 3, 4)))
    return mean / dist.get_world_size()


def share_batch_norm(module: nn.Module) -> None:
    """Put SharedBatchNorm3d in the place of each BatchNorm3d, with its very weights and statistics."""
    for name, child in list(module.named_children()):
        if type(child) is nn.BatchNorm3d:
            shared = SharedBatchNorm3d(child.num_features, eps=child.eps, momentum=child.momentum)
            shared.__dict__.update(child.__dict__)
            setattr(module, name, shared)
        else:
            share_batch_norm(child)
