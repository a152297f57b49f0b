"""The machine that a figure was measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_info() -> dict[str, str]:
    """Model name of the first processor, as Linux's /proc/cpuinfo has it; empty on other systems."""
    return key_values(Path("/proc/cpuinfo"))


def cpu_model(info: dict[str, str]) -> str:
    """Name of the processor, from `cpu_info`."""
    return info.get("model name") or platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """The machine in words, for the head of a report."""
    return {
        "cpu": cpu_model(cpu_info()),
        "cores": usable_cores(),
        "os": platform.platform(),
        "python": platform.python_version(),
    }


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Name of each package that is installed -> its version."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def key_values(path: Path) -> dict[str, str]:
    """`key: value` lines of a /proc file; the first value of a key."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    values: dict[str, str] = {}
    for line in lines:
        key, separator, value = line.partition(":")
        if separator:
            values.setdefault(key.strip(), value.strip())
    return values
