"""The process group that torchrun asks for."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from x3ddeploy.errors import UsageError

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@contextmanager
def process_group(launcher: str | None) -> Iterator[str]:
    """Join torchrun's processes: NCCL where there are GPUs, gloo on the CPU.

    Args:
        launcher: 'pytorch' (torchrun), 'none', or None to find out from the environment.

    Returns:
        The launcher as MMEngine names it.

    Raises:
        UsageError: 'pytorch' without torchrun's environment.
    """
    launched = all(name in os.environ for name in _TORCHRUN)
    if launcher == "pytorch" and not launched:
        raise UsageError(
            "--launcher pytorch needs the environment that torchrun sets",
            hint="torchrun --nproc_per_node 2 -m x3ddeploy train CONFIG",
        )
    if launcher == "none" or not launched:
        yield "none"
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield "pytorch"
        dist.barrier()  # a process that leaves early would take the others' connections with it
    finally:
        gc.collect()  # MMEngine's runner is a reference cycle around the group; gloo's threads must end before it does
        dist.destroy_process_group()


def is_main_process() -> bool:
    """Whether this process is the one that reports."""
    return not dist.is_initialized() or dist.get_rank() == 0
