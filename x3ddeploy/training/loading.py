"""MMEngine's checkpoints under torch.load's safe mode, the default since PyTorch 2.6, which MMEngine does not know."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from x3ddeploy.errors import CheckpointError

_STATISTICS = ("min", "max", "mean", "current")


def _statistic(owner: object, name: str) -> Any:
    """What a HistoryBuffer needs of `getattr`: its pickle names its own methods by it."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise pickle.UnpicklingError(f"getattr of {name!r}")
    return getattr(HistoryBuffer, name)


# What MMEngine's own checkpoints hold beyond weights: the log history of the run.
_LOG_HISTORY: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    HistoryBuffer,
    (_statistic, "builtins.getattr"),
    (_statistic, "getattr"),
    np.ndarray,
    np.dtype,
    cast(Callable[..., Any], np.zeros(1).__reduce__()[0]),  # how arrays are made again, wherever this NumPy keeps it
    cast(Callable[..., Any], np.float64(0).__reduce__()[0]),
    *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)),
]


@contextmanager
def checkpoints_with_history() -> Iterator[None]:
    """Let torch.load take checkpoints that this version of MMEngine wrote, and nothing that executes code.

    Raises:
        CheckpointError: a checkpoint that is loaded inside asks for more.
    """
    with torch.serialization.safe_globals(_LOG_HISTORY):
        try:
            yield
        except pickle.UnpicklingError as error:
            reason = str(error).rpartition("WeightsUnpickler error:")[2].strip().partition("\n")[0]
            raise CheckpointError(
                f"the checkpoint to go on from asks for Python code beyond weights and logs: {reason}",
                hint="re-save it with torch.save({'state_dict': ..., 'meta': ...}, path)",
            ) from error
