"""The GPU's clock, power and reasons for slowing down while it works, read from NVML five times a second.

Read after the load they are those of an idle GPU. NVML comes with the driver; it is called through ctypes, so that no
package is needed. Source: https://docs.nvidia.com/deploy/nvml-api (device queries, clocks event reasons).
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

_LIBRARY = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
_SM, _MEMORY = 1, 2  # NVML_CLOCK_SM, NVML_CLOCK_MEM
_GPU_TEMPERATURE = 0  # NVML_TEMPERATURE_GPU
_INTERVAL_S = 0.2
# nvmlClocksEventReasons: those that make a figure another machine's. Idle and the application's own clocks do not.
_REASONS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
    0x100: "display clock setting",
}


@dataclass(frozen=True)
class Reading:
    """One look; `reasons` has the bits of nvmlClocksEventReasons."""

    sm_mhz: int
    memory_mhz: int
    power_w: float
    temperature_c: int
    reasons: int


@dataclass(frozen=True)
class GpuLoad:
    """What was read while something ran.

    Attributes:
        readings: how many; the rest is of them.
        sm_mhz: lowest, median and highest clock of the multiprocessors.
        memory_mhz: median clock of the memory.
        power_w: median power.
        temperature_c: highest temperature.
        slowed_by: reasons for a lower clock that were met at least once, in words.
    """

    readings: int
    sm_mhz: tuple[int, int, int]
    memory_mhz: int
    power_w: float
    temperature_c: int
    slowed_by: tuple[str, ...]


class Nvml:
    """Reads one GPU.

    Raises:
        OSError: there is no NVML, or no such GPU.
    """

    def __init__(self, index: int = 0, library: str = _LIBRARY) -> None:
        self._nvml = ctypes.CDLL(library)
        self._gpu = ctypes.c_void_p()
        if self._nvml.nvmlInit_v2() or self._nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(self._gpu)):
            raise OSError("NVML sees no GPU")

    def __call__(self) -> Reading:
        return Reading(
            sm_mhz=self._number("nvmlDeviceGetClockInfo", _SM),
            memory_mhz=self._number("nvmlDeviceGetClockInfo", _MEMORY),
            power_w=self._number("nvmlDeviceGetPowerUsage") / 1e3,  # it tells milliwatts
            temperature_c=self._number("nvmlDeviceGetTemperature", _GPU_TEMPERATURE),
            # Drivers from 535 on call it clocks event reasons, and keep the older name.
            reasons=self._number("nvmlDeviceGetCurrentClocksThrottleReasons", kind=ctypes.c_ulonglong),
        )

    def _number(self, function: str, *which: int, kind: type = ctypes.c_uint) -> int:
        value = kind()
        code = getattr(self._nvml, function)(self._gpu, *which, ctypes.byref(value))
        return 0 if code else int(value.value)  # what a GPU does not tell is 0


@contextlib.contextmanager
def gpu_load(read: Callable[[], Reading] | None = None, interval_s: float = _INTERVAL_S) -> Iterator[list[GpuLoad]]:
    """Gives a list that holds, after the block, what was read during it; empty where there is no GPU to ask.

    Args:
        read: one look; None for the first GPU's.
        interval_s: seconds between two looks.
    """
    found: list[GpuLoad] = []
    if read is None:
        try:
            read = Nvml()
        except OSError:
            yield found
            return
    readings: list[Reading] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(interval_s):
            readings.append(read())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
        if readings:
            found.append(_summary(readings))


def _summary(readings: list[Reading]) -> GpuLoad:
    clocks = [reading.sm_mhz for reading in readings]
    bits = 0
    for reading in readings:
        bits |= reading.reasons
    return GpuLoad(
        readings=len(readings),
        sm_mhz=(min(clocks), int(median(clocks)), max(clocks)),
        memory_mhz=int(median(reading.memory_mhz for reading in readings)),
        power_w=float(median(reading.power_w for reading in readings)),
        temperature_c=max(reading.temperature_c for reading in readings),
        slowed_by=tuple(word for bit, word in _REASONS.items() if bits & bit),
    )
