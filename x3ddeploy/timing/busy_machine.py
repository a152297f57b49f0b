"""Whether others computed on this machine while something was timed, so that its figures are marked."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_PROCESSORS = Path("/proc/stat")
# Others took more than this share of the usable cores; where nobody tells, load over this many times the cores.
_OTHERS, _LOAD = 0.1, 1.5


def busy_mark(others: float | None, load_average: Sequence[float] = (), cores: int = 1) -> str:
    """'busy machine', the mark of a figure that was measured while others computed; empty where they did not.

    Args:
        others: share of the usable cores that `cpu_of_others` gave; None where it gave none.
        load_average: asked in its stead.
        cores: number of cores that the load is shared by.
    """
    is_busy = others > _OTHERS if others is not None else max(load_average, default=0) > _LOAD * cores
    return "busy machine" if is_busy else ""


@dataclass
class CpuOfOthers:
    """The share of the usable cores that others computed in; None where the system does not tell."""

    share: float | None = None


@contextlib.contextmanager
def cpu_of_others() -> Iterator[CpuOfOthers]:
    """Gives what others computed during the block, which is known after it.

    What this process and its children used is not counted; what a hypervisor gave to others is. It is Linux that
    tells. Source: proc(5), /proc/stat.
    """
    found = CpuOfOthers()
    try:
        before, start = _busy_seconds(), time.monotonic()
    except (OSError, ValueError, AttributeError):
        yield found
        return
    yield found
    cores = len(os.sched_getaffinity(0))
    others = sum(after - earlier for after, earlier in zip(_busy_seconds(), before, strict=True))
    found.share = min(1.0, max(0.0, others / (cores * max(time.monotonic() - start, 1e-9))))


def _busy_seconds() -> tuple[float, float]:
    """Seconds in which the usable cores did not idle, and the negative of those that this process took of them."""
    usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    ticks = 0
    for line in _PROCESSORS.read_text().splitlines():
        name, *fields_ = line.split()
        if name in usable:
            user, nice, system, _idle, _waiting, *rest = map(int, fields_[:8])
            ticks += user + nice + system + sum(rest)
    return ticks / os.sysconf("SC_CLK_TCK"), -sum(os.times()[:4])
