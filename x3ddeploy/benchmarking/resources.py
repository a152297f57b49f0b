"""What a run takes and finds: peak memory of this process, and the state of the GPU as nvidia-smi tells it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@contextlib.contextmanager
def host_peak() -> Iterator[list[int]]:
    """Gives a list that holds, after the block, by how many bytes the resident set's peak rose above its start.

    The list stays empty where the system does not tell (it is Linux that does). Source: proc(5), clear_refs 5.
    """
    growth: list[int] = []
    try:
        _CLEAR.write_text("5")
        before = _status("VmRSS")
    except (OSError, KeyError):
        yield growth
        return
    yield growth
    growth.append(max(0, _status("VmHWM") - before))


def _status(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


_QUERY = {
    "name": "name",
    "driver": "driver_version",
    "memory_used_mib": "memory.used",
    "memory_total_mib": "memory.total",
    "clock_mhz": "clocks.sm",
    "max_clock_mhz": "clocks.max.sm",
    "power_w": "power.draw",
    "power_limit_w": "power.limit",
    "temperature_c": "temperature.gpu",
}
_SECONDS = 10


@dataclass(frozen=True)
class GpuState:
    """The first GPU, now; None for what it does not tell."""

    name: str
    driver: str
    memory_used_mib: float | None
    memory_total_mib: float | None
    clock_mhz: float | None
    max_clock_mhz: float | None
    power_w: float | None
    power_limit_w: float | None
    temperature_c: float | None


def read_gpu() -> GpuState | None:
    """None where there is no nvidia-smi, or it sees no GPU."""
    command = ["nvidia-smi", f"--query-gpu={','.join(_QUERY.values())}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        answer = subprocess.run(  # noqa: S603 (a fixed command)
            command, capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_state(answer.stdout)


def parse_state(line: str) -> GpuState | None:
    """One line of nvidia-smi's CSV without header and units; '[N/A]' is None."""
    values = [value.strip() for value in line.strip().split(",")]
    if len(values) != len(fields(GpuState)):
        return None
    name, driver, *numbers = values
    return GpuState(name, driver, *map(_number, numbers))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
