"""The machine itself, from the standard library alone: operating system, Python, processor, memory, disk."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from x3ddeploy.machine import cpu_info, cpu_model, key_values, usable_cores

# What decides how fast the CPU runtimes are (Linux names of the flags).
RELEVANT_FEATURES = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "amx_fp16",
)


@dataclass(frozen=True)
class Machine:
    """Facts of the machine; None where the system does not tell.

    Attributes:
        cores_usable: cores this process may run on (its affinity), not all that the machine has.
        cpu_features: those of RELEVANT_FEATURES that the processor has.
        memory_bytes: physical memory.
        memory_available_bytes: what could be allocated now without swapping.
        directory: the current directory.
        directory_writable: whether a file could be made and written there.
    """

    os: str
    python: str
    python_executable: str
    cpu: str
    cores_usable: int
    cores_total: int | None
    cpu_features: tuple[str, ...] | None
    memory_bytes: int | None
    memory_available_bytes: int | None
    directory: str
    disk_free_bytes: int | None
    directory_writable: bool


def examine_machine() -> Machine:
    """Read what the system tells of itself."""
    cpu_model, cpu_features = _cpu()
    memory_bytes, memory_available_bytes = _memory()
    directory, disk_free_bytes, directory_writable = _directory()
    return Machine(
        os=_operating_system(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        python_executable=sys.executable,
        cpu=cpu_model,
        cores_usable=usable_cores(),
        cores_total=os.cpu_count(),
        cpu_features=cpu_features,
        memory_bytes=memory_bytes,
        memory_available_bytes=memory_available_bytes,
        directory=directory,
        disk_free_bytes=disk_free_bytes,
        directory_writable=directory_writable,
    )


def _operating_system() -> str:
    kernel = f"{platform.system()} {platform.release()} {platform.machine()}"
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {kernel}"
    except (OSError, KeyError):
        return kernel


def _cpu() -> tuple[str, tuple[str, ...] | None]:
    info = cpu_info()
    model = cpu_model(info)
    if "flags" not in info:  # not Linux, or not x86
        return model, None
    flags = set(info["flags"].split())
    return model, tuple(feature for feature in RELEVANT_FEATURES if feature in flags)


def _memory() -> tuple[int | None, int | None]:
    info = key_values(Path("/proc/meminfo"))
    total, available = (
        int(info[key].split()[0]) * 1024 if key in info else None for key in ("MemTotal", "MemAvailable")
    )
    return total, available


def _directory() -> tuple[str, int | None, bool]:
    try:
        directory = Path.cwd()
        free = shutil.disk_usage(directory).free
    except OSError:  # e.g. the directory was removed under us
        return "", None, False
    writable = False
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=directory) as file:
        file.write(b"x")  # permission bits say little on network and read-only file systems
        file.flush()
        writable = True
    return str(directory), free, writable
