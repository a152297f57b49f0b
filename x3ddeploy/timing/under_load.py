"""Clips a second and latency while several callers ask at once: what a server sees, not what one call takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class UnderLoad:
    """Latencies of callers that each ask again as soon as they are answered.

    Attributes:
        seconds: from the common start to the last answer.
        latencies_ms: latency of every call, caller after caller.
    """

    seconds: float
    latencies_ms: tuple[float, ...]

    @property
    def calls_per_s(self) -> float:
        return len(self.latencies_ms) / self.seconds


def measure_under_load(
    callers: Sequence[Callable[[], object]], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> UnderLoad:
    """Let callers run side by side, each in a thread of its own, for as long as the time lasts and one call at least.

    Args:
        callers: what each does again and again; whatever it holds is its own.
        seconds: no call begins later than that behind the common start.
        clock: seconds; a test gives its own.

    Raises:
        Exception: what a caller raised; the others end with their call.
    """
    begins: list[float] = []
    start = threading.Barrier(len(callers) + 1, action=lambda: begins.append(clock()))
    latencies: list[list[float]] = [[] for _ in callers]
    faults: list[BaseException] = []

    def call(run: Callable[[], object], found: list[float]) -> None:
        start.wait()
        end = begins[0] + seconds
        try:
            while not found or (clock() < end and not faults):
                begin = clock()
                run()
                found.append((clock() - begin) * 1e3)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=call, args=pair, daemon=True) for pair in zip(callers, latencies, strict=True)]
    for thread in threads:
        thread.start()
    start.wait()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return UnderLoad(clock() - begins[0], tuple(latency for found in latencies for latency in found))
